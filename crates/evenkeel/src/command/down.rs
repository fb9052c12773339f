//! `evenkeel down`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cli::DownArgs;
use crate::exit::hinted;
use crate::say;
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
    if site.is_running()? {
        stop(site)?;
        say::talk(format_args!("stopped; data is kept in `{}`", site.root().display()));
    } else {
        let cleared = supervise::clear_away(site)?;
        say::talk(if cleared {
            "nothing ran; cleared away what a killed run had left"
        } else {
            "nothing ran"
        });
    }
    if args.delete_data {
        delete(site)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn stop(site: &Site) -> anyhow::Result<()> {
    let record = site.read_run()?.context("it is just starting; try again in a moment")?;
    let pid =
        i32::try_from(record.pid).ok().and_then(rustix::process::Pid::from_raw).context("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        .context("cannot signal the supervisor")?;
    let started = Instant::now();
    while site.is_running()? {
        if started.elapsed() > PATIENCE {
            let text = format!("process {} did not stop within {} s", record.pid, PATIENCE.as_secs());
            return Err(hinted(
                text,
                format!("end it with `kill -9 {}`, then run `evenkeel down` again", record.pid),
            ));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes only what evenkeel itself made there: the folder may be one that the user chose.
fn delete(site: &Site) -> anyhow::Result<()> {
    const OURS: &[&str] = &[
        "zones",
        "store",
        "down",
        "lock",
        "run.json",
        "store.token",
        "console.token",
        "supervisor.log",
        "engine",
    ];
    for name in OURS {
        let path = site.root().join(name);
        if !path.exists() {
            continue;
        }
        say::talk(format_args!("deleting {} ({})", path.display(), model::Bytes(size(&path))));
        let outcome =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        outcome.with_context(|| format!("cannot delete `{}`", path.display()))?;
    }
    // Anything else in it is not ours; then the folder stays.
    let _ = std::fs::remove_dir(site.root());
    Ok(())
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
