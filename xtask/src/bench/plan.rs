//! `bench plan`: what planning takes, how fast years are played, and what an exact plan saves. The measurements are examples of
//! `plan` and `drill` and the command itself; here they are started one after the other and held against their goals.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::report::{Report, Row};
use crate::run::{cargo, output, run, say};

/// Calls of the whole command.
const CALLS: usize = 15;
/// An example with what it is told, its figures, and for each: what it is, its unit and its limit. More years a second are
/// better, so what has a limit there is the time of a thousand years.
struct Measurement {
    package: &'static str,
    example: &'static str,
    arguments: &'static [&'static str],
    figures: &'static [Figure],
}

/// Name, what it is, unit, limit in milliseconds, and whether it counts years a second.
type Figure = (&'static str, &'static str, &'static str, f64, bool);

const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        package: "plan",
        example: "bench_search",
        arguments: &[],
        figures: &[
            ("one service", "certified optimum, catalogue and all, <= 100 ms", "ms", 100.0, false),
            ("three services", "certified optimum, catalogue and all, <= 1000 ms", "ms", 1_000.0, false),
            ("20 services", "certified optimum, catalogue and all, <= 1000 ms", "ms", 1_000.0, false),
        ],
    },
    Measurement {
        package: "plan",
        example: "model_years",
        arguments: &["1000000"],
        figures: &[("years", "model, three zones: 1,000 years <= 10 ms", "years/s", 10.0, true)],
    },
    Measurement {
        package: "drill",
        example: "simulate",
        arguments: &["5000"],
        figures: &[("years", "decision code: 1,000 years <= 1000 ms", "years/s", 1_000.0, true)],
    },
];

/// Measures all of it; takes no options.
///
/// # Errors
/// When there are options, when something cannot be measured, or a goal was missed.
pub(super) fn plan(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`bench plan` takes no options");
    run(cargo(&["build", "--release", "--package", "evenkeel"]))?;
    let mut report = Report::new(false);
    whole(&mut report)?;
    for one in MEASUREMENTS {
        measure(one, &mut report)?;
    }
    report.finish()
}

/// The command as people call it.
fn whole(report: &mut Report) -> Result<()> {
    let root = crate::root();
    let program = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let program = program.join("release/evenkeel");
    say("evenkeel plan examples/shop/cloud.yaml");
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let mut command = std::process::Command::new(&program);
        command.args(["plan", "examples/shop/cloud.yaml"]).current_dir(&root).stdout(Stdio::null());
        let began = Instant::now();
        let status = command.status().with_context(|| format!("cannot start `{}`", program.display()))?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(status.success(), "`evenkeel plan` ended with {status}");
    }
    let worst = took.iter().copied().reduce(f64::max);
    report.goal("evenkeel plan", "whole command <= 200 ms, the slowest", worst, 200.0);
    report.row(Row::of("evenkeel plan", "whole command", "ms", took));
    Ok(())
}

fn measure(one: &Measurement, report: &mut Report) -> Result<()> {
    let words = ["run", "--release", "--package", one.package, "--example", one.example, "--"];
    let words: Vec<&str> = words.iter().chain(one.arguments).copied().collect();
    say(&format!("cargo {}", words.join(" ")));
    let text = output(cargo(&words))?;
    let scenario = format!("{} {}", one.package, one.example);
    for line in text.lines().filter(|line| !line.starts_with("figure ")) {
        println!("{line}");
    }
    for (name, goal, unit, limit_ms, years) in one.figures {
        let Some(value) = text.lines().find_map(|line| figure(line, name)) else {
            bail!("`{}` printed no figure `{name}`", one.example);
        };
        // As the time of a thousand years, so that less is better everywhere.
        let ms = if *years { 1e6 / value } else { value };
        report.goal(&scenario, &format!("{name}: {goal}"), Some(ms), *limit_ms);
        report.row(Row::of(&scenario, name, unit, vec![value]));
    }
    Ok(())
}

/// The value of a line `figure NAME = VALUE`; anything but a positive number is none.
fn figure(line: &str, name: &str) -> Option<f64> {
    let (named, value) = line.strip_prefix("figure ")?.split_once(" = ")?;
    let value: f64 = value.parse().ok()?;
    (named == name && value.is_finite() && value > 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_there() {
        for Measurement { package, example, .. } in MEASUREMENTS {
            let folder = crate::root().join("crates").join(package).join("examples");
            let there = folder.join(format!("{example}.rs")).exists() || folder.join(example).is_dir();
            assert!(there, "`{package}` has no example `{example}`");
        }
    }

    #[test]
    fn a_figure_is_one_of_that_name_and_a_number() {
        assert_eq!(figure("figure one service = 13.25", "one service"), Some(13.25));
        for line in
            ["figure two = 1", "one service = 1", "figure one service = NaN", "figure one service = 0"]
        {
            assert_eq!(figure(line, "one service"), None, "{line}");
        }
    }
}
