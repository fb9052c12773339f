//! `cargo xtask bench NAME`: side-by-side measurements against peers, each one command.

mod balance;

use anyhow::{Result, bail};

/// A measurement.
struct Scenario {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<Vec<Row>>,
}

/// Flags of every scenario.
#[derive(Debug, Default)]
pub struct Options {
    /// Print JSON lines.
    pub json: bool,
    /// Rounds; each measures every subject once.
    pub rounds: Option<usize>,
    /// Seconds a subject is loaded in one round.
    pub seconds: Option<u64>,
}

/// One subject beside its reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was done: `h1-64-1k`.
    pub scenario: String,
    /// Who did it: `evenkeel/haproxy`.
    pub subject: String,
    /// Median over the rounds.
    pub ratio: f64,
    /// Lowest of the rounds.
    pub low: f64,
    /// Highest of the rounds.
    pub high: f64,
    /// What the ratio is of.
    pub unit: &'static str,
}

const SCENARIOS: &[Scenario] = &[Scenario {
    name: "balance",
    about: "our front beside HAProxy and nginx: CPU time for one request",
    run: balance::balance,
}];

/// Runs the scenario named first in `arguments`, or lists them.
///
/// # Errors
/// An unknown name or flag, or a scenario that could not be measured.
pub fn bench(arguments: &[String]) -> Result<()> {
    let mut options = Options::default();
    let mut name = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--rounds" => options.rounds = Some(number(rest.next(), "--rounds")?),
            "--seconds" => options.seconds = Some(number(rest.next(), "--seconds")? as u64),
            other if other.starts_with('-') => bail!("`{other}` is no flag of `bench`"),
            other => name = Some(other),
        }
    }
    let Some(name) = name else {
        println!("measurements, `cargo xtask bench NAME [--json] [--rounds N] [--seconds N]`:");
        for scenario in SCENARIOS {
            println!("  {:<10} {}", scenario.name, scenario.about);
        }
        return Ok(());
    };
    let Some(scenario) = SCENARIOS.iter().find(|s| s.name == name) else {
        bail!("`{name}` is no measurement\nhint: `cargo xtask bench` lists them");
    };
    for row in (scenario.run)(&options)? {
        println!("{}", if options.json { row.json() } else { row.text() });
    }
    Ok(())
}

fn number(value: Option<&String>, flag: &str) -> Result<usize> {
    match value.and_then(|text| text.parse().ok()).filter(|count| (1..=1000).contains(count)) {
        Some(count) => Ok(count),
        None => bail!("`{flag}` needs a number from 1 to 1000"),
    }
}

impl Row {
    /// The median and range of the rounds.
    #[must_use]
    pub fn of(scenario: &str, subject: &str, unit: &'static str, mut rounds: Vec<f64>) -> Option<Row> {
        rounds.sort_by(f64::total_cmp);
        let middle = rounds.len() / 2;
        let (low, high) = (*rounds.first()?, *rounds.last()?);
        let ratio =
            if rounds.len() % 2 == 1 { rounds[middle] } else { (rounds[middle - 1] + rounds[middle]) / 2.0 };
        Some(Row { scenario: scenario.to_owned(), subject: subject.to_owned(), ratio, low, high, unit })
    }

    fn json(&self) -> String {
        format!(
            "{{\"kind\":\"bench\",\"format_version\":1,\"scenario\":\"{}\",\"subject\":\"{}\",\"ratio\":{:.4},\"low\":{:.4},\"high\":{:.4},\"unit\":\"{}\"}}",
            self.scenario, self.subject, self.ratio, self.low, self.high, self.unit
        )
    }

    fn text(&self) -> String {
        format!(
            "{:<12} {:<22} {:>7.2}  ({:.2} to {:.2})  {}",
            self.scenario, self.subject, self.ratio, self.low, self.high, self.unit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_range_of_the_rounds_are_given() {
        let row = Row::of("h1", "us/them", "x", vec![1.3, 1.1, 1.2]).unwrap();
        assert_eq!((row.ratio, row.low, row.high), (1.2, 1.1, 1.3));
        assert_eq!(
            row.json(),
            "{\"kind\":\"bench\",\"format_version\":1,\"scenario\":\"h1\",\"subject\":\"us/them\",\"ratio\":1.2000,\"low\":1.1000,\"high\":1.3000,\"unit\":\"x\"}"
        );
        assert_eq!(Row::of("h1", "us/them", "x", vec![1.0, 2.0]).unwrap().ratio, 1.5);
        assert_eq!(Row::of("h1", "us/them", "x", vec![]), None);
    }
}
