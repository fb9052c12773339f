//! The top of the page: what it is, and whether it is what was asked.

use std::fmt::Write as _;

use model::{Availability, Plan};

use super::{escaped, sentence};
use crate::explain::Explained;
use crate::render::{latency, minutes};

pub(super) fn head(explained: &Explained, made: &str) -> String {
    let plan = &explained.planned.plan;
    let robust = explained.planned.proof.terms.pessimistic.is_some();
    let place = match plan.provider.as_str() {
        "local" => "this machine".to_owned(),
        provider => format!("{} {}", provider, plan.region),
    };
    let zones = match plan.zones.len() {
        1 => "1 zone".to_owned(),
        count => format!("{count} zones"),
    };
    let kind = if robust { "Robust plan" } else { "Plan" };
    let mut html = format!(
        "<header>\n<p class=\"kind\">{kind} for</p>\n<h1>{}</h1>\n<p class=\"place\">{} · {zones} · made {}</p>\n</header>\n",
        escaped(plan.app.as_str()),
        escaped(&place),
        escaped(made)
    );
    let (class, verdict) = match plan.feasible {
        true if latency(plan) => ("good", "✓ every objective but latency is met; a drill judges that"),
        true if plan.objectives.latency.is_some() => ("good", "✓ every objective but latency is met"),
        true => ("good", "✓ every objective is met"),
        false => ("bad", "✗ an objective is missed"),
    };
    let _ = writeln!(html, "<p class=\"verdict {class}\">{verdict}</p>");
    for less in less(plan) {
        let _ = writeln!(html, "<p class=\"verdict warn\">{less}</p>");
    }
    let _ = writeln!(html, "<p class=\"certain\">{}</p>", sentence(&plan.certain));
    if !plan.missed.is_empty() {
        let missed: String =
            plan.missed.iter().map(|missed| format!("<li>{}</li>", sentence(missed))).collect();
        let _ = writeln!(html, "<ul class=\"missed\">{missed}</ul>");
    }
    let _ = writeln!(html, "<dl class=\"tiles\">{}</dl>", tiles(plan));
    html
}

/// What of the plan is less than it looks like.
fn less(plan: &Plan) -> impl Iterator<Item = String> {
    let idle = plan.lines.iter().filter(|line| line.not_applied.is_some()).count();
    let lines = if idle == 1 { "1 line".to_owned() } else { format!("{idle} lines") };
    let idle =
        (idle > 0).then(|| format!("{lines} of the bill not applied: this version starts, and keeps, less"));
    let local = (plan.provider == "local").then(|| "one machine: not highly available".to_owned());
    idle.into_iter().chain(local)
}

fn tiles(plan: &Plan) -> String {
    let asked = &plan.objectives;
    let down = plan.availability.downtime_min_year();
    let (cost, under) = match (plan.provider.as_str(), asked.budget) {
        ("local", _) => ("0".to_owned(), "nothing is paid for this machine".to_owned()),
        (_, Some(budget)) => (plan.usd_month.to_string(), format!("of {budget} that may be spent")),
        (_, None) => (plan.usd_month.to_string(), "no budget was asked".to_owned()),
    };
    let of = |asked: Option<Availability>, text: &dyn Fn(Availability) -> String| match asked {
        Some(asked) => text(asked),
        None => "none was asked".to_owned(),
    };
    let share = |part: f64, whole: f64| if whole > 0.0 { Some(part / whole) } else { None };
    let mut html = String::new();
    let budget = asked.budget.and_then(|budget| share(plan.usd_month.usd(), budget.usd()));
    html.push_str(&tile("USD a month", &cost, &under, budget));
    let under = of(asked.availability, &|asked| format!("{asked} was asked"));
    html.push_str(&tile("availability", &plan.availability.to_string(), &under, None));
    let under = of(asked.availability, &|asked| {
        format!("of {} that may be lost", minutes(asked.downtime_min_year()))
    });
    let used = asked.availability.and_then(|asked| share(down, asked.downtime_min_year()));
    html.push_str(&tile("minutes down a year", &minutes(down), &under, used));
    if let Some(risk) = plan.risks.iter().max_by(|a, b| a.in_a_year.total_cmp(&b.in_a_year)) {
        let bound = if risk.bound && risk.in_a_year > 0.0 { "at most " } else { "" };
        let percent = format!("{bound}{} %", percent(risk.in_a_year));
        html.push_str(&tile("of years miss a recovery objective", &percent, &risk.objective, None));
    }
    html
}

/// Two digits that matter.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0".to_owned(),
        small if small < 0.01 => format!("{small:.0e}"),
        small if small < 1.0 => format!("{small:.2}"),
        _ => format!("{percent:.1}"),
    }
}

fn tile(what: &str, value: &str, under: &str, used: Option<f64>) -> String {
    let gauge = used.map_or_else(String::new, |used| {
        let (class, width) = (if used > 1.0 { "bad" } else { "good" }, used.clamp(0.0, 1.0) * 100.0);
        format!("<dd class=\"gauge {class}\"><i style=\"width:{width:.1}%\"></i></dd>")
    });
    format!(
        "<div class=\"tile\"><dt>{}</dt><dd class=\"value\">{}</dd><dd class=\"under\">{}</dd>{gauge}</div>",
        escaped(what),
        escaped(value),
        escaped(under)
    )
}
