//! `evenkeel check` and `evenkeel explain`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use model::App;
use spec::Reading;

use crate::exit::{self, hinted};
use crate::say;
use crate::wire::prices;
use crate::wire::site::Site;

/// A file above this size is refused by `spec`; one byte more is read so that `spec` can say so.
const READ_MAX: u64 = (1 << 20) + 1;

/// Reports every mistake of the file.
pub fn run(path: &Path, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let (reading, text) = read(path, site)?;
    if json {
        say::data(format_args!("{}\n", spec::to_json(&reading)))?;
    } else {
        show(&reading, &text, path);
        if reading.app.is_some() {
            say::data(format_args!("{}: valid\n", path.display()))?;
        }
    }
    Ok(if reading.app.is_some() { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

/// Prints the page of an error code, which is Markdown; in JSON beside its code and title.
pub fn explain(code: &str, json: bool) -> anyhow::Result<ExitCode> {
    let page = spec::explain(code).ok_or_else(|| {
        hinted(
            format!("`{code}` is not an error code"),
            "a code looks like `E0107`; `evenkeel check` prints it with each mistake",
        )
    })?;
    if json {
        let title = page.lines().next().and_then(|head| head.split_once(": ")).map(|(_, title)| title);
        let object = serde_json::json!({
            "kind": "explain", "format_version": 1, "code": code.to_ascii_uppercase(), "title": title, "page": page,
        });
        say::data(format_args!("{object}\n"))?;
    } else {
        say::data(page)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the file; mistakes in it are in the reading, not in the error.
pub fn read(path: &Path, site: &Site) -> anyhow::Result<(Reading, String)> {
    let file = std::fs::File::open(path).map_err(|error| {
        let way_out =
            "name the file: `evenkeel COMMAND FILE`; `examples/shop/evenkeel.yaml` is one to start from";
        hinted(format!("cannot open `{}`: {error}", path.display()), way_out)
    })?;
    let mut bytes = Vec::new();
    file.take(READ_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    if text.trim_start().starts_with('{')
        && (text.contains(r#""kind": "plan""#) || text.contains(r#""kind":"plan""#))
    {
        let way_out = "name the file that it was made from; `simulate` and `plan --verify` take a plan";
        return Err(hinted(format!("`{}` is a plan, not an application's file", path.display()), way_out));
    }
    let reading =
        spec::read_bytes(&bytes, &path.display().to_string(), &|| prices::regions(site), &prices::places);
    Ok((reading, text.into_owned()))
}

/// Tells about every finding on standard error.
pub fn show(reading: &Reading, text: &str, path: &Path) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let told = spec::render(&reading.findings, text, &path.display().to_string(), colour);
    say::part(told);
}

/// The application of a file without mistakes, and the folder its programs are looked up from.
pub fn app(path: &Path, site: &Site) -> anyhow::Result<(App, Reading, PathBuf)> {
    let (reading, text) = read(path, site)?;
    show(&reading, &text, path);
    let Some(app) = reading.app.clone() else {
        anyhow::bail!("`{}` has mistakes", path.display());
    };
    let path = std::path::absolute(path)?;
    let base = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    Ok((app, reading, base))
}
