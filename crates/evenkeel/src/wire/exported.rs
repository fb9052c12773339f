//! The folder of an export: what is written there, and what is left alone.
//!
//! `exported.json` in it names every file that was written, with a sum over each. A folder without it must be empty. In one
//! with it, files of other names stay: Terraform's state, variables, and what somebody has added. A file of ours that was
//! changed by hand is not replaced, and one that is no longer made goes.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::exit::hinted;

use super::site::write_whole;

/// The list of what was written.
const LIST: &str = "exported.json";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    format_version: u32,
    /// Name and sum of each file.
    files: BTreeMap<String, String>,
}

/// Writes `files`, names and texts, into `folder`, which is made if need be. Nothing is written when something is in the way.
///
/// # Errors
/// When the folder holds what evenkeel did not write, or what was changed since; when it cannot be read or written.
pub fn write(folder: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let before = read(folder)?;
    let before = match before {
        Some(before) => before,
        None => {
            empty(folder)?;
            Written::default()
        }
    };
    for name in files.keys().chain(before.files.keys()) {
        judge(folder, name, before.files.get(name), files.get(name))?;
    }
    for (name, text) in files {
        let path = folder.join(name);
        write_whole(&path, text.as_bytes())?;
        if name.ends_with(".sh") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .with_context(|| format!("cannot make `{}` a program", path.display()))?;
        }
    }
    for gone in before.files.keys().filter(|name| !files.contains_key(*name)) {
        let path = folder.join(gone);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    let sums = files.iter().map(|(name, text)| (name.clone(), provider::check_sum(text))).collect();
    write_whole(&folder.join(LIST), &serde_json::to_vec_pretty(&Written { format_version: 1, files: sums })?)
}

/// The way from `folder` to `to`, neither of which need be there: `../.evenkeel`. Two that share nothing but the root are better
/// told by the whole path.
///
/// # Errors
/// When there is no current folder.
pub fn seen_from(folder: &Path, to: &Path) -> anyhow::Result<PathBuf> {
    let (from, to) = (settled(folder)?, settled(to)?);
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    if shared <= 1 {
        return Ok(to);
    }
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(shared)).collect();
    Ok(if way.as_os_str().is_empty() { PathBuf::from(".") } else { way })
}

/// `path` from the root, without links as far as it is there, and without `..`: a shell that is in a folder goes up from where
/// that really is.
fn settled(path: &Path) -> anyhow::Result<PathBuf> {
    let whole = std::path::absolute(path).context("there is no current folder")?;
    let mut settled = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => drop(settled.pop()),
            part => settled.push(part),
        }
        if let Ok(real) = fs::canonicalize(&settled) {
            settled = real;
        }
    }
    Ok(settled)
}

fn read(folder: &Path) -> anyhow::Result<Option<Written>> {
    let path = folder.join(LIST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let written: Written = serde_json::from_slice(&text).map_err(|error| {
        hinted(format!("`{}` is damaged: {error}", path.display()), "name another folder with `-o`")
    })?;
    // A name with a way in it would lead out of the folder.
    if let Some(name) = written.files.keys().find(|name| name.contains('/') || name.starts_with('.')) {
        return Err(hinted(
            format!("`{}` names `{name}`, which is no file of ours", path.display()),
            "name another folder with `-o`",
        ));
    }
    Ok(Some(written))
}

/// Refuses a folder with anything in it.
fn empty(folder: &Path) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    match names.first() {
        None => Ok(()),
        Some(name) => Err(hinted(
            format!("`{}` holds `{name}`, and no earlier export", folder.display()),
            "name an empty folder with `-o`, or move away what is there",
        )),
    }
}

/// Refuses to replace or remove `name` when it is not what was written; `was`: its sum then, `new`: its text now.
fn judge(folder: &Path, name: &str, was: Option<&String>, new: Option<&String>) -> anyhow::Result<()> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let sum = provider::check_sum(&text);
    if Some(&sum) == was || Some(&text) == new {
        return Ok(());
    }
    let (why, hint) = match was {
        Some(_) => (
            "was changed since it was written",
            "keep changes in a file of another name (`override.tf.json`), and remove this one",
        ),
        None => ("is not evenkeel's", "give it another name"),
    };
    Err(hinted(format!("`{}` {why}, and would be overwritten", path.display()), hint))
}

#[cfg(test)]
#[path = "exported_tests.rs"]
mod tests;
