//! `cargo xtask schemas --from DIR`: what the tests of `provider` know of the clouds' resources.
//!
//! `DIR` holds `aws.json.gz`, `google.json.gz` and `alicloud.json.gz`: every resource of a provider of Terraform with its
//! attributes, their types, and which are required. Of those that `crates/provider/testdata/types.txt` names a compact extract
//! is written. What providers compute and the files do not list is in `computed.txt` beside it, written by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// Writes the extracts, from the folder after `--from`.
///
/// # Errors
/// A missing argument, file or resource, or a type that is not known.
pub fn schemas(arguments: &[String]) -> Result<()> {
    let [flag, from] = arguments else {
        bail!("`schemas` needs `--from DIR`, the folder with the schemas of providers");
    };
    if flag != "--from" {
        bail!("`{flag}` is no flag of `schemas`\nhint: `cargo xtask schemas --from DIR`");
    }
    let into = crate::root().join("crates/provider/testdata");
    let types = lines(&into.join("types.txt"))?;
    let computed = lines(&into.join("computed.txt"))?;
    for provider in ["aws", "google", "alicloud"] {
        let all = read(&Path::new(from).join(format!("{provider}.json.gz")))?;
        let mut kept: BTreeMap<&str, Value> = BTreeMap::new();
        for kind in types.iter().filter(|kind| kind.split('_').next() == Some(provider)) {
            let schema = all
                .get(kind)
                .with_context(|| format!("no resource `{kind}` in the schemas of {provider}"))?;
            kept.insert(kind, block(schema).with_context(|| format!("in `{kind}`"))?);
        }
        for line in &computed {
            let (kind, attribute) =
                line.split_once('.').with_context(|| format!("`{line}` is no `TYPE.ATTRIBUTE`"))?;
            if let Some(Value::Object(attributes)) = kept.get_mut(kind) {
                attributes.entry(attribute).or_insert_with(|| json!("=string"));
            }
        }
        let path = into.join(format!("{provider}.json"));
        // A resource a line, so that git shows what changed.
        let rows: Vec<String> =
            kept.iter().map(|(kind, schema)| format!("{}: {schema}", json!(kind))).collect();
        let text = format!("{{\n{}\n}}\n", rows.join(",\n"));
        eprintln!("schemas: {provider}.json, {} resources, {} bytes", rows.len(), text.len());
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let kept = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(kept.map(str::to_owned).collect())
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().context("`gzip` does not start")?;
    if !output.status.success() {
        bail!("cannot read `{}`: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`{}` is no table of resources", path.display()))
}

/// Attributes as `string`, required ones as `!string`, computed ones as `=string`; a block as an object whose `_` says
/// whether it is required (`!`) and may stand more than once (`*`).
fn block(schema: &Value) -> Result<Value> {
    let mut kept = Map::new();
    for (name, about) in schema.as_object().context("no attributes")? {
        let required = if about["required"] == json!(true) { "!" } else { "" };
        let value = match about.get("block") {
            Some(inner) => {
                let once = about["max"] == json!(1)
                    || about["list"] == json!(false)
                    || about["nesting"] == json!("single");
                let mut inner = block(inner).with_context(|| format!("in `{name}`"))?;
                inner["_"] = json!(format!("{required}{}", if once { "" } else { "*" }));
                inner
            }
            None => {
                let kind = kind(&about["type"])
                    .with_context(|| format!("`{name}` has the type {}", about["type"]))?;
                let computed = if about["computed"] == json!(true) { "=" } else { "" };
                json!(format!("{required}{computed}{kind}"))
            }
        };
        // The words of Terraform's own that stand in every resource are the check's.
        if name != "timeouts" {
            kept.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(kept))
}

fn kind(declared: &Value) -> Option<&'static str> {
    if let Some(list) = declared.as_array() {
        return match list.first()?.as_str()? {
            "list" | "set" => Some("list"),
            "map" => Some("map"),
            _ => None,
        };
    }
    let text = declared.as_str()?;
    match text {
        "string" => Some("string"),
        "number" => Some("number"),
        "bool" | "boolean" => Some("bool"),
        _ if text.ends_with("[]") => Some("list"),
        _ if text.starts_with('{') => Some("map"),
        _ => None,
    }
}
