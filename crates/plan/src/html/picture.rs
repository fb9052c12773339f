//! The architecture: the region, its zones, their machines and what stands on them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Plan;

use super::escaped;
use crate::explain::{Explained, Part, Placed};

/// Machines that are alike and drawn one by one in a zone; of more the rest is counted.
const ALIKE_MAX: usize = 6;
/// Replicas that are drawn one by one on a machine.
const REPLICAS_MAX: u32 = 12;
/// Colours that the style sheet has for parts.
const COLOURS: usize = 6;

const CYLINDER: &str = "<svg class=\"icon\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><ellipse cx=\"8\" cy=\"3.4\" \
     rx=\"5.5\" ry=\"2.2\"/><path d=\"M2.5 3.4v9c0 1.2 2.5 2.2 5.5 2.2s5.5-1 5.5-2.2v-9\"/></svg>";

pub(super) fn picture(explained: &Explained) -> String {
    let plan = &explained.planned.plan;
    let colours = colours(&explained.places);
    let zones: String = explained.places.iter().map(|zone| self::zone(zone, &colours)).collect();
    let place = match plan.provider.as_str() {
        "local" => "this machine, each zone an emulated data centre".to_owned(),
        provider => format!("{provider} {}", plan.region),
    };
    format!(
        "<section>\n<h2>What runs where</h2>\n<div class=\"map\">\n{}<div class=\"region\">\n<p class=\"label\">{}</p>\n\
         <div class=\"zones\">{zones}</div>\n</div>\n</div>\n</section>\n",
        entry(plan),
        escaped(&place)
    )
}

/// Each service and database its colour, in the order of the file.
fn colours(places: &[Placed]) -> BTreeMap<&str, usize> {
    let mut colours = BTreeMap::new();
    for part in places.iter().flat_map(|zone| &zone.machines) {
        let next = colours.len() % COLOURS;
        colours.entry(part.of.as_str()).or_insert(next);
    }
    colours
}

fn entry(plan: &Plan) -> String {
    if plan.ingress.is_empty() {
        return String::new();
    }
    let to = plan.ingress.iter().map(|entry| {
        let host = entry.host.as_deref().map(|host| format!("{host} ")).unwrap_or_default();
        format!(
            "<span class=\"way\">{}<b>{}</b></span>",
            escaped(&format!("{host}:{} → ", entry.port)),
            escaped(entry.to.as_str())
        )
    });
    let what = if plan.provider == "local" { "a front in each zone" } else { "load balancer" };
    let to: String = to.collect();
    format!(
        "<div class=\"entry\"><span class=\"users\">users</span><span class=\"balancer\">{what} {to}</span></div>\n"
    )
}

fn zone(zone: &Placed, colours: &BTreeMap<&str, usize>) -> String {
    let mut html = format!("<div class=\"zone\"><p class=\"label\">{}</p>", escaped(&zone.zone));
    let (managed, own): (Vec<&Part>, Vec<&Part>) = zone.machines.iter().partition(|part| part.managed);
    match zone.shared && own.len() > 1 {
        true => html.push_str(&shared(&own, colours)),
        false => html.push_str(&apart(&own, colours)),
    }
    for part in managed {
        html.push_str(&machine(part, colours[part.of.as_str()]));
    }
    if zone.machines.is_empty() {
        html.push_str("<p class=\"more\">nothing</p>");
    }
    html + "</div>"
}

/// Machines of their own; many that are alike are counted.
fn apart(parts: &[&Part], colours: &BTreeMap<&str, usize>) -> String {
    let (mut html, mut rest) = (String::new(), parts);
    while let Some(first) = rest.first() {
        let alike = rest.iter().take_while(|part| is_alike(part, first)).count().max(1);
        let shown = if alike > ALIKE_MAX { ALIKE_MAX - 1 } else { alike };
        for part in &rest[..shown] {
            html.push_str(&machine(part, colours[part.of.as_str()]));
        }
        if shown < alike {
            let _ = write!(html, "<p class=\"more\">and {} more alike</p>", alike - shown);
        }
        rest = &rest[alike..];
    }
    html
}

fn is_alike(one: &Part, other: &Part) -> bool {
    let what = |part: &'_ Part| (part.machine.clone(), part.of.clone(), part.replicas, part.idle);
    one.node.is_none() && what(one) == what(other)
}

/// The one machine of a zone with all that it holds.
fn shared(parts: &[&Part], colours: &BTreeMap<&str, usize>) -> String {
    let on = parts.first().and_then(|part| part.machine.as_deref()).unwrap_or("nothing");
    let held = |part: &&Part| {
        let colour = colours[part.of.as_str()];
        let said = if part.idle { "<span class=\"quiet\">not run</span>" } else { "" };
        format!("<p class=\"holds c{colour}\">{}{said}</p>", inside(part))
    };
    let held: String = parts.iter().map(held).collect();
    format!("<div class=\"machine\">{held}<p class=\"on\">{}</p></div>", escaped(on))
}

fn machine(part: &Part, colour: usize) -> String {
    let on =
        part.machine.as_deref().unwrap_or(if part.managed { "run by the provider" } else { "a process" });
    let idle = if part.idle { " idle" } else { "" };
    let said = match (part.idle, part.managed) {
        (false, _) => "",
        (true, false) => ", left idle",
        (true, true) => ", not made yet",
    };
    format!(
        "<div class=\"machine{idle} c{colour}\"><p class=\"holds\">{}</p><p class=\"on\">{}{said}</p></div>",
        inside(part),
        escaped(on)
    )
}

fn inside(part: &Part) -> String {
    match &part.node {
        Some(node) => {
            let witness = if part.witness { " <span class=\"quiet\">witness</span>" } else { "" };
            format!("{CYLINDER}<b>{}</b>{witness}", escaped(node))
        }
        None => {
            let drawn = "<i></i>".repeat(part.replicas.min(REPLICAS_MAX) as usize);
            let count = if part.replicas > 1 { format!(" ×{}", part.replicas) } else { String::new() };
            format!("<b>{}</b>{count}<span class=\"dots\">{drawn}</span>", escaped(&part.of))
        }
    }
}
