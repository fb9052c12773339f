//! What is compared, what is broken, and in which order.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// The hosts of every system.
pub const HOSTS: [&str; 3] = ["a", "b", "c"];

/// What is broken, always on the host of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// kill -9 of the server's first process. What manages it lives, and may start it again.
    Kill,
    /// SIGSTOP of every process of the host.
    Freeze,
    /// Every packet from and to the host is dropped; its processes live.
    Cut,
    /// A switch that somebody asks for.
    Switchover,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// Ours.
    Evenkeel,
    /// Patroni as its documentation sets it up.
    PatroniDefault,
    /// Patroni with every timer at the lowest it takes.
    PatroniAggressive,
}

/// All faults, by the names of `--faults` and of the journal.
pub const FAULTS: &[(Fault, &str)] = &[
    (Fault::Kill, "kill"),
    (Fault::Freeze, "freeze"),
    (Fault::Cut, "cut"),
    (Fault::Switchover, "switchover"),
];

/// The peer's settings, by the names of `--settings`.
pub const SETTINGS: &[(System, &str)] =
    &[(System::PatroniDefault, "default"), (System::PatroniAggressive, "aggressive")];

impl Fault {
    /// Its name.
    pub fn name(self) -> &'static str {
        name(FAULTS, self)
    }

    /// Whether something of ours has to be taken back.
    pub fn lasts(self) -> bool {
        matches!(self, Fault::Freeze | Fault::Cut)
    }
}

impl System {
    /// As the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            System::Evenkeel => "evenkeel",
            System::PatroniDefault => "Patroni, default",
            System::PatroniAggressive => "Patroni, aggressive",
        }
    }
}

fn name<T: Copy + PartialEq>(all: &'static [(T, &'static str)], one: T) -> &'static str {
    all.iter().find(|(known, _)| *known == one).map_or("?", |(_, name)| name)
}

/// Those of `all` that are named in `names`, with commas between them, in the order of `all`.
///
/// # Errors
/// When one does not exist, or none is named.
pub fn choose<T: Copy + PartialEq>(all: &'static [(T, &'static str)], names: &str) -> Result<Vec<T>> {
    let wanted: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
    if let Some(wrong) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("`{wrong}` is not known here\nhint: there are: {}", known.join(", "));
    }
    if wanted.is_empty() {
        bail!("nothing is named\nhint: there are: {}", known.join(", "));
    }
    Ok(all.iter().filter(|(_, name)| wanted.contains(name)).map(|(one, _)| *one).collect())
}

/// One measurement: a fault, once, on one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Turn {
    /// From 0.
    pub run: u64,
    /// What is broken.
    pub fault: Fault,
    /// Whose.
    pub system: System,
}

/// Every measurement in its order: the systems take turns at the same fault, then comes the next fault, then the next
/// run, so that whatever else the machine does meets all of them alike.
pub fn turns(runs: u64, faults: &[Fault], systems: &[System]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for run in 0..runs {
        for fault in faults {
            turns.extend(systems.iter().map(|system| Turn { run, fault: *fault, system: *system }));
        }
    }
    turns
}
