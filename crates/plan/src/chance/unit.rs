//! Rates and shares of time, so that neither is taken for the other where they meet.

use serde::{Deserialize, Serialize};

use super::ChanceError;

/// Hours of the year all figures refer to: 365.25 days.
pub(crate) const HOURS_YEAR: f64 = 8_766.0;

/// Something that fails now and then and is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// Failures in a year of operation.
    pub per_year: f64,
    /// Mean hours until it is well again.
    pub hours: f64,
}

impl Outage {
    /// Long-run share of time it is down, in 0..1: `r / (1 + r)` with `r` = failure rate times repair time.
    #[must_use]
    pub fn unavailability(self) -> f64 {
        let ratio = self.per_year / HOURS_YEAR * self.hours;
        ratio / (1.0 + ratio)
    }
}

/// Largest rate that is accepted: one in a microsecond. Beyond that a unit was mistaken.
const PER_HOUR_MAX: f64 = 3.6e9;

/// Longest mean repair that is accepted, in hours: a century.
const HOURS_MAX: f64 = 100.0 * HOURS_YEAR;

/// How often something happens while it can, in events per hour: finite, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct PerHour(f64);

impl PerHour {
    /// Never.
    pub const NEVER: PerHour = PerHour(0.0);

    /// `value` events in an hour.
    ///
    /// # Errors
    /// [`ChanceError::Absurd`] for NaN, a negative rate, and more than one in a microsecond.
    pub fn new(value: f64) -> Result<PerHour, ChanceError> {
        if (0.0..=PER_HOUR_MAX).contains(&value) {
            return Ok(PerHour(value));
        }
        Err(ChanceError::absurd("a rate", format!("{value}/hour"), "from 0 to one in a microsecond"))
    }

    /// Once in `hours` on average.
    ///
    /// # Errors
    /// [`ChanceError::Absurd`] when that is no rate.
    pub fn once_in(hours: f64) -> Result<PerHour, ChanceError> {
        PerHour::new(1.0 / hours)
    }

    /// Events in an hour.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Events in a year of 8,766 hours.
    #[must_use]
    pub fn per_year(self) -> f64 {
        self.0 * HOURS_YEAR
    }

    /// `count` independent things of this rate.
    pub(crate) fn times(self, count: u32) -> PerHour {
        PerHour(self.0 * f64::from(count))
    }
}

/// The two rates of something that fails and is repaired. Both are 0 when it never fails or is well at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub(crate) fails: PerHour,
    pub(crate) mends: PerHour,
}

impl Rates {
    /// Checks what was given for `what`.
    pub(crate) fn of(outage: Outage, what: &str) -> Result<Rates, ChanceError> {
        let fails = PerHour::new(outage.per_year / HOURS_YEAR).map_err(|_| {
            let value = format!("{}/year", outage.per_year);
            ChanceError::absurd(format!("how often {what} fails"), value, "a finite rate from 0")
        })?;
        if !(0.0..=HOURS_MAX).contains(&outage.hours) {
            let value = format!("{} hours", outage.hours);
            return Err(ChanceError::absurd(format!("the repair of {what}"), value, "from 0 to 100 years"));
        }
        if fails == PerHour::NEVER || outage.hours == 0.0 {
            return Ok(Rates { fails: PerHour::NEVER, mends: PerHour::NEVER });
        }
        Ok(Rates { fails, mends: PerHour::once_in(outage.hours)? })
    }

    /// Long-run share of time in which it is down.
    pub(crate) fn down(self) -> f64 {
        if self.fails == PerHour::NEVER { 0.0 } else { self.fails.0 / (self.fails.0 + self.mends.0) }
    }

    /// Long-run share of time in which it is up; no `1 - small`.
    pub(crate) fn up(self) -> f64 {
        if self.fails == PerHour::NEVER { 1.0 } else { self.mends.0 / (self.fails.0 + self.mends.0) }
    }

    /// How often it fails in the long run, counting that it cannot while it is down.
    pub(crate) fn frequency(self) -> PerHour {
        PerHour(self.fails.0 * self.up())
    }
}

/// Long-run share of time in which something is down, in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Unavailability(f64);

impl Unavailability {
    /// The share `value`; rounding beyond 1 is cut off.
    pub(crate) fn of(value: f64) -> Unavailability {
        Unavailability(value.clamp(0.0, 1.0))
    }

    /// The share itself, in 0..=1.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Minutes of downtime in a year of 8,766 hours.
    #[must_use]
    pub fn min_year(self) -> f64 {
        self.0 * HOURS_YEAR * 60.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rate_is_refused_by_name() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e12] {
            assert!(PerHour::new(bad).is_err(), "{bad}");
        }
        assert!(PerHour::once_in(0.0).is_err());
        let say = |per_year, hours| Rates::of(Outage { per_year, hours }, "a zone").unwrap_err().to_string();
        assert_eq!(say(-1.0, 1.0), "how often a zone fails is -1/year; it must be a finite rate from 0");
        assert_eq!(say(1.0, f64::NAN), "the repair of a zone is NaN hours; it must be from 0 to 100 years");
    }

    #[test]
    fn shares_add_up_and_agree_with_the_outage() {
        let outage = Outage { per_year: 0.2, hours: 4.0 };
        let rates = Rates::of(outage, "x").unwrap();
        assert!((rates.down() / outage.unavailability() - 1.0).abs() < 1e-14);
        assert!((rates.down() + rates.up() - 1.0).abs() < 1e-15);
        // As often down as up again.
        assert!((rates.frequency().get() / (rates.down() * rates.mends.get()) - 1.0).abs() < 1e-14);
        assert_eq!(Rates::of(Outage { per_year: 5.0, hours: 0.0 }, "x").unwrap().down(), 0.0);
    }
}
