//! Everything that can be bought: machine types, regions, prices, each with its source and date.
//!
//! Promise: every price leads to a [`Source`]; a text that is wrong anywhere gives its lines and no catalogue. The files are
//! those of the repository's `catalog/`, whose README has their form and rules; they are part of the binary, and a text of
//! the same form can be laid over them. US dollars; a month on a bill has 730 hours.

mod age;
mod build;
mod kind;
mod places;
mod read;
mod region;
mod row;
mod section;
mod unit;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

pub(crate) use age::is_date;
pub use age::{Band, age_band};
pub use kind::{Architecture, Class, MachineType, Performance};
pub use places::{Place, places};
pub use region::{Coordinates, RegionOffer, round_trip_min_ms};
pub use unit::Unit;

/// Hours of a month on every cloud bill.
pub(crate) const HOURS_MONTH: f64 = 730.0;

/// The longest text that is read: 25 times what is shipped.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// Wrong lines that are named before reading ends.
const ERRORS_MAX: usize = 100;

/// The files of `catalog/`, in the order of its README.
const SHIPPED: &[(&str, &str)] = &[
    ("sources.csv", include_str!("../../../../catalog/sources.csv")),
    ("regions.csv", include_str!("../../../../catalog/regions.csv")),
    ("families.csv", include_str!("../../../../catalog/families.csv")),
    ("cpus.csv", include_str!("../../../../catalog/cpus.csv")),
    ("performance.csv", include_str!("../../../../catalog/performance.csv")),
    ("coremark-aws.csv", include_str!("../../../../catalog/coremark-aws.csv")),
    ("units.csv", include_str!("../../../../catalog/units.csv")),
    ("units-regions.csv", include_str!("../../../../catalog/units-regions.csv")),
    ("machines-alicloud.csv", include_str!("../../../../catalog/machines-alicloud.csv")),
    ("machines-aws.csv", include_str!("../../../../catalog/machines-aws.csv")),
    ("machines-gcp.csv", include_str!("../../../../catalog/machines-gcp.csv")),
    ("caches-aws.csv", include_str!("../../../../catalog/caches-aws.csv")),
    ("spot-aws.csv", include_str!("../../../../catalog/spot-aws.csv")),
];

/// Where and when figures were read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Its name in the files.
    pub id: String,
    /// A default stands there because nothing was found.
    pub assumed: bool,
    /// Of the figures: `2025-01-14` or `2026-08`.
    pub date: String,
    /// Licence of the source; `-`: a document.
    pub licence: String,
    /// Where.
    pub document: String,
}

/// A price with where and when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// What is sold, in the provider's words.
    pub item: Arc<str>,
    /// US dollars for one, in the unit of the field that holds this price.
    pub usd: f64,
    /// Where it was read.
    pub source: Arc<Source>,
}

/// The price of a machine that may be taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// US dollars an hour. On AWS from the saving that its advisor states; elsewhere as it was read.
    pub usd: f64,
    /// Share of machines that are taken back in a month, from and up to; `None`: not stated.
    pub taken_back: Option<(f64, f64)>,
    /// Where it was read.
    pub source: Arc<Source>,
}

/// One kind of machine as it is sold in one region; it is its [`MachineType`], with prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// What it is, shared by all regions.
    pub kind: Arc<MachineType>,
    /// An hour, on demand.
    pub price: Price,
    /// An hour on spot terms; `None`: not sold, or not known.
    pub spot: Option<Spot>,
}

impl Deref for Machine {
    type Target = MachineType;

    fn deref(&self) -> &MachineType {
        &self.kind
    }
}

/// Everything that can be bought, ordered by provider and region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Regions that sell machines, one entry a provider and region.
    pub regions: Vec<RegionOffer>,
    /// Regions that are known and have no machine price.
    pub unpriced: Vec<RegionOffer>,
    /// Date of the newest source of what was laid over the shipped files; `None`: nothing was.
    pub updated: Option<String>,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}: {what}")]
pub struct CatalogError {
    /// Name of the file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Every line that cannot be read, up to a hundred; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogErrors(pub Vec<CatalogError>);

impl fmt::Display for CatalogErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for CatalogErrors {}

impl Catalog {
    /// The prices that are part of this binary: the files of the repository's `catalog/`.
    #[must_use]
    pub fn shipped() -> Catalog {
        // A test reads the same texts, so a build whose prices cannot be read is never handed out.
        Catalog::parse(SHIPPED).unwrap_or_default()
    }

    /// Reads a whole catalogue from files with their names.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub fn parse(files: &[(&str, &str)]) -> Result<Catalog, CatalogErrors> {
        let mut build = build::Build::default();
        build.layer(files);
        build.finish(None)
    }

    /// The shipped prices with `text`, a file of the same form called `name`, laid over them.
    ///
    /// What the text lists is replaced: a source, region, family, CPU or unit by its key; in `machines`, `caches` and `spot`
    /// all types of every region among the columns. The rest stays. Prices must have a source of the text itself, so that
    /// none gets an older date than it has.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub fn updated(name: &str, text: &str) -> Result<Catalog, CatalogErrors> {
        let mut build = build::Build::default();
        build.layer(SHIPPED);
        build.layer(&[(name, text)]);
        build.finish(Some(name))
    }

    /// The same with those machines alone that `keep` says; regions without any are left out.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&RegionOffer, &Machine) -> bool) -> Catalog {
        for at in 0..self.regions.len() {
            let machines = std::mem::take(&mut self.regions[at].machines);
            let offer = &self.regions[at];
            let kept = machines.into_iter().filter(|machine| keep(offer, machine)).collect();
            self.regions[at].machines = kept;
        }
        self.regions.retain(|offer| !offer.machines.is_empty());
        self
    }

    /// Changes the price of every machine and of everything else that is planned with.
    pub(crate) fn reprice(&mut self, change: impl Fn(&mut Price)) {
        self.regions.iter_mut().for_each(|offer| offer.reprice(&change));
    }

    /// The oldest and the newest date of a price that was read and is planned with, or of an assumed one where none was; `None`: there
    /// is none.
    #[must_use]
    pub fn dates(&self) -> Option<(&str, &str)> {
        fn sources(offer: &RegionOffer) -> Vec<&Arc<Source>> {
            let mut sources: Vec<&Arc<Source>> = Vec::new();
            let machines = offer.machines.iter().map(|machine| &machine.price);
            for price in machines.chain(offer.units.values()) {
                // Rows of one section share their source.
                if sources.last().is_none_or(|last| !Arc::ptr_eq(last, &price.source)) {
                    sources.push(&price.source);
                }
            }
            sources
        }
        let all: Vec<&Arc<Source>> = self.regions.iter().flat_map(sources).collect();
        let none_was_read = all.iter().all(|source| source.assumed);
        let counted = || all.iter().filter(|source| none_was_read || !source.assumed);
        let dates = || counted().map(|source| source.date.as_str());
        Some((dates().min()?, dates().max()?))
    }

    /// The providers in the catalogue, in order.
    #[must_use]
    pub fn providers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.regions.iter().map(|offer| offer.provider.as_str()).collect();
        names.dedup();
        names
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
