//! Fields of a stored plan that follow from the file, from its certificate, or from each other: whoever reads one of them alone
//! must not be told anything else than the certificate shows.

use model::{Availability, Database, Money, ZoneName};
use serde_json::{Value, json};

use super::plan::{Best, near};
use super::rules::Rules;
use super::{ROUNDING, Refused, refuse};
use crate::certain::Certain;
use crate::compose::{LOCAL_LETTERS, zone_names};
use crate::proof::Proof;
use crate::version::version;
use crate::{database, json};

/// How far two ways to compute a gap may be apart.
const GAP: f64 = 1e-6;

/// Checks them; what the certificate itself is about has been checked.
pub(super) fn derived(
    rules: &Rules<'_>,
    proof: &Proof,
    best: Option<&Best<'_>>,
    stored: &Value,
) -> Result<(), Refused> {
    same("`kind`", &stored["kind"], &json!("plan"))?;
    same("`format_version`", &stored["format_version"], &json!(json::FORMAT))?;
    same("`app`", &stored["app"], &json!(rules.app.name))?;
    same("`robust`", &stored["robust"], &json!(proof.terms.pessimistic.is_some()))?;
    let down =
        stored["unavailability"].as_f64().ok_or_else(|| refuse("`unavailability`", "it is missing"))?;
    let minutes = Availability { unavailability: down }.downtime_min_year();
    near("`downtime_min_year`", stored["downtime_min_year"].as_f64(), minutes, ROUNDING * minutes)?;
    missed(rules, best, stored)?;
    let zones = zones(best, stored)?;
    for (index, service) in rules.app.services.iter().enumerate() {
        let place = format!("`version` of service `{}`", service.name);
        same(place, &stored["services"][index]["version"], &json!(json::hex(version(service))))?;
    }
    let databases = &rules.app.databases;
    if stored["databases"].as_array().map(Vec::len) != Some(databases.len()) {
        return Err(refuse("`databases`", "it has other databases than the file"));
    }
    let caches: Vec<Value> = rules.app.caches.iter().map(json::cache).collect();
    let listed = if caches.is_empty() { Value::Null } else { json!(caches) };
    same("`caches`", &stored["caches"], &listed)?;
    let listed = &stored["databases"];
    databases.iter().enumerate().try_for_each(|(index, database)| held(database, &zones, &listed[index]))
}

/// The sentence that says how certain the plan is, and the gap that is in it.
pub(super) fn certain(certain: &Certain<'_>, stored: &Value) -> Result<String, Refused> {
    if certain.found {
        near("`gap`", stored["certificate"]["gap"].as_f64(), certain.gap, GAP)?;
    }
    let own = certain.sentence();
    // A gap that is rounded to the other side is no other gap.
    if certain.gap == 0.0 || !certain.found {
        same("`certain`", &stored["certain"], &json!(own))?;
    }
    Ok(own)
}

/// That `stored` is `own`.
fn same(place: impl Into<String>, stored: &Value, own: &Value) -> Result<(), Refused> {
    if stored == own {
        return Ok(());
    }
    let why = if stored.is_null() {
        "it is missing".to_owned()
    } else {
        format!("it is {stored}, and {own} is what follows")
    };
    Err(refuse(place, why))
}

/// What is missed is what the place and the price miss; availability and room are kept, or there would be no certificate of
/// a cheapest plan. Without one, something is missed.
fn missed(rules: &Rules<'_>, best: Option<&Best<'_>>, stored: &Value) -> Result<(), Refused> {
    let (place, said) = ("`missed`", &stored["missed"]);
    if let Some(best) = best {
        let usd = stored["usd_month"].as_f64().ok_or_else(|| refuse("`usd_month`", "it is missing"))?;
        return same(place, said, &json!(rules.missed(best.zones(), best.layout(), Money::from_usd(usd))));
    }
    let sentences = said.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string));
    if sentences {
        Ok(())
    } else {
        Err(refuse(place, "nothing keeps every objective, and it does not say which is missed"))
    }
}

/// The zones, whose names must be those of the region.
fn zones(best: Option<&Best<'_>>, stored: &Value) -> Result<Vec<ZoneName>, Refused> {
    let listed = stored["zones"].as_array().cloned().unwrap_or_default();
    if let Some(best) = best {
        let own = match best.offer() {
            Some(offer) => zone_names(&offer.provider, &offer.region, &offer.letters, best.zones()),
            None => zone_names("local", "local", LOCAL_LETTERS, best.zones()),
        };
        same("`zones`", &stored["zones"], &json!(own))?;
    }
    let named = |zone: &Value| zone.as_str().and_then(|name| ZoneName::new(name).ok());
    let named: Option<Vec<ZoneName>> = listed.iter().map(named).collect();
    named.ok_or_else(|| refuse("`zones`", "one of them is no name of a zone"))
}

/// What is said of a database, field by field.
fn held(database: &Database, zones: &[ZoneName], stored: &Value) -> Result<(), Refused> {
    let own = json::database(&database::planned(database, zones));
    let place = |field: &str| format!("`{field}` of database `{}`", database.name);
    own.as_object().into_iter().flatten().try_for_each(|(field, own)| same(place(field), &stored[field], own))
}
