//! How certain a plan is, in one sentence that is the same wherever a plan is shown and where its certificate is checked.

use crate::Terms;
use crate::catalog::Catalog;
use crate::proof::SPACE;
use crate::render::percent_up;

/// What is known about a plan.
pub(crate) struct Certain<'c> {
    /// Some plan keeps the availability and the reserves.
    pub(crate) found: bool,
    /// How much cheaper another could be, as a share of the price; 0: none is.
    pub(crate) gap: f64,
    /// As it was given, before the terms raised its prices; `None`: this machine, where nothing is bought.
    pub(crate) catalog: Option<(&'c Catalog, &'c str)>,
    pub(crate) terms: &'c Terms,
    /// How many assumptions the certificate states.
    pub(crate) assumptions: usize,
}

impl Certain<'_> {
    /// The sentence.
    pub(crate) fn sentence(&self) -> String {
        let over = self.over();
        match (self.found, self.gap) {
            (true, 0.0) if self.catalog.is_none() => format!("the fewest replicas over {over}: gap 0"),
            (true, 0.0) => format!("the cheapest over {over}: gap 0"),
            (true, gap) => {
                format!(
                    "the cheapest that was found over {over}: something up to {} cheaper may exist",
                    percent_up(gap)
                )
            }
            (false, 0.0) => format!("nothing keeps every objective over {over}"),
            (false, _) => {
                format!("nothing was found that keeps every objective over {over}: the search was cut short")
            }
        }
    }

    /// What it was chosen from.
    fn over(&self) -> String {
        let end = if self.terms.pessimistic.is_some() { ", each at its bad end" } else { "" };
        let rest =
            format!("these assumptions ({} of them{end}) and this space (version {SPACE})", self.assumptions);
        let Some((catalog, fingerprint)) = self.catalog else { return rest };
        let dates = match catalog.dates() {
            Some((first, last)) if first == last => format!("prices of {first}"),
            Some((first, last)) => format!("prices of {first} to {last}"),
            None => "no prices".to_owned(),
        };
        format!("this catalogue ({dates}; {fingerprint}), {rest}")
    }
}
