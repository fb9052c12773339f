//! A writer that is killed with -9 in the middle, again and again: each secret it was given is there when it is back.

// Helpers of a test; an error in them is its failure.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use identity::Secrets;

/// Names the folder a child writes to.
const FOLDER: &str = "EVENKEEL_TEST_SECRETS";
/// Kills of one run.
const ROUNDS: usize = 8;

/// A folder that goes with its test, also when that fails.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Not a test: what the child process runs. Without its variable it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let secrets = Secrets::open(&folder).unwrap();
    let first = secrets.names().unwrap().len();
    for number in first..first + 200 {
        let name = format!("n-{number}");
        println!("\ngot {name} {}", *secrets.get_or_create(&name).unwrap().expose());
    }
}

#[test]
fn what_was_handed_out_survives_a_kill_in_the_middle_of_the_next_write() {
    let folder = Folder(std::env::temp_dir().join(format!("ek-identity-killed-{}", std::process::id())));
    std::fs::DirBuilder::new().mode(0o700).create(&folder.0).unwrap();
    let mut handed_out = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, &folder.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let got = lines.map(Result::unwrap).filter_map(|line| {
            let mut words = line.strip_prefix("got ")?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?))
        });
        // The next write is under way when the kill comes.
        for (name, text) in got.take(3 + round) {
            handed_out.insert(name, text);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let secrets = Secrets::open(&folder.0).unwrap();
        for (name, text) in &handed_out {
            let kept = secrets.get(name).unwrap().map(|secret| secret.expose().to_string());
            assert_eq!(kept.as_ref(), Some(text), "{name} after kill {round}");
        }
    }
    assert!(handed_out.len() >= ROUNDS * 3);
}
