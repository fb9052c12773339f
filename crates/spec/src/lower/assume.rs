use std::collections::BTreeMap;

use crate::check::{Checked, Typed};
use crate::table::ASSUME;

/// An hour in milliseconds.
const HOUR_MS: f64 = 3_600e3;

/// The priors that the file sets, by the names and in the units of the plan: `zone_outage.hours`.
pub(super) fn priors(table: &Checked) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for field in ASSUME.fields {
        let name = field.name;
        match table.item(name).map(|item| &item.typed) {
            Some(Typed::Number(times)) if name == "detour" => {
                all.insert(format!("{name}.times"), *times);
            }
            Some(Typed::Number(per_year)) => {
                all.insert(format!("{name}.per_year"), *per_year);
            }
            Some(Typed::Duration(takes)) if name == "deploy_repair" => {
                all.insert("deploy_failures.hours".to_owned(), takes.0 as f64 / HOUR_MS);
            }
            Some(Typed::Duration(takes)) => {
                all.insert(format!("{name}.seconds"), takes.0 as f64 / 1e3);
            }
            Some(Typed::Bytes(size)) => {
                all.insert(format!("{name}.kilobytes"), size.0 as f64 / 1e3);
            }
            Some(Typed::Table(outage)) => {
                for part in ["per_year", "hours"] {
                    all.extend(outage.number(part).map(|value| (format!("{name}.{part}"), value)));
                }
            }
            _ => {}
        }
    }
    all
}
