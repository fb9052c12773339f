//! `cargo xtask bench NAME`: measurements, each one command; side by side with peers where there are any.

mod balance;
mod change;
mod drills;
mod failover;
mod footprint;
mod load;
mod machine;
mod pauses;
mod plan;
mod report;
mod site;

use anyhow::{Result, bail};

use report::Report;

/// A measurement.
struct Scenario {
    name: &'static str,
    about: &'static str,
    run: fn(&Options, &mut Report) -> Result<()>,
}

/// Flags of every scenario.
#[derive(Debug, Default)]
struct Options {
    /// Print JSON lines.
    json: bool,
    /// Keep the folders of the runs, with their logs.
    keep: bool,
    /// How often everything is measured.
    rounds: Option<usize>,
    /// How long one round lasts; each scenario says what of it.
    seconds: Option<u64>,
    /// Only the cases whose name begins with one of these; all when empty.
    only: Vec<String>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "balance",
        about: "our front beside HAProxy and nginx: CPU time for one request",
        run: balance::balance,
    },
    Scenario {
        name: "change",
        about: "changed environment, memory and count under load: what callers see",
        run: change::change,
    },
    Scenario {
        name: "drills",
        about: "zone, process and front, killed, frozen and cut off, round after round",
        run: drills::drills,
    },
    Scenario {
        name: "footprint",
        about: "memory and idle CPU time of evenkeel's own processes; time of `plan` and `check`",
        run: footprint::footprint,
    },
    Scenario {
        name: "pauses",
        about: "replicas near their capacity that pause for 300 ms: who is ejected wrongly",
        run: pauses::pauses,
    },
];

/// A measurement that is a program of its own, with options of its own.
const FAILOVER: &str = "failover";

/// Another one, without any.
const PLAN: &str = "plan";

/// Runs the scenario named first in `arguments`, or lists them. What was measured before an error is printed too.
///
/// # Errors
/// An unknown name or flag, a scenario that could not be measured, or a goal that was missed.
pub fn bench(arguments: &[String]) -> Result<()> {
    if let [name, rest @ ..] = arguments
        && name == FAILOVER
    {
        return failover::failover(rest);
    }
    if let [name, rest @ ..] = arguments
        && name == PLAN
    {
        return plan::plan(rest);
    }
    let mut options = Options::default();
    let mut name = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--keep" => options.keep = true,
            "--rounds" => options.rounds = Some(number(rest.next(), "--rounds")?),
            "--seconds" => options.seconds = Some(number(rest.next(), "--seconds")? as u64),
            other if other.starts_with('-') => bail!("`{other}` is no flag of `bench`"),
            other if name.is_none() => name = Some(other),
            other => options.only.push(other.to_owned()),
        }
    }
    let Some(name) = name else {
        println!(
            "measurements, `cargo xtask bench NAME [CASE].. [--json] [--keep] [--rounds N] [--seconds N]`:"
        );
        for scenario in SCENARIOS {
            println!("  {:<10} {}", scenario.name, scenario.about);
        }
        println!("with options of its own, `cargo xtask bench {FAILOVER} --help`:");
        println!(
            "  {FAILOVER:<10} a primary killed, frozen, cut off and switched, beside Patroni, etcd and HAProxy"
        );
        println!("and `cargo xtask bench {PLAN}`:");
        println!(
            "  {PLAN:<10} the planner's search: time, and what it saves beside two simpler ways to plan"
        );
        return Ok(());
    };
    let Some(scenario) = SCENARIOS.iter().find(|s| s.name == name) else {
        bail!("`{name}` is no measurement\nhint: `cargo xtask bench` lists them");
    };
    let mut report = Report::new(options.json);
    let outcome = (scenario.run)(&options, &mut report);
    let judged = report.finish();
    outcome.and(judged)
}

impl Options {
    /// The cases that are wanted.
    ///
    /// # Errors
    /// A wanted case that does not exist.
    fn choose<'a>(&self, cases: &[&'a str]) -> Result<Vec<&'a str>> {
        for wanted in &self.only {
            if !cases.iter().any(|case| case.starts_with(wanted.as_str())) {
                bail!("`{wanted}` is no case\nhint: there are: {}", cases.join(", "));
            }
        }
        let chosen =
            |case: &&&str| self.only.is_empty() || self.only.iter().any(|w| case.starts_with(w.as_str()));
        Ok(cases.iter().filter(chosen).copied().collect())
    }
}

fn number(value: Option<&String>, flag: &str) -> Result<usize> {
    match value.and_then(|text| text.parse().ok()).filter(|count| (1..=3600).contains(count)) {
        Some(count) => Ok(count),
        None => bail!("`{flag}` needs a number from 1 to 3600"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_how_their_names_begin() {
        let cases = ["zone/kill", "zone/cut", "front/kill"];
        let of = |only: &[&str]| {
            let only = only.iter().map(|one| (*one).to_owned()).collect();
            Options { only, ..Options::default() }.choose(&cases)
        };
        assert_eq!(of(&[]).unwrap(), cases);
        assert_eq!(of(&["zone"]).unwrap(), ["zone/kill", "zone/cut"]);
        assert_eq!(of(&["zone/cut", "front"]).unwrap(), ["zone/cut", "front/kill"]);
        assert!(of(&["zone", "host"]).unwrap_err().to_string().starts_with("`host` is no case"));
    }

    #[test]
    fn flags_that_do_not_exist_are_refused() {
        let run = |words: &[&str]| bench(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert!(run(&["balance", "--fast"]).is_err());
        assert!(run(&["nothing"]).unwrap_err().to_string().contains("hint: `cargo xtask bench`"));
        assert!(run(&["drills", "--rounds", "0"]).is_err());
        assert!(run(&["drills", "--seconds", "soon"]).is_err());
    }
}
