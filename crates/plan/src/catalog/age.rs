//! How far a price may be off because it is old, or because it was assumed.

use super::Source;

/// Months after which a price counts as old.
const OLD_MONTHS: u32 = 12;

/// Factors for a price: what it may be today, from and up to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// At most 1.
    pub low: f64,
    /// At least 1.
    pub high: f64,
}

impl Band {
    /// Taken as it is.
    pub const EXACT: Band = Band { low: 1.0, high: 1.0 };

    /// A price of one to two years. Assumed; of 564 list prices of AWS in us-east-1, 548 were the same to the last digit after 18
    /// months, and providers have moved whole lists by a tenth.
    pub const OLD: Band = Band { low: 0.9, high: 1.1 };

    /// A price of more than two years. Assumed: lists were cut by a fifth in one step.
    pub const OLDER: Band = Band { low: 0.75, high: 1.2 };

    /// A price that was not read but taken from another provider. Assumed: the same thing differs by half between them.
    pub const ASSUMED: Band = Band { low: 0.5, high: 1.5 };
}

/// Year and month of `2025-01-14` or `2026-08`; `None` when it is neither.
fn month(date: &str) -> Option<u32> {
    let digits = |text: &str, length: usize| {
        (text.len() == length && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u32>().ok())?
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4).filter(|year| (2000..2100).contains(year))?;
    let month = digits(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
    if let Some(day) = parts.next() {
        digits(day, 2).filter(|day| (1..=31).contains(day))?;
    }
    parts.next().is_none().then_some(year * 12 + month - 1)
}

/// Whether a text is a date of the catalogue.
pub(crate) fn is_date(text: &str) -> bool {
    month(text).is_some()
}

/// The band of a price read on `date`, as seen on `today`; both `2025-01-14` or `2026-08`. `None`: not older than twelve months,
/// or one of them is no date. Whole months are counted, so a price is old from the first day of the thirteenth month on.
#[must_use]
pub fn age_band(date: &str, today: &str) -> Option<Band> {
    let months = month(today)?.saturating_sub(month(date)?);
    match months {
        0..=OLD_MONTHS => None,
        13..=24 => Some(Band::OLD),
        _ => Some(Band::OLDER),
    }
}

impl Source {
    /// What its prices may be on `today`: the wider of their age and of having been assumed.
    #[must_use]
    pub fn band(&self, today: &str) -> Band {
        let age = age_band(&self.date, today).unwrap_or(Band::EXACT);
        let assumed = if self.assumed { Band::ASSUMED } else { Band::EXACT };
        Band { low: age.low.min(assumed.low), high: age.high.max(assumed.high) }
    }
}
