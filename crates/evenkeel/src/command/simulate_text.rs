//! What `evenkeel simulate` prints, for people and for scripts.

use std::fmt::{Display, Write};

use plan::chance::Cause;
use serde_json::{Value, json};

use super::simulate::{Decisions, FEWER, Placements, Report};
use crate::wire::years::{Compared, Takeovers, Verdict};

const MIN_YEAR: f64 = 8_766.0 * 60.0;

/// Years that nobody waits for.
const ENDLESS: f64 = 1e9;
/// The most that `--years` takes.
const YEARS_MOST: f64 = 1e7;

/// `12,345`.
pub fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `` `db`, `log` ``.
pub fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Three digits, whatever the size.
fn three(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// Minutes a year of a share of time.
fn minutes(share: f64) -> String {
    three(share * MIN_YEAR)
}

/// `fewer`: of so many years that are asked for, these play one.
fn verdict(compared: &Compared, fewer: u32) -> String {
    let apart =
        compared.sigmas().map_or(String::new(), |sigmas| format!("{:.1} sigma apart: ", sigmas.abs()));
    match compared.verdict {
        Verdict::Agree => format!("{apart}they agree"),
        Verdict::Safe => {
            format!("{apart}what is computed is a bound, and what is played is on its safe side")
        }
        Verdict::Disagree => format!("{apart}they DISAGREE"),
        Verdict::TooFew(years) if years * f64::from(fewer) <= YEARS_MOST => {
            format!("too few years to tell: `--years {}` would do", round_up(years * f64::from(fewer)))
        }
        Verdict::TooFew(_) => "too few years to tell: too little happens in any number of them".to_owned(),
    }
}

/// Two digits, rounded up.
fn round_up(years: f64) -> u64 {
    let unit = 10_f64.powf((years.max(1.0).log10().floor() - 1.0).max(0.0));
    ((years / unit).ceil() * unit) as u64
}

/// How many years in which time.
fn speed(years: u32, took: std::time::Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-6);
    let rate = grouped((f64::from(years) / seconds) as u64);
    format!("{} years in {} s ({rate} a second)", grouped(years), three(seconds))
}

fn both(out: &mut String, compared: &Compared, fewer: u32) {
    let Compared { computed, played, deviation, .. } = compared;
    let _ = writeln!(out, "  computed  {:>9} min/year", minutes(*computed));
    let _ = writeln!(out, "  played    {:>9} min/year, +- {}", minutes(*played), minutes(*deviation));
    let _ = writeln!(out, "  {}", verdict(compared, fewer));
}

/// The report for people.
pub fn text(report: &Report) -> String {
    let subject = &report.subject;
    let mut out = String::new();
    let zones = subject.model.zones;
    let place = match subject.provider.as_str() {
        "local" => "this machine, as if each of its zones were a data centre".to_owned(),
        provider => format!("{provider} {}", subject.region),
    };
    let plural = if zones == 1 { "zone" } else { "zones" };
    let _ = writeln!(out, "{}: {place}, {zones} {plural}; seed {}\n", subject.app, report.seed);
    let _ = writeln!(out, "the availability model: {}", speed(report.played.years, report.took));
    both(&mut out, &report.compared, 1);
    causes(&mut out, report);
    for decisions in &report.decisions {
        section(&mut out, decisions);
    }
    report.placements.iter().for_each(|placements| placing(&mut out, placements));
    if !report.not_played.is_empty() {
        let _ = writeln!(out, "\nnot played");
        for sentence in &report.not_played {
            let _ = writeln!(out, "  {sentence}");
        }
    }
    if !report.agrees() {
        let _ = writeln!(
            out,
            "\nwhat was played contradicts what was computed: do not rely on this plan's figures"
        );
    }
    out
}

/// Every cause with its computed and played minutes, and the standard deviation of the played ones.
fn rows(report: &Report) -> Vec<(String, f64, f64, f64)> {
    let computed = |cause: &Cause| {
        let same = report.subject.answer.causes.iter().find(|(other, _)| other == cause);
        same.map_or(0.0, |(_, share)| share.min_year())
    };
    let all = report.played.causes.iter();
    let row = |(cause, share, deviation): &(Cause, plan::chance::Unavailability, f64)| {
        let name = report.subject.model.cause(cause);
        (name, computed(cause), share.min_year(), deviation * MIN_YEAR)
    };
    let mut rows: Vec<_> = all.map(row).filter(|row| row.1 > 0.0 || row.2 > 0.0).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    rows
}

fn causes(out: &mut String, report: &Report) {
    let rows = rows(report);
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
    let _ = writeln!(out, "  minutes a year by cause");
    for (name, computed, played, deviation) in rows {
        let (computed, played) = (three(computed), three(played));
        let _ =
            writeln!(out, "    {name:<width$}  {computed:>9}  played {played:>9} +- {}", three(deviation));
    }
}

fn section(out: &mut String, decisions: &Decisions) {
    let Decisions { case, played, outcome, took } = decisions;
    let group = &case.group;
    let witness = if group.witnesses > 0 { ", one a witness" } else { "" };
    let _ = writeln!(
        out,
        "\nthe keepers' rules of {}, {} nodes{witness}: {}",
        names(&case.names),
        group.nodes,
        speed(played.years, *took)
    );
    let _ = writeln!(
        out,
        "  zones, nodes and takeovers alone, beside the model of these with takeovers as long as played"
    );
    both(out, &outcome.compared, FEWER);
    let [taking, waiting] = outcome.computed;
    let _ = writeln!(out, "  minutes a year by cause");
    for (name, computed, share) in
        [("takeovers", taking, played.taking), ("waiting for a repair", waiting, played.waiting)]
    {
        let (computed, of_time) = (minutes(computed), minutes(share.of_time));
        let deviation = minutes(share.deviation);
        let _ = writeln!(out, "    {name:<20}  {computed:>9}  played {of_time:>9} +- {deviation}");
    }
    match &outcome.takeovers {
        Some(takeovers) => lengths(out, takeovers),
        None => {
            let _ = writeln!(out, "  no takeover in these years");
        }
    }
    let planned = minutes(outcome.as_planned);
    let _ = writeln!(out, "  with takeovers as planned the model has {planned} min/year of these causes");
}

fn placing(out: &mut String, placements: &Placements) {
    let Placements { case, played, compared, took } = placements;
    let service = &case.service;
    let _ = writeln!(
        out,
        "\nthe rules that place {}, {} replicas of which {} are needed: {}",
        names(&case.names),
        service.replicas,
        service.needed,
        speed(played.years, *took)
    );
    let _ = writeln!(out, "  zones and machines alone, beside the model of these, in which nothing is moved");
    both(out, compared, FEWER);
    let (late, deviation) = (minutes(played.late.of_time), minutes(played.late.deviation));
    let outages = grouped(played.outages);
    let _ = writeln!(
        out,
        "  {outages} outages; for {late} +- {deviation} min/year there was room, and the replicas were not there yet"
    );
}

fn lengths(out: &mut String, takeovers: &Takeovers) {
    let Takeovers { count, mean, p50, p90, p99, longest, planned, .. } = takeovers;
    let _ = writeln!(
        out,
        "  {} takeovers: mean {mean:.2} s, p50 {p50:.2} s, p90 {p90:.2} s, p99 {p99:.2} s, longest {longest:.2} s",
        grouped(count)
    );
    let _ = match takeovers.is_slow() {
        true => {
            writeln!(out, "  they take LONGER than the mean of {planned} s that the plan takes for granted")
        }
        false => writeln!(out, "  the plan takes a mean of {planned} s for granted: they keep it"),
    };
}

fn compared_json(compared: &Compared) -> Value {
    let (word, needed) = match compared.verdict {
        Verdict::Agree => ("agree", None),
        Verdict::Safe => ("safe", None),
        Verdict::Disagree => ("disagree", None),
        Verdict::TooFew(years) => {
            ("too_few_years", Some(years).filter(|years| *years < ENDLESS).map(round_up))
        }
    };
    json!({
        "computed_unavailability": compared.computed, "computed_min_year": compared.computed * MIN_YEAR,
        "played_unavailability": compared.played, "played_min_year": compared.played * MIN_YEAR,
        "deviation": compared.deviation, "deviation_min_year": compared.deviation * MIN_YEAR,
        "sigmas": compared.sigmas().filter(|sigmas| sigmas.is_finite()), "verdict": word, "years_needed": needed,
    })
}

fn cause_json(name: &str, computed: f64, played: f64, deviation: f64) -> Value {
    json!({
        "name": name, "computed_min_year": computed, "played_min_year": played, "deviation_min_year": deviation,
    })
}

fn run_json(mut value: Value, years: u32, took: std::time::Duration, causes: Vec<Value>) -> Value {
    value["years"] = years.into();
    value["seconds"] = took.as_secs_f64().into();
    value["causes"] = causes.into();
    value
}

/// The report for scripts: one object.
pub fn json(report: &Report) -> Value {
    let subject = &report.subject;
    let model = rows(report).into_iter();
    let model =
        model.map(|(name, computed, played, deviation)| cause_json(&name, computed, played, deviation));
    let decisions: Vec<Value> = report.decisions.iter().map(decisions_json).collect();
    let placements: Vec<Value> = report.placements.iter().map(placements_json).collect();
    json!({
        "kind": "simulate", "format_version": 1, "app": subject.app, "provider": subject.provider,
        "region": subject.region, "zones": subject.model.zones, "seed": report.seed,
        "model": run_json(compared_json(&report.compared), report.played.years, report.took, model.collect()),
        "decisions": decisions, "placements": placements, "not_played": report.not_played, "agrees": report.agrees(),
    })
}

fn decisions_json(decisions: &Decisions) -> Value {
    let Decisions { case, played, outcome, took } = decisions;
    let [taking, waiting] = outcome.computed;
    let cause = |name, computed: f64, share: drill::simulate::Share| {
        cause_json(name, computed * MIN_YEAR, share.of_time * MIN_YEAR, share.deviation * MIN_YEAR)
    };
    let causes = vec![
        cause("takeovers", taking, played.taking),
        cause("waiting for a repair", waiting, played.waiting),
    ];
    let mut value = run_json(compared_json(&outcome.compared), played.years, *took, causes);
    value["databases"] = case.names.clone().into();
    value["nodes"] = case.group.nodes.into();
    value["witness"] = (case.group.witnesses > 0).into();
    value["as_planned_min_year"] = (outcome.as_planned * MIN_YEAR).into();
    value["takeovers"] = outcome.takeovers.map_or(Value::Null, |takeovers| {
        json!({
            "count": takeovers.count, "mean_s": takeovers.mean, "p50_s": takeovers.p50, "p90_s": takeovers.p90,
            "p99_s": takeovers.p99, "longest_s": takeovers.longest, "planned_mean_s": takeovers.planned,
            "slow": takeovers.is_slow(),
        })
    });
    value
}

fn placements_json(placements: &Placements) -> Value {
    let Placements { case, played, compared, took } = placements;
    let mut value = run_json(compared_json(compared), played.years, *took, Vec::new());
    value["services"] = case.names.clone().into();
    value["replicas"] = case.service.replicas.into();
    value["needed"] = case.service.needed.into();
    value["outages"] = played.outages.into();
    value["late_min_year"] = (played.late.of_time * MIN_YEAR).into();
    value["late_deviation_min_year"] = (played.late.deviation * MIN_YEAR).into();
    value
}
