//! One run of the example in a folder of its own, ended and cleared away whatever happens to us.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{self, cargo, say};

/// Ends the run when its standard input closes, which it does however this process ends, `kill -9` included. `down`
/// is tried again because a run that is just starting refuses to be stopped.
const GUARD: &str = "\
trap '' INT TERM HUP
read -r _
[ -d \"$2\" ] || { [ -n \"$4\" ] || rm -rf -- \"$3\"; exit 0; }
for try in 1 2 3 4 5 6 7 8 9 10; do
  \"$1\" --state \"$2\" down $([ -n \"$4\" ] || echo --delete-data) >/dev/null 2>&1 && break
  sleep 1
done
[ -n \"$4\" ] || rm -rf -- \"$3\"";

/// First of the ports that are tried for the fronts.
const PORT_FIRST: u16 = 18_600;
/// How many are tried.
const PORTS: u16 = 200;
/// A picture must be as wanted this long before it counts: a replica that is about to crash looks well for a moment.
pub(super) const STEADY: Duration = Duration::from_secs(2);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// A running example.
pub(super) struct Site {
    folder: PathBuf,
    program: PathBuf,
    shop: PathBuf,
    port: u16,
    guard: Option<Child>,
}

/// What `evenkeel status --json` says, as far as it is needed here.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) rollout: String,
    pub(super) leader: Option<String>,
    /// Each zone and whether its agent lives.
    pub(super) zones: Vec<(String, bool)>,
    pub(super) entries: Vec<SocketAddr>,
    pub(super) units: Vec<Unit>,
}

/// One replica or front.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) zone: String,
    pub(super) pid: Option<u32>,
    pub(super) healthy: bool,
    pub(super) front: bool,
    pub(super) restarts: u64,
}

/// Builds what is measured.
pub(super) fn build() -> Result<()> {
    run::run(cargo(&["build", "--release", "-p", "evenkeel", "-p", "shop"]))
}

/// Starts the example with `edits` made and `flags` given to `up`, does `body` with it, and ends it.
///
/// # Errors
/// Those of `body`; or when it cannot be started, or something of it is left running.
pub(super) fn with<T>(
    edits: &[(&str, &str)],
    flags: &[&str],
    keep: bool,
    body: impl FnOnce(&Site) -> Result<T>,
) -> Result<T> {
    let mut site = Site::new(keep)?;
    let outcome = site.write(edits).and_then(|()| site.up(flags)).and_then(|()| body(&site));
    say(&format!("ending the run in `{}`{}", site.folder.display(), if keep { "; it is kept" } else { "" }));
    site.end();
    let left = site.processes("");
    let outcome = outcome?;
    ensure!(left.is_empty(), "left running from `{}`: processes {left:?}", site.folder.display());
    Ok(outcome)
}

impl Site {
    fn new(keep: bool) -> Result<Site> {
        let mut number = 0;
        let folder = loop {
            let folder = std::env::temp_dir().join(format!("evenkeel-bench-{}-{number}", std::process::id()));
            match std::fs::create_dir(&folder) {
                Ok(()) => break folder,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make `{}`", folder.display()));
                }
            }
        };
        let release = crate::root().join("target/release");
        let (program, shop) = (release.join("evenkeel"), release.join("shop"));
        let guard = Some(guard(&program, &folder, keep)?);
        Ok(Site { folder, program, shop, port: free_port()?, guard })
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Writes the example's file with `edits` made: each replaces a text that must be there.
    pub(super) fn write(&self, edits: &[(&str, &str)]) -> Result<()> {
        let path = crate::root().join("examples/shop/without-database.yaml");
        let mut text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let (shop, port) = (self.shop.display().to_string(), format!("\":{}\"", self.port));
        let own = [("../../target/release/shop", shop.as_str()), ("\":8080\"", port.as_str())];
        for (old, new) in own.iter().chain(edits) {
            ensure!(text.contains(old), "there is no `{old}` in `{}` any more", path.display());
            text = text.replace(old, new);
        }
        std::fs::write(self.file(), text).context("cannot write the file")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("evenkeel.yaml")
    }

    /// A command of `evenkeel` on this run.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).arg("--state").arg(self.state()).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, whatever that is.
    pub(super) fn output(&self, words: &[&str]) -> Result<Output> {
        self.command(words).output().with_context(|| format!("cannot start `evenkeel {}`", words.join(" ")))
    }

    /// `evenkeel up --detach` of the file as it is now, until it is ready.
    pub(super) fn up(&self, flags: &[&str]) -> Result<()> {
        let mut words = vec!["up", "--detach"];
        words.extend_from_slice(flags);
        say(&format!("evenkeel {}", words.join(" ")));
        let output = self.output(&words)?;
        if !output.status.success() {
            bail!(
                "`evenkeel {}` failed: {}\n{}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(())
    }

    /// The picture now.
    pub(super) fn picture(&self) -> Result<Picture> {
        let output = self.output(&["--json", "status"])?;
        ensure!(
            output.status.success(),
            "`evenkeel status` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        let value: Value = serde_json::from_slice(&output.stdout).context("`status --json` is no JSON")?;
        Ok(Picture::of(&value))
    }

    /// Waits until the picture has been as wanted for a while, and gives it.
    ///
    /// # Errors
    /// When it is not within `limit`; with the last picture.
    pub(super) fn until(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Picture) -> bool,
    ) -> Result<Picture> {
        let started = Instant::now();
        let mut since: Option<Instant> = None;
        loop {
            let picture = self.picture();
            match &picture {
                Ok(picture) if wanted(picture) => {
                    if since.get_or_insert_with(Instant::now).elapsed() >= STEADY {
                        return Ok(picture.clone());
                    }
                }
                _ => since = None,
            }
            if started.elapsed() > limit {
                let last = picture.map_or_else(|error| format!("{error:#}"), |picture| picture.brief());
                bail!("not within {} s: {what}; at last: {last}", limit.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until `replicas` replicas are healthy and evenly spread, and every zone and front is there.
    pub(super) fn whole(&self, replicas: usize, limit: Duration) -> Result<Picture> {
        self.until("fully healthy and evenly spread", limit, |picture| picture.is_whole(replicas))
    }

    /// Processes of this run whose command line holds `word`.
    pub(super) fn processes(&self, word: &str) -> Vec<u32> {
        let state = self.state().display().to_string();
        let own = std::process::id();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            let guard = words.starts_with("sh -c");
            if pid != own && !guard && words.contains(&state) && words.contains(word) {
                found.push(pid);
            }
        }
        found
    }

    /// Lines that a unit has printed and that hold `needle`.
    pub(super) fn log_lines(&self, unit: &str, needle: &str) -> Result<Vec<String>> {
        let output = self.output(&["logs", unit, "-n", "1000000"])?;
        ensure!(output.status.success(), "`evenkeel logs {unit}` failed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect())
    }

    /// Ends the run and waits for that. Harmless when repeated.
    fn end(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the guard of the run in `folder`; in a group of its own, so that Ctrl-C does not reach it.
fn guard(program: &Path, folder: &Path, keep: bool) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(program).arg(folder.join("state")).arg(folder);
    command.arg(if keep { "keep" } else { "" });
    command.stdin(Stdio::piped()).process_group(0).spawn().context("cannot start `sh`")
}

/// A port that no zone address of this machine listens on.
fn free_port() -> Result<u16> {
    let free = |port: u16| {
        (1..=3).all(|zone| TcpListener::bind(SocketAddr::from(([127, 0, zone, 1], port))).is_ok())
    };
    let found = (PORT_FIRST..PORT_FIRST + PORTS).find(|port| free(*port));
    found.with_context(|| format!("no free port from {PORT_FIRST} to {}", PORT_FIRST + PORTS - 1))
}

impl Picture {
    fn of(value: &Value) -> Picture {
        let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Picture {
            rollout: text(&value["rollout"]),
            leader: value["leader"].as_str().map(str::to_owned),
            zones: list("zones").iter().map(|zone| (text(&zone["zone"]), zone["alive"] == true)).collect(),
            entries: list("entries").iter().filter_map(|entry| entry.as_str()?.parse().ok()).collect(),
            units: list("units")
                .iter()
                .map(|unit| Unit {
                    name: text(&unit["name"]),
                    zone: text(&unit["zone"]),
                    pid: unit["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
                    healthy: unit["healthy"] == true,
                    front: unit["role"] == "front",
                    restarts: unit["restarts"].as_u64().unwrap_or(0),
                })
                .collect(),
        }
    }

    /// The replicas, fronts left out.
    pub(super) fn replicas(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|unit| !unit.front)
    }

    /// Every zone lives with its front, `replicas` replicas and no others are there, all healthy, and no zone has
    /// two more than another.
    pub(super) fn is_whole(&self, replicas: usize) -> bool {
        let in_zone = |zone: &str, front: bool| {
            self.units.iter().filter(|unit| unit.zone == zone && unit.front == front).count()
        };
        let counts: Vec<usize> = self.zones.iter().map(|(zone, _)| in_zone(zone, false)).collect();
        let even = counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0) <= 1;
        self.rollout == "reached"
            && self.leader.is_some()
            && !self.zones.is_empty()
            && self.zones.iter().all(|(zone, alive)| *alive && in_zone(zone, true) == 1)
            && self.entries.len() == self.zones.len()
            && self.units.iter().all(|unit| unit.healthy)
            && self.replicas().count() == replicas
            && even
    }

    fn brief(&self) -> String {
        let units = self.units.iter().map(|unit| {
            format!("{}@{}{}", unit.name, unit.zone, if unit.healthy { "" } else { " not healthy" })
        });
        format!(
            "{}, leader {}, zones {:?}, {}",
            self.rollout,
            self.leader.as_deref().unwrap_or("none"),
            self.zones,
            units.collect::<Vec<_>>().join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(places: &str) -> Picture {
        let unit = |name: &str, zone: &str, front| Unit {
            name: name.to_owned(),
            zone: zone.to_owned(),
            pid: None,
            healthy: !name.ends_with('!'),
            front,
            restarts: 0,
        };
        let mut units: Vec<Unit> = ["a", "b", "c"].iter().map(|zone| unit("edge", zone, true)).collect();
        units.extend(places.split(' ').map(|place| unit(place, &place[..1], false)));
        Picture {
            rollout: "reached".to_owned(),
            leader: Some("a".to_owned()),
            zones: ["a", "b", "c"].map(|zone| (zone.to_owned(), true)).to_vec(),
            entries: (1..=3).map(|zone| SocketAddr::from(([127, 0, zone, 1], 80))).collect(),
            units,
        }
    }

    #[test]
    fn the_next_round_waits_for_every_replica_in_its_place() {
        assert!(picture("a b c a b c").is_whole(6));
        assert!(!picture("a b c a b").is_whole(6), "one is missing");
        assert!(!picture("a b c a b b").is_whole(6), "b has three and c has one");
        assert!(!picture("a b c a b c!").is_whole(6), "one is not healthy");
        let mut dead = picture("a b c a b c");
        dead.zones[1].1 = false;
        assert!(!dead.is_whole(6), "a zone is silent");
        let mut nobody = picture("a b c a b c");
        nobody.leader = None;
        assert!(!nobody.is_whole(6), "nobody leads");
    }

    /// A stand-in for `evenkeel` that refuses the first `down` and writes down every call.
    fn fake(folder: &Path) -> PathBuf {
        std::fs::create_dir_all(folder.join("state")).unwrap();
        let (program, calls) = (folder.join("evenkeel"), folder.with_extension("calls"));
        let text = format!("#!/bin/sh\necho \"$*\" >> {0}\n[ $(wc -l < {0}) -ge 2 ]\n", calls.display());
        std::fs::write(&program, text).unwrap();
        Command::new("chmod").arg("755").arg(&program).status().unwrap();
        program
    }

    #[test]
    fn a_run_is_ended_when_its_measurement_is_killed() {
        let folder = std::env::temp_dir().join(format!("evenkeel-guard-{}", std::process::id()));
        let program = fake(&folder);
        let mut child = guard(&program, &folder, false).unwrap();
        // What the kernel does with the pipe of a killed process.
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        let calls = std::fs::read_to_string(folder.with_extension("calls")).unwrap();
        let wanted = format!("--state {}/state down --delete-data", folder.display());
        assert_eq!(calls.lines().collect::<Vec<_>>(), [wanted.as_str(), wanted.as_str()]);
        assert!(!folder.exists());
        std::fs::remove_file(folder.with_extension("calls")).unwrap();
    }
}
