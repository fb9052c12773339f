//! Prices, machine types and regions: data with date and source.

use model::Region;

/// Hours of a month on every cloud bill.
pub(crate) const HOURS_MONTH: f64 = 730.0;

const SHIPPED: &str = include_str!("../../../catalog/prices.csv");

const COLUMNS: &str = "kind,provider,region,item,vcpu,mem_gib,usd,per,source,date";

/// A price with where and when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// What is sold, in the provider's words.
    pub item: String,
    /// US dollars for one, in the unit of the field that holds this price.
    pub usd: f64,
    /// Where it was read.
    pub source: String,
    /// When: `2025-01-14` or `2026-08`.
    pub date: String,
}

/// One kind of machine in one region; x86-64, no burst credits, no shared cores.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineType {
    /// Name and price of one hour.
    pub price: Price,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in GiB.
    pub mem_gib: f64,
}

/// What one provider sells in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionOffer {
    /// `aws`, `gcp`, `alicloud`.
    pub provider: String,
    /// The provider's id.
    pub region: String,
    /// The geographic name, `eu-central`.
    pub place: String,
    /// How many zones it has.
    pub zones: u8,
    /// Where the number of zones comes from.
    pub zones_source: String,
    /// Kinds of machines.
    pub machines: Vec<MachineType>,
    /// One GB of disk for a month.
    pub disk: Option<Price>,
    /// A load balancer for a month.
    pub balancer: Option<Price>,
    /// What a load balancer costs by use, a unit and month.
    pub balancer_unit: Option<Price>,
}

/// Everything that can be bought, ordered by provider and region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// One entry a provider and region.
    pub regions: Vec<RegionOffer>,
}

/// A catalogue file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("catalogue line {line}: {what}")]
pub struct CatalogError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Catalog {
    /// The prices that are part of this binary; `catalog/prices.csv` of the repository.
    #[must_use]
    pub fn shipped() -> Catalog {
        // A test reads the same text, so a build whose prices cannot be read is never handed out.
        Catalog::parse(SHIPPED).unwrap_or_default()
    }

    /// Reads a catalogue: plain CSV without quotes, the header first, `region` lines before all others.
    ///
    /// # Errors
    /// [`CatalogError`] with the line, for the first one that is wrong.
    pub fn parse(text: &str) -> Result<Catalog, CatalogError> {
        let mut catalog = Catalog::default();
        for (index, line) in text.lines().enumerate() {
            let bad = |what: String| CatalogError { line: index + 1, what };
            if index == 0 {
                if line != COLUMNS {
                    return Err(bad(format!("the header must be `{COLUMNS}`")));
                }
                continue;
            }
            catalog.add(line).map_err(bad)?;
        }
        catalog.regions.sort_by(|a, b| (&a.provider, &a.region).cmp(&(&b.provider, &b.region)));
        Ok(catalog)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let columns: Vec<&str> = line.split(',').collect();
        let &[kind, provider, region, item, vcpu, memory, usd, _per, source, date] = &columns[..] else {
            return Err(format!("{} columns instead of 10", columns.len()));
        };
        let amount = usd.parse::<f64>().ok().filter(|usd| usd.is_finite() && *usd >= 0.0);
        let amount = amount.ok_or_else(|| format!("`{usd}` is no amount"))?;
        let price = Price { item: item.into(), usd: amount, source: source.into(), date: date.into() };
        if kind == "region" {
            let zones = usd.parse().ok().filter(|zones| (1..=crate::ZONES_MAX).contains(zones));
            self.regions.push(RegionOffer {
                provider: provider.into(),
                region: region.into(),
                place: item.into(),
                zones: zones.ok_or_else(|| format!("`{usd}` is no number of zones"))?,
                zones_source: source.into(),
                machines: Vec::new(),
                disk: None,
                balancer: None,
                balancer_unit: None,
            });
            return Ok(());
        }
        let offer = self.regions.iter_mut().find(|o| o.provider == provider && o.region == region);
        let offer = offer.ok_or_else(|| format!("no `region` line for {provider} {region} before it"))?;
        match kind {
            "machine" => {
                let vcpu = vcpu.parse().ok().filter(|&vcpu| vcpu > 0).ok_or("`vcpu` is no count")?;
                let mem_gib = memory.parse::<f64>().ok().filter(|gib| gib.is_finite() && *gib > 0.0);
                let mem_gib = mem_gib.ok_or("`mem_gib` is no amount")?;
                offer.machines.push(MachineType { price, vcpu, mem_gib });
            }
            "disk" => offer.disk = Some(price),
            "balancer" => offer.balancer = Some(price),
            "balancer_unit" => offer.balancer_unit = Some(price),
            _ => return Err(format!("`{kind}` is no kind of line")),
        }
        Ok(())
    }

    /// The providers in the catalogue, in order.
    #[must_use]
    pub fn providers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.regions.iter().map(|offer| offer.provider.as_str()).collect();
        names.dedup();
        names
    }
}

impl RegionOffer {
    /// Whether `region` names this one, by place or by the provider's id.
    #[must_use]
    pub fn is(&self, region: &Region) -> bool {
        region.0 == self.place || region.0 == self.region
    }
}
