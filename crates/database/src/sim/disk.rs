//! What survives a crash: the log with its timelines, and the settings.

use std::collections::BTreeMap;

use crate::Upstream;
use model::{NodeId, Quorum, Term};

/// One record of the log: the reign that wrote it, and which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The reign.
    pub term: Term,
    /// Counts the records of that reign.
    pub number: u16,
}

/// Whether there is a data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// None.
    #[default]
    Empty,
    /// A broken-off copy.
    Half,
    /// One that can be started.
    Whole,
}

/// A data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disk {
    /// Whether it is one.
    pub state: State,
    /// Copied or rewound from the primary of this term and not started since.
    pub fresh: Option<Term>,
    /// The log; its length is the `Lsn`.
    pub log: Vec<Entry>,
    /// The timelines the log went through: number and first record.
    pub timelines: Vec<(u8, u16)>,
    /// Timeline history files, and which reign made each.
    pub files: BTreeMap<u8, Term>,
    /// The upstream of the settings.
    pub upstream: Option<Upstream>,
    /// The quorum of the settings.
    pub sync: Option<Quorum>,
    /// The settings let applications in.
    pub open: bool,
    /// The replication slots are of this term: nobody else's standby can stream from here. 0: there are none.
    pub slots: Term,
    /// Slots of earlier terms that were not dropped, of nodes that had left the plan: a wrong belief.
    pub lent: BTreeMap<NodeId, Term>,
    /// The log that is really there begins here; what comes before is only counted. Zero but of a witness.
    pub from: u16,
}

impl Disk {
    /// Where the log ends.
    pub fn end(&self) -> u16 {
        self.log.len() as u16
    }

    /// The timeline the next record would belong to.
    pub fn timeline(&self) -> u8 {
        self.timelines.last().map_or(1, |(number, _)| *number)
    }

    /// The timeline of the record at `at`.
    fn timeline_at(&self, at: u16) -> u8 {
        self.timelines.iter().rev().find(|(_, from)| *from <= at).map_or(1, |(number, _)| *number)
    }

    /// PostgreSQL takes the next number of which it knows no history file.
    pub fn promote(&mut self, term: Term, number: u16) {
        let mut timeline = self.timeline() + 1;
        while self.files.contains_key(&timeline) {
            timeline += 1;
        }
        self.timelines.push((timeline, self.end()));
        self.files.insert(timeline, term);
        self.log.push(Entry { term, number });
    }

    /// Where the newest timeline began.
    pub fn fork(&self) -> u16 {
        self.timelines.last().map_or(0, |(_, from)| *from)
    }

    /// Whether `source` would feed this log: by timeline numbers and lengths alone, which is all PostgreSQL knows.
    pub fn is_fed_by(&self, source: &Disk) -> bool {
        let own = self.timeline();
        let Some(place) = source.timelines.iter().position(|(number, _)| *number == own) else {
            return false;
        };
        let until = source.timelines.get(place + 1).map_or(source.end(), |(_, from)| *from);
        self.end() <= until
    }

    /// Takes the next record of `source`, with its timelines' files. What is wrong with that, if something is.
    pub fn feed(&mut self, source: &Disk) -> Option<&'static str> {
        if source.files.iter().any(|(number, term)| self.files.get(number).is_some_and(|own| own != term)) {
            return Some("two reigns met under one timeline number");
        }
        if !source.log.starts_with(&self.log) {
            return Some("a log was fed that is no beginning of its source's");
        }
        self.files.extend(source.files.iter().map(|(number, term)| (*number, *term)));
        if let Some(entry) = source.log.get(self.log.len()) {
            let timeline = source.timeline_at(self.end());
            if timeline != self.timeline() {
                self.timelines.push((timeline, self.end()));
            }
            self.log.push(*entry);
        }
        None
    }

    /// A fresh copy of `source`, the primary of `term`.
    pub fn copy(&mut self, source: &Disk, term: Term) {
        *self = Disk {
            state: State::Whole,
            fresh: Some(term),
            log: source.log.clone(),
            timelines: source.timelines.clone(),
            files: source.files.clone(),
            ..Disk::default()
        };
    }

    /// A witness begins where `source`, the primary of `term`, is now.
    pub fn begin(&mut self, source: &Disk, term: Term) {
        self.copy(source, term);
        self.from = self.end();
    }

    /// Copies what the witness `source` has beyond the own log, up to `upto`, without the history of a timeline that its log
    /// has not reached. What is wrong with that, if something is. Where the witness's log begins later than the own one ends, there is a hole that nothing shows: a wrong belief.
    pub fn fetch(&mut self, source: &Disk, upto: u16) -> Option<&'static str> {
        let hole = source.from.saturating_sub(self.end());
        let mut source = source.clone();
        source.forget();
        while self.end() + hole < upto.min(source.end()) {
            if hole > 0 {
                self.log.push(source.log[usize::from(self.end() + hole)]);
            } else if let Some(fault) = self.feed(&source) {
                return Some(fault);
            }
        }
        None
    }

    /// What `pg_rewind` does: with one and the same timeline number on both sides it finds nothing to do.
    pub fn rewind(&mut self, source: &Disk, term: Term) {
        if self.timeline() == source.timeline() {
            self.fresh = Some(term);
            self.upstream = None;
        } else {
            self.copy(source, term);
        }
    }

    /// Removes history files of timelines that the log has not reached.
    pub fn forget(&mut self) {
        let reached = self.timeline();
        self.files.retain(|number, _| *number <= reached);
    }
}
