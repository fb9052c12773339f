use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a quantity: what was expected, with an example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct BadQuantity {
    /// What would have been right, with an example.
    pub expected: &'static str,
}

/// A size in bytes. Units are binary as in compose: `512M` is 512 MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bytes(pub u64);

/// A duration in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Duration(pub u64);

/// Thousandths of one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MilliCpu(pub u32);

/// Millionths of a US dollar, exact in sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Money(pub i64);

/// Requests per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Rate(pub f64);

/// Availability, kept as its complement so that 99.999 % loses no digits.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Availability {
    /// Expected share of the year (8,766 h) in which the objective is not met, in 0..1.
    pub unavailability: f64,
}

/// Splits `12.5ms` into `12.5` and `ms`. Plain decimal digits only: no sign, exponent, `inf`, or separators.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.len() > 18 || number.ends_with('.') {
        return None;
    }
    number.parse::<f64>().ok().map(|n| (n, unit.trim_start()))
}

/// `number * factor` as a whole count, or nothing when it does not fit in 2^53 or is not whole.
fn whole(number: f64, factor: f64) -> Option<u64> {
    let value = number * factor;
    // Above 2^53 an f64 no longer holds each whole number, so what the user wrote would silently change.
    (value <= 9_007_199_254_740_992.0 && (value - value.round()).abs() < 1e-6).then(|| value.round() as u64)
}

impl FromStr for Bytes {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        const BAD: BadQuantity =
            BadQuantity { expected: "a size such as `512M` or `100G` (binary: 1M = 1024 * 1024 bytes)" };
        let (number, unit) = split(text).ok_or(BAD)?;
        let shift = match unit.to_ascii_lowercase().as_str() {
            "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(BAD),
        };
        whole(number, (1u64 << shift) as f64).map(Bytes).ok_or(BAD)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            n if n >= 1 << 40 && n % (1 << 40) == 0 => (n >> 40, "T"),
            n if n >= 1 << 30 && n % (1 << 30) == 0 => (n >> 30, "G"),
            n if n >= 1 << 20 && n % (1 << 20) == 0 => (n >> 20, "M"),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => (n >> 10, "K"),
            n => (n, "B"),
        };
        f.pad(&format!("{value}{unit}"))
    }
}

impl FromStr for Duration {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        const BAD: BadQuantity = BadQuantity {
            expected: "a duration with its unit, such as `500ms`, `10s`, `5m`, `12h` or `30d`",
        };
        let (number, unit) = split(text).ok_or(BAD)?;
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            _ => return Err(BAD),
        };
        whole(number, factor).map(Duration).ok_or(BAD)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            0 => (0, "s"),
            n if n % 86_400_000 == 0 => (n / 86_400_000, "d"),
            n if n % 3_600_000 == 0 => (n / 3_600_000, "h"),
            n if n % 60_000 == 0 => (n / 60_000, "m"),
            n if n % 1_000 == 0 => (n / 1_000, "s"),
            n => (n, "ms"),
        };
        f.pad(&format!("{value}{unit}"))
    }
}

impl FromStr for Rate {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        const BAD: BadQuantity = BadQuantity { expected: "a rate such as `400rps` or `50/s`" };
        let (number, unit) = split(text).ok_or(BAD)?;
        let rate = match unit {
            "rps" | "/s" => number,
            "/min" | "/m" => number / 60.0,
            _ => return Err(BAD),
        };
        if rate > 1e9 { Err(BAD) } else { Ok(Rate(rate)) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}rps", self.0))
    }
}

impl FromStr for Availability {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        const BAD: BadQuantity =
            BadQuantity { expected: "a percentage from 0% to below 100%, such as `99.95%`" };
        let number = text.strip_suffix('%').ok_or(BAD)?.trim_end();
        let (percent, rest) = split(number).ok_or(BAD)?;
        if !rest.is_empty() || percent >= 100.0 {
            return Err(BAD);
        }
        Ok(Availability { unavailability: (100.0 - percent) / 100.0 })
    }
}

impl Availability {
    /// Expected minutes of downtime in a year of 8,766 h.
    #[must_use]
    pub fn downtime_min_year(self) -> f64 {
        self.unavailability * 8_766.0 * 60.0
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One digit past the nines, so that neither 99.9951 nor 99.9999997 reads as more than it is.
        let digits = if self.unavailability > 0.0 {
            (-self.unavailability.log10()).clamp(0.0, 12.0) as usize
        } else {
            0
        };
        // Parts that add up to all of the time may add up to a little more.
        let percent = (1.0 - self.unavailability).max(0.0) * 100.0;
        let scale = 10f64.powi(digits as i32);
        f.pad(&format!("{:.*}%", digits, (percent * scale + 1e-6).floor() / scale))
    }
}

impl Money {
    /// An amount of US dollars, rounded to a millionth.
    #[must_use]
    pub fn from_usd(usd: f64) -> Money {
        Money((usd * 1e6).round() as i64)
    }

    /// The amount in US dollars.
    #[must_use]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2}", self.usd()))
    }
}

impl std::ops::Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(all: I) -> Money {
        all.fold(Money(0), |sum, one| sum + one)
    }
}

impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}", f64::from(self.0) / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr + fmt::Display>(text: &str, expected: Option<&str>) {
        assert_eq!(text.parse::<T>().ok().map(|value| value.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn quantities_carry_units_and_hold_what_was_written() {
        check::<Bytes>("512M", Some("512M"));
        check::<Bytes>("1.5GiB", Some("1536M"));
        check::<Bytes>("100", None);
        check::<Bytes>("1e3M", None);
        check::<Bytes>("999999999999T", None);
        check::<Duration>("500ms", Some("500ms"));
        check::<Duration>("90s", Some("90s"));
        check::<Duration>("1.5h", Some("90m"));
        check::<Duration>("-1s", None);
        check::<Duration>("1", None);
        check::<Duration>("0.0001ms", None);
        check::<Rate>("400rps", Some("400rps"));
        check::<Rate>("50/s", Some("50rps"));
        check::<Rate>("400", None);
        check::<Rate>("infrps", None);
    }

    #[test]
    fn availability_keeps_its_nines() {
        check::<Availability>("99.95%", Some("99.950%"));
        check::<Availability>("100%", None);
        check::<Availability>("99.95", None);
        check::<Availability>("NaN%", None);
        let five_nines: Availability = "99.999%".parse().unwrap();
        assert_eq!(Availability { unavailability: 1.0 + f64::EPSILON }.to_string(), "0%");
        assert!((five_nines.downtime_min_year() - 5.2596).abs() < 1e-4);
    }
}
