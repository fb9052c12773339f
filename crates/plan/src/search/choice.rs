//! The ways to run one service in a region over a number of zones, and which of them can be part of a cheapest plan.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use model::{Money, PlannedService, Service};

use super::Limits;
use super::market::{DISK_GB, Market, machine_month, slots, speed};
use crate::catalog::Machine;
use crate::chance::{Fleet, Machines, Outage, Tier, together};
use crate::proof::Nat;
use crate::search_space::SPARE_MAX;
use crate::size::{Need, Peak, Size, shares};

/// One way to run one service.
#[derive(Clone)]
pub(crate) struct Choice<'a> {
    /// `None`: this machine.
    pub(crate) machine: Option<&'a Machine>,
    pub(crate) machines: u32,
    pub(crate) size: Size,
    /// Replicas that one machine has room for.
    slots: u32,
    /// What it costs a month; on this machine a millionth of a dollar a replica, so that fewest wins.
    pub(crate) cost: Money,
    /// Probability of too few replicas for each set of living zones, bit `i` = zone `i`.
    pub(crate) fails: Rc<[f64]>,
}

/// A machine type for one service: the cheapest of those that hold equally many replicas and need equally many at peak.
#[derive(Clone, Copy)]
pub(crate) struct Kind<'a> {
    machine: Option<&'a Machine>,
    slots: u32,
    peak: Peak,
}

/// The machine types of `market` that can be part of a cheapest plan for `service`.
///
/// Proof: how many replicas run, how they are spread over zones and machines, and so the probability that too few are up,
/// follow from the room of a machine and the replicas needed at peak alone ([`Need::size`], [`layout`]), and so does the
/// number of machines. Of two types with equal room and need, the one with the lower price is therefore cheaper at equal
/// availability, whatever else is chosen; memory and CoreMark count through room and need. Room beyond `scale.max` changes
/// nothing, as no machine ever gets more replicas. Of equally cheap ones the first by name.
pub(crate) fn kinds<'a>(market: Market<'a>, service: &Service, need: &Need) -> Vec<Kind<'a>> {
    let Market::Cloud(offer) = market else {
        let peak = need.peak(1.0);
        return peak.map(|peak| Kind { machine: None, slots: 1, peak }).into_iter().collect();
    };
    let mut cheapest: BTreeMap<(u32, Peak), &Machine> = BTreeMap::new();
    for kind in offer.usable() {
        let slots = slots(service, kind).min(need.max);
        let Some(peak) = need.peak(speed(kind)).filter(|_| slots > 0) else { continue };
        let best = cheapest.entry((slots, peak)).or_insert(kind);
        if kind.price.usd < best.price.usd {
            *best = kind;
        }
    }
    let kind = |((slots, peak), machine)| Kind { machine: Some(machine), slots, peak };
    cheapest.into_iter().map(kind).collect()
}

/// Replicas over zones and machines: `replicas` over the zones, the first ones fuller, and the share of a zone over as few
/// machines as hold it, evenly.
fn layout(size: Size, zones: u32, slots: u32) -> Tier {
    let on = |share: u32| shares(share, share.div_ceil(slots).max(1)).filter(|&on| on > 0).collect();
    Tier { zones: shares(size.replicas, zones).map(on).collect(), needed: size.needed }
}

/// Replicas, needed, zones, room of a machine where it matters.
type Shape = (u32, u32, u32, u32);

/// Probabilities that were computed already: prices differ between regions, layouts do not.
#[derive(Default)]
pub(crate) struct Layouts {
    known: RefCell<BTreeMap<Shape, Rc<[f64]>>>,
}

impl Layouts {
    fn fails(&self, size: Size, zones: u32, slots: u32, machine: Outage) -> Rc<[f64]> {
        // More room than the fullest zone fills makes no difference.
        let room = slots.min(size.replicas.div_ceil(zones));
        let shape = (size.replicas, size.needed, zones, room);
        let mut known = self.known.borrow_mut();
        let fails = known
            .entry(shape)
            .or_insert_with(|| together(&layout(size, zones, slots), machine.unavailability()).fails.into());
        Rc::clone(fails)
    }
}

/// Everything [`choices`] needs beside the machine types.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a, 's> {
    pub(crate) market: Market<'a>,
    pub(crate) zones: u32,
    pub(crate) machine: Outage,
    /// What each machine pays for the way out.
    pub(crate) way_out: Money,
    pub(crate) layouts: &'s Layouts,
}

impl Place<'_, '_> {
    /// What so many machines pay for the way out.
    fn ways_out(&self, machines: u32) -> Money {
        Money(self.way_out.0.saturating_mul(i64::from(machines)))
    }
}

/// Every way to run a service on `kinds`, the cheapest first. `false`: some sizes are forbidden by `scale.max`.
pub(crate) fn choices<'a>(
    place: Place<'a, '_>,
    kinds: &[Kind<'a>],
    need: &Need,
    limits: Limits,
) -> Vec<Choice<'a>> {
    let mut all: Vec<Choice<'a>> = Vec::new();
    for kind in kinds {
        let mut last = None;
        for spare in 0..=SPARE_MAX {
            let size = need.size(kind.peak, place.zones, spare, limits.survive, kind.slots);
            let enough = size.base <= size.replicas || limits.forbidden;
            // `scale.max` may make a larger spare the same as a smaller one.
            if enough && last != Some(size) {
                all.push(choice(place, kind, size));
            }
            last = Some(size);
        }
    }
    all
}

/// How many machines a size takes.
fn machines(zones: u32, kind: &Kind<'_>, size: Size) -> u32 {
    shares(size.replicas, zones).map(|share| share.div_ceil(kind.slots)).sum()
}

/// The price of the machines of a size, and how many there are.
fn price(place: Place<'_, '_>, kind: &Kind<'_>, size: Size) -> (Money, u32) {
    let machines = machines(place.zones, kind, size);
    let cost = match kind.machine {
        // Each line of the bill is rounded as it is printed, so that the lines add up to the sum.
        Some(kind) => {
            let bought = Money::from_usd(machine_month(kind) * f64::from(machines));
            bought + place.market.disks(DISK_GB, machines) + place.ways_out(machines)
        }
        None => Money(i64::from(size.replicas)),
    };
    (cost, machines)
}

fn choice<'a>(place: Place<'a, '_>, kind: &Kind<'a>, size: Size) -> Choice<'a> {
    let (cost, machines) = price(place, kind, size);
    let fails = place.layouts.fails(size, place.zones, kind.slots, place.machine);
    Choice { machine: kind.machine, machines, size, slots: kind.slots, cost, fails }
}

/// What a service takes at least in a place, without looking at how available it is.
#[derive(Clone, Copy)]
pub(crate) struct Least {
    /// What it costs beside the ways out.
    alone: Money,
    /// What it costs with what each of its machines pays for the way out.
    with_way_out: Money,
    /// The fewest machines, and the most that are tried.
    pub(crate) machines: (u32, u32),
}

impl Least {
    /// What it costs when the ways out are paid for like that.
    pub(crate) fn cost(&self, nat: Nat) -> Money {
        match nat {
            Nat::Gateway => self.alone,
            Nat::Machine => self.with_way_out,
        }
    }

    fn either(self, other: Least) -> Least {
        Least {
            alone: self.alone.min(other.alone),
            with_way_out: self.with_way_out.min(other.with_way_out),
            machines: (self.machines.0.min(other.machines.0), self.machines.1.max(other.machines.1)),
        }
    }
}

/// The least that a service takes there; `place` is where each machine pays for the way out.
pub(crate) fn least<'a>(
    place: Place<'a, '_>,
    kinds: &[Kind<'a>],
    need: &Need,
    limits: Limits,
) -> Option<Least> {
    let of = |kind: &Kind<'a>| {
        let size = need.size(kind.peak, place.zones, 0, limits.survive, kind.slots);
        let is_allowed = size.base <= size.replicas || limits.forbidden;
        is_allowed.then(|| {
            let (alone, fewest) = price(Place { way_out: Money(0), ..place }, kind, size);
            let with_way_out = alone + place.ways_out(fewest);
            // More replicas are never on fewer machines.
            let replicas = size.base.saturating_add(SPARE_MAX).min(need.max);
            let most = machines(place.zones, kind, Size { replicas, ..size });
            Least { alone, with_way_out, machines: (fewest, most) }
        })
    };
    kinds.iter().filter_map(of).reduce(Least::either)
}

/// Whether `scale.max` keeps away a size of the service that would be tried without it.
pub(crate) fn held_back(kinds: &[Kind<'_>], need: &Need, zones: u32, limits: Limits) -> bool {
    kinds.iter().any(|kind| {
        let size = need.size(kind.peak, zones, SPARE_MAX, limits.survive, kind.slots);
        size.replicas < size.base.saturating_add(SPARE_MAX)
    })
}

/// Whether `scale.max` allows any size of the service.
pub(crate) fn is_sized(kinds: &[Kind<'_>], need: &Need, zones: u32, limits: Limits) -> bool {
    kinds.iter().any(|kind| {
        let size = need.size(kind.peak, zones, 0, limits.survive, kind.slots);
        size.base <= size.replicas
    })
}

/// Keeps the choices that no other one beats in price and in every set of zones.
///
/// Proof that nothing is lost: the unavailability of the whole grows with each service's probability of too few replicas
/// in each set of zones ([`crate::odds::Odds`]: a sum over the sets, with weights that are not negative, of 1 minus the
/// product of 1 minus these), so a choice that is beaten can be replaced in any plan at no more cost and no less
/// availability.
pub(crate) fn keep_undominated(all: &mut Vec<Choice<'_>>) {
    let sum = |choice: &Choice<'_>| choice.fails.iter().sum::<f64>();
    let mut sorted: Vec<(f64, Choice<'_>)> = all.drain(..).map(|choice| (sum(&choice), choice)).collect();
    sorted.sort_by(|(a, one), (b, other)| one.cost.cmp(&other.cost).then(a.total_cmp(b)));
    for (_, choice) in sorted {
        let beaten = |other: &Choice<'_>| {
            other.fails.iter().zip(choice.fails.iter()).all(|(theirs, ours)| theirs <= ours)
        };
        if !all.iter().any(beaten) {
            all.push(choice);
        }
    }
}

impl<'a> Choice<'a> {
    /// A share of the one machine of each zone, which is paid for once for all that it holds.
    pub(super) fn shared(machine: &'a Machine, size: Size) -> Choice<'a> {
        let slots = size.replicas.max(1);
        Choice { machine: Some(machine), machines: 0, size, slots, cost: Money(0), fails: Rc::default() }
    }

    /// Replicas on each machine of each zone.
    pub(crate) fn spread(&self, zones: u32) -> Vec<Vec<u32>> {
        layout(self.size, zones, self.slots).zones
    }

    /// The same on the machine as another catalogue sells it; its cost is not computed anew.
    pub(crate) fn on<'b>(&self, machine: Option<&'b Machine>) -> Choice<'b> {
        let (machines, size, slots, cost) = (self.machines, self.size, self.slots, self.cost);
        Choice { machine, machines, size, slots, cost, fails: Rc::clone(&self.fails) }
    }

    /// What the engine is told.
    pub(crate) fn planned(&self, service: &Service) -> PlannedService {
        PlannedService {
            service: service.clone(),
            replicas: self.size.replicas,
            version: crate::version(service),
            needed_at_peak: self.size.needed,
        }
    }

    /// The same for the availability model.
    pub(crate) fn fleet(&self, service: &Service, zones: u32, machine: Outage) -> Fleet {
        let tier = layout(self.size, zones, self.slots);
        let mut machines: Vec<Machines> = Vec::new();
        for (zone, on) in (0..).zip(&tier.zones) {
            for &carries in on {
                match machines.last_mut() {
                    Some(last) if (last.zone, last.carries) == (zone, carries) => last.count += 1,
                    _ => machines.push(Machines { zone, count: 1, carries, pool: None }),
                }
            }
        }
        Fleet { name: service.name.to_string(), needed: self.size.needed, machines, machine }
    }
}
