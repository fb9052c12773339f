use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a drill breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTarget {
    /// One replica.
    Process,
    /// One zone: its agent, fronts and units.
    Zone,
    /// One front.
    Front,
    /// The server of a database's primary.
    Primary,
}

/// How a drill breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It ends at once, without a word.
    Kill,
    /// It stops; its sockets stay open and nothing answers.
    Freeze,
    /// Its packets are dropped both ways.
    Cut,
}

/// A fault: `zone/kill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fault {
    /// What breaks.
    pub target: FaultTarget,
    /// How.
    pub kind: FaultKind,
}

const TARGETS: &[(&str, FaultTarget)] = &[
    ("process", FaultTarget::Process),
    ("zone", FaultTarget::Zone),
    ("front", FaultTarget::Front),
    ("primary", FaultTarget::Primary),
];
const KINDS: &[(&str, FaultKind)] =
    &[("kill", FaultKind::Kill), ("freeze", FaultKind::Freeze), ("cut", FaultKind::Cut)];

impl fmt::Display for FaultTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(TARGETS.iter().find(|(_, target)| target == self).map_or("", |(name, _)| name))
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.target, self.kind))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (target, kind) = text.split_once('/').ok_or("a fault is written `zone/kill`")?;
        let target = TARGETS.iter().find(|(name, _)| *name == target).ok_or("unknown target")?.1;
        let kind = KINDS.iter().find(|(name, _)| *name == kind).ok_or("unknown kind")?.1;
        Ok(Fault { target, kind })
    }
}

impl TryFrom<String> for Fault {
    type Error = String;

    fn try_from(text: String) -> Result<Fault, String> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

/// What a drill measured. A field that was not measured is `None`, never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was broken.
    pub fault: Fault,
    /// Which one: `b`, `web-2`, `edge-a`.
    pub target: String,
    /// Unix time of the fault in milliseconds.
    pub at_ms: u64,
    /// Why it was not carried out; then nothing below was measured and nothing was passed.
    pub not_run: Option<String>,
    /// Why its safety limit stopped it.
    pub aborted: Option<String>,
    /// Requests sent.
    pub requests: Option<u64>,
    /// Requests whose caller saw anything but the expected answer.
    pub failed: Option<u64>,
    /// Of `failed`: those nobody could have saved.
    pub unsavable: Option<u64>,
    /// Their ids.
    pub unsavable_ids: Vec<String>,
    /// Idempotent requests that their client sent to a second front, because the first one fell silent.
    #[serde(default)]
    pub second_front: Option<u64>,
    /// Effects that were carried out more than once.
    pub double_effects: Option<u64>,
    /// From the fault to the last failure.
    pub failed_after_ms: Option<f64>,
    /// Answer times of the short requests over the event.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the short requests over the event.
    pub p99_ms: Option<f64>,
    /// The slowest short request.
    pub max_ms: Option<f64>,
    /// 99th percentile of the short requests before the fault.
    pub calm_p99_ms: Option<f64>,
    /// From the fault to the end of the longest time without success.
    pub rto_ms: Option<f64>,
    /// From the fault until every replica was healthy again, in the zones that are left.
    pub full_count_ms: Option<f64>,
    /// Writes that were acknowledged.
    pub acked_writes: Option<u64>,
    /// Of these: gone.
    pub lost_writes: Option<u64>,
    /// Reads that saw less than they must.
    pub stale_reads: Option<u64>,
    /// Every objective was met.
    pub objectives_met: Option<bool>,
    /// Each objective that was missed, one sentence each.
    pub missed: Vec<String>,
}
