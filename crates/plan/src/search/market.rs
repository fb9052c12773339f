//! Where a plan may be, and what each thing costs there.

use std::rc::Rc;

use model::{App, Cache, Database, Mode, Money, Service};

use super::traffic::{Use, uses};
use crate::catalog::{HOURS_MONTH, Machine, RegionOffer, Unit};
use crate::chance::Assumptions;
use crate::search_space::REFERENCE_COREMARK;

/// GB of disk of each machine: system, logs, the order journal.
pub(crate) const DISK_GB: f64 = 20.0;

/// A region of a provider, or this machine.
#[derive(Clone, Copy)]
pub(crate) enum Market<'a> {
    Local,
    Cloud(&'a RegionOffer),
}

impl<'a> Market<'a> {
    /// `aws`, or `local`.
    pub(crate) fn provider(&self) -> &'a str {
        match self {
            Market::Local => "local",
            Market::Cloud(offer) => &offer.provider,
        }
    }

    /// The provider's region, or `local`.
    pub(crate) fn region(&self) -> &'a str {
        match self {
            Market::Local => "local",
            Market::Cloud(offer) => &offer.region,
        }
    }

    /// Numbers of zones that are planned, when `asked` are allowed.
    pub(crate) fn zones(&self, asked: u8) -> std::ops::RangeInclusive<u32> {
        match self {
            Market::Local => u32::from(asked)..=u32::from(asked),
            Market::Cloud(offer) => 1..=u32::from(asked.min(offer.zones)),
        }
    }

    /// What is paid whatever runs, over so many zones.
    pub(crate) fn uses(&self, app: &App, zones: u32, assumptions: &Assumptions) -> Rc<[Use]> {
        let Market::Cloud(offer) = self else { return Rc::default() };
        uses(app, offer, zones, assumptions).into()
    }

    /// What it costs. Each line of the bill is rounded as it is printed.
    pub(crate) fn fixed(&self, uses: &[Use]) -> Money {
        let Market::Cloud(offer) = self else { return Money(0) };
        let each = |one: &Use| {
            let usd = one.paid.price(offer).map_or(0.0, |(usd, _)| usd);
            Money::from_usd(one.quantity * usd)
        };
        uses.iter().map(each).sum()
    }

    /// The disks of `machines` machines with `gb` each for a month.
    pub(crate) fn disks(&self, gb: f64, machines: u32) -> Money {
        let Market::Cloud(offer) = self else { return Money(0) };
        let disk = offer.unit(Unit::DiskGbMonth);
        disk.map_or(Money(0), |price| Money::from_usd(price.usd * (gb * f64::from(machines))))
    }

    /// The machines and disks of a database, or what a provider takes for it; on this machine nothing.
    pub(crate) fn held(&self, database: &Database, machine: Option<&Machine>) -> Money {
        if database.mode() == Mode::Managed {
            return crate::database::managed_month(database, *self).unwrap_or(Money(0));
        }
        let Some(machine) = machine else { return Money(0) };
        let nodes = u32::from(database.nodes());
        let disks = self.disks(crate::database::disk_gb(database), nodes);
        Money::from_usd(machine_month(machine) * f64::from(nodes)) + disks
    }

    /// The machines and disks of a cache; on this machine nothing.
    pub(crate) fn cached(&self, cache: &Cache, machine: Option<&Machine>) -> Money {
        let Some(machine) = machine else { return Money(0) };
        Money::from_usd(machine_month(machine) * f64::from(cache.nodes()))
            + self.disks(DISK_GB, cache.nodes())
    }
}

/// A machine of `kind` for a month.
pub(crate) fn machine_month(kind: &Machine) -> f64 {
    kind.price.usd * HOURS_MONTH
}

/// How fast one vCPU of `kind` is beside the reference: what one may count on, not what one may hope for.
pub(crate) fn speed(kind: &Machine) -> f64 {
    kind.performance.low / f64::from(kind.vcpu.max(1)) / REFERENCE_COREMARK
}

/// How many replicas of `service` fit on one machine, by CPUs and by memory.
pub(crate) fn slots(service: &Service, kind: &Machine) -> u32 {
    let by_cpu = kind.vcpu.saturating_mul(1000) / service.resources.cpus.0.max(1);
    let by_memory = kind.mem_gib * f64::from(1u32 << 30) / service.resources.memory.0.max(1) as f64;
    by_cpu.min(by_memory.floor().min(f64::from(u32::MAX)) as u32)
}
