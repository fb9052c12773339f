//! `cargo xtask timings`: how long a person waits, against the budgets.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::run::{self, output, say};
use crate::tidy::{LOCKED_MAX, locked_packages};

/// Seconds from nothing to the built demo, on 2 cores.
const COLD_S: f64 = 480.0;
/// Seconds from a one-line change to a binary that runs.
const CHANGE_S: f64 = 15.0;
/// Seconds of the test command from nothing.
const TEST_S: f64 = 1500.0;

/// Files of the tree in which a line is changed: the bottom of the house, the worst case, and one part.
const CHANGED: &[&str] = &["crates/model/src/lib.rs", "crates/zone/src/lib.rs"];

/// Measures in a copy of the tree below `target/timings`, so that neither the sources nor the builds of a person are
/// touched. `what` picks from `cold`, `change`, `test`; empty is all.
///
/// # Errors
/// A build or test that fails, or an unknown name.
pub fn timings(what: &[String]) -> Result<()> {
    if let Some(unknown) = what.iter().find(|name| !["cold", "change", "test"].contains(&name.as_str())) {
        bail!("`{unknown}` is no timing\nhint: `cold`, `change`, `test`, or nothing for all three");
    }
    let wanted = |name: &str| what.is_empty() || what.iter().any(|given| given == name);
    let copy = copy_tree()?;
    let lock = fs::read_to_string(crate::root().join("Cargo.lock")).context("cannot read `Cargo.lock`")?;
    let mut rows = Vec::new();
    if wanted("cold") {
        rows.push(("cold build of the demo", cold(&copy)?, COLD_S));
    }
    if wanted("change") {
        for path in CHANGED {
            rows.push((*path, change(&copy, path)?, CHANGE_S));
        }
    }
    if wanted("test") {
        rows.push(("tests, built from nothing", test(&copy)?, TEST_S));
    }
    println!("{:<34} {:>10} {:>10}", "", "measured", "budget");
    for (name, seconds, budget) in rows {
        let verdict = if seconds <= budget { "" } else { "  over budget" };
        println!("{name:<34} {seconds:>8.1} s {budget:>8.0} s{verdict}");
    }
    let locked = locked_packages(&lock);
    println!("{:<34} {locked:>10} {LOCKED_MAX:>10}", "locked packages");
    Ok(())
}

fn copy_tree() -> Result<PathBuf> {
    let root = crate::root();
    let copy = root.join("target/timings/tree");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let mut git = Command::new("git");
    git.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for path in output(git)?.split('\0').filter(|path| !path.is_empty()) {
        let from = root.join(path);
        if !from.is_file() {
            continue;
        }
        let to = copy.join(path);
        fs::create_dir_all(to.parent().unwrap_or(&copy))?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy `{path}`"))?;
    }
    Ok(copy)
}

fn build(copy: &Path, target: &str, arguments: &[&str]) -> Command {
    let mut command = run::cargo(arguments);
    command.current_dir(copy).env("CARGO_TARGET_DIR", copy.with_file_name(target));
    command
}

fn timed(command: Command) -> Result<f64> {
    let start = Instant::now();
    run::run(command)?;
    Ok(start.elapsed().as_secs_f64())
}

fn empty(copy: &Path, target: &str) -> Result<()> {
    let folder = copy.with_file_name(target);
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn cold(copy: &Path) -> Result<f64> {
    empty(copy, "cold")?;
    let seconds = timed(build(copy, "cold", &["build", "--release", "-p", "evenkeel", "-p", "shop"]))?;
    empty(copy, "cold")?;
    Ok(seconds)
}

fn change(copy: &Path, path: &str) -> Result<f64> {
    say(&format!("one line changed in {path}"));
    run::run(build(copy, "change", &["build", "-p", "evenkeel"]))?;
    let file = copy.join(path);
    let mut text = fs::OpenOptions::new().append(true).open(&file).with_context(|| format!("no `{path}`"))?;
    text.write_all(b"\n#[allow(dead_code)]\nfn timing_probe() -> u32 { 7 }\n")?;
    let start = Instant::now();
    run::run(build(copy, "change", &["build", "-p", "evenkeel"]))?;
    let mut version = Command::new(copy.with_file_name("change").join("debug/evenkeel"));
    version.arg("--version");
    output(version)?;
    Ok(start.elapsed().as_secs_f64())
}

fn test(copy: &Path) -> Result<f64> {
    empty(copy, "test")?;
    let bins = timed(build(copy, "test", &["build", "--workspace", "--bins"]))?;
    let tests = timed(build(copy, "test", &["test", "--workspace"]))?;
    empty(copy, "test")?;
    Ok(bins + tests)
}
