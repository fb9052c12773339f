//! Tables: rows with their line numbers, fields with their rules, and the files that people wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

/// One row of a table.
pub(super) struct Row {
    /// `machines.csv line 7`.
    pub place: String,
    pub fields: Vec<String>,
}

impl Row {
    /// A number above 0 and at most `most`.
    pub fn number(&self, column: usize, most: f64) -> Result<f64> {
        let text = &self.fields[column];
        let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0 && *n <= most);
        number.ok_or_else(|| self.wrong(&format!("`{text}` is no number above 0 and up to {most}")))
    }

    /// A whole number above 0 and at most `most`.
    pub fn count(&self, column: usize, most: u32) -> Result<u32> {
        let number = self.number(column, f64::from(most))?;
        if number.fract() != 0.0 {
            return Err(self.wrong(&format!("`{}` is no whole number", self.fields[column])));
        }
        Ok(number as u32)
    }

    pub fn wrong(&self, what: &str) -> anyhow::Error {
        anyhow!("{}: {what}", self.place)
    }
}

/// The rows of the table at `path` below its header, which must be `header`.
pub(super) fn rows(path: &Path, header: &str) -> Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with(['#', '[']));
    if lines.next().is_none_or(|(_, line)| line != header) {
        bail!("{name}: the header must be `{header}`");
    }
    let columns = header.split(',').count();
    let mut all = Vec::new();
    for (index, line) in lines {
        let place = format!("{name} line {}", index + 1);
        let fields: Vec<String> = split(line).ok_or_else(|| anyhow!("{place}: a quote is not closed"))?;
        if fields.len() != columns {
            bail!("{place}: {} columns instead of {columns}", fields.len());
        }
        all.push(Row { place, fields });
    }
    if all.is_empty() {
        bail!("{name}: there is no row");
    }
    Ok(all)
}

/// Fields of a line; one in quotes may hold commas.
fn split(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut()?.push(c),
        }
    }
    (!quoted).then_some(fields)
}

/// A number with at most six decimals, without zeros at the end.
pub(super) fn short(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One CPU of `cpus.csv`.
pub(super) struct Cpu {
    pub id: String,
    /// The CPU whose band is taken, and its factors; `None`: it must have been measured.
    pub like: Option<(String, [f64; 3])>,
}

/// A region of `regions.csv`.
pub(super) struct Region {
    pub name: String,
    /// Degrees north and east.
    pub at: (f64, f64),
}

/// What people wrote.
pub(super) struct Hand {
    /// By provider and id.
    pub regions: BTreeMap<(String, String), Region>,
    /// CPUs and kind by provider and family.
    pub families: BTreeMap<(String, String), (Vec<String>, String)>,
    pub cpus: Vec<Cpu>,
}

impl Hand {
    pub fn read(folder: &Path) -> Result<Hand> {
        let regions =
            "provider,region,place,name,country,residency,zones,letters,source,latitude,longitude,closed";
        let mut hand = Hand { regions: BTreeMap::new(), families: BTreeMap::new(), cpus: Vec::new() };
        for row in rows(&folder.join("regions.csv"), regions)? {
            let key = (row.fields[0].clone(), row.fields[1].clone());
            let degrees = |column: usize| {
                let degrees = row.fields[column].parse::<f64>().ok().filter(|d| d.abs() <= 180.0);
                degrees.ok_or_else(|| row.wrong("no coordinates"))
            };
            let region = Region { name: row.fields[3].clone(), at: (degrees(9)?, degrees(10)?) };
            if hand.regions.insert(key, region).is_some() {
                return Err(row.wrong("the region is there twice"));
            }
        }
        let cpus = "cpu,architecture,name,like,low,mid,high,source";
        let mut known = BTreeSet::new();
        for row in rows(&folder.join("cpus.csv"), cpus)? {
            let id = row.fields[0].clone();
            let like = match row.fields[3].as_str() {
                "" => None,
                like => Some((
                    like.to_owned(),
                    [row.number(4, 10.0)?, row.number(5, 10.0)?, row.number(6, 10.0)?],
                )),
            };
            if !known.insert(id.clone()) {
                return Err(row.wrong("the CPU is there twice"));
            }
            hand.cpus.push(Cpu { id, like });
        }
        for row in rows(&folder.join("families.csv"), "provider,family,cpu,kind,source")? {
            let key = (row.fields[0].clone(), row.fields[1].clone());
            let of: Vec<String> = row.fields[2].split('+').map(str::to_owned).collect();
            if let Some(cpu) = of.iter().find(|cpu| !known.contains(*cpu)) {
                return Err(row.wrong(&format!("`{cpu}` is no CPU of cpus.csv")));
            }
            if hand.families.insert(key, (of, row.fields[3].clone())).is_some() {
                return Err(row.wrong("the family is there twice"));
            }
        }
        Ok(hand)
    }

    /// The family of a type, by the rule of `families.csv`.
    pub fn family(&self, provider: &str, kind: &str) -> Option<&(Vec<String>, String)> {
        let end: &[char] = if provider == "gcp" { &['-'] } else { &['.'] };
        let name = match provider {
            "alicloud" => kind.strip_prefix("ecs.")?.split(['.', '-']).next(),
            _ => kind.split(end).next(),
        };
        self.families.get(&(provider.to_owned(), name?.to_owned()))
    }
}
