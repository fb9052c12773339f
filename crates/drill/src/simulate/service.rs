//! Years of failures against the rules that place the replicas of a service.

use ::zone::sim::{Gap, Pace, Timed};
use world::Chance;

use super::{Failing, HOURS_YEAR, MS_HOUR, Part, STEP_EVENTS, Share, SimulateError, YEARS_MAX, share_of};

/// Most zones, most machines and most replicas: the rules are run through at every change of every replica.
const ZONES_MAX: usize = 9;
const MACHINES_MAX: usize = 100;
const REPLICAS_MAX: u32 = 100;

/// A service and what it runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// By zone, the replicas that each of its machines has room for.
    pub rooms: Vec<Vec<u32>>,
    /// All replicas.
    pub replicas: u32,
    /// Replicas that must be ready.
    pub needed: u32,
    /// One zone, with all its machines.
    pub zone: Failing,
    /// The one machine that a zone has, agent and all; `None`: machines fail each for itself, and their agent lives.
    pub host: Option<Failing>,
    /// One machine, where there is no `host`.
    pub machine: Failing,
    /// How long starts and ends take.
    pub pace: Pace,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Years that were played.
    pub years: u32,
    /// Share of time in which fewer replicas than needed were ready.
    pub unavailability: f64,
    /// Standard deviation of that as an estimate, from how stretches of the run differ.
    pub deviation: f64,
    /// The part of `unavailability` in which there was room for enough replicas, and they were not there yet.
    pub late: Share,
    /// Times that there were too few replicas.
    pub outages: u64,
    /// Failures and repairs.
    pub events: u64,
    /// Decisions.
    pub looks: u64,
}

/// A run that is played step by step, as [`super::Simulating`] is.
pub struct Placing {
    years: u32,
    end_ms: f64,
    now_ms: f64,
    chance: Chance,
    timed: Timed,
    zones: Vec<Part>,
    /// One a zone, or none.
    hosts: Vec<Part>,
    /// All of all zones, or none.
    machines: Vec<Part>,
    gaps: Vec<Gap>,
    events: u64,
}

impl Service {
    /// Refuses what cannot be played.
    ///
    /// # Errors
    /// [`SimulateError`] with the number that makes no sense.
    pub fn check(&self) -> Result<(), SimulateError> {
        let wrong = |what, value: String, rule| Err(SimulateError { what, value, rule });
        let machines = self.rooms.iter().flatten().count();
        if !(1..=ZONES_MAX).contains(&self.rooms.len()) {
            return wrong("the number of zones", self.rooms.len().to_string(), "1 to 9");
        }
        if !(1..=MACHINES_MAX).contains(&machines) {
            return wrong("the number of machines", machines.to_string(), "1 to 100");
        }
        if !(1..=REPLICAS_MAX).contains(&self.replicas) {
            return wrong("the number of replicas", self.replicas.to_string(), "1 to 100");
        }
        if !(1..=self.replicas).contains(&self.needed) {
            return wrong("the replicas needed", self.needed.to_string(), "1 to as many as there are");
        }
        self.zone.check("a zone")?;
        self.host.map_or(Ok(()), |host| host.check("the machine of a zone"))?;
        self.machine.check("a machine")
    }

    /// Plays `years` from `seed`.
    ///
    /// # Errors
    /// [`SimulateError`] for numbers that make no sense, and for no years or more than a million.
    pub fn run(&self, seed: u64, years: u32) -> Result<Placed, SimulateError> {
        let mut run = self.start(seed, years)?;
        while run.step() {}
        Ok(run.seen())
    }

    /// As [`Service::run`], with nothing played yet.
    ///
    /// # Errors
    /// As [`Service::run`].
    pub fn start(&self, seed: u64, years: u32) -> Result<Placing, SimulateError> {
        self.check()?;
        if !(1..=YEARS_MAX).contains(&years) {
            let value = years.to_string();
            return Err(SimulateError { what: "the years to play", value, rule: "1 to 1,000,000" });
        }
        let timed = Timed::new(&self.rooms, self.replicas, self.needed, self.pace);
        let Some(timed) = timed else {
            let value = format!("{:?}", self.rooms);
            return Err(SimulateError { what: "the rooms", value, rule: "of zones with names" });
        };
        let mut chance = Chance::from_seed(seed);
        let mut parts = |count: usize, failing: Failing| -> Vec<Part> {
            (0..count).map(|_| Part::new(failing, &mut chance)).collect()
        };
        let zones = parts(self.rooms.len(), self.zone);
        let hosts = self.host.map_or(Vec::new(), |host| parts(self.rooms.len(), host));
        let machines = self.rooms.iter().flatten().count();
        let machines = if self.host.is_some() { Vec::new() } else { parts(machines, self.machine) };
        let end_ms = f64::from(years) * HOURS_YEAR * MS_HOUR;
        let (gaps, events) = (Vec::new(), 0);
        Ok(Placing { years, end_ms, now_ms: 0.0, chance, timed, zones, hosts, machines, gaps, events })
    }
}

impl Placing {
    /// Plays up to a hundred failures and repairs. `false`: the years are over.
    pub fn step(&mut self) -> bool {
        (0..STEP_EVENTS / 10).all(|_| self.event())
    }

    /// Years that were played.
    #[must_use]
    pub fn years(&self) -> u32 {
        (self.now_ms / MS_HOUR / HOURS_YEAR) as u32
    }

    /// The next failure or repair; `false`: it comes after the end.
    fn event(&mut self) -> bool {
        let parts = self.zones.iter_mut().chain(&mut self.hosts).chain(&mut self.machines);
        let next = parts.enumerate().min_by(|a, b| a.1.next_ms.total_cmp(&b.1.next_ms));
        let Some((index, part)) = next else { return false };
        self.now_ms = part.next_ms.min(self.end_ms);
        self.timed.advance(self.now_ms as u64);
        if part.next_ms >= self.end_ms {
            return false;
        }
        part.turn(&mut self.chance);
        self.events += 1;
        let (zones, hosts) = (self.zones.len(), self.hosts.len());
        if index < zones + hosts {
            let zone = index % zones;
            let up = self.zones[zone].up && self.hosts.get(zone).is_none_or(|host| host.up);
            if up {
                self.timed.repair_zone(zone)
            } else {
                self.timed.fail_zone(zone, &mut self.chance)
            };
        } else {
            let machine = index - zones - hosts;
            let up = self.machines[machine].up;
            if up {
                self.timed.repair_machine(machine)
            } else {
                self.timed.fail_machine(machine)
            };
        }
        self.gaps.extend(self.timed.gaps());
        true
    }

    /// What was seen, when the years are over.
    #[must_use]
    pub fn seen(mut self) -> Placed {
        self.gaps.extend(self.timed.gaps());
        self.gaps.extend(self.timed.unfinished());
        let (unavailability, deviation) =
            share_of(self.gaps.iter().map(|gap| (gap.from_ms, gap.ms)), self.end_ms);
        // Where in an outage the late part lies does not matter to a share.
        let (of_time, late) = share_of(self.gaps.iter().map(|gap| (gap.from_ms, gap.late_ms)), self.end_ms);
        Placed {
            years: self.years,
            unavailability,
            deviation,
            late: Share { of_time, deviation: late },
            outages: self.gaps.len() as u64,
            events: self.events,
            looks: self.timed.looks(),
        }
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
