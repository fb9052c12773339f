//! Regions that a file may name. Which there are is the caller's to know: prices are no part of the file.

/// A region that a file may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRegion {
    /// `aws`, `gcp` or `alicloud`.
    pub provider: String,
    /// The provider's id, `eu-central-1`.
    pub id: String,
    /// The geographic name that stands for it, `eu-central`; `None`: it is meant by its id alone.
    pub place: Option<String>,
    /// ISO 3166 code of its country.
    pub country: String,
    /// Whose law data stored there is under: `EU`, or a country, which may be written otherwise: `UK` for `GB`.
    pub residency: String,
}

/// Tells every region there is; none: nobody knows, and nothing is said of names.
pub type Regions<'r> = dyn Fn() -> Vec<KnownRegion> + 'r;

impl KnownRegion {
    /// Whether `name` stands for it.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// Whether `code` stands for its country or its law.
    pub(crate) fn is_in(&self, code: &str) -> bool {
        self.country == code || self.residency == code
    }

    /// What stands for it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.place.as_deref().into_iter().chain([self.id.as_str()])
    }
}
