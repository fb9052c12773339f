//! Regions: where they are, what they sell, and how far apart they must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Region;

use super::{Architecture, Class, Machine, Price, Source, Unit};

/// A place on the globe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coordinates {
    /// Degrees north, -90 to 90.
    pub north: f64,
    /// Degrees east, -180 to 180.
    pub east: f64,
}

/// Mean radius of the earth (IUGG 1980).
const EARTH_KM: f64 = 6_371.0;

/// Light in glass: 299,792 km/s over a refractive index of about 1.5.
const GLASS_KM_S: f64 = 200_000.0;

impl Coordinates {
    /// Great-circle distance in km.
    #[must_use]
    pub fn distance_km(self, other: Coordinates) -> f64 {
        let (a, b) = (self.north.to_radians(), other.north.to_radians());
        let (half_north, half_east) = ((b - a) / 2.0, (other.east - self.east).to_radians() / 2.0);
        let h = half_north.sin().powi(2) + a.cos() * b.cos() * half_east.sin().powi(2);
        2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
    }
}

/// No round trip between the two takes less, in ms: twice the great circle at the speed of light in glass. Cables are longer, so
/// a measured one is typically 1.5 to 2.5 times this.
#[must_use]
pub fn round_trip_min_ms(one: Coordinates, other: Coordinates) -> f64 {
    2.0 * one.distance_km(other) / GLASS_KM_S * 1e3
}

/// What one provider sells in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionOffer {
    /// `aws`, `gcp`, `alicloud`.
    pub provider: String,
    /// The provider's id.
    pub region: String,
    /// The geographic name, `eu-central`. Every one that begins with `eu-` is in the EU.
    pub place: String,
    /// The provider's name for people.
    pub name: String,
    /// ISO 3166 code of the country.
    pub country: String,
    /// Whose law data stored here is under: `EU`, else the country; `UK` for GB.
    pub residency: String,
    /// How many zones a new account can use.
    pub zones: u8,
    /// Where the number of zones comes from.
    pub zones_source: Arc<Source>,
    /// Last letters of the zones' names, one a zone.
    pub letters: String,
    /// Of the city.
    pub at: Coordinates,
    /// Why plans leave it out unless its id is asked for: a partition with accounts of its own, a filing, a local zone.
    pub closed: Option<String>,
    /// Kinds of machines, by name; all of them, see [`RegionOffer::usable`].
    pub machines: Vec<Machine>,
    /// Nodes of a managed cache, by name.
    pub caches: Vec<Machine>,
    /// What is paid beside machines.
    pub units: BTreeMap<Unit, Price>,
}

impl RegionOffer {
    /// Whether `region` names this one: by the provider's id, or by place when it is not closed.
    #[must_use]
    pub fn is(&self, region: &Region) -> bool {
        region.0 == self.region || (region.0 == self.place && self.closed.is_none())
    }

    /// The machines that are planned with unless others are asked for: x86-64, which every image runs on, and no part of a
    /// core, no burst credits, no accelerator, no whole server.
    pub fn usable(&self) -> impl Iterator<Item = &Machine> + Clone {
        let plain = |machine: &&Machine| {
            machine.class == Class::General && machine.architecture == Architecture::X86_64
        };
        self.machines.iter().filter(plain)
    }

    /// Changes the price of every machine and of everything else that is planned with.
    pub(crate) fn reprice(&mut self, change: &impl Fn(&mut Price)) {
        self.machines.iter_mut().for_each(|machine| change(&mut machine.price));
        self.units.values_mut().for_each(change);
    }

    /// The price of something else, when the catalogue has one.
    #[must_use]
    pub fn unit(&self, unit: Unit) -> Option<&Price> {
        self.units.get(&unit)
    }
}
