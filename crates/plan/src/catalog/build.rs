//! From sections to a catalogue: what is known so far, and the finishing.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kind::{self, Architecture, Class, MachineType};
use super::read;
use super::section::{self, Kind, Line};
use super::{
    Catalog, CatalogError, CatalogErrors, ERRORS_MAX, Machine, Price, RegionOffer, Source, Spot, Unit,
};

/// Bands of the spot advisor: share of machines taken back in a month.
pub(super) const TAKEN_BACK: [(f64, f64); 5] =
    [(0.0, 0.05), (0.05, 0.10), (0.10, 0.15), (0.15, 0.20), (0.20, 1.0)];

/// A row of `cpus`, with its band once `performance` was read.
pub(super) struct Cpu {
    pub architecture: Architecture,
    pub band: Option<[f64; 3]>,
}

/// A row of `families`.
pub(super) struct Family {
    pub class: Class,
    pub cpu: Arc<str>,
}

/// A row of `machines` or `caches`, before it is known how fast it is.
pub(super) struct Row {
    pub provider: String,
    pub name: Arc<str>,
    pub vcpu: u32,
    pub mem_gib: f64,
}

/// A cell: which row, and what it costs.
pub(super) struct Cell {
    pub row: usize,
    pub usd: f64,
    pub spot: Option<f64>,
    pub source: Arc<Source>,
}

/// A cell of `spot`.
pub(super) struct Advice {
    pub kind: Arc<str>,
    pub band: usize,
    /// Share of the price on demand that is left.
    pub left: f64,
    pub source: Arc<Source>,
}

/// A region with its cells, by the layer that brought them.
pub(super) struct Draft {
    pub offer: RegionOffer,
    pub machines: Vec<Cell>,
    pub caches: Vec<Cell>,
    pub spot: Vec<Advice>,
}

/// What is known so far. Layers come one over the other.
#[derive(Default)]
pub(super) struct Build {
    pub errors: Vec<CatalogError>,
    /// How many layers were begun.
    pub layers: u32,
    pub sources: BTreeMap<String, Arc<Source>>,
    /// Sources that this layer brought.
    pub own: BTreeSet<String>,
    pub cpus: BTreeMap<String, Cpu>,
    /// By provider and type.
    pub coremark: BTreeMap<(String, String), f64>,
    /// By provider and family.
    pub families: BTreeMap<(String, String), Family>,
    /// By provider and region.
    pub regions: BTreeMap<(String, String), Draft>,
    pub rows: Vec<Row>,
    /// By provider, region (`*`: all) and unit.
    pub units: BTreeMap<(String, String, Unit), Price>,
    /// Keys that this layer brought, so that none comes twice.
    pub seen: BTreeSet<String>,
}

impl Build {
    /// Reads one layer: files that belong together.
    pub fn layer<'t>(&mut self, files: &[(&'t str, &'t str)]) {
        self.layers += 1;
        self.own.clear();
        self.seen.clear();
        let mut all = Vec::new();
        for (name, text) in files {
            all.extend(section::sections(name, text, &mut self.errors));
        }
        all.sort_by_key(|section| section.kind);
        for section in &all {
            read::section(self, section);
            if self.errors.len() >= ERRORS_MAX {
                return;
            }
        }
    }

    /// Notes a wrong line; false: there were enough.
    pub fn wrong(&mut self, line: Line<'_>, what: String) -> bool {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(line.wrong(what));
        }
        self.errors.len() < ERRORS_MAX
    }

    /// The source called `id`. Prices of an update need one of the update's own.
    pub fn source(&self, id: &str, is_price: bool) -> Result<Arc<Source>, String> {
        let source = self.sources.get(id).ok_or_else(|| format!("`{id}` is no source"))?;
        if is_price && self.layers > 1 && !self.own.contains(id) {
            return Err(format!(
                "`{id}` is a source of the shipped prices; give the new ones a line in `[sources]`"
            ));
        }
        Ok(Arc::clone(source))
    }

    /// Puts everything together.
    pub fn finish(mut self, update: Option<&str>) -> Result<Catalog, CatalogErrors> {
        let kinds: Vec<Option<Arc<MachineType>>> = self.rows.iter().map(|row| self.kind(row)).collect();
        if !self.errors.is_empty() {
            self.errors.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            return Err(CatalogErrors(self.errors));
        }
        let newest =
            self.own.iter().filter_map(|id| self.sources.get(id)).map(|source| source.date.clone()).max();
        let mut catalog =
            Catalog { updated: update.map(|_| newest.unwrap_or_default()), ..Catalog::default() };
        for ((provider, region), draft) in std::mem::take(&mut self.regions) {
            let mut offer = draft.offer;
            offer.machines = machines(&draft.machines, &draft.spot, &kinds);
            offer.caches = machines(&draft.caches, &[], &kinds);
            for of in ["*", &region] {
                let first = (provider.clone(), of.to_owned(), Unit::AddressMonth);
                let mine = self.units.range(first..).take_while(|((p, r, _), _)| *p == provider && r == of);
                offer.units.extend(mine.map(|((_, _, unit), price)| (*unit, price.clone())));
            }
            let of = if offer.machines.is_empty() { &mut catalog.unpriced } else { &mut catalog.regions };
            of.push(offer);
        }
        Ok(catalog)
    }

    fn kind(&self, row: &Row) -> Option<Arc<MachineType>> {
        let family = kind::family(&row.provider, &row.name)?;
        let key = (row.provider.clone(), family.to_owned());
        let known = self.families.get(&key)?;
        let mut band = [f64::MAX, f64::MAX, 0.0_f64];
        let mut architecture = None;
        for id in known.cpu.split('+') {
            let cpu = self.cpus.get(id)?;
            let [low, mid, high] = cpu.band?;
            band = [band[0].min(low), band[1].min(mid), band[2].max(high)];
            architecture = Some(cpu.architecture);
        }
        let class = kind::class(&row.provider, &row.name, known.class);
        let measured = self.coremark.get(&(row.provider.clone(), row.name.to_string())).copied();
        Some(Arc::new(MachineType {
            name: Arc::clone(&row.name),
            vcpu: row.vcpu,
            mem_gib: row.mem_gib,
            architecture: architecture?,
            class,
            family: family.into(),
            cpu: Arc::clone(&known.cpu),
            performance: kind::performance(class, row.vcpu, measured, band),
        }))
    }
}

/// Cells and advice are in the order of the types' names, which readers check.
fn machines(cells: &[Cell], advice: &[Advice], kinds: &[Option<Arc<MachineType>>]) -> Vec<Machine> {
    let mut all = Vec::with_capacity(cells.len());
    let mut advice = advice.iter().peekable();
    for cell in cells {
        let Some(kind) = kinds.get(cell.row).and_then(Option::as_ref) else { continue };
        let mut advised = None;
        while let Some(next) = advice.peek() {
            match next.kind.cmp(&kind.name) {
                Ordering::Less => {}
                Ordering::Equal => advised = Some(*next),
                Ordering::Greater => break,
            }
            advice.next();
        }
        let spot = match (cell.spot, advised) {
            (Some(usd), _) => Some(Spot { usd, taken_back: None, source: Arc::clone(&cell.source) }),
            (None, Some(advised)) => Some(Spot {
                usd: cell.usd * advised.left,
                taken_back: Some(TAKEN_BACK[advised.band.min(TAKEN_BACK.len() - 1)]),
                source: Arc::clone(&advised.source),
            }),
            (None, None) => None,
        };
        let price = Price { item: Arc::clone(&kind.name), usd: cell.usd, source: Arc::clone(&cell.source) };
        all.push(Machine { kind: Arc::clone(kind), price, spot });
    }
    all
}

/// Where a section's sort of cells goes.
pub(super) fn cells(draft: &mut Draft, kind: Kind) -> &mut Vec<Cell> {
    if kind == Kind::Caches { &mut draft.caches } else { &mut draft.machines }
}
