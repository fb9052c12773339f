//! `cargo xtask clouds`: exports judged by the linters of the clouds' own world.
//!
//! cfn-lint knows every property of CloudFormation; checkov knows what is unsafe in Terraform of all three clouds. Both come
//! from PyPI into `target/clouds`; with their packages they are 400 MB and take minutes, so that this is a maintainer's
//! command and no test. Whatever checkov finds must be in `crates/provider/testdata/checkov.txt` with the reason why it
//! stays; what is there and is not found any more must go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{cargo, run, say};

/// As they were when the exports were judged first; newer ones may know more.
const LINTERS: &[&str] = &["cfn-lint==1.58.0", "checkov==3.3.30"];

/// Checks that the smallest of the exports passes, half of them: fewer, and the linter has not read the files.
const PASSED_MIN: u64 = 9;
/// Zones are what the plan is about: they are named in the template.
const ZONES_BY_NAME: &str = "W3010";

/// Exports `crates/provider/testdata/shop.yaml` for every cloud, and judges it. `--venv DIR` names a folder where the linters
/// are.
///
/// # Errors
/// A linter that cannot be had, an export that fails, or a finding that nobody has judged.
pub fn clouds(arguments: &[String]) -> Result<()> {
    let into = crate::root().join("target/clouds");
    let venv = match arguments {
        [] => into.join("venv"),
        [flag, folder] if flag == "--venv" => PathBuf::from(folder),
        _ => bail!("`clouds` takes `--venv DIR` alone"),
    };
    install(&venv)?;
    let mut findings = BTreeMap::new();
    for provider in ["aws", "gcp", "alicloud"] {
        let folder = export("terraform", provider, &into)?;
        findings.append(&mut checkov(&venv, &folder)?);
    }
    let template = export("cloudformation", "aws", &into)?.join("template.json");
    let mut lint = Command::new(venv.join("bin/cfn-lint"));
    lint.args(["--ignore-checks", ZONES_BY_NAME, "--template"]).arg(&template);
    run(lint)?;
    say("cfn-lint: nothing found");
    judge(&findings)
}

fn install(venv: &Path) -> Result<()> {
    if venv.join("bin/checkov").exists() && venv.join("bin/cfn-lint").exists() {
        return Ok(());
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(venv);
    run(make)?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(LINTERS);
    run(pip)
}

/// The folder of a fresh export.
fn export(tool: &str, provider: &str, into: &Path) -> Result<PathBuf> {
    let folder = into.join(format!("{tool}-{provider}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    let mut command = cargo(&["run", "--quiet", "--package", "evenkeel", "--", "--state"]);
    command.arg(into.join("state")).args([
        "export",
        tool,
        "crates/provider/testdata/shop.yaml",
        "--provider",
        provider,
    ]);
    command.arg("-o").arg(&folder);
    run(command)?;
    Ok(folder)
}

/// Each check that failed, with the resources it failed for.
fn checkov(venv: &Path, folder: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    // It stumbles over `required_version`, and there is no resource in that file.
    fs::remove_file(folder.join("main.tf.json")).context("the export has no `main.tf.json`")?;
    let mut command = Command::new(venv.join("bin/checkov"));
    command.args([
        "--framework",
        "terraform_json",
        "--skip-download",
        "--quiet",
        "--compact",
        "--output",
        "json",
        "--directory",
    ]);
    let told = command.arg(folder).output().context("cannot start checkov")?;
    let text = String::from_utf8_lossy(&told.stdout);
    let whole: Value = serde_json::from_str(&text)
        .with_context(|| format!("checkov says no JSON: {}", String::from_utf8_lossy(&told.stderr)))?;
    let summary = &whole["summary"];
    say(&format!(
        "checkov: {}: {} passed, {} failed",
        folder.file_name().unwrap_or_default().to_string_lossy(),
        summary["passed"],
        summary["failed"]
    ));
    // A linter that saw nothing has found nothing.
    if summary["parsing_errors"] != 0 || summary["passed"].as_u64().is_none_or(|count| count < PASSED_MIN) {
        bail!("checkov did not read `{}`: {summary}", folder.display());
    }
    let mut failed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for check in whole["results"]["failed_checks"].as_array().into_iter().flatten() {
        let word = |key: &str| check[key].as_str().unwrap_or("?").to_owned();
        let name = format!("{} {}", word("check_id"), word("check_name"));
        failed.entry(name).or_default().insert(word("resource"));
    }
    Ok(failed)
}

fn judge(findings: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    let path = crate::root().join("crates/provider/testdata/checkov.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let judged =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next());
    let judged: BTreeSet<&str> = judged.collect();
    let id = |name: &str| name.split(' ').next().unwrap_or_default().to_owned();
    let mut wrong = Vec::new();
    for (name, resources) in findings.iter().filter(|(name, _)| !judged.contains(id(name).as_str())) {
        let some: Vec<&str> = resources.iter().take(3).map(String::as_str).collect();
        wrong.push(format!("nobody has judged {name} ({}: {})", resources.len(), some.join(", ")));
    }
    let found: BTreeSet<String> = findings.keys().map(|name| id(name)).collect();
    wrong.extend(
        judged
            .iter()
            .filter(|id| !found.contains(**id))
            .map(|id| format!("{id} is judged and not found any more")),
    );
    if wrong.is_empty() {
        say(&format!("checkov: {} checks fail, each judged in testdata/checkov.txt", found.len()));
        return Ok(());
    }
    bail!("{}\nhint: mend it, or say why it stays in `{}`", wrong.join("\n"), path.display());
}
