//! The next step of one service: fill what is missing, drain what is too much, roll, rebalance.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use model::{Phase, PlannedService, Rollout, RolloutPhase, UnitName, UnitRecord, UnitState, Want, ZoneName};

use crate::decide_view::Action;

/// Where units may be.
pub(crate) struct Scene<'a> {
    /// Zones of the plan that live or are awaited, by name.
    zones: Vec<Place<'a>>,
    /// Zones that live, of the plan or not.
    living: BTreeSet<&'a ZoneName>,
}

struct Place<'a> {
    zone: &'a ZoneName,
    /// Not seen yet by a leader that has just begun: keeps its share, gets no unit.
    awaited: bool,
    /// Alive for long enough to move replicas there.
    settled: bool,
}

/// A unit that should run.
pub(crate) struct Unit<'a> {
    pub(crate) record: &'a UnitRecord,
    /// Index of its zone in [`Scene::zones`]; `None`: its zone is not one of the plan's.
    place: Option<usize>,
    /// Its agent says it is ready.
    pub(crate) ready: bool,
    /// Its agent has not said anything yet, or says that it starts.
    starting: bool,
    /// Its agent has given it up.
    pub(crate) failed: bool,
    /// The planned version, in a planned zone.
    pub(crate) right: bool,
    pub(crate) detail: &'a str,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(
        rollout: &'a Rollout,
        living: &BTreeSet<&'a ZoneName>,
        settled: impl Fn(&ZoneName) -> bool,
        cold: bool,
    ) -> Scene<'a> {
        let names: BTreeSet<&ZoneName> = rollout.plan.zones.iter().collect();
        let place = |zone| Place { zone, awaited: !living.contains(zone), settled: settled(zone) };
        let zones = names.into_iter().filter(|zone| cold || living.contains(zone)).map(place).collect();
        Scene { zones, living: living.clone() }
    }

    /// Whether any zone of the plan lives.
    pub(crate) fn anywhere_to_run(&self) -> bool {
        self.zones.iter().any(|place| !place.awaited)
    }

    /// Whether units of `zone` still count: it lives or is awaited.
    pub(crate) fn here(&self, zone: &ZoneName) -> bool {
        self.living.contains(zone) || self.zones.iter().any(|place| place.zone == zone)
    }

    /// A record that should run, seen with what its agent says of it.
    /// `version` is the planned one, if its service is planned at all.
    pub(crate) fn unit<'u>(
        &self,
        record: &'u UnitRecord,
        state: Option<&'u UnitState>,
        version: Option<u64>,
    ) -> Unit<'u> {
        let place = self.zones.iter().position(|place| place.zone == &record.zone);
        // What a dead zone's agent said last is no longer true.
        let state = state.filter(|state| state.zone == record.zone && self.living.contains(&state.zone));
        Unit {
            record,
            place,
            ready: state.is_some_and(|state| state.phase == Phase::Ready),
            starting: state.is_none_or(|state| state.phase == Phase::Starting),
            failed: state.is_some_and(|state| state.phase == Phase::Failed),
            right: place.is_some() && version == Some(record.version),
            detail: state.map_or("", |state| &state.detail),
        }
    }
}

/// The number in `web-12`; 0 for a name of another form.
pub(crate) fn unit_number(name: &UnitName) -> u64 {
    name.as_str().rsplit_once('-').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0)
}

/// Appends what to do for one service: at most one kind of step, so that each is seen to work before the next.
///
/// `next` is the first free unit number. `draining` counts units that still finish their requests: no
/// voluntary start happens beside them, so that a service never holds more than one unit too many.
pub(crate) fn service_actions(
    scene: &Scene<'_>,
    rollout: &Rollout,
    planned: &PlannedService,
    units: &[Unit<'_>],
    draining: usize,
    next: u64,
    actions: &mut Vec<Action>,
) {
    let mut held = vec![0; scene.zones.len()];
    for place in units.iter().filter_map(|unit| unit.place) {
        held[place] += 1;
    }
    let good = rollout.good.as_ref().and_then(|good| good.service(&planned.service.name));
    let mut step = Step {
        scene,
        planned,
        // Going back, the good plan is the plan.
        good: good.filter(|_| rollout.phase == RolloutPhase::Rolling),
        units: units.iter().collect(),
        held,
        draining,
        next,
        actions,
    };
    match step.units.len().cmp(&step.count()) {
        std::cmp::Ordering::Less => step.fill(),
        std::cmp::Ordering::Greater => step.shrink(),
        std::cmp::Ordering::Equal if step.units.iter().any(|unit| !unit.right) => step.roll(),
        std::cmp::Ordering::Equal => step.rebalance(),
    }
}

struct Step<'a, 'b> {
    scene: &'a Scene<'a>,
    planned: &'a PlannedService,
    /// The same service in the plan that would be gone back to.
    good: Option<&'a PlannedService>,
    units: Vec<&'a Unit<'a>>,
    /// Units in each zone of the scene.
    held: Vec<usize>,
    draining: usize,
    next: u64,
    actions: &'b mut Vec<Action>,
}

impl Step<'_, '_> {
    fn count(&self) -> usize {
        self.planned.replicas as usize
    }

    fn max_unavailable(&self) -> usize {
        self.planned.service.deploy.max_unavailable as usize
    }

    fn ready(&self) -> usize {
        self.units.iter().filter(|unit| unit.ready).count()
    }

    /// Whether ending `unit` leaves the capacity that was promised. A unit that is starting may be ready by the
    /// time this is carried out, and is the one that is waited for when capacity is short; one that has
    /// crashed or failed adds nothing.
    fn may_end(&self, unit: &Unit<'_>) -> bool {
        let left = self.ready() - usize::from(unit.ready);
        let matters = unit.ready || unit.starting;
        !matters || left >= self.count().saturating_sub(self.max_unavailable())
    }

    /// The zone with the fewest units, the first by name among equals.
    fn emptiest(&self) -> Option<usize> {
        (0..self.held.len()).min_by_key(|&place| self.held[place])
    }

    fn start(&mut self, place: usize, version: &PlannedService) {
        self.held[place] += 1;
        let Some(place) = self.scene.zones.get(place).filter(|place| !place.awaited) else { return };
        // A name that is too long is no name. `spec` keeps service names short enough for any number.
        let Ok(name) = UnitName::new(&format!("{}-{}", version.service.name, self.next)) else { return };
        self.next = self.next.saturating_add(1);
        let unit = UnitRecord {
            name,
            zone: place.zone.clone(),
            service: version.service.clone(),
            version: version.version,
            want: Want::Run,
        };
        self.actions.push(Action::Assign { unit: Box::new(unit), counter: self.next });
    }

    fn drain(&mut self, index: usize) {
        let unit = self.units.remove(index);
        if let Some(place) = unit.place {
            self.held[place] -= 1;
        }
        self.draining += 1;
        self.actions.push(Action::Drain { unit: unit.record.name.clone() });
    }

    /// Starts everything that is missing, at once.
    ///
    /// While a new version has not been seen well, what a fault took comes back in the good version, and one
    /// unit at most tries the new one: else a zone lost in the middle of a bad change would be replaced by
    /// units that never become ready.
    fn fill(&mut self) {
        let missing = self.count() - self.units.len();
        let new = self.planned;
        let proven = self.units.iter().any(|unit| unit.right && unit.ready);
        let Some(good) = self.good.filter(|good| good.version != new.version && !proven) else {
            return self.fill_with(missing, new);
        };
        let held_before = self.count().min(good.replicas as usize).saturating_sub(self.max_unavailable());
        let restored = held_before.saturating_sub(self.units.len()).min(missing);
        self.fill_with(restored, good);
        if missing > restored && !self.units.iter().any(|unit| unit.right) {
            self.fill_with(1, new);
        }
    }

    fn fill_with(&mut self, count: usize, version: &PlannedService) {
        for _ in 0..count {
            if let Some(place) = self.emptiest() {
                self.start(place, version);
            }
        }
    }

    /// Drains what is more than planned, the first victim first; the rest waits when that one has to.
    fn shrink(&mut self) {
        while self.units.len() > self.count() {
            let victim = (0..self.units.len()).min_by_key(|&index| self.rank(self.units[index]));
            let Some(victim) = victim.filter(|&index| self.may_end(self.units[index])) else { return };
            self.drain(victim);
        }
    }

    /// Who goes first: other versions before the planned one; among other versions those that do not serve;
    /// then whoever leaves the zones most even, the zone that is being rolled, and the newest.
    fn rank(&self, unit: &Unit<'_>) -> impl Ord + use<> {
        let uneven = self.unevenness_without(unit.place);
        let serving = !unit.right && unit.ready;
        let elsewhere = !self.units.iter().any(|other| other.right && other.place == unit.place);
        (
            unit.right,
            serving,
            uneven,
            !unit.right && elsewhere,
            unit.ready,
            Reverse(unit_number(&unit.record.name)),
        )
    }

    /// The sum of squares, not the widest gap: with two full and two empty zones one move leaves the gap as it
    /// was, and the unit that was just started would be drained again, for ever.
    fn unevenness_without(&self, place: Option<usize>) -> usize {
        let held = |index: usize| self.held[index] - usize::from(place == Some(index));
        (0..self.held.len()).map(held).map(|count| count * count).sum()
    }

    /// Replaces one unit of another version, or of a zone that is no longer planned.
    fn roll(&mut self) {
        let late = self.units.iter().find(|unit| unit.right && !unit.ready).map(|unit| unit.place);
        let Some(place) = self.rolling() else { return };
        if place.is_some_and(|place| self.scene.zones[place].awaited) {
            return;
        }
        if self.max_unavailable() > 0 {
            // Another zone is not touched before the new units of this one are well.
            if late.is_none_or(|late| late == place) {
                self.make_room(place);
            }
        } else if late.is_none() && self.draining == 0 {
            let home = place.or_else(|| self.emptiest());
            if let Some(home) = home.filter(|&home| !self.scene.zones[home].awaited) {
                self.start(home, self.planned);
            }
        }
    }

    /// The zone to roll next; the inner `None` stands for zones outside the plan. Units that do not serve come first,
    /// because replacing them costs nothing; then a zone that has begun; then the first by name.
    fn rolling(&self) -> Option<Option<usize>> {
        let begun = |place| self.units.iter().any(|unit| unit.right && unit.place == place);
        let wrong = self.units.iter().filter(|unit| !unit.right);
        wrong.map(|unit| (unit.ready, !begun(unit.place), unit.place)).min().map(|(_, _, place)| place)
    }

    /// Drains up to `max_unavailable` units of another version in one zone, before their successors start.
    fn make_room(&mut self, place: Option<usize>) {
        let floor = self.count().saturating_sub(self.max_unavailable());
        while self.units.len() > floor {
            let here = |&index: &usize| !self.units[index].right && self.units[index].place == place;
            let old = (0..self.units.len()).filter(here).min_by_key(|&index| self.units[index].ready);
            let Some(old) = old.filter(|&index| self.may_end(self.units[index])) else { return };
            self.drain(old);
        }
    }

    /// Starts one unit in a zone that has two fewer than another. The surplus is drained when it is ready.
    fn rebalance(&mut self) {
        let Some(place) = self.emptiest() else { return };
        let most = self.held.iter().copied().max().unwrap_or(0);
        let home = &self.scene.zones[place];
        if self.draining == 0 && most >= self.held[place] + 2 && home.settled && !home.awaited {
            self.start(place, self.planned);
        }
    }
}
