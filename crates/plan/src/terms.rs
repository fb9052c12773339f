//! On which terms a plan is made beside the file and the catalogue: how bad the world is taken to be.

use std::borrow::Cow;

use model::App;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Source};
use crate::chance::{Assumptions, ChanceError};

/// On which terms a plan is made. The default is what `evenkeel plan` does without flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Every assumption at its pessimistic end, and every price that is older than 12 months on this date
    /// (`2026-11-29`), or assumed, at the upper end of its band. `None`: what is expected, and prices as they were read.
    pub pessimistic: Option<String>,
    /// No reserve for the loss of a zone unless `survive` asks for it, however high the availability.
    pub unreserved: bool,
}

impl Terms {
    /// The pessimistic end of everything, on the date `today`.
    #[must_use]
    pub fn pessimistic(today: &str) -> Terms {
        Terms { pessimistic: Some(today.to_owned()), ..Terms::default() }
    }

    /// The assumptions that apply to `app`: those of [`Assumptions::of`].
    pub(crate) fn assumptions(&self, app: &App) -> Result<Assumptions, ChanceError> {
        let all = Assumptions::of(app)?;
        Ok(if self.pessimistic.is_some() { all.pessimistic() } else { all })
    }

    /// The prices that are planned with.
    pub(crate) fn catalog<'c>(&self, catalog: &'c Catalog) -> Cow<'c, Catalog> {
        match &self.pessimistic {
            Some(today) => {
                let mut dear = catalog.clone();
                dear.reprice(|price| price.usd *= price.source.band(today).high);
                Cow::Owned(dear)
            }
            None => Cow::Borrowed(catalog),
        }
    }

    /// What was done to a price of `source`, for people; `None`: nothing.
    pub(crate) fn raised(&self, source: &Source) -> Option<String> {
        let factor = source.band(self.pessimistic.as_deref()?).high;
        (factor > 1.0).then(|| format!("taken {:.0} % higher", (factor - 1.0) * 100.0))
    }
}
