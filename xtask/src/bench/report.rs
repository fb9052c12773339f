//! What a scenario has found: rows of figures, and goals that were met or missed.

use std::fmt::Write;

use anyhow::{Result, bail};

/// Columns of figures side by side on a terminal; more go into another block below.
const COLUMNS_MAX: usize = 4;

/// Median and range over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Range {
    /// `None` when nothing was measured.
    pub(super) fn of(mut rounds: Vec<f64>) -> Option<Range> {
        rounds.sort_by(f64::total_cmp);
        let middle = rounds.len() / 2;
        let (low, high) = (*rounds.first()?, *rounds.last()?);
        let median =
            if rounds.len() % 2 == 1 { rounds[middle] } else { (rounds[middle - 1] + rounds[middle]) / 2.0 };
        Some(Range { median, low, high })
    }
}

/// One figure of one case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What was done: `h1-64-1k`, `zone/kill`.
    pub(super) scenario: String,
    /// Who did it, or what was measured: `evenkeel/haproxy`, `p99`.
    pub(super) subject: String,
    /// `None`: not measured, which is not 0.
    pub(super) range: Option<Range>,
    pub(super) unit: &'static str,
}

impl Row {
    pub(super) fn of(scenario: &str, subject: &str, unit: &'static str, rounds: Vec<f64>) -> Row {
        let range = Range::of(rounds);
        Row { scenario: scenario.to_owned(), subject: subject.to_owned(), range, unit }
    }

    fn json(&self) -> String {
        let number = |pick: fn(&Range) -> f64| {
            self.range.as_ref().map_or_else(|| "null".to_owned(), |range| format!("{:.4}", pick(range)))
        };
        format!(
            "{{\"kind\":\"bench\",\"format_version\":1,\"scenario\":{},\"subject\":{},\"ratio\":{},\"low\":{},\"high\":{},\"unit\":{}}}",
            quoted(&self.scenario),
            quoted(&self.subject),
            number(|range| range.median),
            number(|range| range.low),
            number(|range| range.high),
            quoted(self.unit)
        )
    }

    /// `8.1 (7.9..9.4)`; the range is left out when it is a point.
    fn cell(&self) -> String {
        match self.range {
            None => "-".to_owned(),
            Some(Range { median, low, high }) if low == high => short(median),
            Some(Range { median, low, high }) => {
                format!("{} ({}..{})", short(median), short(low), short(high))
            }
        }
    }
}

/// A limit that was promised.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    /// What it is about: `zone/kill`.
    pub(super) scenario: String,
    /// What was promised: `failed - unsavable = 0`.
    pub(super) text: String,
    /// The worst that was measured. `None`: not run or not measured; nothing was met then.
    pub(super) worst: Option<f64>,
    /// Met at or below this.
    pub(super) limit: f64,
}

impl Goal {
    /// `None`: not measured.
    fn met(&self) -> Option<bool> {
        self.worst.map(|worst| worst <= self.limit)
    }

    fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "null".to_owned(), |v| format!("{v:.4}"));
        let met = self.met().map_or_else(|| "null".to_owned(), |met| met.to_string());
        format!(
            "{{\"kind\":\"goal\",\"format_version\":1,\"scenario\":{},\"goal\":{},\"worst\":{},\"limit\":{},\"met\":{met}}}",
            quoted(&self.scenario),
            quoted(&self.text),
            number(self.worst),
            number(Some(self.limit))
        )
    }

    fn text(&self) -> String {
        let (word, worst) = match self.met() {
            None => ("NOT MEASURED", "-".to_owned()),
            Some(true) => ("PASS", short(self.worst.unwrap_or_default())),
            Some(false) => ("FAIL", short(self.worst.unwrap_or_default())),
        };
        format!("{word:<12}  {:<14}  {}: {worst}", self.scenario, self.text)
    }
}

/// Everything found so far. JSON rows are printed as they come, so that an interrupted run has not been for nothing.
#[derive(Debug, Default)]
pub(super) struct Report {
    json: bool,
    rows: Vec<Row>,
    goals: Vec<Goal>,
}

impl Report {
    pub(super) fn new(json: bool) -> Report {
        Report { json, ..Report::default() }
    }

    pub(super) fn row(&mut self, row: Row) {
        if self.json {
            println!("{}", row.json());
        }
        self.rows.push(row);
    }

    pub(super) fn goal(&mut self, scenario: &str, text: &str, worst: Option<f64>, limit: f64) {
        self.goals.push(Goal { scenario: scenario.to_owned(), text: text.to_owned(), worst, limit });
    }

    /// Prints what is not printed yet.
    ///
    /// # Errors
    /// When a goal was missed.
    pub(super) fn finish(self) -> Result<()> {
        if !self.json && !self.rows.is_empty() {
            print!("{}", table(&self.rows));
        }
        for goal in &self.goals {
            println!("{}", if self.json { goal.json() } else { goal.text() });
        }
        let missed = self.goals.iter().filter(|goal| goal.met() == Some(false)).count();
        let open = self.goals.iter().filter(|goal| goal.met().is_none()).count();
        if open > 0 {
            eprintln!("{open} of {} goals were not measured, which is not the same as met", self.goals.len());
        }
        match missed {
            0 => Ok(()),
            1 => bail!("one goal of {} was missed", self.goals.len()),
            _ => bail!("{missed} goals of {} were missed", self.goals.len()),
        }
    }
}

/// Cases as columns, measures as lines.
fn table(rows: &[Row]) -> String {
    let mut scenarios: Vec<&str> = Vec::new();
    let mut subjects: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
        if !subjects.contains(&(row.subject.as_str(), row.unit)) {
            subjects.push((&row.subject, row.unit));
        }
    }
    let mut out = String::new();
    for block in scenarios.chunks(COLUMNS_MAX) {
        let mut lines: Vec<Vec<String>> = Vec::new();
        let head = std::iter::once(String::new()).chain(block.iter().map(|name| (*name).to_owned()));
        lines.push(head.collect());
        for (subject, unit) in &subjects {
            let cell = |scenario: &&str| {
                let row = rows
                    .iter()
                    .find(|row| row.scenario == **scenario && row.subject == *subject && row.unit == *unit);
                row.map_or_else(String::new, Row::cell)
            };
            let cells: Vec<String> = block.iter().map(cell).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                lines.push(std::iter::once(format!("{subject}, {unit}")).chain(cells).collect());
            }
        }
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=block.len()).map(width).collect();
        for line in &lines {
            let _ = write!(out, "{:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                let _ = write!(out, "  {cell:>width$}");
            }
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn short(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e9 {
        return format!("{value:.0}");
    }
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The value below which the share `q` of `values` lies; nearest rank.
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_range_of_the_rounds_are_given() {
        let row = Row::of("h1", "us/them", "x", vec![1.3, 1.1, 1.2]);
        assert_eq!(
            row.json(),
            "{\"kind\":\"bench\",\"format_version\":1,\"scenario\":\"h1\",\"subject\":\"us/them\",\"ratio\":1.2000,\"low\":1.1000,\"high\":1.3000,\"unit\":\"x\"}"
        );
        assert_eq!(Range::of(vec![1.0, 2.0]).unwrap().median, 1.5);
    }

    #[test]
    fn what_was_not_measured_is_null_and_passes_nothing() {
        let row = Row::of("h1", "rto", "ms", vec![]);
        assert!(row.json().contains("\"ratio\":null,\"low\":null"), "{}", row.json());
        let goal = Goal { scenario: "cut".into(), text: "none".into(), worst: None, limit: 0.0 };
        assert_eq!(goal.met(), None);
        assert!(goal.text().starts_with("NOT MEASURED"));
        assert!(goal.json().ends_with("\"worst\":null,\"limit\":0.0000,\"met\":null}"));
    }

    #[test]
    fn one_missed_goal_makes_the_whole_fail() {
        let mut report = Report::new(true);
        report.goal("kill", "failed = 0", Some(0.0), 0.0);
        report.goal("kill", "double effects = 0", Some(1.0), 0.0);
        let error = report.finish().unwrap_err().to_string();
        assert_eq!(error, "one goal of 2 was missed");
        let mut report = Report::new(true);
        report.goal("kill", "failed = 0", Some(0.0), 0.0);
        report.finish().unwrap();
    }

    #[test]
    fn cases_stand_side_by_side() {
        let rows = [
            Row::of("kill", "p99", "ms", vec![10.0, 12.5, 14.0]),
            Row::of("kill", "failed", "requests", vec![0.0, 0.0]),
            Row::of("freeze", "p99", "ms", vec![]),
        ];
        let wanted = [
            "                            kill  freeze",
            "p99, ms           12.50 (10..14)       -",
            "failed, requests               0        ",
        ];
        assert_eq!(table(&rows).trim_end_matches('\n').lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_seen() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.99), Some(99.0));
        assert_eq!(quantile(&mut values, 0.5), Some(50.0));
        assert_eq!(quantile(&mut [7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&mut [], 0.99), None);
    }
}
