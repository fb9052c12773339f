//! Tables with one line a type and a column a region.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::facts::{Hand, Row, rows, short};

/// USD/hour above which a price is taken for a mistake; the dearest machine of 2026 costs about 500.
const USD_HOUR_MAX: f64 = 10_000.0;
/// vCPUs and GiB above which a size is taken for a mistake: ten times the largest of 2026.
const VCPU_MAX: u32 = 20_000;
const GIB_MAX: f64 = 350_000.0;

/// The bands of the spot advisor, in order: share of machines that were taken back in a month.
const BANDS: &[&str] = &["<5%", "5-10%", "10-15%", "15-20%", ">20%"];

/// Cells by type, in the order of the regions.
#[derive(Default)]
struct Matrix {
    regions: BTreeSet<String>,
    /// By type: what stands before the cells, and the cells by region.
    types: BTreeMap<String, (String, BTreeMap<String, String>)>,
}

impl Matrix {
    fn add(&mut self, row: &Row, region: &str, kind: &str, specs: String, cell: String) -> Result<()> {
        let entry = self.types.entry(kind.to_owned()).or_insert_with(|| (specs.clone(), BTreeMap::new()));
        if entry.0 != specs {
            return Err(row.wrong(&format!("`{kind}` has {specs} here and {} elsewhere", entry.0)));
        }
        if entry.1.insert(region.to_owned(), cell).is_some() {
            return Err(row.wrong(&format!("`{kind}` in {region} is there twice")));
        }
        self.regions.insert(region.to_owned());
        Ok(())
    }

    fn text(&self, section: &str, specs: &str) -> String {
        let mut text = format!("{section}\ntype{specs}");
        for region in &self.regions {
            text.push(',');
            text.push_str(region);
        }
        text.push('\n');
        for (kind, (specs, cells)) in &self.types {
            text.push_str(kind);
            text.push_str(specs);
            for region in &self.regions {
                text.push(',');
                text.push_str(cells.get(region).map_or("", String::as_str));
            }
            text.push('\n');
        }
        text
    }
}

fn known(hand: &Hand, row: &Row, provider: &str, region: &str, kind: &str) -> Result<()> {
    if !hand.regions.contains_key(&(provider.to_owned(), region.to_owned())) {
        return Err(row.wrong(&format!("{provider} {region} is not in regions.csv")));
    }
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
        return Err(row.wrong(&format!("`{kind}` is no type")));
    }
    Ok(())
}

/// The machine offers of each provider.
pub(super) struct Machines {
    providers: BTreeMap<String, Matrix>,
}

impl Machines {
    pub fn text(&self, provider: &str, source: &str) -> String {
        let comment =
            "# Made by `cargo xtask catalog`. USD/hour; on Google Cloud also the spot price after the `/`.\n";
        let matrix = self.providers.get(provider);
        let section = format!("{comment}[machines {provider} {source}]");
        matrix.map_or_else(String::new, |matrix| matrix.text(&section, ",vcpu,mem_gib"))
    }
}

pub(super) fn machines(path: &Path, hand: &Hand) -> Result<Machines> {
    let mut machines = Machines { providers: BTreeMap::new() };
    for row in rows(path, "provider,region,zones,type,vcpu,mem_gib,usd_hour,usd_hour_spot")? {
        let [provider, region, kind] = [0, 1, 3].map(|column| row.fields[column].as_str());
        known(hand, &row, provider, region, kind)?;
        if hand.family(provider, kind).is_none() {
            return Err(row.wrong(&format!("the family of `{kind}` is not in families.csv")));
        }
        let specs = format!(",{},{}", row.count(4, VCPU_MAX)?, short(row.number(5, GIB_MAX)?));
        let mut cell = short(row.number(6, USD_HOUR_MAX)?);
        if !row.fields[7].is_empty() {
            cell.push('/');
            cell.push_str(&short(row.number(7, USD_HOUR_MAX)?));
        }
        let (region, kind) = (region.to_owned(), kind.to_owned());
        machines.providers.entry(provider.to_owned()).or_default().add(&row, &region, &kind, specs, cell)?;
    }
    Ok(machines)
}

/// How far a `.large` may be from half of the `.xlarge`: rounding of list prices makes 0.3% of one family of 68.
const HALF_OFF_MAX: f64 = 0.01;

/// The `.large` types of AWS that are not in `machines`: each is half of the `.xlarge` of its family, in every region that
/// sells this. `path` has the list of one region, which says of which families that is so.
pub(super) fn halves(path: &Path, machines: &Machines, hand: &Hand) -> Result<String> {
    let mut listed = BTreeMap::new();
    for row in rows(path, "type,usd_hour")? {
        let usd = row.number(1, USD_HOUR_MAX)?;
        if listed.insert(row.fields[0].clone(), usd).is_some() {
            return Err(row.wrong(&format!("`{}` is there twice", row.fields[0])));
        }
    }
    let mut halves = Matrix::default();
    let Some(aws) = machines.providers.get("aws") else { return Ok(String::new()) };
    for (kind, (specs, cells)) in &aws.types {
        let Some(family) = kind.strip_suffix(".xlarge") else { continue };
        let large = format!("{family}.large");
        if aws.types.contains_key(&large) {
            continue;
        }
        let of = |name: &str| listed.get(name).copied();
        let (Some(half), Some(whole)) = (of(&large), of(kind)) else { continue };
        if (2.0 * half / whole - 1.0).abs() > HALF_OFF_MAX {
            continue;
        }
        let place = format!("`{kind}`");
        for (region, cell) in cells {
            let row = Row {
                place: place.clone(),
                fields: format!("{specs},{cell}").split(',').map(str::to_owned).collect(),
            };
            let vcpu = row.count(1, VCPU_MAX)?;
            if vcpu % 2 != 0 {
                return Err(row.wrong(&format!("{vcpu} vCPUs have no half")));
            }
            let half_specs = format!(",{},{}", vcpu / 2, short(row.number(2, GIB_MAX)? / 2.0));
            let usd = short(row.number(3, USD_HOUR_MAX)? / 2.0);
            known(hand, &row, "aws", region, &large)?;
            halves.add(&row, region, &large, half_specs, usd)?;
        }
    }
    if halves.types.is_empty() {
        return Ok(String::new());
    }
    let comment = "\n# Half of the `.xlarge` above, of families of which that is so where both were read.\n";
    Ok(halves.text(&format!("{comment}[machines aws ec2-half]"), ",vcpu,mem_gib"))
}

pub(super) fn caches(path: &Path, hand: &Hand) -> Result<String> {
    let mut matrix = Matrix::default();
    for row in rows(path, "region,type,vcpu,mem_gib,usd_hour")? {
        let [region, kind] = [0, 1].map(|column| row.fields[column].clone());
        known(hand, &row, "aws", &region, &kind)?;
        let specs = format!(",{},{}", row.count(2, VCPU_MAX)?, short(row.number(3, GIB_MAX)?));
        matrix.add(&row, &region, &kind, specs, short(row.number(4, USD_HOUR_MAX)?))?;
    }
    let comment = "# Made by `cargo xtask catalog`. Managed Redis, USD/hour of a node.\n";
    Ok(matrix.text(&format!("{comment}[caches aws elasticache]"), ",vcpu,mem_gib"))
}

pub(super) fn spot(path: &Path, hand: &Hand) -> Result<String> {
    let mut matrix = Matrix::default();
    for row in rows(path, "region,type,savings_pct,interruption_band")? {
        let [region, kind] = [0, 1].map(|column| row.fields[column].clone());
        known(hand, &row, "aws", &region, &kind)?;
        let band = BANDS.iter().position(|band| *band == row.fields[3]);
        let band = band.ok_or_else(|| row.wrong(&format!("`{}` is no band", row.fields[3])))?;
        // Below 0: spot is dearer than on demand, as one row in 14,962 says.
        let savings = row.fields[2].parse::<i32>().ok().filter(|percent| (-100..100).contains(percent));
        let savings = savings.ok_or_else(|| row.wrong(&format!("`{}` is no percentage", row.fields[2])))?;
        matrix.add(&row, &region, &kind, String::new(), format!("{band}/{savings}"))?;
    }
    let comment = "# Made by `cargo xtask catalog`. Band/saving: band 0 is below 5 % of the machines taken back in a month, 1 to\n\
                   # 10 %, 2 to 15 %, 3 to 20 %, 4 above; the saving is in per cent of the price on demand.\n";
    Ok(matrix.text(&format!("{comment}[spot aws spot-advisor]"), ""))
}

/// CoreMark iterations per second with a thread on every vCPU, by type.
pub(super) struct CoreMark {
    pub types: BTreeMap<String, Measured>,
}

pub(super) struct Measured {
    pub iterations_s: f64,
    pub threads: u32,
    date: String,
}

impl CoreMark {
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Made by `cargo xtask catalog`. CoreMark iterations per second with `threads` threads, one a vCPU.\n\
             [coremark aws coremark]\ntype,threads,iterations_s,date\n",
        );
        for (kind, measured) in &self.types {
            let Measured { iterations_s, threads, date } = measured;
            text.push_str(&format!("{kind},{threads},{iterations_s:.0},{date}\n"));
        }
        text
    }
}

pub(super) fn coremark(path: &Path, hand: &Hand) -> Result<CoreMark> {
    let mut types = BTreeMap::new();
    for row in rows(path, "type,coremark_iter_s,threads,ran_at")? {
        let kind = row.fields[0].clone();
        if hand.family("aws", &kind).is_none() {
            return Err(row.wrong(&format!("the family of `{kind}` is not in families.csv")));
        }
        let (iterations_s, threads) = (row.number(1, 1e9)?, row.count(2, VCPU_MAX)?);
        let measured = Measured { iterations_s, threads, date: row.fields[3].clone() };
        if types.insert(kind, measured).is_some() {
            return Err(row.wrong("the type is there twice"));
        }
    }
    Ok(CoreMark { types })
}
