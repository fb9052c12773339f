//! `evenkeel down`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;

use crate::cli::DownArgs;
use crate::exit::hinted;
use crate::say;
use crate::wire::hosts::Hosts;
use crate::wire::place;
use crate::wire::site::Site;
use crate::wire::supervise;

/// The longest graceful end: drain times are at most an hour, yet nobody waits that long for `down`.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stops what runs, or clears away what a killed run left; then removes the data if asked.
pub fn run(args: &DownArgs, site: &Site) -> anyhow::Result<ExitCode> {
    if !site.root().exists() {
        let text = format!("there is no state folder `{}`", site.root().display());
        return Err(hinted(text, "name it with `--state DIR`"));
    }
    if !site.is_running()? && !supervise::left(site) {
        elsewhere(site)?;
    }
    if !site.lock_path().exists() {
        let text = format!("nothing was ever started from `{}`", site.root().display());
        return Err(hinted(text, "name the right folder with `--state DIR`"));
    }
    // Held to the end: nothing may start from here while its remains and its data are being removed.
    let _held = match site.hold()? {
        Some(held) => {
            let cleared = supervise::clear_away(site)?;
            let what = if cleared { "; cleared away what a killed run had left" } else { "" };
            say::talk(format_args!("nothing ran{what}"));
            held
        }
        None => {
            let held = stop(site)?;
            let kept = if args.delete_data { String::new() } else { kept(site)? };
            say::talk(format_args!("stopped{kept}"));
            held
        }
    };
    if args.delete_data {
        delete(site)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses what `down` cannot end: agents are started and ended by whoever runs their hosts.
fn elsewhere(site: &Site) -> anyhow::Result<()> {
    let root = site.root().display();
    if let Some(zone) = site.agent()? {
        let text = format!("the agent of zone `{zone}` runs from `{root}`, as one of several hosts");
        return Err(hinted(text, "end it with SIGTERM; what it runs ends with it"));
    }
    if Hosts::read(site)?.is_some() {
        let text = format!("what is put up from `{root}` runs on other hosts, each under its own agent");
        let hint = format!(
            "end the agents there with SIGTERM; without `{}` this folder knows of them no more",
            site.hosts_path().display()
        );
        return Err(hinted(text, hint));
    }
    Ok(())
}

/// Where the data stays.
fn kept(site: &Site) -> anyhow::Result<String> {
    let outside = place::outside(site)?.filter(|folder| folder.exists());
    let outside = outside.map_or(String::new(), |folder| format!(" and `{}`", folder.display()));
    Ok(format!("; data is kept in `{}`{outside}", site.root().display()))
}

/// Asks the supervisor to end and gives the lock that it leaves.
fn stop(site: &Site) -> anyhow::Result<File> {
    let started = Instant::now();
    let mut asked = None;
    loop {
        if let Some(held) = site.hold()? {
            return Ok(held);
        }
        // Again when it is another one: a supervisor that ends may be followed by one that somebody starts.
        let supervisor = site.supervisor();
        if let Some(process) = supervisor.filter(|_| supervisor != asked) {
            process.signal(Signal::TERM);
            asked = supervisor;
        }
        if started.elapsed() > PATIENCE {
            let who = asked.map_or("the supervisor".to_owned(), |process| format!("process {}", process.pid));
            let hint = match asked {
                Some(process) => {
                    format!("end it with `kill -9 {}`, then run `evenkeel down` again", process.pid)
                }
                None => format!("`fuser {}` shows which process it is", site.lock_path().display()),
            };
            return Err(hinted(format!("{who} did not stop within {} s", PATIENCE.as_secs()), hint));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Removes only what evenkeel itself made there: the folder may be one that the user chose.
fn delete(site: &Site) -> anyhow::Result<()> {
    const OURS: &[&str] = &[
        "zones",
        "store",
        "down",
        "ending",
        "run.json",
        "local.json",
        "data.id",
        "store.token",
        "console.token",
        "identity",
        "supervisor.log",
        // Last: a folder without it is not taken for ours, and what is left is found again.
        "lock",
    ];
    // Whatever was cleared away: one that still runs is another's, and so is its data.
    elsewhere(site)?;
    // Before the file that names it, so that it is found again when it cannot be deleted.
    if let Some(outside) = place::outside(site)? {
        remove(&outside)?;
    }
    for name in OURS {
        remove(&site.root().join(name))?;
    }
    // Anything else in it is not ours; then the folder stays.
    let _ = std::fs::remove_dir(site.root());
    Ok(())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    say::talk(format_args!("deleting {} ({})", path.display(), model::Bytes(size(path))));
    let outcome = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    outcome.with_context(|| format!("cannot delete `{}`", path.display()))
}

fn size(path: &Path) -> u64 {
    let mut open: Vec<PathBuf> = vec![path.to_path_buf()];
    let mut sum = 0;
    while let Some(path) = open.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten();
            open.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
        } else {
            sum += meta.len();
        }
    }
    sum
}
