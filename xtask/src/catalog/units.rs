//! Prices of disks and traffic per region.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::facts::{Hand, rows, short};

/// USD/GB above which a price is taken for a mistake.
const USD_GB_MAX: f64 = 100.0;

/// Columns of the disk table.
const DISKS: &[(&str, &str)] =
    &[("disk_gb_month", "disk"), ("disk_fast_gb_month", "fast disk"), ("snapshot_gb_month", "disk snapshot")];

/// Kinds of the traffic table; within a region both ends pay.
const TRAFFIC: &[(&str, &[&str], &str)] = &[
    ("Intra-region data transfer", &["traffic_zone_in_gb", "traffic_zone_out_gb"], "traffic between zones"),
    ("Outbound data transfer to Internet (first 10TB)", &["traffic_internet_gb"], "traffic to the internet"),
    (
        "Outbound data transfer to Internet (next 40TB)",
        &["traffic_internet_gb_10tb"],
        "traffic to the internet",
    ),
    (
        "Outbound data transfer to Internet (next 100TB)",
        &["traffic_internet_gb_50tb"],
        "traffic to the internet",
    ),
    (
        "Outbound data transfer to Internet (over 150TB)",
        &["traffic_internet_gb_150tb"],
        "traffic to the internet",
    ),
    ("Outbound data transfer to US East regions", &["traffic_near_gb"], "traffic to the nearest region"),
    ("Outbound data transfer to other regions", &["traffic_region_gb"], "traffic to another region"),
];

/// Local zones in the disk table that are no region of ours.
const LOCAL_ZONES: &[&str] =
    &["Atlanta", "Chicago", "Dallas", "Houston", "Miami", "New York City", "Phoenix"];

/// By provider, region and unit: name, price, source.
type Units = BTreeMap<(String, String, String), (String, String, &'static str)>;

/// Disks and traffic of AWS, and for the other providers the disk price of the nearest AWS region.
pub(super) fn per_region(disks: &Path, traffic: &Path, hand: &Hand) -> Result<String> {
    let mut units = Units::new();
    let aws = |region: &str, unit: &str| ("aws".to_owned(), region.to_owned(), unit.to_owned());
    for row in rows(disks, "location,gp3_gb_month,io2_gb_month,snapshot_gb_month")? {
        let location = &row.fields[0];
        let found =
            hand.regions.iter().find(|((provider, _), region)| provider == "aws" && region.name == *location);
        let Some(((_, region), _)) = found else {
            if LOCAL_ZONES.iter().any(|city| location.contains(city)) {
                continue;
            }
            return Err(row.wrong(&format!("`{location}` is no region of regions.csv")));
        };
        for (column, (unit, name)) in DISKS.iter().enumerate() {
            if !row.fields[column + 1].is_empty() {
                let usd = short(row.number(column + 1, USD_GB_MAX)?);
                if units.insert(aws(region, unit), ((*name).to_owned(), usd, "ebs")).is_some() {
                    return Err(row.wrong("the location is there twice"));
                }
            }
        }
    }
    for row in rows(traffic, "region,kind,usd_per_gb")? {
        let [region, kind] = [0, 1].map(|column| row.fields[column].as_str());
        if !hand.regions.contains_key(&("aws".to_owned(), region.to_owned())) {
            return Err(row.wrong(&format!("aws {region} is not in regions.csv")));
        }
        let found = TRAFFIC.iter().find(|(known, _, _)| *known == kind);
        let (_, kinds, name) = found.ok_or_else(|| row.wrong(&format!("`{kind}` is no known traffic")))?;
        for unit in *kinds {
            let usd = short(row.number(2, USD_GB_MAX)?);
            if units.insert(aws(region, unit), ((*name).to_owned(), usd, "transfer")).is_some() {
                return Err(row.wrong("the price is there twice"));
            }
        }
    }
    assume_disks(hand, &mut units);
    let mut text = String::from(
        "# Made by `cargo xtask catalog`. As units.csv; a disk of another provider has the price of the nearest AWS region.\n\
         [units]\nprovider,region,unit,name,usd,source\n",
    );
    for ((provider, region, unit), (name, usd, source)) in units {
        text.push_str(&format!("{provider},{region},{unit},{name},{usd},{source}\n"));
    }
    Ok(text)
}

fn assume_disks(hand: &Hand, units: &mut Units) {
    for (key, region) in hand.regions.iter().filter(|((provider, _), _)| provider != "aws") {
        for (unit, name) in DISKS {
            let priced = hand.regions.iter().filter_map(|((provider, id), other)| {
                let price = units.get(&(provider.clone(), id.clone(), (*unit).to_owned()))?;
                (provider == "aws" && !id.starts_with("us-gov"))
                    .then(|| (away(region.at, other.at), price.1.clone()))
            });
            if let Some((_, usd)) = priced.min_by(|a, b| a.0.total_cmp(&b.0)) {
                let key = (key.0.clone(), key.1.clone(), (*unit).to_owned());
                units.insert(key, ((*name).to_owned(), usd, "disk-assumed"));
            }
        }
    }
}

/// Grows with the distance on the globe: half the square of the chord, for the radius 1.
fn away(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (a, b) = ((a.0.to_radians(), a.1.to_radians()), (b.0.to_radians(), b.1.to_radians()));
    1.0 - (a.0.sin() * b.0.sin() + a.0.cos() * b.0.cos() * (a.1 - b.1).cos())
}
