//! What `plan --json` prints.

use model::{Cache, Plan, PlanLine, PlannedDatabase};
use serde_json::{Value, json};

use crate::proof::Proof;

/// Version of the form.
pub(crate) const FORMAT: u64 = 1;

/// A version of a service or database.
pub(crate) fn hex(version: u64) -> String {
    format!("{version:016x}")
}

/// One of `databases`.
pub(crate) fn database(planned: &PlannedDatabase) -> Value {
    json!({
        "name": planned.database.name,
        "engine": format!("postgres:{}", planned.database.postgres),
        "mode": planned.mode,
        "nodes": planned.nodes,
        "storage_bytes": planned.database.storage.0,
        "version": hex(planned.version),
    })
}

/// One of `caches`.
pub(crate) fn cache(cache: &Cache) -> Value {
    json!({
        "name": cache.name,
        "engine": cache.engine,
        "memory_bytes": cache.memory.0,
        "shards": cache.shards,
        "replicas": cache.replicas,
        "nodes": cache.nodes(),
        "loss": cache.loss,
    })
}

/// One of `lines`.
fn line(line: &PlanLine) -> Value {
    json!({
        "item": line.item,
        "buys": line.buys,
        "quantity": line.quantity,
        "unit_usd": line.unit_usd,
        "usd_month": line.usd_month.usd(),
        "source": line.source,
        "date": line.date,
        "not_applied": line.not_applied,
    })
}

/// The object of DESIGN section 5, with the format's version and more beside it. With a `proof`, the certificate has it for
/// [`crate::verify`]. `solve_ms`: how long planning took, in milliseconds; a number that is not finite becomes `null`.
#[must_use]
pub fn to_json(plan: &Plan, proof: Option<&Proof>, solve_ms: f64) -> Value {
    let lines = plan.lines.iter().map(line);
    let services = plan.services.iter().map(|planned| {
        json!({
            "name": planned.service.name,
            "replicas": planned.replicas,
            "needed_at_peak": planned.needed_at_peak,
            "version": hex(planned.version),
        })
    });
    let databases = plan.databases.iter().map(database);
    let rejected = plan.rejected.iter().map(|other| {
        json!({
            "name": other.name,
            "usd_month": other.usd_month.usd(),
            "unavailability": other.availability.unavailability,
            "usd_per_avoided_min": other.usd_per_avoided_min,
            "reason": other.reason,
        })
    });
    let mut whole = json!({
        "kind": "plan",
        "format_version": FORMAT,
        "app": plan.app,
        "number": plan.number.0,
        "provider": plan.provider,
        "region": plan.region,
        "zones": plan.zones,
        "layout": plan.layout,
        "usd_month": plan.usd_month.usd(),
        "unavailability": plan.availability.unavailability,
        "downtime_min_year": plan.availability.downtime_min_year(),
        "feasible": plan.feasible,
        "robust": proof.is_some_and(|proof| proof.terms.pessimistic.is_some()),
        "missed": plan.missed,
        "certain": plan.certain,
        "certificate": {
            "gap": plan.certificate.gap,
            "evaluated": plan.certificate.evaluated,
            "pruned": plan.certificate.pruned,
            "proof": proof,
        },
        "services": services.collect::<Vec<_>>(),
        "databases": databases.collect::<Vec<_>>(),
        "lines": lines.collect::<Vec<_>>(),
        "causes": plan.causes,
        "risks": plan.risks,
        "outages": plan.outages,
        "losses": plan.losses,
        "why": plan.why,
        "rejected": rejected.collect::<Vec<_>>(),
        "assumed": plan.assumed,
        "solve_ms": solve_ms,
    });
    if !plan.caches.is_empty() {
        whole["caches"] = plan.caches.iter().map(cache).collect();
    }
    if !plan.round_trips.is_empty() {
        whole["round_trips"] = json!(plan.round_trips);
    }
    whole
}
