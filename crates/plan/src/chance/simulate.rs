//! The same model, played: the cross-check of the exact answers, written apart from them on purpose.
//!
//! Event by event: each zone, pool, node, machine and common cause has the moment at which it next fails or is well
//! again, and the earliest of all comes next. The same seed gives the same years. [`super::playing`] counts them.

use super::dice::{Dice, Exponential};
use super::part::{Application, Group, Machines};
use super::tournament::Tournament;
use super::whole::Cause;
use super::{ChanceError, Rates};

/// Most things that fail.
const COMPONENTS_MAX: usize = 1 << 14;

/// What a component is.
#[derive(Clone, Copy)]
enum What {
    Zone(u8),
    /// The one machine of a zone.
    Host(u8),
    Pool(u8),
    Node {
        group: u16,
        node: u8,
    },
    Machine {
        fleet: u16,
        kind: u16,
    },
    Shared,
    /// The next node of a group becomes primary.
    Takeover(u16),
}

/// Everything that can be blamed, in the order of [`Play::cause`].
fn blamable(app: &Application) -> Vec<Cause> {
    let mut all: Vec<Cause> = (0..app.shared.len()).map(Cause::Shared).collect();
    all.extend([Cause::Zones, Cause::Hosts, Cause::Pools]);
    all.extend((0..app.groups.len()).map(Cause::Nodes));
    all.extend((0..app.groups.len()).map(Cause::Takeover));
    all.extend((0..app.fleets.len()).map(Cause::Machines));
    all
}

struct Component {
    what: What,
    up: bool,
    /// Mean hours down, mean hours up.
    mean: [f64; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    Taking,
    Waiting,
}

pub(super) struct Play<'a> {
    app: &'a Application,
    dice: Dice,
    exponential: Exponential,
    components: Vec<Component>,
    next: Tournament,
    zones: u32,
    /// Zones whose one machine lives; all of them where there is none.
    hosts: u32,
    pools: u32,
    /// By group: nodes that are up, primary, how it is.
    nodes: Vec<u32>,
    primary: Vec<u32>,
    state: Vec<State>,
    takeover: Vec<Option<usize>>,
    /// By fleet and kind: machines that are up.
    machines: Vec<Vec<u32>>,
    /// By fleet: replicas that count.
    replicas: Vec<u32>,
    /// Parts and common causes that are down.
    down: u32,
    /// When the outage began, if there is one.
    since: Option<f64>,
    /// The place of the first of the shared components.
    shared: usize,
    /// What an outage is blamed on now, by its place in `causes`, and since when.
    blamed: Option<(usize, f64)>,
    /// Everything that can be blamed.
    pub(super) causes: Vec<Cause>,
    /// By cause: hours that were counted.
    pub(super) blame: Vec<f64>,
    pub(super) counting: bool,
    pub(super) down_hours: f64,
    lengths: &'a [f64],
    pub(super) counts: Vec<u64>,
    pub(super) events: u64,
}

impl<'a> Play<'a> {
    /// Everything is up and new.
    pub(super) fn new(app: &'a Application, seed: u64, lengths: &'a [f64]) -> Result<Play<'a>, ChanceError> {
        let causes = blamable(app);
        let mut play = Play {
            app,
            dice: Dice::from_seed(seed),
            exponential: Exponential::new(),
            components: Vec::new(),
            next: Tournament::new(&[]),
            zones: (1 << app.zones) - 1,
            hosts: (1 << app.zones) - 1,
            pools: (1 << app.pools.len()) - 1,
            nodes: app.groups.iter().map(|group| (1 << group.nodes) - 1).collect(),
            primary: vec![0; app.groups.len()],
            state: vec![State::Up; app.groups.len()],
            takeover: vec![None; app.groups.len()],
            machines: app.fleets.iter().map(|f| f.machines.iter().map(|kind| kind.count).collect()).collect(),
            replicas: app.fleets.iter().map(|fleet| fleet.replicas() as u32).collect(),
            down: 0,
            since: None,
            shared: 0,
            blamed: None,
            blame: vec![0.0; causes.len()],
            causes,
            counting: false,
            down_hours: 0.0,
            lengths,
            counts: vec![0; lengths.len() + 1],
            events: 0,
        };
        play.fill()?;
        let mut first = Vec::new();
        for component in &play.components {
            let takes = matches!(component.what, What::Takeover(_));
            let mean = component.mean[1];
            let never = takes || mean.is_infinite();
            first.push(if never { f64::INFINITY } else { mean * play.exponential.draw(&mut play.dice) });
        }
        play.next = Tournament::new(&first);
        Ok(play)
    }

    /// Everything that fails, and a takeover for each group that has any.
    fn fill(&mut self) -> Result<(), ChanceError> {
        let app = self.app;
        let zone = Rates::of(app.zone, "a zone")?;
        (0..app.zones).try_for_each(|index| self.add(What::Zone(index), zone))?;
        if let Some(host) = app.host_rates()? {
            (0..app.zones).try_for_each(|index| self.add(What::Host(index), host))?;
        }
        for (index, pool) in (0..).zip(&app.pools) {
            self.add(What::Pool(index), Rates::of(pool.outage, &pool.name)?)?;
        }
        for (index, group) in (0_u16..).zip(&app.groups) {
            let rates = Rates::of(group.node, &group.name)?;
            (0..group.nodes).try_for_each(|node| self.add(What::Node { group: index, node }, rates))?;
            if let Some(takeover) = group.takeover {
                self.takeover[usize::from(index)] = Some(self.components.len());
                let mean = [takeover.seconds / 3_600.0, f64::INFINITY];
                self.components.push(Component { what: What::Takeover(index), up: true, mean });
            }
        }
        for (index, fleet) in (0_u16..).zip(&app.fleets) {
            let rates = Rates::of(fleet.machine, &fleet.name)?;
            for (kind, machines) in (0_u16..).zip(&fleet.machines) {
                (0..machines.count)
                    .try_for_each(|_| self.add(What::Machine { fleet: index, kind }, rates))?;
            }
        }
        self.shared = self.components.len();
        for shared in &app.shared {
            self.add(What::Shared, Rates::of(shared.outage, &shared.name)?)?;
        }
        Ok(())
    }

    fn add(&mut self, what: What, rates: Rates) -> Result<(), ChanceError> {
        if self.components.len() >= COMPONENTS_MAX {
            return Err(ChanceError::TooLarge {
                what: "a simulation".to_owned(),
                limit: format!("{COMPONENTS_MAX} machines and nodes"),
                way_out: "the exact answer needs no simulation",
            });
        }
        // Once in 1/0 hours: never.
        let mean = [1.0 / rates.mends.get(), 1.0 / rates.fails.get()];
        self.components.push(Component { what, up: true, mean });
        Ok(())
    }

    /// Plays up to `end` hours on the present clock, and sets the clock back to 0.
    pub(super) fn until(&mut self, end: f64) {
        loop {
            let (at, index) = self.next.first();
            if at >= end {
                break;
            }
            self.flip(at, index);
        }
        if let Some(since) = self.since.as_mut() {
            if self.counting {
                self.down_hours += end - since.max(0.0);
            }
            // Negative: its length is known when it ends, its time up to now is counted already.
            *since -= end;
        }
        self.charge(end);
        if let Some((_, since)) = &mut self.blamed {
            *since = 0.0;
        }
        self.next.back(end);
    }

    fn flip(&mut self, at: f64, index: usize) {
        self.events += 1;
        let component = &mut self.components[index];
        let up = !component.up;
        let (what, before) = (component.what, self.down);
        if let What::Takeover(group) = what {
            self.next.set(index, f64::INFINITY);
            self.taken(usize::from(group), at);
        } else {
            component.up = up;
            let wait = component.mean[usize::from(up)] * self.exponential.draw(&mut self.dice);
            self.next.set(index, at + wait);
            match what {
                What::Machine { fleet, kind } => {
                    self.machine(usize::from(fleet), usize::from(kind), up);
                }
                What::Node { group, node } => {
                    self.nodes[usize::from(group)] ^= 1 << node;
                    self.look(usize::from(group), at);
                }
                What::Shared => self.down = if up { self.down - 1 } else { self.down + 1 },
                What::Zone(zone) => {
                    self.zones ^= 1 << zone;
                    self.look_at_all(at);
                }
                What::Host(zone) => {
                    self.hosts ^= 1 << zone;
                    self.look_at_all(at);
                }
                What::Pool(pool) => {
                    self.pools ^= 1 << pool;
                    self.look_at_all(at);
                }
                What::Takeover(_) => {}
            }
        }
        if (before == 0) != (self.down == 0) {
            self.turn(at);
        }
        if before != 0 || self.down != 0 {
            self.charge(at);
            self.blamed = (self.down > 0).then(|| (self.cause(), at));
        }
    }

    /// Counts the time up to `at` for what is blamed.
    fn charge(&mut self, at: f64) {
        if let Some((cause, since)) = self.blamed.filter(|_| self.counting) {
            self.blame[cause] += at - since;
        }
    }

    /// What is blamed while the whole is down, by the rules of [`super::whole`]: a common cause first, then a group that waits,
    /// one that is being taken over, a fleet; and zones, or else the one machine of a zone, instead of nodes and machines while one
    /// is down.
    fn cause(&self) -> usize {
        let (shared, groups) = (self.app.shared.len(), self.app.groups.len());
        let first = |state| self.state.iter().position(|other| *other == state);
        let (zones, hosts, pools, nodes) = (shared, shared + 1, shared + 2, shared + 3);
        let all = (1 << self.app.zones) - 1;
        let (all_zones, all_hosts) = (self.zones == all, self.hosts == all);
        if let Some(down) = self.components[self.shared..].iter().position(|component| !component.up) {
            return down;
        }
        if let Some(group) = first(State::Waiting) {
            return match all_zones {
                true if all_hosts => nodes + group,
                true => hosts,
                false => zones,
            };
        }
        if let Some(group) = first(State::Taking) {
            return nodes + groups + group;
        }
        let few = |fleet: &usize| self.replicas[*fleet] < self.app.fleets[*fleet].needed;
        let fleet = (0..self.app.fleets.len()).find(few).unwrap_or(0);
        let pooled = |kind: &Machines| kind.pool.is_some_and(|pool| self.pools >> pool & 1 == 0);
        match self.app.fleets.get(fleet) {
            _ if !all_zones => zones,
            _ if !all_hosts => hosts,
            Some(fleet) if fleet.machines.iter().any(pooled) => pools,
            _ => nodes + 2 * groups + fleet,
        }
    }

    /// The whole has gone down or come back.
    fn turn(&mut self, at: f64) {
        match self.since.take() {
            None => {
                self.since = Some(at);
                self.counts[0] += u64::from(self.counting);
            }
            Some(since) if self.counting => {
                self.down_hours += at - since.max(0.0);
                for (count, length) in self.counts[1..].iter_mut().zip(self.lengths) {
                    *count += u64::from(at - since > *length);
                }
            }
            Some(_) => {}
        }
    }

    /// The zones in which something can run.
    fn reached(&self) -> u32 {
        self.zones & self.hosts
    }

    fn machine(&mut self, fleet: usize, kind: usize, up: bool) {
        let machines = self.app.fleets[fleet].machines[kind];
        let count = &mut self.machines[fleet][kind];
        *count = if up { *count + 1 } else { *count - 1 };
        if self.reached() >> machines.zone & 1 == 1
            && machines.pool.is_none_or(|pool| self.pools >> pool & 1 == 1)
        {
            let now = self.replicas[fleet];
            self.serve(fleet, if up { now + machines.carries } else { now - machines.carries });
        }
    }

    fn serve(&mut self, fleet: usize, replicas: u32) {
        let needed = self.app.fleets[fleet].needed;
        self.down += u32::from(replicas < needed);
        self.down -= u32::from(self.replicas[fleet] < needed);
        self.replicas[fleet] = replicas;
    }

    fn look_at_all(&mut self, at: f64) {
        (0..self.app.groups.len()).for_each(|group| self.look(group, at));
        for (fleet, described) in self.app.fleets.iter().enumerate() {
            let kinds = described.machines.iter().zip(&self.machines[fleet]);
            let lives = |kind: &Machines| {
                self.reached() >> kind.zone & 1 == 1
                    && kind.pool.is_none_or(|pool| self.pools >> pool & 1 == 1)
            };
            let replicas = kinds.filter(|(kind, _)| lives(kind)).map(|(kind, up)| kind.carries * up).sum();
            self.serve(fleet, replicas);
        }
    }

    fn usable(&self, group: usize) -> u32 {
        let described: &Group = &self.app.groups[group];
        let reached = |node: &u8| self.reached() >> (node % self.app.zones) & 1 == 1;
        self.nodes[group] & (0..described.nodes).filter(reached).fold(0, |set, node| set | 1 << node)
    }

    fn look(&mut self, group: usize, at: f64) {
        let described = &self.app.groups[group];
        let usable = self.usable(group);
        let enough = usable.count_ones() >= u32::from(described.needed);
        let heirs = usable & ((1 << described.heirs()) - 1);
        let state = if enough && usable >> self.primary[group] & 1 == 1 {
            State::Up
        } else if enough && heirs != 0 && described.takeover.is_some() {
            State::Taking
        } else {
            State::Waiting
        };
        let before = std::mem::replace(&mut self.state[group], state);
        self.down += u32::from(state != State::Up);
        self.down -= u32::from(before != State::Up);
        if let (Some(takeover), Some(index)) = (described.takeover, self.takeover[group])
            && (state == State::Taking) != (before == State::Taking)
        {
            let mut time = f64::INFINITY;
            if state == State::Taking {
                let stages = (0..takeover.stages).map(|_| self.exponential.draw(&mut self.dice)).sum::<f64>();
                time = at + stages * self.components[index].mean[0] / f64::from(takeover.stages);
            }
            self.next.set(index, time);
        }
    }

    fn taken(&mut self, group: usize, at: f64) {
        let heirs = self.usable(group) & ((1 << self.app.groups[group].heirs()) - 1);
        self.primary[group] = heirs.trailing_zeros();
        self.look(group, at);
    }
}
