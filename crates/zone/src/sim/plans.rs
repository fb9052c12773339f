//! Plans that somebody applies during a simulation.

use std::collections::BTreeMap;

use model::{
    AppName, Availability, Bytes, Certificate, Deploy, Duration, Healthcheck, MilliCpu, Money, Objectives,
    Plan, PlanNumber, PlannedService, Probe, Resources, Run, Scale, Service, ServiceName, ZoneName,
};
use world::Chance;

/// Short, so that a version that never starts is given up within a run.
pub(super) const START_TIMEOUT_MS: u64 = 10_000;

const SERVICES: [&str; 3] = ["web", "api", "web-1"];

/// A version that never becomes ready.
pub(super) fn bad(version: u64) -> bool {
    version % 4 == 3
}

fn planned(name: &str, chance: &mut Chance, version: u64) -> Option<PlannedService> {
    let max_unavailable = if chance.chance(0.7) { 0 } else { 1 + chance.below(2) as u32 };
    let second = Duration(1_000);
    let service = Service {
        name: ServiceName::new(name).ok()?,
        run: Run::Command(Vec::new()),
        environment: BTreeMap::new(),
        healthcheck: Healthcheck {
            probe: Probe::Running,
            interval: second,
            timeout: second,
            retries: 2,
            start_timeout: Duration(START_TIMEOUT_MS),
        },
        resources: Resources { cpus: MilliCpu(1000), memory: Bytes(1 << 20) },
        scale: Scale { min: 1, max: 9, target: None },
        load: None,
        rps_per_cpu: None,
        deploy: Deploy { max_unavailable, drain: second },
    };
    Some(PlannedService { service, replicas: 1 + chance.below(7) as u32, version, needed_at_peak: 1 })
}

/// The first plan: good versions only.
pub(super) fn first(zones: &[ZoneName], chance: &mut Chance) -> Option<Plan> {
    let count = 1 + chance.below(SERVICES.len() as u64) as usize;
    let services = SERVICES.iter().take(count).filter_map(|name| planned(name, chance, 4)).collect();
    Some(Plan {
        number: PlanNumber(1),
        parent: None,
        app: AppName::new("sim").ok()?,
        objectives: Objectives::default(),
        provider: "local".to_owned(),
        region: "local".to_owned(),
        zones: zones.to_vec(),
        layout: model::Layout::Apart,
        services,
        databases: Vec::new(),
        caches: Vec::new(),
        round_trips: Vec::new(),
        ingress: Vec::new(),
        lines: Vec::new(),
        usd_month: Money(0),
        availability: Availability { unavailability: 0.0 },
        causes: Vec::new(),
        risks: Vec::new(),
        outages: Vec::new(),
        losses: Vec::new(),
        feasible: true,
        missed: Vec::new(),
        why: Vec::new(),
        rejected: Vec::new(),
        assumed: Vec::new(),
        certain: String::new(),
        certificate: Certificate::default(),
    })
}

/// A plan of one service.
pub(super) fn one(zones: &[ZoneName], replicas: u32) -> Option<Plan> {
    let mut plan = first(zones, &mut Chance::from_seed(0))?;
    plan.services.truncate(1);
    let planned = plan.services.first_mut()?;
    planned.replicas = replicas;
    planned.service.deploy.max_unavailable = 0;
    Some(plan)
}

/// Another plan: a new version, another size, a service more or less, a zone more or less.
pub(super) fn next(from: &Plan, number: u64, zones: &[ZoneName], chance: &mut Chance) -> Plan {
    let mut plan = from.clone();
    plan.parent = Some(plan.number);
    plan.number = PlanNumber(number);
    for _ in 0..=chance.below(2) {
        change(&mut plan, number, zones, chance);
    }
    plan
}

fn change(plan: &mut Plan, number: u64, zones: &[ZoneName], chance: &mut Chance) {
    let index = chance.below(plan.services.len() as u64) as usize;
    // Four versions a plan number, the last of them bad: one change in four does not work.
    let version = number * 4 + chance.below(4);
    match chance.below(8) {
        0..=3 => plan.services[index].version = version,
        4 => plan.services[index].replicas = 1 + chance.below(7) as u32,
        5 if plan.services.len() > 1 => {
            plan.services.remove(index);
        }
        5 | 6 => {
            let absent =
                SERVICES.iter().find(|name| plan.services.iter().all(|p| p.service.name.as_str() != **name));
            plan.services.extend(absent.and_then(|name| planned(name, chance, version)));
        }
        _ => {
            let dropped = chance.below(zones.len() as u64 * 2) as usize;
            plan.zones = zones.to_vec();
            if dropped < zones.len() && zones.len() > 1 {
                plan.zones.remove(dropped);
            }
        }
    }
}
