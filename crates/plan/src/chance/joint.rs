//! The joint chain of zones, spot pools, groups and fleets: one state says everything about all of them.

use super::part::{Application, Common, Fleet, Group};
use super::{ChanceError, Explored, PerHour, Rates, STATES_MAX, chain, solve};

/// A state, packed: each field has bits of its own.
pub(crate) type Code = u64;

/// Bits of a state.
#[derive(Clone, Copy, Debug)]
struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    fn get(self, code: Code) -> u32 {
        (code >> self.shift & ((1 << self.bits) - 1)) as u32
    }

    fn set(self, code: Code, value: u32) -> Code {
        code & !(((1 << self.bits) - 1) << self.shift) | Code::from(value) << self.shift
    }
}

/// What a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A zone is lost.
    Zone,
    /// A spot pool is lost.
    Pool,
    /// A node of a group, a machine of a fleet, or the one machine of a zone is lost.
    Node,
    /// Another node of this group, by its place, has become primary.
    Taken(usize),
    /// Something is well again, or a takeover goes on.
    Other,
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Up,
    /// The numbered node is about to become primary.
    Taking(u8),
    /// A repair is waited for.
    Waiting,
}

struct GroupPlace {
    nodes: Field,
    primary: Field,
    stage: Field,
    /// Which nodes are in which of the modelled zones, by zone.
    in_zone: Vec<u32>,
    rates: Rates,
    stage_rate: PerHour,
}

struct FleetPlace {
    kinds: Vec<KindPlace>,
    rates: Rates,
}

/// Alike machines: how many are up, counted from `least`.
struct KindPlace {
    up: Field,
    least: u32,
}

/// Probability that is left out where a large number of machines would fail at once; far below any unavailability.
const NEGLECTED: f64 = 1e-22;

/// The parts of a chain and where they are in its states.
pub(crate) struct Parts<'a> {
    groups: Vec<&'a Group>,
    fleets: Vec<&'a Fleet>,
    zones: u8,
    zone: Rates,
    zone_field: Field,
    /// The one machine of each zone; `None`: there is none.
    host: Option<Rates>,
    host_field: Field,
    pools: Vec<Rates>,
    pool_field: Field,
    group_places: Vec<GroupPlace>,
    fleet_places: Vec<FleetPlace>,
    /// States that there are at most, stages apart.
    size: f64,
    bits: u32,
}

/// Bits for the values 0 to `most`.
fn bits(most: u32) -> u32 {
    32 - most.leading_zeros()
}

impl<'a> Parts<'a> {
    /// Lays out `groups` and `fleets`, over zones `0..used` alone: the others hold nothing of theirs. With `pools`, the
    /// spot pools are part of the state; without, they are taken to be up.
    pub(crate) fn new(
        app: &Application,
        groups: Vec<&'a Group>,
        fleets: Vec<&'a Fleet>,
        pools: &[Common],
    ) -> Result<Parts<'a>, ChanceError> {
        let used_by_groups = groups.iter().map(|group| group.nodes.min(app.zones)).max().unwrap_or(0);
        let of_fleets = fleets.iter().flat_map(|fleet| &fleet.machines).map(|kind| kind.zone + 1);
        let zones = used_by_groups.max(of_fleets.max().unwrap_or(0));
        let host = app.host_rates()?;
        let mut parts = Parts {
            groups,
            fleets,
            zones,
            zone: Rates::of(app.zone, "a zone")?,
            zone_field: Field { shift: 0, bits: u32::from(zones) },
            host,
            host_field: Field { shift: 0, bits: 0 },
            pools: pools.iter().map(|pool| Rates::of(pool.outage, &pool.name)).collect::<Result<_, _>>()?,
            pool_field: Field { shift: u32::from(zones), bits: pools.len() as u32 },
            group_places: Vec::new(),
            fleet_places: Vec::new(),
            size: f64::from(zones).exp2() * (pools.len() as f64).exp2(),
            bits: u32::from(zones) + pools.len() as u32,
        };
        if host.is_some() {
            parts.host_field = parts.field(u32::from(zones));
            parts.size *= f64::from(zones).exp2();
        }
        for index in 0..parts.groups.len() {
            let place = parts.place_group(parts.groups[index], app.zones)?;
            parts.group_places.push(place);
        }
        for index in 0..parts.fleets.len() {
            let place = parts.place_fleet(parts.fleets[index])?;
            parts.fleet_places.push(place);
        }
        if parts.size > STATES_MAX as f64 || parts.bits > Code::BITS {
            return Err(parts.too_large());
        }
        Ok(parts)
    }

    /// How many states there are at most, the stages of takeovers not counted.
    pub(crate) fn size(&self) -> f64 {
        self.size
    }

    /// That the parts are more than one chain holds.
    pub(crate) fn too_large(&self) -> ChanceError {
        ChanceError::TooLarge {
            what: "the joint chain of these parts".to_owned(),
            limit: format!("{STATES_MAX} states"),
            way_out: "take them apart, or use fewer nodes",
        }
    }

    fn field(&mut self, bits: u32) -> Field {
        // A field beyond the word is never used: the layout is refused as a whole.
        let field = Field { shift: self.bits.min(Code::BITS - 1), bits };
        self.bits += bits;
        field
    }

    fn place_group(&mut self, group: &Group, zones: u8) -> Result<GroupPlace, ChanceError> {
        let stages = group.takeover.filter(|_| group.heirs() > 1).map_or(1, |takeover| takeover.stages);
        let stage_rate = match group.takeover {
            Some(takeover) => PerHour::new(f64::from(takeover.stages) * 3_600.0 / takeover.seconds)?,
            None => PerHour::NEVER,
        };
        self.size *= f64::from(group.nodes).exp2() * f64::from(group.heirs());
        let mut in_zone = vec![0; usize::from(self.zones)];
        for node in 0..group.nodes {
            in_zone[usize::from(node % zones)] |= 1 << node;
        }
        Ok(GroupPlace {
            nodes: self.field(u32::from(group.nodes)),
            primary: self.field(bits(u32::from(group.heirs()) - 1)),
            stage: self.field(bits(u32::from(stages) - 1)),
            in_zone,
            rates: Rates::of(group.node, &group.name)?,
            stage_rate,
        })
    }

    fn place_fleet(&mut self, fleet: &Fleet) -> Result<FleetPlace, ChanceError> {
        let rates = Rates::of(fleet.machine, &fleet.name)?;
        let mut kinds = Vec::new();
        for kind in &fleet.machines {
            // What never fails by itself has no state of its own.
            let mut least = if rates.fails == PerHour::NEVER { kind.count } else { 0 };
            while kind.count - least > 4 && binomial(kind.count, least, rates) < NEGLECTED {
                least += 1;
            }
            self.size *= f64::from(kind.count - least) + 1.0;
            kinds.push(KindPlace { up: self.field(bits(kind.count - least)), least });
        }
        Ok(FleetPlace { kinds, rates })
    }

    /// Everything is up.
    fn start(&self) -> Code {
        let all = |field: Field| (1_u32 << field.bits) - 1;
        let mut code = self.zone_field.set(0, all(self.zone_field));
        code = self.pool_field.set(code, all(self.pool_field));
        code = self.host_field.set(code, all(self.host_field));
        for place in &self.group_places {
            code = place.nodes.set(code, all(place.nodes));
        }
        for (place, fleet) in self.fleet_places.iter().zip(&self.fleets) {
            for (kind, machines) in place.kinds.iter().zip(&fleet.machines) {
                code = kind.up.set(code, machines.count - kind.least);
            }
        }
        code
    }

    /// Which of the modelled zones live, and which of their one machines, as [`Application::width`] says.
    pub(crate) fn living(&self, code: Code) -> usize {
        let (zones, hosts) = (self.zone_field.get(code) as usize, self.host_field.get(code) as usize);
        if self.host.is_none() {
            return zones;
        }
        let of = |zone: u32| (zones >> zone & 1 | (hosts >> zone & 1) << 1) << (2 * zone);
        (0..self.zone_field.bits).map(of).sum()
    }

    /// How many sets of living zones, and of their one machines, there are.
    pub(crate) fn sets(&self) -> usize {
        1 << (self.zone_field.bits + self.host_field.bits)
    }

    /// The zones in which something can run.
    fn reached(&self, code: Code) -> u32 {
        let zones = self.zone_field.get(code);
        if self.host.is_some() { zones & self.host_field.get(code) } else { zones }
    }

    /// How many groups and fleets there are.
    pub(crate) fn count(&self) -> usize {
        self.groups.len() + self.fleets.len()
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The group that its being down is blamed on: the first that waits for a repair, which takes longest, else the
    /// first that is being taken over.
    pub(crate) fn blamed(&self, code: Code) -> Option<(usize, Health)> {
        let mut blamed = None;
        for group in 0..self.groups.len() {
            match self.health(code, group) {
                Health::Waiting => return Some((group, Health::Waiting)),
                Health::Up => {}
                taking => blamed = blamed.or(Some((group, taking))),
            }
        }
        blamed
    }

    pub(crate) fn health(&self, code: Code, index: usize) -> Health {
        let (group, place) = (self.groups[index], &self.group_places[index]);
        let zones = self.reached(code);
        let reached = place.in_zone.iter().enumerate().filter(|(zone, _)| zones >> zone & 1 == 1);
        let usable = place.nodes.get(code) & reached.fold(0, |all, (_, nodes)| all | nodes);
        if usable.count_ones() < u32::from(group.needed) {
            return Health::Waiting;
        }
        if usable >> place.primary.get(code) & 1 == 1 {
            return Health::Up;
        }
        // The first of those that could: which of several equals it is makes no difference.
        let heirs = usable & ((1 << group.heirs()) - 1);
        match group.takeover {
            Some(_) if heirs != 0 => Health::Taking(heirs.trailing_zeros() as u8),
            _ => Health::Waiting,
        }
    }

    pub(crate) fn fleet_up(&self, code: Code, index: usize) -> bool {
        let (fleet, place) = (self.fleets[index], &self.fleet_places[index]);
        let (zones, pools) = (self.reached(code), self.pool_field.get(code));
        let lives = |kind: &super::part::Machines| {
            let pool = kind.pool.filter(|_| self.pool_field.bits > 0);
            zones >> kind.zone & 1 == 1 && pool.is_none_or(|pool| pools >> pool & 1 == 1)
        };
        let kinds = fleet.machines.iter().zip(&place.kinds).filter(|(machines, _)| lives(machines));
        let up: u32 = kinds.map(|(machines, kind)| machines.carries * kind.count(code)).sum();
        up >= fleet.needed
    }

    pub(crate) fn up(&self, code: Code) -> bool {
        (0..self.groups.len()).all(|group| self.health(code, group) == Health::Up)
            && (0..self.fleets.len()).all(|fleet| self.fleet_up(code, fleet))
    }

    /// A takeover that is no longer possible, or no longer needed, begins anew next time.
    fn settle(&self, mut code: Code) -> Code {
        for (index, place) in self.group_places.iter().enumerate() {
            if place.stage.get(code) != 0 && !matches!(self.health(code, index), Health::Taking(_)) {
                code = place.stage.set(code, 0);
            }
        }
        code
    }

    /// Every move out of a state.
    pub(crate) fn moves(&self, code: Code, go: &mut dyn FnMut(Step, Code, PerHour)) {
        let flips = |field: Field,
                     step: Step,
                     rates: &dyn Fn(u32) -> Rates,
                     go: &mut dyn FnMut(Step, Code, PerHour)| {
            let set = field.get(code);
            for bit in 0..field.bits {
                let next = self.settle(field.set(code, set ^ 1 << bit));
                match set >> bit & 1 {
                    1 => go(step, next, rates(bit).fails),
                    _ => go(Step::Other, next, rates(bit).mends),
                }
            }
        };
        flips(self.zone_field, Step::Zone, &|_| self.zone, go);
        flips(self.pool_field, Step::Pool, &|pool| self.pools[pool as usize], go);
        if let Some(host) = self.host {
            flips(self.host_field, Step::Node, &|_| host, go);
        }
        for (index, place) in self.group_places.iter().enumerate() {
            flips(place.nodes, Step::Node, &|_| place.rates, go);
            if let Health::Taking(heir) = self.health(code, index) {
                let stage = place.stage.get(code) + 1;
                let stages = self.groups[index].takeover.map_or(1, |takeover| u32::from(takeover.stages));
                if stage < stages {
                    go(Step::Other, place.stage.set(code, stage), place.stage_rate);
                } else {
                    let next = place.primary.set(place.stage.set(code, 0), u32::from(heir));
                    go(Step::Taken(index), next, place.stage_rate);
                }
            }
        }
        for (place, fleet) in self.fleet_places.iter().zip(&self.fleets) {
            for (kind, machines) in place.kinds.iter().zip(&fleet.machines) {
                let (field, up) = (kind.up, kind.count(code));
                if up > kind.least {
                    go(Step::Node, field.set(code, up - 1 - kind.least), place.rates.fails.times(up));
                }
                if up < machines.count {
                    let rate = place.rates.mends.times(machines.count - up);
                    go(Step::Other, field.set(code, up + 1 - kind.least), rate);
                }
            }
        }
    }

    /// What a state would weigh if nothing had a memory: a good first guess, as only primaries and stages have one.
    fn guess(&self, code: Code) -> f64 {
        let bits = |field: Field, rates: &dyn Fn(u32) -> Rates| -> f64 {
            let set = field.get(code);
            let one = |bit| if set >> bit & 1 == 1 { rates(bit).up() } else { rates(bit).down() };
            (0..field.bits).map(one).product()
        };
        let mut weight = bits(self.zone_field, &|_| self.zone);
        weight *= bits(self.pool_field, &|pool| self.pools[pool as usize]);
        weight *= self.host.map_or(1.0, |host| bits(self.host_field, &|_| host));
        for (index, place) in self.group_places.iter().enumerate() {
            weight *= bits(place.nodes, &|_| place.rates);
            weight *= if matches!(self.health(code, index), Health::Taking(_)) { 1e-2 } else { 1.0 };
        }
        for (place, fleet) in self.fleet_places.iter().zip(&self.fleets) {
            for (kind, machines) in place.kinds.iter().zip(&fleet.machines) {
                weight *= binomial(machines.count, kind.count(code), place.rates);
            }
        }
        weight.max(f64::MIN_POSITIVE)
    }
}

impl KindPlace {
    fn count(&self, code: Code) -> u32 {
        self.least + self.up.get(code)
    }
}

/// Probability that `up` of `count` are up.
fn binomial(count: u32, up: u32, rates: Rates) -> f64 {
    let mut weight = rates.up().powi(up as i32) * rates.down().powi((count - up) as i32);
    for step in 0..up.min(count - up) {
        weight *= f64::from(count - step) / f64::from(step + 1);
    }
    weight
}

/// A joint chain with its long run.
pub(crate) struct Joint<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) found: Explored<Code>,
    /// Share of time in each state.
    pub(crate) time: Vec<f64>,
}

impl<'a> Joint<'a> {
    /// # Errors
    /// [`ChanceError::TooLarge`], and what `solve` says.
    pub(crate) fn new(parts: Parts<'a>) -> Result<Joint<'a>, ChanceError> {
        let moves = |code: Code, go: &mut dyn FnMut(Code, PerHour)| {
            parts.moves(code, &mut |_, next, rate| go(next, rate));
        };
        let found = chain::explore(parts.start(), STATES_MAX, moves)?;
        let guess = found.states.iter().map(|&code| parts.guess(code)).collect();
        let time = solve::stationary_from(&found.chain, Some(guess))?;
        Ok(Joint { parts, found, time })
    }

    /// Each state with its share of time.
    pub(crate) fn states(&self) -> impl Iterator<Item = (Code, f64)> + '_ {
        self.found.states.iter().copied().zip(self.time.iter().copied())
    }
}
