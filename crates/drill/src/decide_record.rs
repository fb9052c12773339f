//! What the load leaves behind about each request, and what the fault was. Plain data: every judgement of a
//! drill is made from these and nothing else, so it can be made again from a log.

use std::collections::BTreeSet;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `GET` of a page: short and idempotent (RFC 9110 9.2.2).
    Read,
    /// `POST` of an order: short, not idempotent, carries a unique id.
    Write,
    /// `GET` that takes longer than a second: idempotent, measured apart from the short ones.
    Slow,
}

impl Kind {
    /// May it be carried out twice without harm?
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        self != Kind::Write
    }

    /// Does it belong to the short requests, whose answer times are judged?
    #[must_use]
    pub fn is_short(self) -> bool {
        self != Kind::Slow
    }
}

/// One request, from its place in the schedule to what its caller saw. Times are microseconds since the load
/// started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the schedule; with the run's prefix it makes the unique id.
    pub seq: u64,
    /// What it was for.
    pub kind: Kind,
    /// When it was to be sent. Answer times are counted from here, so that a client that falls behind cannot
    /// hide it (coordinated omission).
    pub due_us: u64,
    /// When its caller knew.
    pub end_us: u64,
    /// What its caller saw.
    pub outcome: Outcome,
}

impl Record {
    /// The answer time in milliseconds, from the schedule.
    #[must_use]
    pub fn latency_ms(&self) -> f64 {
        self.end_us.saturating_sub(self.due_us) as f64 / 1000.0
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Expected => None,
            Outcome::Failed(failure) => Some(failure),
        }
    }
}

/// What the caller of one request saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The expected status, a whole body, and for an order its own id.
    Expected,
    /// Anything else.
    Failed(Failure),
}

/// The evidence about a failed request: of its last attempt, the one that decided the failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What the caller saw, as a clause.
    pub why: String,
    /// Index of the front it was sent to. `None`: no front could be reached.
    pub front: Option<usize>,
    /// When its last byte was handed to the kernel (of a `POST` with its body). `None`: nothing was sent.
    pub sent_us: Option<u64>,
    /// The body of a `POST` had left: from here on nobody but the application knows whether it was carried out.
    pub body_sent: bool,
    /// The connection ended, or its front fell silent, with this request on it.
    pub connection_held: bool,
    /// The replica that a front named in its own error answer.
    pub blamed: Option<Blamed>,
    /// The application answered that it does not know whether the order was carried out: its commit was on the way to the
    /// database when the connection ended.
    pub outcome_unknown: bool,
    /// The client itself could not go on (no file descriptors, no local ports): this says nothing about the
    /// application.
    pub own_fault: bool,
}

/// `x-evenkeel-error: unit=web-2; sent=1` in a front's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blamed {
    /// The replica the front had sent the request to.
    pub unit: String,
    /// Bytes of the request had been sent to it.
    pub sent: bool,
}

impl Blamed {
    /// Reads the value of the header; `None` when it names no unit. Unknown parts are passed over, so that fronts
    /// may say more later.
    #[must_use]
    pub fn parse(value: &str) -> Option<Blamed> {
        let mut unit = None;
        let mut sent = false;
        for part in value.split(';') {
            match part.trim().split_once('=') {
                Some(("unit", name)) if !name.trim().is_empty() => unit = Some(name.trim().to_owned()),
                Some(("sent", flag)) => sent = flag.trim() == "1",
                _ => {}
            }
        }
        unit.map(|unit| Blamed { unit, sent })
    }
}

/// What was broken, in the terms of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultFacts {
    /// When, in microseconds since the load started: immediately before the first effect.
    pub at_us: u64,
    /// Indices of the fronts that it hit.
    pub fronts: BTreeSet<usize>,
    /// Names of the replicas that it hit.
    pub units: BTreeSet<String>,
    /// The primary of the application's database was hit.
    pub primary: bool,
    /// When orders went through again, by the first one that was sent after the fault and acknowledged. `None`: never.
    pub orders_again_us: Option<u64>,
}
