//! A soak that was ended in the middle goes on where it stopped, however it was ended.

// A test that cannot go on says so by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::soak::journal::{Line, Table, read};
use crate::soak::plan::{Fault, Kind};
use crate::{MACHINE, present};

/// Short ones: what they do is not what this is about.
const KINDS: [Kind; 2] = [Kind::KeeperCrash, Kind::StandbyKill];
const FAULTS: u64 = 6;
const SEED: &str = "8";
/// A fault is over by then, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// The soak as a process of its own, which can be killed.
struct Run {
    child: Child,
    told: PathBuf,
}

impl Run {
    fn start(told: PathBuf, words: &[&str]) -> Run {
        let own = std::env::current_exe().unwrap();
        let program = own.parent().unwrap().parent().unwrap().join("examples/soak_database");
        assert!(program.exists(), "`{}` is not built: `cargo build -p drill --examples`", program.display());
        let file = File::create(&told).unwrap();
        let mut command = Command::new(program);
        command.args(words).args(["--faults", &FAULTS.to_string(), "--round", "2"]);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Run { child: command.spawn().unwrap(), told }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.told).unwrap()
    }

    /// Waits until the fault `index` was made, and is not judged yet.
    fn until_made(&mut self, index: u64) {
        let end = Instant::now() + SOON;
        let mark = format!("{index:>5} {}", Fault::at(SEED.parse().unwrap(), index, &KINDS).kind.name());
        while !self.said().contains(&mark) {
            assert!(Instant::now() < end, "fault {index} was not made:\n{}", self.said());
            assert!(self.child.try_wait().unwrap().is_none(), "it ended:\n{}", self.said());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn end(mut self, signal: Option<Signal>) -> ExitStatus {
        if let Some(signal) = signal {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }
        let status = self.child.wait().unwrap();
        eprintln!("{}", self.said());
        fs::remove_file(&self.told).unwrap();
        status
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Which faults are in judged rounds, in the journal's order.
fn judged(journal: &Path) -> Vec<(u64, String)> {
    let faults = read(journal).unwrap().into_iter().filter_map(|line| match line {
        Line::Fault(fault) => Some((fault.index, fault.kind)),
        _ => None,
    });
    faults.collect()
}

#[test]
fn a_soak_that_is_ended_or_killed_goes_on_where_it_stopped_and_counts_each_fault_once() {
    if !present("a_soak_that_is_ended_or_killed_goes_on_where_it_stopped_and_counts_each_fault_once") {
        return;
    }
    let _machine = MACHINE.blocking_lock();
    let place =
        |what: &str| std::env::temp_dir().join(format!("evenkeel-resume-{}-{what}", std::process::id()));
    let (journal, told) = (place("journal"), place("told"));
    let path = journal.to_str().unwrap();
    let names = KINDS.map(Kind::name).join(",");
    let expected = |to: u64| -> Vec<(u64, String)> {
        let at = |index| Fault::at(SEED.parse().unwrap(), index, &KINDS).kind.name().to_owned();
        (0..to).map(|index| (index, at(index))).collect()
    };

    // Asked to end in its first round of two: what was done is judged.
    let words = ["--kinds", &names, "--seed", SEED, "--store", "embedded", "--journal", path];
    let mut first = Run::start(told.clone(), &words);
    first.until_made(0);
    assert_eq!(first.end(Some(Signal::TERM)).code(), Some(0));
    let done = judged(&journal);
    let done_count = done.len() as u64;
    assert!((1..=2).contains(&done_count), "{done:?}");
    assert_eq!(done, expected(done_count));

    // Killed in the middle of its second round: that was not judged, and is played again.
    let mut second = Run::start(told.clone(), &["--resume", path]);
    second.until_made(done_count + 2);
    let left = std::env::temp_dir().join(format!("evenkeel-soak-{}-1", second.child.id()));
    second.end(Some(Signal::KILL));
    let whole = judged(&journal);
    assert_eq!(whole, expected(done_count + 2), "a round that was not judged is in the journal");
    assert!(left.exists(), "{}", left.display());

    let third = Run::start(told, &["--resume", path]);
    assert_eq!(third.end(None).code(), Some(0));
    assert_eq!(judged(&journal), expected(FAULTS));
    let table = Table::of(&read(&journal).unwrap());
    assert_eq!((table.faults() as u64, table.broken()), (FAULTS, Vec::new()));
    assert!(!left.exists(), "what the killed one left is still in {}", left.display());
    fs::remove_file(&journal).unwrap();
}
