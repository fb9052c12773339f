//! What is assumed about the world: each number with its band, its unit and where it comes from.
//!
//! The high end of a band is always the worse one, so that everything at `high` is the pessimistic world. Bands are meant
//! to hold nine times of ten. Where nobody has published a figure, the entry says that it is an assumption. What drills
//! and operation show replaces them, by the rule of Bayes with Gamma distributions, the more the more was seen.

use super::gamma::quantile;
use super::{ChanceError, Outage};
use model::App;

/// What a prior counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Events in a year of 8,766 hours.
    PerYear,
    /// Mean duration in hours.
    Hours,
    /// Mean duration in seconds.
    Seconds,
    /// Mean size in kB, 1,000 bytes.
    Kilobytes,
    /// A factor.
    Times,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unit::PerYear => "per year",
            Unit::Hours => "hours",
            Unit::Seconds => "s",
            Unit::Kilobytes => "kB",
            Unit::Times => "times",
        })
    }
}

/// Which end of the bands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// The good end.
    Low,
    /// What is expected.
    #[default]
    Mid,
    /// The bad end.
    High,
}

/// One assumption.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    /// How it is called, such as `zone_outage.per_year`.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// Of `low`, `mid` and `high`.
    pub unit: Unit,
    /// The good end.
    pub low: f64,
    /// What is expected.
    pub mid: f64,
    /// The bad end.
    pub high: f64,
    /// Where it comes from; begins with `assumed` when nobody published it.
    pub source: String,
}

/// All assumptions, in the order in which they are printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Assumptions {
    priors: Vec<Prior>,
}

/// Name, what it is, unit, low, mid, high, source.
type Row = (&'static str, &'static str, Unit, [f64; 3], &'static str);

use Unit::{Hours, Kilobytes, PerYear, Seconds, Times};

/// Where `mid` is the figure of a source, the band around it is assumed unless it says otherwise.
const TABLE: &[Row] = &[
    (
        "zone_outage.per_year",
        "a zone is lost",
        PerYear,
        [0.05, 0.2, 0.5],
        "assumed; providers publish single events only",
    ),
    (
        "zone_outage.hours",
        "a lost zone is back after",
        Hours,
        [1.0, 4.0, 24.0],
        "assumed; power loss of a part of a site about 6 h, overheating 1 to 2 days (Dean, 2008)",
    ),
    (
        "machine_failure.per_year",
        "a machine fails",
        PerYear,
        [0.2, 0.56, 4.0],
        "Dean, 2008: 1,000 failures a year of 1,800 servers",
    ),
    (
        "machine_failure.hours",
        "a failed machine is replaced after",
        Hours,
        [0.1, 4.0, 12.0],
        "assumed: a person orders another",
    ),
    (
        "database_node.per_year",
        "a node of a database fails, with its machine or alone",
        PerYear,
        [1.0, 4.0, 12.0],
        "assumed: once in 90 days",
    ),
    ("database_node.hours", "a node of a database is a copy again after", Hours, [0.1, 0.5, 4.0], "assumed"),
    ("cache_node.per_year", "a node of a cache fails", PerYear, [1.0, 4.0, 12.0], "assumed: once in 90 days"),
    ("cache_node.hours", "a node of a cache is back after", Hours, [0.05, 1.0 / 6.0, 1.0], "assumed"),
    (
        "takeover_quorum.seconds",
        "another node of a quorum serves after",
        Seconds,
        [1.0, 2.0, 5.0],
        "the keeper's goal (docs/decisions/0005-failover.md)",
    ),
    (
        "takeover_lease.seconds",
        "the standby of a lease serves after",
        Seconds,
        [6.5, 10.0, 12.0],
        "the lease, a margin and an election (docs/decisions/0007-lease-mode.md)",
    ),
    ("takeover_cache.seconds", "a replica of a cache serves after", Seconds, [5.0, 15.0, 30.0], "assumed"),
    (
        "takeover_managed.seconds",
        "a provider's standby serves after",
        Seconds,
        [35.0, 90.0, 120.0],
        "AWS on RDS Multi-AZ: 60 to 120 s typical; low end one team's report",
    ),
    (
        "deploy_failures.per_year",
        "a change breaks every replica",
        PerYear,
        [1.0, 4.0, 12.0],
        "assumed: one in a quarter",
    ),
    (
        "deploy_failures.hours",
        "a broken change is taken back after",
        Hours,
        [0.05, 1.0 / 6.0, 1.0],
        "assumed: ten minutes",
    ),
    (
        "region_outage.per_year",
        "the region or its control plane is lost",
        PerYear,
        [0.05, 0.1, 0.3],
        "assumed; us-east-1 in December 2021 and October 2025",
    ),
    (
        "region_outage.hours",
        "a lost region is back after",
        Hours,
        [2.0, 5.0, 14.5],
        "assumed; about 7 h in December 2021, 14.5 h in October 2025",
    ),
    (
        "human_error.per_year",
        "somebody's mistake takes the application down",
        PerYear,
        [0.05, 0.13, 0.5],
        "Uptime Institute, 2025: 40 % of organisations had a major one in 3 years",
    ),
    ("human_error.hours", "a mistake is made good after", Hours, [0.5, 2.0, 8.0], "assumed: a restore"),
    (
        "spot_pool.per_year",
        "a pool of spot machines (a type in a zone) is taken back",
        PerYear,
        [0.6, 1.2, 3.0],
        "AWS Spot Advisor, 2025: below 5 % to above 20 % of machines a month; as one pool, assumed",
    ),
    ("spot_pool.hours", "a pool of spot machines is back after", Hours, [0.25, 1.0, 6.0], "assumed"),
    (
        "disk_loss.per_year",
        "a disk is lost with its data",
        PerYear,
        [0.0131, 0.0157, 0.03],
        "Backblaze: 1.57 % in 2024, 1.31 % over all years; network disks are better",
    ),
    ("disk_loss.hours", "a lost disk is copied anew after", Hours, [1.0, 6.0, 24.0], "assumed"),
    ("standby_lag.seconds", "a standby that follows is behind by", Seconds, [0.1, 0.5, 5.0], "assumed"),
    ("region_lag.seconds", "a copy in another region is behind by", Seconds, [1.0, 5.0, 60.0], "assumed"),
    (
        "response.kilobytes",
        "an answer has",
        Kilobytes,
        [2.0, 18.0, 37.0],
        "HTTP Archive, Web Almanac 2024: 18 kB of HTML for the median page, 37 kB for each of its 71 requests",
    ),
    (
        "write.kilobytes",
        "a writing transaction sends each standby",
        Kilobytes,
        [1.0, 4.0, 16.0],
        "assumed: some rows with their indexes, and now and then a whole page of 8 kB",
    ),
    (
        "detour.times",
        "a round trip of users takes longer than light in glass on the great circle",
        Times,
        [1.0, 2.0, 3.0],
        "Bozkurt et al., 2018 (arXiv:1811.10737): about 2.1 times, a rule of thumb from measurements, rounded down; band assumed",
    ),
];

impl Default for Assumptions {
    fn default() -> Assumptions {
        let make = |&(name, what, unit, [low, mid, high], source): &Row| Prior {
            name,
            what,
            unit,
            low,
            mid,
            high,
            source: source.to_owned(),
        };
        Assumptions { priors: TABLE.iter().map(make).collect() }
    }
}

impl Assumptions {
    /// All of them, to be printed.
    #[must_use]
    pub fn all(&self) -> &[Prior] {
        &self.priors
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ChanceError::Unknown`] with the names that would be right.
    pub fn get(&self, name: &str) -> Result<&Prior, ChanceError> {
        self.priors.iter().find(|prior| prior.name == name).ok_or_else(|| self.unknown(name))
    }

    /// The value of `name` at `level`, in its unit.
    ///
    /// # Errors
    /// As [`Assumptions::get`].
    pub fn at(&self, name: &str, level: Level) -> Result<f64, ChanceError> {
        let prior = self.get(name)?;
        Ok(match level {
            Level::Low => prior.low,
            Level::Mid => prior.mid,
            Level::High => prior.high,
        })
    }

    /// The outage of which `kind.per_year` and `kind.hours` are known, both at `level`.
    ///
    /// # Errors
    /// As [`Assumptions::get`].
    pub fn outage(&self, kind: &str, level: Level) -> Result<Outage, ChanceError> {
        let part = |of: &str| self.at(&format!("{kind}.{of}"), level);
        Ok(Outage { per_year: part("per_year")?, hours: part("hours")? })
    }

    /// Those that apply to `app`: of this version, what the file sets, which has no band, and what drills have shown.
    ///
    /// # Errors
    /// As [`Assumptions::set`] and [`Assumptions::learn`].
    pub fn of(app: &App) -> Result<Assumptions, ChanceError> {
        let mut all = Assumptions::default();
        for (name, value) in &app.assume {
            all.set(name, *value)?;
        }
        for (name, seen) in &app.seen {
            all.learn(name, seen.count, seen.exposure)?;
        }
        if app.placement.users.is_empty() {
            // Nothing hangs on it, and a certificate states what something hangs on.
            all.priors.retain(|prior| prior.name != "detour.times");
        }
        Ok(all)
    }

    /// Somebody knows better: `value` replaces all three, in the unit of the prior.
    ///
    /// # Errors
    /// [`ChanceError::Unknown`], or [`ChanceError::Absurd`] for a value that is not finite, negative or, of a duration, 0.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), ChanceError> {
        let prior = self.find(name)?;
        let least = match prior.unit {
            PerYear => value >= 0.0,
            // Nothing is faster than the straight way.
            Times => value >= 1.0,
            Hours | Seconds | Kilobytes => value > 0.0,
        };
        let rule = match prior.unit {
            Times => "a number from 1, at most a million",
            _ => "a number above 0, at most a million",
        };
        if !(value.is_finite() && least && value <= 1e6) {
            let what = format!("`{name}`");
            return Err(ChanceError::absurd(what, format!("{value} {}", prior.unit), rule));
        }
        (prior.low, prior.mid, prior.high) = (value, value, value);
        prior.source = "set in the file".to_owned();
        Ok(())
    }

    /// The same with the bad end of each band as what is expected.
    #[must_use]
    pub fn pessimistic(mut self) -> Assumptions {
        self.priors.iter_mut().for_each(|prior| prior.mid = prior.high);
        self
    }

    /// What was seen replaces what was assumed. A rate: `count` events in an `exposure` of years (of one machine, one zone:
    /// machine-years). A duration: `count` repairs that took an `exposure` of the prior's unit altogether.
    ///
    /// The prior is taken as a Gamma distribution of the rate with the mean `mid` and the width of the band; the new band
    /// holds nine times of ten.
    ///
    /// # Errors
    /// [`ChanceError::Unknown`], or [`ChanceError::Absurd`] for an exposure that is not finite or negative, or events
    /// without any.
    pub fn learn(&mut self, name: &str, count: u32, exposure: f64) -> Result<(), ChanceError> {
        let prior = self.find(name)?;
        if !(exposure.is_finite() && exposure >= 0.0) || (exposure == 0.0 && count > 0) {
            let what = format!("the exposure of `{name}`");
            return Err(ChanceError::absurd(what, exposure, "finite, and above 0 when something was seen"));
        }
        let seen = f64::from(count);
        // Nine of ten lie within 1.645 deviations of a normal distribution.
        let relative = (prior.high - prior.low).max(0.0) / (2.0 * 1.645 * prior.mid);
        if prior.mid <= 0.0 || relative < 1e-9 {
            // Somebody set it: that is no opinion to be changed by a drill.
            prior.source.push_str("; what drills have shown is not counted");
            return Ok(());
        }
        let shape = relative.powi(-2) + seen;
        if prior.unit == PerYear {
            let scale = relative.powi(-2) / prior.mid + exposure;
            (prior.low, prior.mid) = (quantile(shape, 0.05) / scale, shape / scale);
            prior.high = quantile(shape, 0.95) / scale;
        } else {
            // The rate of being done has the Gamma distribution; a slow one is a long duration.
            let scale = relative.powi(-2) * prior.mid + exposure;
            (prior.low, prior.mid) = (scale / quantile(shape, 0.95), scale / shape);
            prior.high = scale / quantile(shape, 0.05);
        }
        for end in [&mut prior.low, &mut prior.mid, &mut prior.high] {
            *end = three_digits(*end);
        }
        let of = match prior.unit {
            PerYear => "years",
            Hours => "h",
            Seconds => "s",
            Kilobytes => "kB",
            Times => "ways",
        };
        let long = (exposure * 100.0).round() / 100.0;
        prior.source = format!("{count} seen in {long} {of}, before that: {}", prior.source);
        Ok(())
    }

    fn find(&mut self, name: &str) -> Result<&mut Prior, ChanceError> {
        let unknown = self.unknown(name);
        self.priors.iter_mut().find(|prior| prior.name == name).ok_or(unknown)
    }

    fn unknown(&self, name: &str) -> ChanceError {
        let known: Vec<&str> = self.priors.iter().map(|prior| prior.name).collect();
        ChanceError::Unknown { kind: "prior", name: name.to_owned(), known: known.join(" ") }
    }
}

/// To three significant digits: more is not known, and it is printed.
fn three_digits(value: f64) -> f64 {
    let text = format!("{value:.2e}");
    // cannot fail: it was written as a number.
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_band_is_in_order_and_has_a_source() {
        let assumed = Assumptions::default();
        for prior in assumed.all() {
            assert!(0.0 < prior.low && prior.low <= prior.mid && prior.mid <= prior.high, "{prior:?}");
            assert!(!prior.source.is_empty() && !prior.what.is_empty(), "{prior:?}");
            let unit = prior.name.split_once('.').unwrap().1;
            assert_eq!(
                unit,
                ["per_year", "hours", "seconds", "kilobytes", "times"][prior.unit as usize],
                "{prior:?}"
            );
            assert_eq!(assumed.all().iter().filter(|other| other.name == prior.name).count(), 1);
        }
        let zone = assumed.outage("zone_outage", Level::Mid).unwrap();
        assert_eq!(zone, Outage { per_year: 0.2, hours: 4.0 });
        assert_eq!(
            assumed.at("takeover_lease.seconds", Level::Mid).unwrap() * 1e3,
            model::Mode::Lease.rto_ms().unwrap() as f64
        );
        assert_eq!(
            assumed.at("takeover_quorum.seconds", Level::Mid).unwrap() * 1e3,
            model::Mode::Quorum.rto_ms().unwrap() as f64
        );
    }

    #[test]
    fn what_is_set_replaces_the_band_and_mistakes_name_the_way_out() {
        let mut assumed = Assumptions::default();
        assumed.set("deploy_failures.per_year", 2.0).unwrap();
        assert_eq!(assumed.at("deploy_failures.per_year", Level::High), Ok(2.0));
        assert_eq!(assumed.get("deploy_failures.per_year").unwrap().source, "set in the file");
        let error = assumed.set("zone_outages.per_year", 1.0).unwrap_err().to_string();
        assert!(
            error.starts_with("no prior `zone_outages.per_year`; known are zone_outage.per_year "),
            "{error}"
        );
        assert_eq!(
            assumed.set("zone_outage.hours", f64::NAN).unwrap_err().to_string(),
            "`zone_outage.hours` is NaN hours; it must be a number above 0, at most a million"
        );
        assert!(assumed.set("zone_outage.hours", 0.0).is_err());
        assert!(assumed.set("zone_outage.per_year", 0.0).is_ok());
        assert!(assumed.learn("zone_outage.hours", 1, -1.0).is_err());
        assert!(assumed.learn("zone_outage.hours", 1, 0.0).is_err());
        assert!(assumed.learn("nothing", 1, 1.0).is_err());
    }

    #[test]
    fn the_more_was_seen_the_less_was_assumed() {
        let learnt = |name, count, exposure| {
            let mut assumed = Assumptions::default();
            assumed.learn(name, count, exposure).unwrap();
            assumed.get(name).unwrap().clone()
        };
        // Nothing seen in no time: nothing learnt.
        let none = learnt("machine_failure.per_year", 0, 0.0);
        assert!((none.mid - 0.56).abs() < 1e-12);
        // A quiet time makes it better, a bad one worse, and much of either narrows the band around what was seen.
        assert!(learnt("machine_failure.per_year", 0, 10.0).mid < 0.2);
        assert!(learnt("machine_failure.per_year", 30, 10.0).mid > 2.0);
        let much = learnt("machine_failure.per_year", 3_000, 1_000.0);
        assert!((much.mid - 3.0).abs() < 0.01 && much.high / much.low < 1.07, "{much:?}");
        let takeover = learnt("takeover_quorum.seconds", 400, 400.0 * 1.3);
        assert!(
            (takeover.mid - 1.3).abs() < 0.02 && takeover.low < 1.3 && takeover.high > 1.3,
            "{takeover:?}"
        );
        assert!(takeover.source.starts_with("400 seen in 520 s, before that: the keeper's goal"));
        // What somebody set stays.
        let mut assumed = Assumptions::default();
        assumed.set("takeover_quorum.seconds", 3.0).unwrap();
        assumed.learn("takeover_quorum.seconds", 400, 400.0).unwrap();
        let set = assumed.get("takeover_quorum.seconds").unwrap();
        assert_eq!((set.low, set.mid, set.high), (3.0, 3.0, 3.0));
        assert_eq!(set.source, "set in the file; what drills have shown is not counted");
    }
}
