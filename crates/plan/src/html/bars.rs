//! What can be told by the length of a bar: the bill, the causes of downtime, the assumptions.

use std::fmt::Write as _;

use model::Plan;

use super::head::percent;
use super::{escaped, sentence};
use crate::change::as_written;
use crate::explain::{Cheapest, Explained, Sensitivity};
use crate::render::{each, longer_than, minutes, quantity, share, times};

pub(super) fn bill(plan: &Plan) -> String {
    let whole = plan.usd_month.usd();
    let mut lines: Vec<_> = plan.lines.iter().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.usd_month));
    let rows: String = lines
        .into_iter()
        .map(|line| {
            let share = if whole > 0.0 { line.usd_month.usd() / whole * 100.0 } else { 0.0 };
            let dated = if line.date.is_empty() { String::new() } else { format!(" · {}", line.date) };
            let not = line.not_applied.as_ref().map(|why| {
                format!("<span class=\"source not\">not applied by evenkeel: {}</span>", sentence(why))
            });
            format!(
                "<tr><td>{} × {}<span class=\"source\">{}</span>{}</td><td class=\"number quiet\">{}</td>\
                 <td class=\"number\">{}<span class=\"bar\"><i style=\"width:{share:.1}%\"></i></span></td></tr>\n",
                quantity(line.quantity),
                escaped(&line.item),
                escaped(&format!("{}{dated}", line.source)),
                not.unwrap_or_default(),
                each(line.unit_usd),
                line.usd_month
            )
        })
        .collect();
    format!(
        "<section>\n<h2>The bill</h2>\n<div class=\"card\"><table class=\"bill\">\n<thead><tr><th>item, and where its price was \
         read</th><th class=\"number\">each</th><th class=\"number\">USD a month</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         <tfoot><tr><td>in all</td><td></td><td class=\"number\">{}</td></tr></tfoot>\n</table></div>\n</section>\n",
        plan.usd_month
    )
}

pub(super) fn causes(plan: &Plan) -> String {
    let most = plan.causes.iter().map(|cause| cause.min_year).fold(0.0, f64::max);
    let rows: String = plan
        .causes
        .iter()
        .map(|cause| {
            let share = if most > 0.0 { cause.min_year / most * 100.0 } else { 0.0 };
            format!(
                "<li><span class=\"what\">{}</span><span class=\"bar\"><i style=\"width:{share:.2}%\"></i></span>\
                 <span class=\"number\">{}</span></li>\n",
                sentence(&cause.name),
                minutes(cause.min_year)
            )
        })
        .collect();
    format!(
        "<section>\n<h2>Where the downtime comes from, minutes a year</h2>\n<ul class=\"card bars\">\n{rows}</ul>\n</section>\n"
    )
}

pub(super) fn risks(plan: &Plan) -> String {
    if plan.risks.is_empty() {
        return String::new();
    }
    let rows: String = plan
        .risks
        .iter()
        .map(|risk| {
            let bound = if risk.bound && risk.per_year > 0.0 { "at most " } else { "" };
            let times = if risk.per_year == 0.0 {
                "0".to_owned()
            } else if risk.per_year < 0.005 {
                format!("{:.0e}", risk.per_year)
            } else {
                format!("{:.2}", risk.per_year)
            };
            format!(
                "<tr><td><code>{}</code></td><td class=\"number\">{bound}{times}</td><td class=\"number\">{bound}{} %</td></tr>\n",
                escaped(&risk.objective),
                percent(risk.in_a_year)
            )
        })
        .collect();
    format!(
        "<section>\n<h2>How often recovery takes or loses more than was asked</h2>\n<div class=\"card\"><table>\n<thead><tr>\
         <th>objective</th><th class=\"number\">times a year</th><th class=\"number\">of years</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

pub(super) fn outages(plan: &Plan) -> String {
    let rows = plan.outages.iter().map(|outage| {
        let bound = if outage.bound && outage.per_year > 0.0 { "at most " } else { "" };
        often(&longer_than(outage.longer_than_s), bound, outage.per_year, outage.in_a_year)
    });
    counted("How often it goes down", "outages", rows.collect())
}

pub(super) fn losses(plan: &Plan) -> String {
    let rows = plan.losses.iter().map(|loss| {
        let what = format!("`{}`: {}", loss.database, loss.what);
        often(&what, "", loss.per_year, loss.in_a_year)
    });
    counted("How often data is lost", "what is lost, and with what", rows.collect())
}

pub(super) fn users(plan: &Plan) -> String {
    if plan.round_trips.is_empty() {
        return String::new();
    }
    let row = |trip: &model::RoundTrip| {
        format!(
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{:.0} ms</td></tr>\n",
            escaped(&trip.place),
            share(trip.share),
            trip.ms
        )
    };
    let rows: String = plan.round_trips.iter().map(row).collect();
    format!(
        "<section>\n<h2>Where the users are</h2>\n<div class=\"card\"><table>\n<thead><tr><th>place</th><th class=\"number\">of \
         users</th><th class=\"number\">round trip</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

fn often(what: &str, bound: &str, per_year: f64, in_a_year: f64) -> String {
    format!(
        "<tr><td>{}</td><td class=\"number\">{bound}{}</td><td class=\"number\">{bound}{} %</td></tr>\n",
        sentence(what),
        times(per_year),
        percent(in_a_year)
    )
}

fn counted(title: &str, what: &str, rows: String) -> String {
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<section>\n<h2>{title}</h2>\n<div class=\"card\"><table>\n<thead><tr><th>{what}</th><th class=\"number\">times a year</th>\
         <th class=\"number\">of years</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

/// Assumptions that move less than this many minutes a year are only counted.
const SMALL_MIN: f64 = 0.05;

/// How much the downtime hangs on each assumption, from the good to the bad end of its band.
pub(super) fn tornado(explained: &Explained) -> String {
    let plan = &explained.planned.plan;
    let rows = &explained.reasons.assumptions;
    let own = plan.availability.downtime_min_year();
    let allowed = plan.objectives.availability.map(|asked| asked.downtime_min_year());
    let ends = rows.iter().flat_map(|row| [row.low.min_year, row.high.min_year]);
    let (low, high) = ends.fold((own, own), |(low, high), end| (low.min(end), high.max(end)));
    // What may be lost is shown when it is not so far away that nothing else could be seen.
    let allowed = allowed.filter(|allowed| *allowed < high + 2.0 * (high - low));
    let high = allowed.map_or(high, |allowed| high.max(allowed));
    let (from, to) = ((low - 0.06 * (high - low)).max(0.0), high + 0.04 * (high - low));
    let at = |value: f64| ((value - from) / (to - from).max(1e-12) * 100.0).clamp(0.0, 100.0);
    let scale = Scale { at: &at, own, allowed };
    let (told, small): (Vec<_>, Vec<_>) = rows.iter().partition(|row| {
        row.swing() >= SMALL_MIN || note(&row.low, row).is_some() || note(&row.high, row).is_some()
    });
    let mut html: String = told.into_iter().map(|row| tornado_row(row, &scale)).collect();
    if !small.is_empty() {
        let _ = writeln!(
            html,
            "<li class=\"rest\">{} others move it by less than {SMALL_MIN} minutes each</li>",
            small.len()
        );
    }
    let allowed = allowed.map_or_else(String::new, |allowed| {
        format!(" <span class=\"key allowed\">{} may be lost</span>", minutes(allowed))
    });
    format!(
        "<section>\n<h2>How much hangs on each assumption, minutes down a year</h2>\n<p class=\"keys\">\
         <span class=\"key own\">{} planned</span>{allowed} <span class=\"key better\">good end of the band</span> \
         <span class=\"key worse\">bad end</span></p>\n<ul class=\"card tornado\">\n{html}</ul>\n</section>\n",
        minutes(own)
    )
}

struct Scale<'a> {
    at: &'a dyn Fn(f64) -> f64,
    own: f64,
    allowed: Option<f64>,
}

fn tornado_row(row: &Sensitivity, scale: &Scale<'_>) -> String {
    let at = &scale.at;
    let (low, own, high) = (at(row.low.min_year), at(scale.own), at(row.high.min_year));
    let allowed = scale.allowed.map_or_else(String::new, |allowed| {
        format!("<i class=\"allowed\" style=\"left:{:.2}%\"></i>", at(allowed))
    });
    let notes: String = [&row.low, &row.high].into_iter().filter_map(|end| note(end, row)).collect();
    format!(
        "<li><p class=\"what\">{}<span class=\"source\"><code>{}</code> {} to {} {}</span></p>\
         <p class=\"track\"><i class=\"better\" style=\"left:{low:.2}%;width:{:.2}%\"></i>\
         <i class=\"worse\" style=\"left:{own:.2}%;width:{:.2}%\"></i>{allowed}<i class=\"own\" style=\"left:{own:.2}%\"></i></p>\
         <p class=\"number\">{} to {}</p>{notes}</li>\n",
        escaped(&row.what),
        escaped(as_written(&row.name)),
        short(row.low.value),
        short(row.high.value),
        escaped(&row.unit),
        (own - low).max(0.0),
        (high - own).max(0.0),
        minutes(row.low.min_year),
        minutes(row.high.min_year)
    )
}

/// As few digits as tell it: a sixth is 0.167.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What becomes of the plan at one end, when that is worth a word.
fn note(end: &crate::explain::End, row: &Sensitivity) -> Option<String> {
    let told = |class: &str, text: &str| {
        let what = format!("at {} {}: {text}", short(end.value), row.unit);
        Some(format!("<p class=\"note {class}\">{}</p>", escaped(&what)))
    };
    match &end.cheapest {
        None => told("bad", "nothing keeps every objective"),
        Some(Cheapest { same: false, name, usd_month, .. }) => {
            let more = usd_month - end.usd_month;
            let price = if more == 0.0 { String::new() } else { format!(" ({more:+.2} USD/month)") };
            told("warn", &format!("another plan is the cheapest{price}: {name}"))
        }
        Some(_) if !end.kept => told("bad", "this plan misses an objective"),
        Some(_) => None,
    }
}
