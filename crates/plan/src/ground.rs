//! What a search stands on: the file, what it asks for, the assumptions and the prices, as the terms make them.

use std::borrow::Cow;

use model::App;

use crate::allowed::{known, markets};
use crate::catalog::Catalog;
use crate::chance::Assumptions;
use crate::search::{Market, Space};
use crate::size::{self, Request};
use crate::{Options, PlanError, Terms};

/// Refuses prices that no sum can be made of. The reader of the files has done so, but a catalogue can be changed.
fn check(catalog: &Catalog) -> Result<(), PlanError> {
    for offer in &catalog.regions {
        let machines = offer.machines.iter().map(|machine| &machine.price);
        for price in machines.chain(offer.units.values()) {
            if !(price.usd.is_finite() && price.usd >= 0.0) {
                let (item, place) = (price.item.to_string(), format!("{} {}", offer.provider, offer.region));
                return Err(PlanError::Price { item, place, usd: price.usd });
            }
        }
    }
    Ok(())
}

/// Everything that a search borrows from.
pub(crate) struct Ground<'a> {
    pub(crate) app: &'a App,
    pub(crate) terms: Terms,
    pub(crate) request: Request,
    pub(crate) assumptions: Assumptions,
    pub(crate) catalog: Cow<'a, Catalog>,
    provider: Option<&'a str>,
}

impl<'a> Ground<'a> {
    /// Refuses numbers that no plan can be made from.
    ///
    /// # Errors
    /// [`PlanError`] with the number and what it must be; an unknown provider, or an empty catalogue.
    pub(crate) fn new(app: &'a App, options: &'a Options, terms: &Terms) -> Result<Ground<'a>, PlanError> {
        size::check(app)?;
        check(&options.catalog)?;
        known(app, &options.catalog, options.provider.as_deref())?;
        Ok(Ground {
            app,
            terms: terms.clone(),
            request: Request::new(app, terms)?,
            assumptions: terms.assumptions(app)?,
            catalog: terms.catalog(&options.catalog),
            provider: options.provider.as_deref(),
        })
    }

    /// Everything that can be chosen.
    ///
    /// # Errors
    /// An unknown region, an empty catalogue, or an assumption that cannot be computed with.
    pub(crate) fn space(&self) -> Result<Space<'_>, PlanError> {
        let markets = markets(self.app, &self.catalog, self.provider, &self.assumptions)?;
        Space::new(self.app, &self.request, markets, self.assumptions.clone())
    }

    /// The part of the catalogue that is planned with: that of the allowed providers and regions.
    ///
    /// # Errors
    /// As [`Ground::space`].
    pub(crate) fn sold(&self) -> Result<Catalog, PlanError> {
        let markets = markets(self.app, &self.catalog, self.provider, &self.assumptions)?;
        let regions = markets.iter().filter_map(|market| match market {
            Market::Cloud(offer) => Some((*offer).clone()),
            Market::Local => None,
        });
        Ok(Catalog { regions: regions.collect(), ..Catalog::default() })
    }

    /// The same prices for another file, on other terms. The prices stay as these terms have raised them.
    ///
    /// # Errors
    /// As [`Ground::new`].
    pub(crate) fn asking<'s>(&'s self, app: &'s App, terms: &Terms) -> Result<Ground<'s>, PlanError> {
        size::check(app)?;
        Ok(Ground {
            app,
            terms: terms.clone(),
            request: Request::new(app, terms)?,
            assumptions: terms.assumptions(app)?,
            catalog: Cow::Borrowed(&self.catalog),
            provider: self.provider,
        })
    }

    /// The same with other assumptions.
    pub(crate) fn assuming(&self, assumptions: Assumptions) -> Ground<'_> {
        Ground { assumptions, ..self.selling(Cow::Borrowed(&self.catalog)) }
    }

    /// The same with another catalogue.
    pub(crate) fn selling<'s>(&'s self, catalog: Cow<'s, Catalog>) -> Ground<'s> {
        let (terms, request) = (self.terms.clone(), self.request.clone());
        let assumptions = self.assumptions.clone();
        Ground { app: self.app, terms, request, assumptions, catalog, provider: self.provider }
    }
}
