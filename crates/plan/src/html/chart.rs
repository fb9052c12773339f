//! Cost against availability: a staircase of the cheapest plans, with the chosen one on it.
//!
//! Letters of a drawing shrink with it, so there is one for wide and one for narrow pages, each at its own size.

use std::fmt::Write as _;

use model::Availability;

use super::escaped;
use crate::explain::{Explained, Frontier, Rung};
use crate::render::{cents, minutes};

/// The widths of the two drawings, and their heights, in px.
const SIZES: [(&str, f64, f64); 2] = [("wide", 860.0, 380.0), ("narrow", 340.0, 330.0)];

/// Room for the numbers beside and below the drawing, in px.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 44.0;

/// About as far apart are two numbers of an axis, in px.
const TICK: f64 = 84.0;

pub(super) fn chart(explained: &Explained) -> String {
    let frontier = &explained.reasons.frontier;
    if frontier.kept.is_empty() {
        return String::new();
    }
    let drawings: String = SIZES.iter().map(|size| Chart::new(explained, *size).draw()).collect();
    let bare = if frontier.bare.is_empty() {
        String::new()
    } else {
        " <span class=\"key bare\">without a reserve for a loss</span>".to_owned()
    };
    format!(
        "<section>\n<h2>What more or less availability would cost</h2>\n<p class=\"keys\"><span class=\"key this\">this plan</span> \
         <span class=\"key kept\">the cheapest plan for each availability</span>{bare}</p>\n\
         <div class=\"card chart\">\n{drawings}{}</div>\n</section>\n",
        table(frontier)
    )
}

fn down(rung: &Rung) -> f64 {
    Availability { unavailability: rung.unavailability }.downtime_min_year()
}

/// The same in figures, for those who cannot see the drawing, and for those who want to copy it.
fn table(frontier: &Frontier) -> String {
    let row = |rung: &Rung| {
        let (asked, cost) =
            (Availability { unavailability: rung.unavailability }, cost(rung.cost, frontier.unit));
        format!(
            "<tr><td class=\"number\">{cost}</td><td class=\"number\">{asked}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td>{}</td></tr>\n",
            minutes(down(rung)),
            rung.usd_per_avoided_min.map(cents).unwrap_or_default(),
            escaped(&rung.name)
        )
    };
    let kept: String = frontier.kept.iter().map(row).collect();
    let bare: String = frontier.bare.iter().map(row).collect();
    let bare = if bare.is_empty() {
        bare
    } else {
        format!("<tr><th colspan=\"5\">without a reserve for a loss</th></tr>\n{bare}")
    };
    format!(
        "<details><summary>in figures</summary>\n<table>\n<thead><tr><th class=\"number\">{}</th><th class=\"number\">availability\
         </th><th class=\"number\">min/year</th><th class=\"number\">USD for each minute less</th><th>plan</th></tr></thead>\n<tbody>\n{kept}{bare}</tbody>\n</table></details>\n",
        frontier.unit
    )
}

fn cost(cost: f64, unit: &str) -> String {
    if unit == "replicas" { format!("{cost:.0}") } else { format!("{cost:.2}") }
}

struct Chart<'e> {
    explained: &'e Explained,
    class: &'static str,
    width: f64,
    height: f64,
    /// Least and most cost that is drawn.
    costs: (f64, f64),
    /// Least and most minutes.
    downs: (f64, f64),
    /// Minutes are told by their digits, else by their difference.
    log: bool,
}

impl<'e> Chart<'e> {
    fn new(explained: &'e Explained, (class, width, height): (&'static str, f64, f64)) -> Chart<'e> {
        let frontier = &explained.reasons.frontier;
        let all = || frontier.kept.iter().chain(&frontier.bare);
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)))
        };
        let costs = range(&mut all().map(|rung| rung.cost));
        let mut downs = range(&mut all().map(down));
        if let Some(asked) = asked(explained).filter(|asked| *asked < downs.1 * 4.0 && *asked > downs.0 / 4.0)
        {
            downs = (downs.0.min(asked), downs.1.max(asked));
        }
        let log = downs.1 > 3.0 * downs.0 && downs.0 > 0.0;
        let pad = |(low, high): (f64, f64), share: f64| {
            let more = ((high - low) * share).max(high * 0.005).max(1e-9);
            (low - more, high + more)
        };
        let downs = if log { (downs.0 / 1.15, downs.1 * 1.15) } else { pad(downs, 0.12) };
        Chart { explained, class, width, height, costs: pad(costs, 0.06), downs, log }
    }

    fn x(&self, cost: f64) -> f64 {
        let share = (cost - self.costs.0) / (self.costs.1 - self.costs.0);
        LEFT + share * (self.width - LEFT - RIGHT)
    }

    /// More available is higher up.
    fn y(&self, down: f64) -> f64 {
        let scaled = |down: f64| if self.log { down.max(1e-12).ln() } else { down };
        let (low, high) = (scaled(self.downs.0), scaled(self.downs.1));
        let share = (scaled(down) - low) / (high - low);
        TOP + share * (self.height - TOP - BOTTOM)
    }

    fn draw(&self) -> String {
        let Chart { class, width, height, .. } = self;
        let frontier = &self.explained.reasons.frontier;
        let mut svg = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
             aria-label=\"cost against minutes of downtime; the same in figures below\">\n"
        );
        self.axes(&mut svg);
        self.limits(&mut svg);
        self.stairs(&mut svg, &frontier.bare, "bare");
        self.stairs(&mut svg, &frontier.kept, "kept");
        self.chosen(&mut svg);
        svg + "</svg>\n"
    }

    fn axes(&self, svg: &mut String) {
        let (right, bottom) = (self.width - RIGHT, self.height - BOTTOM);
        for value in ticks(self.costs, (right - LEFT) / TICK) {
            let x = self.x(value);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{value}</text>",
                bottom + 17.0
            );
        }
        let downs =
            if self.log { digits(self.downs) } else { ticks(self.downs, (bottom - TOP) / TICK * 1.4) };
        for value in downs {
            let y = self.y(value);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{value}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        let unit = self.explained.reasons.frontier.unit;
        let _ = writeln!(
            svg,
            "<text class=\"axis\" x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{unit} →</text>\
             <text class=\"axis\" transform=\"translate(13 {TOP}) rotate(-90)\" text-anchor=\"end\">minutes down a year, fewer →</text>",
            self.height - 8.0
        );
    }

    /// What was asked: more downtime and a higher price are not.
    fn limits(&self, svg: &mut String) {
        if let Some(asked) =
            asked(self.explained).filter(|asked| self.downs.0 < *asked && *asked < self.downs.1)
        {
            let (y, right) = (self.y(asked), self.width - RIGHT);
            let _ = writeln!(
                svg,
                "<path class=\"asked\" d=\"M{LEFT} {y:.1}H{right:.1}\"/><text class=\"limit\" x=\"{right:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{} asked</text>",
                y - 6.0,
                minutes(asked)
            );
        }
        let plan = &self.explained.planned.plan;
        let budget = plan.objectives.budget.filter(|_| plan.provider != "local").map(model::Money::usd);
        if let Some(budget) = budget.filter(|budget| self.costs.0 < *budget && *budget < self.costs.1) {
            let (x, bottom) = (self.x(budget), self.height - BOTTOM);
            let _ = writeln!(
                svg,
                "<path class=\"asked\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/><text class=\"limit\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">budget</text>",
                x - 6.0,
                bottom - 8.0
            );
        }
    }

    /// Between two rungs the dearer one is the cheapest that is more available than the other: a step, no slope.
    fn stairs(&self, svg: &mut String, rungs: &[Rung], class: &str) {
        let Some(first) = rungs.first() else { return };
        let mut path = format!("M{:.1} {:.1}", self.x(first.cost), self.y(down(first)));
        for rung in &rungs[1..] {
            let _ = write!(path, "H{:.1}V{:.1}", self.x(rung.cost), self.y(down(rung)));
        }
        let _ = write!(path, "H{:.1}", self.width - RIGHT);
        let _ = writeln!(svg, "<path class=\"stairs {class}\" d=\"{path}\"/>");
        for rung in rungs {
            let _ = writeln!(
                svg,
                "<circle class=\"rung {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\"><title>{} {}, {} minutes down a year{}: {}</title></circle>",
                self.x(rung.cost),
                self.y(down(rung)),
                cost(rung.cost, self.explained.reasons.frontier.unit),
                self.explained.reasons.frontier.unit,
                minutes(down(rung)),
                rung.usd_per_avoided_min
                    .map(|each| format!(", {} USD for each minute less", cents(each)))
                    .unwrap_or_default(),
                escaped(&rung.name)
            );
        }
    }

    fn chosen(&self, svg: &mut String) {
        let plan = &self.explained.planned.plan;
        let paid = match plan.provider.as_str() {
            "local" => plan.services.iter().map(|service| f64::from(service.replicas)).sum(),
            _ => plan.usd_month.usd(),
        };
        let (x, y) = (self.x(paid), self.y(plan.availability.downtime_min_year()));
        let inside = (LEFT..=self.width - RIGHT).contains(&x) && (TOP..=self.height - BOTTOM).contains(&y);
        if !inside {
            return;
        }
        // The label stays within the drawing.
        let (anchor, beside) = if x > self.width * 0.6 { ("end", -13.0) } else { ("start", 13.0) };
        let _ = writeln!(
            svg,
            "<circle class=\"this ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/><circle class=\"this\" cx=\"{x:.1}\" cy=\"{y:.1}\" \
             r=\"5\"/><text class=\"here\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">this plan, {} min</text>",
            x + beside,
            y - 9.0,
            minutes(plan.availability.downtime_min_year())
        );
    }
}

fn asked(explained: &Explained) -> Option<f64> {
    explained.planned.plan.objectives.availability.map(Availability::downtime_min_year)
}

/// About `count` round numbers between two.
fn ticks((low, high): (f64, f64), count: f64) -> Vec<f64> {
    let rough = (high - low) / count.max(2.0);
    let size = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * size).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let all = (first..).map(|at| (at as f64 * step * 1e6).round() / 1e6).take_while(|value| *value <= high);
    all.take(50).collect()
}

/// 10, 20, 50, 100, .. between two.
fn digits((low, high): (f64, f64)) -> Vec<f64> {
    let powers = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let few = high > 60.0 * low;
    let within: &[f64] = if few { &[1.0, 3.0] } else { &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0] };
    let all = powers.flat_map(|power| within.iter().map(move |digit| digit * 10_f64.powi(power)));
    all.map(|value| (value * 1e9).round() / 1e9).filter(|value| (low..=high).contains(value)).collect()
}
