//! `cargo xtask test` and `ci`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::install;
use crate::run::{cargo, output, run, say};

/// A file system in memory, as Debian has it.
const MEMORY: &str = "/dev/shm";
/// What the tests need of it at most, several times over, and what must be left for programs.
const ROOM_MB: u64 = 4_096;

/// Installs what is missing and runs every test. With `CI=true` formatting and lints come first, so that the command
/// of the README is the whole gate. `arguments` go to `cargo test`, but for `--no-install`.
///
/// # Errors
/// The first step that fails.
pub fn test(arguments: &[String]) -> Result<()> {
    let (own, rest): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| *argument == "--no-install");
    if own.is_empty() {
        install::ensure(&[install::RUN, install::TEST])?;
    }
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        lint()?;
    }
    // Tests of the whole start these programs; `cargo test` alone would not build them.
    run(cargo(&["build", "--workspace", "--bins"]))?;
    let required = std::env::var("EVENKEEL_REQUIRE").unwrap_or_default();
    match required.as_str() {
        "" => {
            say("a test whose program is missing says so and is skipped; EVENKEEL_REQUIRE=all makes it fail")
        }
        value => say(&format!("EVENKEEL_REQUIRE={value}: a missing program fails its test")),
    }
    // One red crate does not hide what is red in the next.
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(rest);
    if let Some(folder) = in_memory() {
        say(&format!("the tests write to `{}`; with TMPDIR set, to that", folder.display()));
        command.env("TMPDIR", &folder);
    }
    run(command)
}

/// Where the tests write: in memory, where there is enough of it and nobody has said otherwise. They make some thousand
/// databases, and remove them: on ext4, which looks through the inodes that were freed a moment ago before it takes one, a
/// third of their processor time went there. One folder a user, as `/tmp` is: what a killed run or a failed test left is
/// found there by the next.
fn in_memory() -> Option<PathBuf> {
    if std::env::var_os("TMPDIR").is_some() || !fits() {
        return None;
    }
    let own = fs::metadata("/proc/self").ok()?.uid();
    let folder = Path::new(MEMORY).join(format!("evenkeel-tests-{own}"));
    // PostgreSQL's user passes through, as through `/tmp`.
    match fs::DirBuilder::new().mode(0o711).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return None,
        _ => {}
    }
    let about = fs::symlink_metadata(&folder).ok()?;
    (about.is_dir() && about.uid() == own).then_some(folder)
}

fn fits() -> bool {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let room = output(df()).ok().and_then(|told| room_mb(&told));
    let memory = available_mb(&read("/proc/meminfo"));
    // Of a control group, as containers have it; without one there is no such file, or it says `max`.
    let group = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>().map_or(u64::MAX, |bytes| bytes >> 20);
    // Tests run scripts of their own.
    let runs =
        !read("/proc/self/mounts").lines().any(|line| line.contains(" /dev/shm ") && line.contains("noexec"));
    runs && [room, memory, Some(group)].iter().all(|free| free.is_some_and(|free| free >= ROOM_MB))
}

fn df() -> Command {
    let mut command = Command::new("df");
    command.args(["--output=avail", "--block-size=1M", MEMORY]);
    command
}

/// Of what `df` prints: a heading, then a number.
fn room_mb(told: &str) -> Option<u64> {
    told.lines().nth(1)?.trim().parse().ok()
}

fn available_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

fn lint() -> Result<()> {
    run(cargo(&["fmt", "--all", "--check"]))?;
    run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// What a change must pass: `test` with formatting, lints, and every program required. The drills are among the tests
/// (`tests/it`).
///
/// # Errors
/// The first step that fails.
pub fn ci() -> Result<()> {
    let mut whole = cargo(&["run", "--quiet", "--package", "xtask", "--", "test"]);
    whole.env("CI", "true").env("EVENKEEL_REQUIRE", "all");
    run(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_as_it_is_told() {
        assert_eq!(room_mb(" Avail\n23971\n"), Some(23_971));
        assert_eq!(room_mb("Avail\n-\n"), None);
        assert_eq!(available_mb("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2));
        assert_eq!(available_mb("MemTotal: 9 kB\n"), None);
    }
}
