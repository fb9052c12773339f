//! How much of what was written may be lost, and how often: the recovery point as a distribution.

use super::outage::in_a_year;
use super::{ChanceError, Outage, PerHour, Rates, explore, stationary};

/// How far a copy is behind at the moment of a loss, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behind {
    /// Not at all: every write was acknowledged by a copy that is left.
    Nothing,
    /// Exponential with this mean: a standby that follows.
    Mean {
        /// Mean seconds.
        seconds: f64,
    },
    /// Anywhere from 0 to this, each equally likely: a backup taken at an interval.
    Even {
        /// The interval in seconds.
        seconds: f64,
    },
    /// Exactly this, at worst: the bound of a lease.
    AtMost {
        /// Seconds.
        seconds: f64,
    },
    /// Everything: there is no copy.
    Everything,
}

impl Behind {
    /// Probability of being more than `seconds` behind. [`Behind::AtMost`] counts as its bound.
    #[must_use]
    pub fn exceeds(self, seconds: f64) -> f64 {
        match self {
            Behind::Nothing => 0.0,
            Behind::Mean { seconds: mean } => (-seconds / mean).exp(),
            Behind::Even { seconds: most } => ((most - seconds) / most).clamp(0.0, 1.0),
            Behind::AtMost { seconds: most } => f64::from(most > seconds),
            Behind::Everything => 1.0,
        }
    }

    fn check(self) -> Result<(), ChanceError> {
        match self {
            Behind::Mean { seconds } | Behind::Even { seconds } | Behind::AtMost { seconds }
                if !(seconds.is_finite() && seconds > 0.0) =>
            {
                Err(ChanceError::absurd(
                    "how far a copy is behind",
                    format!("{seconds} s"),
                    "finite and above 0",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// One way to lose writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// For people.
    pub name: String,
    /// How often in a year it happens at all.
    pub per_year: f64,
    /// What is lost then.
    pub behind: Behind,
}

/// How often more is lost than was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// In a year.
    pub per_year: f64,
    /// Probability of at least once in a year.
    pub in_a_year: f64,
    /// Each way's part of `per_year`, in the order given.
    pub parts: Vec<f64>,
}

/// How often the `losses` take more than the last `seconds` of writes.
///
/// # Errors
/// [`ChanceError::Absurd`] for a number that makes no sense.
pub fn lost(losses: &[Loss], seconds: f64) -> Result<Lost, ChanceError> {
    if !(seconds.is_finite() && seconds >= 0.0) {
        return Err(ChanceError::absurd("a recovery point", format!("{seconds} s"), "finite and from 0"));
    }
    let mut parts = Vec::new();
    for loss in losses {
        loss.behind.check()?;
        if !(loss.per_year.is_finite() && loss.per_year >= 0.0) {
            let what = format!("how often `{}` happens", loss.name);
            return Err(ChanceError::absurd(what, format!("{}/year", loss.per_year), "a finite rate from 0"));
        }
        parts.push(loss.per_year * loss.behind.exceeds(seconds));
    }
    let per_year = parts.iter().sum();
    Ok(Lost { per_year, in_a_year: in_a_year(per_year), parts })
}

/// How often in a year all `copies` are gone at once, each lost by `disk` (failures a year, hours until it is copied
/// anew) independently of the others. What takes several at once, a fire or a wrong command, must be counted beside it.
///
/// # Errors
/// [`ChanceError::Absurd`] for no copies, more than 20, or rates that are none.
pub fn all_copies_lost_per_year(copies: u8, disk: Outage) -> Result<f64, ChanceError> {
    if !(1..=20).contains(&copies) {
        return Err(ChanceError::absurd("the number of copies", copies, "from 1 to 20"));
    }
    let rates = Rates::of(disk, "a disk")?;
    if rates.fails == PerHour::NEVER {
        return Ok(0.0);
    }
    let copies = u32::from(copies);
    let found = explore(copies, 32, |left, go| {
        if left > 0 {
            go(left - 1, rates.fails.times(left));
        }
        if left < copies {
            // With none left it is begun anew, by whoever has a backup.
            go(left + 1, rates.mends.times(copies - left));
        }
    })?;
    let time = stationary(&found.chain)?;
    let last = found.number(&1).map_or(0.0, |number| time[number]);
    Ok(last * rates.fails.per_year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(value: f64, expected: f64, relative: f64) {
        assert!((value / expected - 1.0).abs() <= relative, "{value:e} is not {expected:e}");
    }

    fn once(per_year: f64, behind: Behind, seconds: f64) -> f64 {
        lost(&[Loss { name: "x".into(), per_year, behind }], seconds).unwrap().per_year
    }

    #[test]
    fn a_standby_that_follows_loses_more_than_asked_as_often_as_its_lag_says() {
        let follows = Behind::Mean { seconds: 0.5 };
        close(once(4.26, follows, 1.0), 0.58, 1e-2);
        close(once(4.26, follows, 5.0), 2e-4, 5e-2);
        assert_eq!(once(4.26, Behind::Nothing, 0.0), 0.0);
        // A lease is bounded: 8 s are never exceeded, and 7 s always count as if they were.
        let lease = Behind::AtMost { seconds: 8.0 };
        assert_eq!((once(0.6, lease, 8.0), once(0.6, lease, 7.0)), (0.0, 0.6));
        close(once(0.15, Behind::Even { seconds: 600.0 }, 300.0), 0.075, 1e-12);
        assert_eq!(once(0.1, Behind::Even { seconds: 600.0 }, 601.0), 0.0);
        assert_eq!(once(0.3, Behind::Everything, 1e9), 0.3);
    }

    #[test]
    fn ways_add_up_and_give_the_probability_of_a_year() {
        let losses = [
            Loss { name: "failover".into(), per_year: 4.0, behind: Behind::Mean { seconds: 0.5 } },
            Loss { name: "human error".into(), per_year: 0.15, behind: Behind::Even { seconds: 300.0 } },
        ];
        let lost = lost(&losses, 1.0).unwrap();
        close(lost.per_year, lost.parts.iter().sum(), 1e-15);
        close(lost.in_a_year, 1.0 - (-lost.per_year).exp(), 1e-12);
    }

    #[test]
    fn all_copies_die_together_as_the_product_says() {
        let disk = Outage { per_year: 0.0157, hours: 24.0 };
        let (rate, gone) = (0.0157 / 8_766.0, disk.unavailability());
        close(all_copies_lost_per_year(1, disk).unwrap(), 0.0157 / (1.0 + rate * 24.0), 1e-12);
        // Independent copies: the last goes while the others are gone.
        close(
            all_copies_lost_per_year(3, disk).unwrap(),
            3.0 * gone * gone * (1.0 - gone) * rate * 8_766.0,
            1e-12,
        );
        assert_eq!(all_copies_lost_per_year(2, Outage { per_year: 0.0, hours: 0.0 }).unwrap(), 0.0);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let disk = Outage { per_year: 0.1, hours: 1.0 };
        assert!(all_copies_lost_per_year(0, disk).is_err() && all_copies_lost_per_year(99, disk).is_err());
        assert!(lost(&[], f64::NAN).is_err());
        let bad = |per_year, behind| lost(&[Loss { name: "x".into(), per_year, behind }], 1.0).is_err();
        assert!(bad(f64::NAN, Behind::Nothing) && bad(1.0, Behind::Mean { seconds: 0.0 }));
        assert!(bad(-1.0, Behind::Nothing) && bad(1.0, Behind::Even { seconds: f64::INFINITY }));
    }
}
