//! Decides which endpoints of one pool get requests, from active probes and from what requests saw.
//!
//! Three kinds of evidence, each with its own speed:
//! - **refused**: a refused connection is certain knowledge that nobody listens. A second refusal, asked for at
//!   once, ejects.
//! - **silent**: an endpoint that owes an answer and has shown no byte for [`SILENCE_MS`] is probed at once, and
//!   `retries` failed probes in a row, each `timeout` long, eject it. A byte from it, of a probe or of any
//!   request, clears everything: slow is not dead. A replica that pauses for less than one probe timeout can
//!   therefore never be ejected.
//! - **unwell**: it answers its health check with a bad status, or the network says that there is no way to it.
//!   `retries` of these in a row, a `timeout` apart, eject it. A 5xx to a user's request is no evidence at all, nor
//!   is a probe that failed for want of a file descriptor of our own.
//!
//! Ejections for silence or for being unwell stop at half of the pool, rounded up: more than that at once is more
//! likely a fault of our own view. Beyond the cap an endpoint stays suspect, which the choice avoids while it can.
//! Refusals are not capped: they are not a matter of view.
//!
//! A tick that comes late says that this process itself did not run; every running suspicion is then dropped,
//! because the answer may lie unread in our own socket.

use model::{Moment, UnitName};

/// An endpoint that owes an answer and is silent for so long is probed at once.
pub const SILENCE_MS: u64 = 100;
/// A probe unanswered for so long makes its endpoint a suspect; a health check answers in a few milliseconds.
pub const SUSPECT_MS: u64 = 50;
/// Requests are told of a silence only when it is so many times the usual time to an answer: a replica that answers one request
/// after the other is silent to its health check for as long as a request takes.
pub const DOUBT_TIMES: u64 = 4;
/// And at most for so long, whatever was usual: one answer after a cold start says little.
pub const DOUBT_MAX_MS: u64 = 1_000;
/// Ticks come every 10 ms; a gap this long is a stall of our own.
pub const LATE_TICK_MS: u64 = 100;
/// Time between two probes of an ejected endpoint.
pub const READMIT_EVERY_MS: u64 = 200;
/// Time an endpoint stays out at least after its second ejection in a row; doubled for each further one.
pub const FLAP_FIRST_MS: u64 = 500;
/// Longest such time.
pub const FLAP_MAX_MS: u64 = 30_000;
/// An endpoint that stayed in for so long starts from no delay again.
pub const FLAP_MEMORY_MS: u64 = 60_000;

/// What an endpoint's health says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Standing {
    /// Gets requests.
    Well = 0,
    /// Owes an answer to a probe; gets requests only when nobody is well.
    Suspect = 1,
    /// Ejected for silence or for being unwell; gets requests only when everybody is ejected.
    Silent = 2,
    /// Ejected because nobody listens; gets no requests.
    Refused = 3,
}

impl Standing {
    /// The standing with this number; unknown numbers are [`Standing::Well`].
    #[must_use]
    pub fn from_u8(number: u8) -> Standing {
        match number {
            1 => Standing::Suspect,
            2 => Standing::Silent,
            3 => Standing::Refused,
            _ => Standing::Well,
        }
    }

    /// Whether it is out.
    #[must_use]
    pub fn is_ejected(self) -> bool {
        matches!(self, Standing::Silent | Standing::Refused)
    }
}

/// How a pool is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time between two probes of one endpoint in calm, in milliseconds.
    pub interval_ms: u64,
    /// A probe without a byte of an answer by then has failed.
    pub timeout_ms: u64,
    /// Failed probes in a row that eject; at least 1.
    pub retries: u32,
}

/// What requests saw of one endpoint, read from its counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests that wait for the first byte of their response.
    pub waiting: u32,
    /// Since when at least one waits.
    pub waiting_since: Moment,
    /// When the last byte arrived.
    pub last_life: Moment,
    /// Refused connections so far.
    pub refusals: u64,
    /// Connections that broke before a response began, so far.
    pub breaks: u64,
    /// The usual time to the first byte of a response, in microseconds; 0: unknown.
    pub latency_us: u64,
    /// It is being taken out of service; it is watched, but does not count in the cap.
    pub draining: bool,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Well,
    /// Answered, but not with a good status, or not in HTTP.
    Unwell,
    /// The connection was refused, or reset before it stood.
    Refused,
    /// No byte within the timeout.
    Silent,
    /// The network says at once that there is no way there.
    Unreachable,
    /// It could not be asked, for a reason of our own: no file descriptor, no free port. No evidence.
    NotAsked,
}

/// One effect to carry out. `member` is a position in the list given to [`Guard::set_members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Probe it and give the end to [`Guard::probed`] with the same number.
    Probe {
        /// Which endpoint.
        member: usize,
        /// Names this probe.
        number: u64,
    },
    /// Its standing is now another one.
    Stand {
        /// Which endpoint.
        member: usize,
        /// The new standing.
        standing: Standing,
        /// Why, for the log.
        why: &'static str,
    },
    /// It owes an answer to a request and to a probe, and has been silent for longer than it usually is: who waits for it may do better
    /// elsewhere. Said again each 150 ms of the silence, for who has come since.
    Doubt {
        /// Which endpoint.
        member: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Running {
    number: u64,
    since: Moment,
}

#[derive(Clone, Debug)]
struct Member {
    unit: UnitName,
    standing: Standing,
    /// Failed probes in a row.
    failures: u32,
    running: Option<Running>,
    next_probe: Moment,
    /// One refusal was seen; the next one ejects.
    refused_once: bool,
    /// When this silence was last told of.
    doubted: Option<Moment>,
    seen: Seen,
    /// Silence before this does not count: we did not listen.
    listening_since: Moment,
    /// Ejections in a row without a long good time between.
    flaps: u32,
    readmit_from: Moment,
    readmitted_at: Option<Moment>,
}

/// Watches the endpoints of one pool.
#[derive(Debug)]
pub struct Guard {
    settings: Settings,
    members: Vec<Member>,
    last_tick: Option<Moment>,
    probes: u64,
}

impl Guard {
    /// A guard of nobody yet.
    #[must_use]
    pub fn new(settings: Settings) -> Guard {
        Guard { settings, members: Vec::new(), last_tick: None, probes: 0 }
    }

    /// Replaces the settings; what is known stays.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Replaces the list. What is known of a unit stays when it is in both, unless `fresh` says that the unit is
    /// now a new process.
    pub fn set_members(&mut self, units: &[(UnitName, bool)], now: Moment) {
        let mut old = std::mem::take(&mut self.members);
        for (position, (unit, fresh)) in units.iter().enumerate() {
            let known = old.iter().position(|member| member.unit == *unit && !fresh);
            self.members.push(match known {
                Some(at) => old.swap_remove(at),
                None => Member {
                    unit: unit.clone(),
                    standing: Standing::Well,
                    failures: 0,
                    running: None,
                    // Spread, so that a large pool is not probed in one burst.
                    next_probe: now.plus(self.settings.interval_ms * (position as u64 % 16) / 16),
                    refused_once: false,
                    doubted: None,
                    seen: Seen::default(),
                    listening_since: now,
                    flaps: 0,
                    readmit_from: Moment(0),
                    readmitted_at: None,
                },
            });
        }
    }

    /// Looks at everything; call it every 10 ms. `seen` is in the order of [`Guard::set_members`].
    pub fn tick(&mut self, seen: &[Seen], now: Moment) -> Vec<Action> {
        let late = self.last_tick.is_some_and(|last| now.ms_since(last) > LATE_TICK_MS);
        self.last_tick = Some(now);
        let mut actions = Vec::new();
        for (index, (member, seen)) in self.members.iter_mut().zip(seen).enumerate() {
            if late {
                member.forget_suspicions(now);
            }
            let evidence = member.take_evidence(*seen);
            let silent = member.is_silent(now);
            let due = now >= member.next_probe;
            let wants = due || (!member.standing.is_ejected() && (evidence || silent));
            if member.running.is_none() && wants {
                actions.push(member.probe(index, &mut self.probes, now));
            }
            actions.extend(member.reconsider(index, now));
            actions.extend(member.doubt(index, now));
        }
        actions
    }

    /// A probe ended. One whose number is not the running one is ignored: its suspicion was dropped.
    pub fn probed(&mut self, member: usize, number: u64, outcome: Outcome, now: Moment) -> Vec<Action> {
        let room = self.may_eject_for_silence();
        let settings = self.settings;
        let Some(one) = self.members.get_mut(member) else { return Vec::new() };
        let Some(running) = one.running.filter(|running| running.number == number) else {
            return Vec::new();
        };
        one.running = None;
        let mut actions = Vec::new();
        match outcome {
            Outcome::Well => actions.extend(one.is_well(member, settings, now)),
            Outcome::Refused => {
                if one.standing.is_ejected() || one.refused_once {
                    actions.extend(one.eject(member, Standing::Refused, "connection refused", now));
                } else {
                    one.refused_once = true;
                    actions.push(one.probe(member, &mut self.probes, now));
                }
            }
            Outcome::Silent if one.seen.last_life >= running.since && !one.standing.is_ejected() => {
                one.failures = 0;
                one.next_probe = now.plus(settings.interval_ms);
            }
            Outcome::NotAsked => one.next_probe = now.plus(settings.timeout_ms),
            Outcome::Silent | Outcome::Unwell | Outcome::Unreachable => {
                one.failures = one.failures.saturating_add(1);
                if one.standing.is_ejected() {
                    one.next_probe = now.plus(READMIT_EVERY_MS);
                } else if one.failures >= settings.retries.max(1) && (room || one.seen.draining) {
                    let why = match outcome {
                        Outcome::Unwell => "health check failed",
                        Outcome::Unreachable => "unreachable",
                        _ => "silent",
                    };
                    actions.extend(one.eject(member, Standing::Silent, why, now));
                } else {
                    // A silent probe took its time already; the others end at once.
                    let pause = if outcome == Outcome::Silent { 0 } else { settings.timeout_ms };
                    one.next_probe = now.plus(pause);
                    actions.extend(one.reconsider(member, now));
                }
            }
        }
        actions
    }

    fn may_eject_for_silence(&self) -> bool {
        let counted = self.members.iter().filter(|member| !member.seen.draining);
        let (mut all, mut out) = (0_usize, 0_usize);
        for member in counted {
            all += 1;
            out += usize::from(member.standing == Standing::Silent);
        }
        out < all.div_ceil(2)
    }
}

impl Member {
    fn forget_suspicions(&mut self, now: Moment) {
        self.listening_since = now;
        self.running = None;
        self.failures = 0;
        self.refused_once = false;
        self.next_probe = self.next_probe.max(now);
    }

    /// Whether requests saw something since the last tick that a probe should clear up at once.
    fn take_evidence(&mut self, seen: Seen) -> bool {
        let refused = seen.refusals > self.seen.refusals;
        let broke = seen.breaks > self.seen.breaks;
        self.refused_once |= refused;
        self.seen = seen;
        refused || broke
    }

    /// How long it has owed an answer to a request without a byte, in milliseconds.
    fn silence_ms(&self, now: Moment) -> u64 {
        let since = self.seen.last_life.max(self.seen.waiting_since).max(self.listening_since);
        if self.seen.waiting > 0 { now.ms_since(since) } else { 0 }
    }

    fn is_silent(&self, now: Moment) -> bool {
        self.silence_ms(now) >= SILENCE_MS
    }

    /// Whether a probe has waited too long for its answer.
    fn is_unanswered(&self, now: Moment) -> bool {
        self.running.is_some_and(|running| {
            now.ms_since(running.since) >= SUSPECT_MS && self.seen.last_life < running.since
        })
    }

    fn doubt(&mut self, member: usize, now: Moment) -> Option<Action> {
        let (again, silence) = (SILENCE_MS + SUSPECT_MS, self.silence_ms(now));
        if silence < again {
            self.doubted = None;
        }
        let usual_ms = (self.seen.latency_us.saturating_mul(DOUBT_TIMES) / 1_000).min(DOUBT_MAX_MS);
        let told = self.doubted.is_some_and(|at| now.ms_since(at) < again);
        let unanswered = self.is_unanswered(now) || self.failures > 0;
        if told || silence < again.max(usual_ms) || !unanswered || self.standing.is_ejected() {
            return None;
        }
        self.doubted = Some(now);
        Some(Action::Doubt { member })
    }

    fn probe(&mut self, member: usize, probes: &mut u64, now: Moment) -> Action {
        *probes += 1;
        self.running = Some(Running { number: *probes, since: now });
        Action::Probe { member, number: *probes }
    }

    /// Moves between well and suspect.
    fn reconsider(&mut self, member: usize, now: Moment) -> Option<Action> {
        if self.standing.is_ejected() {
            return None;
        }
        let (wanted, why) = if self.is_unanswered(now) || self.failures > 0 {
            (Standing::Suspect, "a probe is unanswered")
        } else {
            (Standing::Well, "answers")
        };
        (wanted != self.standing).then(|| self.stand(member, wanted, why))
    }

    fn is_well(&mut self, member: usize, settings: Settings, now: Moment) -> Option<Action> {
        self.failures = 0;
        self.refused_once = false;
        if self.standing.is_ejected() && now < self.readmit_from {
            self.next_probe = now.plus(READMIT_EVERY_MS.min(self.readmit_from.ms_since(now)));
            return None;
        }
        self.next_probe = now.plus(settings.interval_ms);
        if self.standing.is_ejected() {
            self.readmitted_at = Some(now);
        }
        (self.standing != Standing::Well).then(|| self.stand(member, Standing::Well, "answers"))
    }

    fn eject(&mut self, member: usize, standing: Standing, why: &'static str, now: Moment) -> Option<Action> {
        self.next_probe = now.plus(READMIT_EVERY_MS);
        if !self.standing.is_ejected() {
            let again = self.readmitted_at.is_some_and(|at| now.ms_since(at) < FLAP_MEMORY_MS);
            self.flaps = if again { self.flaps.saturating_add(1) } else { 0 };
            let delay = match self.flaps {
                0 => 0,
                times => FLAP_FIRST_MS.saturating_mul(1 << (times - 1).min(16)).min(FLAP_MAX_MS),
            };
            self.readmit_from = now.plus(delay);
        }
        (self.standing != standing).then(|| self.stand(member, standing, why))
    }

    fn stand(&mut self, member: usize, standing: Standing, why: &'static str) -> Action {
        self.standing = standing;
        Action::Stand { member, standing, why }
    }
}

#[cfg(test)]
#[path = "decide_health_tests.rs"]
mod tests;
