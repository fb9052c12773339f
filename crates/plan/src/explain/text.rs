//! The reasons for the terminal.

use std::fmt::Write as _;

use super::{Cheapest, End, Explained, Frontier, Given, Relaxation, Relaxed, Sensitivity, Speed};
use crate::Planned;
use crate::change::as_written;
use crate::render::{Page, cents, minutes};

/// Assumptions that move less than this many minutes a year, and change no winner, are told together.
const SMALL_MIN: f64 = 0.05;

/// What would do when an objective is missed: a head, and a sentence for each way. `made`: changes that were asked for, which a
/// command repeats.
pub(crate) fn ways(relaxed: &Relaxed, is_local: bool, made: &Made<'_>) -> (&'static str, Vec<String>) {
    let mut told: Vec<String> = relaxed.ways.iter().map(|one| relaxation(one, is_local)).collect();
    let Some(first) = relaxed.ways.first() else { return ("", told) };
    if relaxed.cut {
        told.push("there may be other ways: the file is large, and not everything was tried".to_owned());
    }
    let new = first.changes.iter().map(|given| given.what_if.as_str());
    let what_if: Vec<&str> = made.what_if.iter().map(String::as_str).chain(new).collect();
    let without: String = made.without.iter().map(|name| format!("--without {name} ")).collect();
    let which = if relaxed.ways.len() > 1 { "the first of these" } else { "this" };
    told.push(format!("`{without}--what-if \"{}\"` shows what changes with {which}", what_if.join(", ")));
    let head = match first.changes.len() {
        1 => "what would do, each alone",
        _ => "what would do together, as nothing does alone",
    };
    (head, told)
}

/// Changes as the command line has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made<'a> {
    /// Each `--without`.
    pub without: &'a [String],
    /// Each `--what-if`.
    pub what_if: &'a [String],
}

/// What would do for what `plan` misses, below its difference to another; empty when nothing is missed.
#[must_use]
pub fn would_do(relaxed: &Relaxed, plan: &model::Plan, made: &Made<'_>, width: usize) -> String {
    let mut page = Page::new(width, false);
    let (head, told) = ways(relaxed, plan.provider == "local", made);
    page.items(head, &told);
    page.text
}

fn relaxation(relaxation: &Relaxation, is_local: bool) -> String {
    let changes: Vec<String> = relaxation.changes.iter().map(given).collect();
    let available = model::Availability { unavailability: relaxation.unavailability };
    let price = match is_local {
        true => available.to_string(),
        false => format!("{:.2} USD/month, {available}", relaxation.usd_month),
    };
    let cut = if relaxation.exact { "" } else { "; less may do" };
    format!("{} ({price}){cut}", changes.join(", and "))
}

fn given(given: &Given) -> String {
    let of = given.of.as_ref().map(|of| format!(" of `{of}`")).unwrap_or_default();
    let as_written = |value: &str| match given.objective.split_once('.') {
        // Other keys of `scale` stay as they are.
        Some((table, key)) if table != "scale" => format!("`{table}: {{ {key}: {value} }}`"),
        _ => format!("`{}: {value}`", given.objective),
    };
    match &given.becomes {
        Some(becomes) => format!("{}{of} instead of {}", as_written(becomes), given.asked),
        None => format!("without {}{of}", as_written(&given.asked)),
    }
}

/// What is said below a plan for those who ask why: a page of at most `width` columns where words allow it.
#[must_use]
pub fn reasons(explained: &Explained, width: usize, colour: bool) -> String {
    let mut page = Page::new(width, colour);
    let reasons = &explained.reasons;
    let worth = reasons.worth.iter().map(|worth| {
        let price = match explained.planned.plan.provider.as_str() {
            "local" => "nothing on this machine".to_owned(),
            _ if worth.usd_month.abs() < 5e-7 => {
                "nothing: the cheapest plan without it costs as much".to_owned()
            }
            _ => format!("{} USD/month", cents(worth.usd_month)),
        };
        let instead =
            if worth.without.same { String::new() } else { format!(" (else {})", worth.without.name) };
        format!("`{}` costs {price}{instead}", worth.objective)
    });
    page.items("what each objective costs", &worth.collect::<Vec<_>>());
    ladder(&mut page, &reasons.frontier, explained);
    page.items("how much hangs on each assumption", &assumptions(&reasons.assumptions));
    page.items("how much hangs on old and assumed prices", &prices(&reasons.prices));
    page.items("how much hangs on machines that nobody measured", &speeds(&reasons.speeds, explained));
    page.text
}

fn ladder(page: &mut Page, frontier: &Frontier, explained: &Explained) {
    let each = match frontier.unit {
        "replicas" => "",
        _ => "; USD for each minute less than above",
    };
    page.head(&format!("the cheapest for each availability, {}{each}", frontier.unit));
    let chosen = explained.planned.plan.availability.unavailability;
    for rung in &frontier.kept {
        let down = model::Availability { unavailability: rung.unavailability };
        let own = (rung.unavailability - chosen).abs() <= 1e-9 * chosen;
        let mark = if own { "  <- this plan" } else { "" };
        let min_year = minutes(down.downtime_min_year());
        let cost =
            if frontier.unit == "replicas" { rung.cost.to_string() } else { format!("{:.2}", rung.cost) };
        let each = rung.usd_per_avoided_min.map(|each| format!("  {} a minute less", cents(each)));
        let each = each.unwrap_or_default();
        page.line(&format!("  {cost:>10}  {down:>10}  {min_year:>8} min/year{each}{mark}"));
    }
}

/// What becomes of the plan at one end, when that is worth a word.
fn happens(end: &End, own_usd: f64) -> Option<String> {
    match &end.cheapest {
        None => Some("nothing keeps every objective".to_owned()),
        Some(other) if !other.same => Some(instead(other, end, own_usd)),
        Some(_) if !end.kept => Some("an objective is missed".to_owned()),
        Some(_) => None,
    }
}

fn instead(other: &Cheapest, end: &End, own_usd: f64) -> String {
    let more = other.usd_month - end.usd_month;
    let cut = if other.exact { "" } else { ", or something cheaper" };
    match (end.kept, more.abs() < 0.005, own_usd == 0.0) {
        (_, true, _) | (_, _, true) => format!("another is the cheapest, {}{cut}", other.name),
        (true, ..) => format!("another is {:.2} USD/month cheaper, {}{cut}", -more, other.name),
        (false, ..) => format!(
            "this one is too often down, and the cheapest is {more:+.2} USD/month, {}{cut}",
            other.name
        ),
    }
}

fn assumptions(rows: &[Sensitivity]) -> Vec<String> {
    let mut all = Vec::new();
    let (mut small, mut sum) = (0, 0.0);
    for row in rows {
        let ends = [("at", &row.low), ("at", &row.high)];
        let told: Vec<String> = ends
            .into_iter()
            .filter_map(|(at, end)| Some(format!("{at} {}: {}", end.value, happens(end, end.usd_month)?)))
            .collect();
        let costs = (row.high.usd_month - row.low.usd_month).abs() >= 0.005;
        if row.swing() < SMALL_MIN && told.is_empty() && !costs {
            (small, sum) = (small + 1, sum + row.swing());
            continue;
        }
        let (low, high) = match costs {
            true => (cents(row.low.usd_month), cents(row.high.usd_month)),
            false => (minutes(row.low.min_year), minutes(row.high.min_year)),
        };
        let mut text = format!(
            "{low} to {high} {} for `{}` of {} to {} {}",
            if costs { "USD/month" } else { "min/year" },
            as_written(&row.name),
            row.low.value,
            row.high.value,
            row.unit
        );
        for told in told {
            let _ = write!(text, "; {told}");
        }
        all.push(text);
    }
    if small > 0 {
        all.push(format!("{small} others move it by {} min/year together", minutes(sum)));
    }
    all
}

fn prices(rows: &[Sensitivity]) -> Vec<String> {
    let mut all = Vec::new();
    for row in rows {
        let told: Vec<String> = [&row.low, &row.high]
            .into_iter()
            .filter_map(|end| Some(format!("at {} times: {}", end.value, happens(end, end.usd_month)?)))
            .collect();
        if row.low.usd_month == row.high.usd_month && told.is_empty() {
            continue;
        }
        let (low, high) = (row.low.usd_month, row.high.usd_month);
        let mut text = format!("{low:.2} to {high:.2} USD/month for {}", row.what);
        for told in told {
            let _ = write!(text, "; {told}");
        }
        all.push(text);
    }
    all
}

fn speeds(rows: &[Speed], explained: &Explained) -> Vec<String> {
    let own = explained.planned.plan.usd_month.usd();
    let told = |row: &Speed| match (row.cheaper(own), &row.cheapest) {
        (Some(other), _) => {
            format!(
                "with their {} figure another would be the cheapest, {:.2} USD/month: {}",
                row.level, other.usd_month, other.name
            )
        }
        (None, Some(_)) => format!("with their {} figure nothing is cheaper than this plan", row.level),
        (None, None) => format!("with their {} figure nothing keeps every objective", row.level),
    };
    rows.iter().map(told).collect()
}

/// One line for those who did not ask why: that another plan would be the cheapest, if machines that nobody measured are as
/// fast as the middle, or the best, of their CPU. `None`: none would.
#[must_use]
pub fn faster(planned: &Planned, speeds: &[Speed]) -> Option<String> {
    let own = planned.plan.usd_month.usd();
    let cheaper = speeds
        .iter()
        .filter_map(|row| Some(format!("{:.2} USD/month at the {}", row.cheaper(own)?.usd_month, row.level)));
    let cheaper: Vec<String> = cheaper.collect();
    let what = "machines that nobody measured are planned with at the low figure of their CPU";
    (!cheaper.is_empty()).then(|| {
        format!("{what}; another plan would be the cheapest, {}: `--why` names it", cheaper.join(", "))
    })
}
