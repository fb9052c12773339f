//! What is best said in sentences: why this, what each objective costs, what is assumed, what is certain.

use super::{escaped, sentence};
use crate::explain::{Explained, Made, ways};

pub(super) fn words(explained: &Explained) -> String {
    let plan = &explained.planned.plan;
    let mut html = section("Why this plan", &plan.why.iter().map(|why| sentence(why)).collect::<Vec<_>>());
    let rejected: Vec<String> = plan
        .rejected
        .iter()
        .map(|other| {
            let (reason, name) = (sentence(&other.reason), escaped(&other.name));
            format!(
                "{reason} <span class=\"source\">{name} · {} USD/month · {}</span>",
                other.usd_month, other.availability
            )
        })
        .collect();
    html += &section("What was not taken", &rejected);
    html += &section("What each objective costs", &worth(explained));
    html += &section("Prices that are old or assumed", &prices(explained));
    html += &section("Machines that nobody measured", &speeds(explained));
    html += &section("What is assumed", &plan.assumed.iter().map(|line| sentence(line)).collect::<Vec<_>>());
    html + &foot(explained)
}

/// What would do for what is missed; nothing when nothing is.
pub(super) fn would_do(explained: &Explained) -> String {
    let (head, told) = ways(&explained.relaxed, explained.planned.plan.provider == "local", &Made::default());
    let mut title: String = head.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    section(&title, &told.iter().map(|line| sentence(line)).collect::<Vec<_>>())
}

fn section(title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    format!("<section>\n<h2>{title}</h2>\n<ul class=\"card list\">\n{items}</ul>\n</section>\n")
}

fn worth(explained: &Explained) -> Vec<String> {
    let local = explained.planned.plan.provider == "local";
    let each = explained.reasons.worth.iter().map(|worth| {
        let price = match worth.usd_month {
            _ if local => "nothing is paid on this machine".to_owned(),
            usd if usd.abs() < 0.005 => "nothing: the cheapest plan without it costs as much".to_owned(),
            usd => format!("<b>{usd:.2}</b> USD a month"),
        };
        let other = match worth.without.same {
            true => String::new(),
            false => format!("<span class=\"source\">without it: {}</span>", escaped(&worth.without.name)),
        };
        format!("<code>{}</code> {price}{other}", escaped(&worth.objective))
    });
    each.collect()
}

fn prices(explained: &Explained) -> Vec<String> {
    let rows = explained.reasons.prices.iter();
    let told = rows.filter_map(|row| {
        let wins = [&row.low, &row.high].into_iter().filter_map(|end| {
            let other = end.cheapest.as_ref().filter(|other| !other.same && other.usd_month < end.usd_month - 0.005)?;
            Some(format!(
                "<span class=\"source\">at {} times the price another plan is {:.2} USD a month cheaper: {}</span>",
                end.value,
                end.usd_month - other.usd_month,
                escaped(&other.name)
            ))
        });
        let wins: String = wins.collect();
        let moves = row.high.usd_month - row.low.usd_month > 0.005;
        let text = match moves {
            true => format!(
                "{}: this plan costs <b>{:.2}</b> to <b>{:.2}</b> USD a month",
                escaped(&row.what),
                row.low.usd_month,
                row.high.usd_month
            ),
            false => format!("{}: this plan pays none of them", escaped(&row.what)),
        };
        (moves || !wins.is_empty()).then(|| format!("{text}{wins}"))
    });
    told.collect()
}

fn speeds(explained: &Explained) -> Vec<String> {
    let own = explained.planned.plan.usd_month.usd();
    let each = explained.reasons.speeds.iter().map(|row| match &row.cheapest {
        Some(other) if !other.same && own - other.usd_month >= 0.005 => format!(
            "the {} figure of their CPU would change the winner: {:.2} USD a month less<span class=\"source\">{}</span>",
            row.level,
            own - other.usd_month,
            escaped(&other.name)
        ),
        _ => format!("with the {} figure of their CPU nothing is cheaper than this plan", row.level),
    });
    let mut all: Vec<String> = each.collect();
    if !all.is_empty() {
        all.insert(0, "plans count on the low figure of their CPU".to_owned());
    }
    all
}

fn foot(explained: &Explained) -> String {
    let proof = &explained.planned.proof;
    format!(
        "<footer><p>{} regions and numbers of zones were looked at; <code>evenkeel plan -o</code> writes the certificate, \
         <code>--verify</code> checks it.</p></footer>\n",
        proof.places()
    )
}
