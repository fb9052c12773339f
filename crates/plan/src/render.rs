//! A plan for people: a page for the terminal, and the difference between two plans.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::{
    Availability, Cache, Duration, Layout, Mode, Money, Plan, PlanLine, PlannedDatabase, PlannedService,
};

use crate::explain::{Made, Relaxed, ways};
use crate::size::shares;

/// Narrowest page that is still laid out; a smaller `width` is taken as this.
const WIDTH_MIN: usize = 40;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

pub(crate) struct Page {
    pub(crate) text: String,
    width: usize,
    colour: bool,
}

impl Page {
    pub(crate) fn new(width: usize, colour: bool) -> Page {
        Page { text: String::new(), width: width.max(WIDTH_MIN), colour }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }

    pub(crate) fn head(&mut self, title: &str) {
        let title = self.paint(BOLD, title);
        let _ = write!(self.text, "\n{title}\n");
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// `- text`, wrapped under itself.
    fn item(&mut self, text: &str) {
        let room = self.width.saturating_sub(4).max(16);
        let mut line = String::new();
        let mut mark = "  - ";
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                let full = format!("{mark}{line}");
                self.line(&full);
                line.clear();
                mark = "    ";
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let full = format!("{mark}{line}");
        self.line(&full);
    }

    pub(crate) fn items(&mut self, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.head(title);
        for item in items {
            self.item(item);
        }
    }
}

/// The plan as a page of at most `width` columns where words allow it, with what would do for what it misses. Without `colour` there is no escape
/// sequence in it, and nothing is said by colour alone.
#[must_use]
pub fn render(plan: &Plan, relaxed: &Relaxed, width: usize, colour: bool) -> String {
    let mut page = Page::new(width, colour);
    let zones: Vec<&str> = plan.zones.iter().map(|zone| zone.as_str()).collect();
    let number = if plan.number.0 == 0 { String::new() } else { format!(" #{}", plan.number.0) };
    let title = page.paint(BOLD, &format!("plan{number} for {}", plan.app));
    let place = if plan.provider == "local" {
        "this machine".to_owned()
    } else {
        format!("{} {}", plan.provider, plan.region)
    };
    page.line(&format!("{title}: {place}, zones {}", zones.join(" ")));
    if plan.layout == Layout::Together {
        let but = if provided(plan) { " but what the provider runs" } else { "" };
        page.line(&format!("one machine in each zone holds everything of its zone{but}"));
    }
    summary(&mut page, plan);
    if !plan.certain.is_empty() {
        page.item(&plan.certain);
    }
    page.items("missed", &plan.missed);
    let (head, would_do) = ways(relaxed, plan.provider == "local", &Made::default());
    page.items(head, &would_do);
    services(&mut page, plan);
    databases(&mut page, plan);
    caches(&mut page, plan);
    users(&mut page, plan);
    bill(&mut page, plan);
    causes(&mut page, plan);
    risks(&mut page, plan);
    outages(&mut page, plan);
    losses(&mut page, plan);
    page.items("why", &plan.why);
    let rejected = plan.rejected.iter().map(|other| {
        format!("{} ({}; {} USD/month, {})", other.reason, other.name, other.usd_month, other.availability)
    });
    page.items("not taken", &rejected.collect::<Vec<_>>());
    page.items("assumed", &plan.assumed);
    page.text
}

pub(crate) fn minutes(minutes: f64) -> String {
    if minutes != 0.0 && minutes < 0.05 { format!("{minutes:.1e}") } else { format!("{minutes:.1}") }
}

/// US dollars with their cents. What is not nothing is not told as nothing.
pub(crate) fn cents(usd: f64) -> String {
    if usd > 0.0 && usd < 0.005 { "under 0.01".to_owned() } else { format!("{usd:.2}") }
}

/// How much cheaper something may be, in percent with one digit behind the point: rounded up, as it is a bound.
pub(crate) fn percent_up(share: f64) -> String {
    format!("{:.1}%", (share * 1e3 - 1e-9).ceil() / 10.0)
}

fn summary(page: &mut Page, plan: &Plan) {
    let asked = &plan.objectives;
    let verdict = if plan.feasible { page.paint(GREEN, "yes") } else { page.paint(RED, "no") };
    page.line(&format!("  {:<18}{:>12}{:>12}", "", "planned", "asked"));
    let budget = asked.budget.map_or_else(|| "-".to_owned(), |budget| budget.to_string());
    page.line(&format!("  {:<18}{:>12}{:>12}", "USD/month", plan.usd_month.to_string(), budget));
    let of = |value: Option<Availability>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    page.line(&format!(
        "  {:<18}{:>12}{:>12}",
        "availability",
        plan.availability.to_string(),
        of(asked.availability)
    ));
    let down = asked.availability.map_or_else(|| "-".to_owned(), |asked| minutes(asked.downtime_min_year()));
    let planned = minutes(plan.availability.downtime_min_year());
    page.line(&format!("  {:<18}{planned:>12}{down:>12}", "downtime min/year"));
    let rest = if latency(plan) { "   (a drill judges `latency`)" } else { "" };
    page.line(&format!(
        "  {:<18}{}{verdict}{rest}",
        "objectives met",
        " ".repeat(12 - if plan.feasible { 3 } else { 2 })
    ));
    let idle = plan.lines.iter().filter(|line| line.not_applied.is_some()).count();
    if idle > 0 {
        let lines = if idle == 1 { "line" } else { "lines" };
        page.line(&format!(
            "  {:<18}{idle:>12} {lines} of the bill: this version starts, and keeps, less",
            "not applied"
        ));
    }
}

/// Whether a drill judges `latency`: it asks the service of the first entry.
pub(crate) fn latency(plan: &Plan) -> bool {
    let asked = plan.objectives.latency.as_ref().map(|latency| &latency.service);
    asked.is_some() && asked == plan.ingress.first().map(|entry| &entry.to)
}

/// `1 replica`, `6 replicas`.
pub(crate) fn counted(replicas: u32) -> String {
    if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") }
}

/// Whether the provider runs a database of the plan.
fn provided(plan: &Plan) -> bool {
    plan.databases.iter().any(|planned| planned.mode == model::Mode::Managed)
}

fn services(page: &mut Page, plan: &Plan) {
    page.head("services");
    let longest = plan.services.iter().map(|planned| planned.service.name.as_str().len()).max().unwrap_or(0);
    for planned in &plan.services {
        let each = shares(planned.replicas, (plan.zones.len() as u32).max(1));
        let each: Vec<String> =
            plan.zones.iter().zip(each).map(|(zone, count)| format!("{zone} {count}")).collect();
        let line = format!(
            "  {:<longest$}  {}, {} at peak  ({})",
            planned.service.name,
            counted(planned.replicas),
            planned.needed_at_peak,
            each.join(", ")
        );
        page.line(&line);
    }
}

fn databases(page: &mut Page, plan: &Plan) {
    if plan.databases.is_empty() {
        return;
    }
    page.head("databases");
    let longest =
        plan.databases.iter().map(|planned| planned.database.name.as_str().len()).max().unwrap_or(0);
    for planned in &plan.databases {
        let nodes: Vec<String> =
            planned.nodes.iter().map(|node| format!("{} in {}", node.name, node.zone)).collect();
        let name = planned.database.name.as_str();
        let nodes = if nodes.is_empty() { "the provider's".to_owned() } else { nodes.join(", ") };
        page.line(&format!("  {name:<longest$}  {}  ({nodes})", shape(planned)));
    }
}

fn caches(page: &mut Page, plan: &Plan) {
    if plan.caches.is_empty() {
        return;
    }
    page.head("caches, planned and not run");
    let longest = plan.caches.iter().map(|cache| cache.name.as_str().len()).max().unwrap_or(0);
    for cache in &plan.caches {
        page.line(&format!("  {:<longest$}  {}", cache.name, kept(cache)));
    }
}

/// What a cache is.
fn kept(cache: &Cache) -> String {
    let copies = if cache.replicas == 0 { "1 copy".to_owned() } else { format!("{} copies", cache.copies()) };
    let loss = if cache.is_needed() { "" } else { ", its loss is tolerated" };
    match cache.shards {
        1 => format!("{}, {}, {copies}{loss}", cache.engine, cache.memory),
        shards => format!("{}, {shards} shards of {}, {copies} of each{loss}", cache.engine, cache.memory),
    }
}

fn users(page: &mut Page, plan: &Plan) {
    if plan.round_trips.is_empty() {
        return;
    }
    page.head("round trips of users, ms");
    for trip in &plan.round_trips {
        page.line(&format!("  {:>9.0}  {}  ({})", trip.ms, trip.place, share(trip.share)));
    }
}

/// A share in percent, with the digits that a file has.
pub(crate) fn share(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn shape(planned: &PlannedDatabase) -> String {
    let engine = format!("postgres:{}", planned.database.postgres);
    match (planned.mode, planned.nodes.len()) {
        (Mode::Quorum, _) if planned.database.witness => {
            format!("{engine}, {} copies and a witness, quorum", planned.database.copies())
        }
        (Mode::Quorum, nodes) => format!("{engine}, {nodes} nodes, quorum"),
        (Mode::Lease, nodes) => {
            let lost = Duration(planned.mode.rpo_ms().unwrap_or(0));
            format!("{engine}, {nodes} nodes, lease, RPO {lost}")
        }
        (Mode::Managed, _) => format!("{engine}, managed, a primary and a copy"),
        (Mode::Single, _) => format!("{engine}, 1 node, no failover"),
    }
}

/// Causes beyond this many that take less than a thousandth are told together.
const CAUSES_SHOWN: usize = 8;

fn causes(page: &mut Page, plan: &Plan) {
    page.head("downtime, minutes a year");
    let least = plan.availability.downtime_min_year() / 1e3;
    let told = plan.causes.iter().take_while(|cause| cause.min_year >= least).count().max(CAUSES_SHOWN);
    for cause in plan.causes.iter().take(told) {
        page.line(&format!("  {:>9}  {}", minutes(cause.min_year), cause.name));
    }
    let rest = plan.causes.get(told..).unwrap_or_default();
    if !rest.is_empty() {
        let sum = rest.iter().map(|cause| cause.min_year).sum();
        page.line(&format!("  {:>9}  {} smaller causes together", minutes(sum), rest.len()));
    }
}

fn risks(page: &mut Page, plan: &Plan) {
    if plan.risks.is_empty() {
        return;
    }
    page.head("recovery objectives missed, times a year");
    for risk in &plan.risks {
        if risk.per_year == 0.0 {
            page.line(&format!("  {:>9}  {}  (no failure that is assumed leads to it)", 0, risk.objective));
            continue;
        }
        let bound = if risk.bound { ", at most" } else { "" };
        page.line(&format!(
            "  {:>9}  {}  (in {} % of years{bound})",
            times(risk.per_year),
            risk.objective,
            times(risk.in_a_year * 100.0)
        ));
    }
}

/// How long an outage is at least, for people.
pub(crate) fn longer_than(seconds: f64) -> String {
    if seconds == 0.0 {
        "of any length".to_owned()
    } else {
        format!("over {}", Duration((seconds * 1e3) as u64))
    }
}

fn outages(page: &mut Page, plan: &Plan) {
    if plan.outages.is_empty() {
        return;
    }
    page.head("outages, times a year");
    for outage in &plan.outages {
        let bound = if outage.bound { ", at most" } else { "" };
        page.line(&format!(
            "  {:>9}  {}  (in {} % of years{bound})",
            times(outage.per_year),
            longer_than(outage.longer_than_s),
            times(outage.in_a_year * 100.0)
        ));
    }
}

fn losses(page: &mut Page, plan: &Plan) {
    if plan.losses.is_empty() {
        return;
    }
    page.head("data lost, times a year");
    for loss in &plan.losses {
        page.line(&format!(
            "  {:>9}  `{}`  (in {} % of years)",
            times(loss.per_year),
            loss.database,
            times(loss.in_a_year * 100.0)
        ));
        page.item(&loss.what);
    }
}

pub(crate) fn times(times: f64) -> String {
    if times != 0.0 && times < 0.005 { format!("{times:.1e}") } else { format!("{times:.2}") }
}

/// A count as it is, an amount as far as anybody reads it.
pub(crate) fn quantity(quantity: f64) -> String {
    if quantity.fract() == 0.0 || quantity >= 100.0 {
        format!("{quantity:.0}")
    } else {
        format!("{quantity:.2}")
    }
}

/// The price of one. Of a GB it may be less than a cent.
pub(crate) fn each(usd: f64) -> String {
    if usd == 0.0 || usd >= 0.1 {
        return cents(usd);
    }
    let digits = format!("{usd:.4}");
    let short = digits.trim_end_matches('0');
    if short.len() < "0.00".len() { cents(usd) } else { short.to_owned() }
}

fn bill(page: &mut Page, plan: &Plan) {
    page.head("bill, USD a month");
    for line in &plan.lines {
        let dated = if line.date.is_empty() {
            line.source.clone()
        } else {
            format!("{}, {}", line.source, line.date)
        };
        page.line(&format!(
            "  {:>10}  {} x {} at {}",
            cents(line.usd_month.usd()),
            quantity(line.quantity),
            line.item,
            each(line.unit_usd)
        ));
        page.item(&format!("price: {dated}"));
        if let Some(why) = &line.not_applied {
            page.item(&format!("not applied by evenkeel: {why}"));
        }
    }
    page.line(&format!("  {:>10}  in all", plan.usd_month.to_string()));
}

/// What changes from `old` to `new`: `+` starts, `-` ends, `~` changes, then price and availability. Equal
/// plans give `no changes`.
#[must_use]
pub fn diff(old: &Plan, new: &Plan) -> String {
    let mut text = String::new();
    let place = |plan: &Plan| {
        let zones: Vec<&str> = plan.zones.iter().map(|zone| zone.as_str()).collect();
        format!("{} {}, zones {}", plan.provider, plan.region, zones.join(" "))
    };
    if place(old) != place(new) {
        let _ = writeln!(text, "~ place: {} -> {}", place(old), place(new));
    }
    if old.layout != new.layout {
        let held = |plan: &Plan| match plan.layout {
            Layout::Apart => "each service and database has its own",
            Layout::Together => "one a zone holds everything",
        };
        let _ = writeln!(text, "~ machines: {} -> {}", held(old), held(new));
    }
    let names: BTreeSet<_> =
        old.services.iter().chain(&new.services).map(|planned| &planned.service.name).collect();
    for name in names {
        let line = match (old.service(name), new.service(name)) {
            (None, Some(now)) => format!("+ {name}: {}", counted(now.replicas)),
            (Some(was), None) => format!("- {name}: {}", counted(was.replicas)),
            (Some(was), Some(now)) => match changed(was, now) {
                changes if changes.is_empty() => continue,
                changes => format!("~ {name}: {}", changes.join(", ")),
            },
            (None, None) => continue,
        };
        let _ = writeln!(text, "{line}");
    }
    database_changes(&mut text, old, new);
    cache_changes(&mut text, old, new);
    trip_changes(&mut text, old, new);
    if old.ingress != new.ingress {
        let _ = writeln!(text, "~ ingress: {} entries -> {} entries", old.ingress.len(), new.ingress.len());
    }
    bill_changes(&mut text, &old.lines, &new.lines);
    if text.is_empty() && old.availability == new.availability && old.objectives == new.objectives {
        return "no changes\n".to_owned();
    }
    let more = new.usd_month.usd() - old.usd_month.usd();
    let _ = writeln!(text, "  USD/month: {} -> {} ({more:+.2})", old.usd_month, new.usd_month);
    let met = |plan: &Plan| if plan.feasible { "met" } else { "missed" };
    let _ = writeln!(text, "  availability: {} -> {}", old.availability, new.availability);
    let down = |plan: &Plan| minutes(plan.availability.downtime_min_year());
    let _ = writeln!(text, "  downtime min/year: {} -> {}", down(old), down(new));
    let _ = writeln!(text, "  objectives: {} -> {}", met(old), met(new));
    for missed in &new.missed {
        let _ = writeln!(text, "    - {missed}");
    }
    text
}

fn database_changes(text: &mut String, old: &Plan, new: &Plan) {
    let names: BTreeSet<_> =
        old.databases.iter().chain(&new.databases).map(|planned| &planned.database.name).collect();
    for name in names {
        let _ = match (old.database(name), new.database(name)) {
            (None, Some(now)) => writeln!(text, "+ {name}: {}", shape(now)),
            (Some(was), None) => writeln!(text, "- {name}: {}", shape(was)),
            (Some(was), Some(now)) if shape(was) != shape(now) => {
                writeln!(text, "~ {name}: {} -> {}", shape(was), shape(now))
            }
            (Some(was), Some(now)) if was != now => {
                writeln!(text, "~ {name}: {}", database_changed(was, now).join(", "))
            }
            (Some(_), Some(_)) | (None, None) => Ok(()),
        };
    }
}

fn cache_changes(text: &mut String, old: &Plan, new: &Plan) {
    let names: BTreeSet<_> = old.caches.iter().chain(&new.caches).map(|cache| &cache.name).collect();
    for name in names {
        let of = |plan: &Plan| plan.caches.iter().find(|cache| cache.name == *name).map(kept);
        let _ = match (of(old), of(new)) {
            (None, Some(now)) => writeln!(text, "+ {name}: {now}"),
            (Some(was), None) => writeln!(text, "- {name}: {was}"),
            (Some(was), Some(now)) if was != now => writeln!(text, "~ {name}: {was} -> {now}"),
            _ => Ok(()),
        };
    }
}

/// Round trips of users, to the millisecond.
fn trip_changes(text: &mut String, old: &Plan, new: &Plan) {
    let places: BTreeSet<&str> =
        old.round_trips.iter().chain(&new.round_trips).map(|trip| trip.place.as_str()).collect();
    for place in places {
        let of = |plan: &Plan| {
            let trip = plan.round_trips.iter().find(|trip| trip.place == place)?;
            Some((share(trip.share), format!("{:.0}", trip.ms)))
        };
        let _ = match (of(old), of(new)) {
            (None, Some((share, ms))) => writeln!(text, "+ users in {place}: {share}, round trip {ms} ms"),
            (Some((share, ms)), None) => writeln!(text, "- users in {place}: {share}, round trip {ms} ms"),
            (Some((before, was)), Some((after, now))) if (&before, &was) != (&after, &now) => {
                writeln!(text, "~ users in {place}: {before} -> {after}, round trip {was} -> {now} ms")
            }
            _ => Ok(()),
        };
    }
}

/// What differs between two databases of the same shape.
fn database_changed(was: &PlannedDatabase, now: &PlannedDatabase) -> Vec<String> {
    let (old, new) = (&was.database, &now.database);
    let mut changes = Vec::new();
    if old.storage != new.storage {
        changes.push(format!("storage {} -> {}", old.storage, new.storage));
    }
    if old.writes != new.writes {
        let said = |writes: Option<model::Rate>| writes.map_or("unsaid".to_owned(), |rate| rate.to_string());
        changes.push(format!("writes {} -> {}", said(old.writes), said(new.writes)));
    }
    let zones = |planned: &PlannedDatabase| {
        planned.nodes.iter().map(|node| node.zone.as_str()).collect::<BTreeSet<_>>().len()
    };
    match (zones(was), zones(now)) {
        (before, after) if before != after => changes.push(format!("nodes in {before} -> {after} zones")),
        _ if was.nodes != now.nodes => changes.push("nodes stand elsewhere".to_owned()),
        _ => {}
    }
    if changes.is_empty() {
        changes.push("changed".to_owned());
    }
    changes
}

fn changed(was: &PlannedService, now: &PlannedService) -> Vec<String> {
    let mut changes = Vec::new();
    if was.replicas != now.replicas {
        changes.push(format!("{} -> {} replicas", was.replicas, now.replicas));
    }
    if was.version != now.version {
        changes.push("a new version, rolled one replica at a time".to_owned());
    }
    if was.needed_at_peak != now.needed_at_peak {
        changes.push(format!("{} -> {} needed at peak", was.needed_at_peak, now.needed_at_peak));
    }
    changes
}

fn bill_changes(text: &mut String, old: &[PlanLine], new: &[PlanLine]) {
    let items: BTreeSet<&str> = old.iter().chain(new).map(|line| line.item.as_str()).collect();
    for item in items {
        let of = |lines: &[PlanLine]| {
            let line = lines.iter().find(|line| line.item == item)?;
            // On this machine nothing is paid, and its replicas are told about above.
            (line.usd_month.0 != 0).then_some((quantity(line.quantity), line.usd_month))
        };
        let (was, now) = (of(old), of(new));
        let usd = |line: &Option<(String, Money)>| line.as_ref().map_or(Money(0), |(_, usd)| *usd);
        let more = usd(&now).usd() - usd(&was).usd();
        let _ = match (was, now) {
            (None, Some((count, now))) => writeln!(text, "+ {count} x {item}: {now} USD/month"),
            (Some((count, was)), None) => writeln!(text, "- {count} x {item}: {was} USD/month"),
            (Some((before, was)), Some((count, now))) if was != now && before == count => {
                writeln!(text, "~ {count} x {item}: {was} -> {now} USD/month ({more:+.2})")
            }
            (Some((before, was)), Some((count, now))) if was != now => {
                writeln!(text, "~ {before} -> {count} x {item}: {was} -> {now} USD/month ({more:+.2})")
            }
            _ => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_prices_have_the_digits_that_matter() {
        let told: Vec<String> = [3.0, 322.92864, 0.5, 12.346].into_iter().map(quantity).collect();
        assert_eq!(told, ["3", "323", "0.50", "12.35"]);
        let told: Vec<String> =
            [0.0, 0.008, 0.09, 0.02, 0.085, 111.69, 1e-6, 0.1].into_iter().map(each).collect();
        assert_eq!(told, ["0.00", "0.008", "0.09", "0.02", "0.085", "111.69", "under 0.01", "0.10"]);
    }

    #[test]
    fn what_is_not_nothing_is_not_told_as_nothing() {
        let told: Vec<String> = [0.0, 1e-6, 0.004, 0.006, 1.0].into_iter().map(cents).collect();
        assert_eq!(told, ["0.00", "under 0.01", "under 0.01", "0.01", "1.00"]);
        // A bound is rounded up: "up to 0.0 % cheaper" would be a promise.
        let told: Vec<String> = [1e-9, 0.0001, 0.001, 0.0011, 0.5].into_iter().map(percent_up).collect();
        assert_eq!(told, ["0.1%", "0.1%", "0.1%", "0.2%", "50.0%"]);
    }
}
