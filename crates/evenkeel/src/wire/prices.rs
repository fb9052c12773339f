//! Which prices a plan is made with: those of the binary, and in the state folder what was laid over them.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use model::App;
use plan::{Catalog, TEXT_BYTES_MAX};

use super::site::{Site, write_whole};
use crate::exit::hinted;

/// The catalogue in use: the shipped one, with the update of this state folder over it when there is one.
///
/// # Errors
/// When the update cannot be read, as after a change of the form in a newer version.
pub fn catalog(site: &Site) -> anyhow::Result<Catalog> {
    let path = site.catalog_path();
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Catalog::shipped()),
        other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    check(&path, bytes).map(|(catalog, _)| catalog).map_err(|error| {
        let way =
            format!("`evenkeel catalog update --from FILE` replaces it, or remove `{}`", path.display());
        hinted(format!("{error:#}"), way)
    })
}

/// What `app` is planned with: for this machine nothing, which spares the reading.
///
/// # Errors
/// As [`catalog`].
pub fn catalog_for(app: &App, provider: Option<&str>, site: &Site) -> anyhow::Result<Catalog> {
    let local = match provider {
        Some(only) => only == "local",
        None => app.placement.providers.iter().all(|provider| provider == "local"),
    };
    if local { Ok(Catalog::default()) } else { catalog(site) }
}

/// Every region that a file may name. None, so that names are not judged, when the catalogue cannot be read: whoever plans
/// with it is told so, and whoever runs on this machine needs no prices.
pub fn regions(site: &Site) -> Vec<spec::KnownRegion> {
    let Ok(catalog) = catalog(site) else { return Vec::new() };
    let known = |offer: &plan::RegionOffer| spec::KnownRegion {
        provider: offer.provider.clone(),
        id: offer.region.clone(),
        place: offer.closed.is_none().then(|| offer.place.clone()),
        country: offer.country.clone(),
        residency: offer.residency.clone(),
    };
    catalog.regions.iter().chain(&catalog.unpriced).map(known).collect()
}

/// Every place that a file may say its users are in.
pub fn places() -> Vec<spec::KnownPlace> {
    let known = |place: plan::Place| spec::KnownPlace {
        name: place.name.to_owned(),
        country: place.country.to_owned(),
        north: place.at.north,
        east: place.at.east,
    };
    plan::places().into_iter().map(known).collect()
}

/// Checks `from` and keeps a copy of it in the state folder; nothing changes when one line is wrong.
///
/// # Errors
/// When it cannot be read or written, or with every line that is wrong.
pub fn update(site: &Site, from: &Path) -> anyhow::Result<Catalog> {
    let about = std::fs::metadata(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    anyhow::ensure!(about.is_file(), "`{}` is no file", from.display());
    let limit = TEXT_BYTES_MAX as u64;
    anyhow::ensure!(about.len() <= limit, "`{}` has more than {limit} bytes", from.display());
    let bytes = std::fs::read(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    let (catalog, text) = check(from, bytes).map_err(|error| {
        hinted(format!("{error:#}"), "nothing was changed; catalog/README.md has the form")
    })?;
    site.create()?;
    write_whole(&site.catalog_path(), text.as_bytes()).context("the catalogue was not written")?;
    Ok(catalog)
}

fn check(path: &Path, bytes: Vec<u8>) -> anyhow::Result<(Catalog, String)> {
    let text =
        String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("`{}` is no UTF-8 text", path.display()))?;
    let catalog = Catalog::updated(&path.display().to_string(), &text)?;
    Ok((catalog, text))
}

/// The date of `now` in UTC, `2026-11-28`.
pub fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Days since 0000-03-01: with March first, a leap day is the last of its year.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", day - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
