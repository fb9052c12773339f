//! Faults of disks, of copies under way, and of the whole store.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use model::NodeId;
use rustix::process::Signal;

use super::nemesis::Hit;
use super::process::Process;
use super::site::{NODES, Site};

/// Beside the data, on the same disk.
const FILLER: &str = "filler";
/// Of what a full disk gets, in bytes.
const PIECE: usize = 1 << 16;
/// Segments that the log is made to go through, so that those which are there already are used up.
const SEGMENTS: u32 = 6;
/// A copy or a rewind begins by then, or this fault has hit nothing.
const BEGINS: Duration = Duration::from_secs(20);
/// A first answer to a statement.
const STATEMENT: Duration = Duration::from_secs(3);

/// Which process goes in the middle of a copy.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The program that copies.
    Program,
    /// The server it copies from.
    Source,
    /// The node that is being made: its keeper, and the program with it.
    Node,
}

impl Hit<'_> {
    /// No byte is left on the disk of `node`, for `away`. Its log is made to go on until it needs one.
    pub async fn fill_disk(&mut self, node: NodeId, away: Duration) -> Result<()> {
        let filler = self.site.dir(node).join(FILLER);
        self.mark();
        fill(&filler)?;
        let began = Instant::now();
        while began.elapsed() < away {
            if let Some((primary, _)) = self.site.primary() {
                let _ = tokio::time::timeout(STATEMENT, roll(self.site, primary)).await;
            }
            // Logs and checkpoints may have given something back.
            fill(&filler)?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        fs::remove_file(&filler).context("the disk cannot be emptied again")
    }

    /// A node loses its disk, and while it is being copied one of the two sides dies.
    pub async fn kill_in_copy(&mut self, node: NodeId) -> Result<()> {
        self.mark();
        self.kill_node(node);
        self.site.lose_disk(node).await?;
        self.site.start_node(node).await?;
        self.kill_working("pg_basebackup", node).await
    }

    /// A primary that went its own way comes back, and while it is being rewound one of the two sides dies.
    pub async fn kill_in_rewind(&mut self, away: Duration) -> Result<()> {
        self.kill_all(away).await?;
        self.kill_working("pg_rewind", self.primary).await?;
        self.enough_us = None;
        Ok(())
    }

    async fn kill_working(&mut self, program: &str, node: NodeId) -> Result<()> {
        let folder = self.site.dir(node).display().to_string();
        let began = Instant::now();
        let found = loop {
            if let Some(found) = Process::find(program, &folder) {
                break found;
            }
            if began.elapsed() > BEGINS {
                eprintln!("      no `{program}` was seen at node {node}");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let victim = [Victim::Program, Victim::Source, Victim::Node];
        // Not at its first moment only.
        tokio::time::sleep(Duration::from_millis(self.fault.pick >> 8 & 0xff)).await;
        match self.fault.choose(&victim).context("no victim")? {
            Victim::Program => found.signal(Signal::KILL),
            Victim::Source => {
                if let Some(server) = self.site.primary().and_then(|(primary, _)| self.site.server(primary)) {
                    server.signal(Signal::KILL);
                }
            }
            Victim::Node => {
                self.site.crash_keeper(node);
                found.signal(Signal::KILL);
                self.site.start_keeper(node).await?;
            }
        }
        Ok(())
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) -> Result<()> {
    let mut file = fs::File::options().append(true).create(true).open(path);
    let Ok(file) = &mut file else { return Ok(()) };
    let mut piece = vec![b'.'; PIECE];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
    Ok(())
}

/// The log of the primary goes on in new segments.
async fn roll(site: &Site, primary: NodeId) -> Result<()> {
    for _ in 0..SEGMENTS {
        // A record between two switches: the second of two in a row does nothing.
        site.superuser(primary, "SELECT pg_logical_emit_message(true, 'soak', 'x')").await?;
        site.superuser(primary, "SELECT pg_switch_wal()").await?;
    }
    Ok(())
}

/// A small disk for each node.
pub struct Disks(Vec<std::path::PathBuf>);

/// Data of three quiet terms, the log that is kept, and a copy beside it while it is made.
const DISK: &str = "size=640m,mode=0755";

impl Disks {
    /// Mounts one in each node's folder; only root can.
    pub fn mount(folder: &Path, nodes: &[NodeId]) -> Result<Disks> {
        let mut disks = Disks(Vec::new());
        for node in nodes {
            let place = folder.join(format!("db-{node}"));
            fs::create_dir_all(&place)?;
            let status = std::process::Command::new("mount")
                .args(["-t", "tmpfs", "-o", DISK, "evenkeel-soak"])
                .arg(&place)
                .status()
                .context("cannot start `mount`")?;
            anyhow::ensure!(status.success(), "cannot mount a small disk at {}", place.display());
            disks.0.push(place);
        }
        Ok(disks)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for place in &self.0 {
            // Lazily: a process that is just ending may still be in it.
            let _ = std::process::Command::new("umount").arg("-l").arg(place).status();
        }
    }
}

/// Whether nodes can have small disks here.
pub fn small_disks_possible() -> bool {
    let folder = std::env::temp_dir().join(format!("evenkeel-soak-mount-{}", std::process::id()));
    let possible = rustix::process::geteuid().is_root() && Disks::mount(&folder, &NODES).is_ok();
    let _ = fs::remove_dir_all(&folder);
    possible
}
