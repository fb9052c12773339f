//! The table that `status` and `up` show: zones as columns, units as rows, objectives above.

use std::fmt::Write;

use model::{DatabaseStatus, Mode, Phase, Status, UnitStatus, Warning};

/// Widest cell; longer text is cut with `…`.
const CELL: usize = 22;

/// The picture as text.
pub fn render(status: &Status, consoles: &[String], colour: bool) -> String {
    let mut out = String::new();
    head(&mut out, status);
    grid(&mut out, status, colour);
    // Of a database's node its term, its vote, its lag, and what its keeper wants to be known.
    let of_database = |unit: &&UnitStatus| {
        status.databases.iter().any(|database| database.name.as_str() == unit.service.as_str())
    };
    let told =
        status.units.iter().filter(|unit| !unit.detail.is_empty() && (!unit.healthy || of_database(unit)));
    for unit in told {
        let _ = writeln!(out, "  {}: {}", unit.name, unit.detail);
    }
    if let Some(verdict) = status.drills.first() {
        let text = match (&verdict.not_run, verdict.objectives_met) {
            (Some(why), _) => format!("not run: {why}"),
            (None, Some(true)) => "objectives met".to_owned(),
            (None, Some(false)) => format!("objectives missed: {}", verdict.missed.join("; ")),
            (None, None) => "no verdict".to_owned(),
        };
        let _ = writeln!(out, "\nlast drill: {} {}: {text}", verdict.fault, verdict.target);
    }
    if !consoles.is_empty() {
        let _ = writeln!(out, "\nconsole: {}", consoles[0]);
    }
    out
}

fn head(out: &mut String, status: &Status) {
    if status.app.is_empty() {
        let _ = writeln!(out, "no plan is applied");
        return;
    }
    let place = if status.highly_available { "" } else { "   (one machine: not HA)" };
    let _ = writeln!(out, "{}  plan #{}  {}{place}", status.app, status.plan.0, status.rollout);
    let goal = &status.objectives;
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}%"));
    let rps = goal.rps.map_or("-".to_owned(), |rps| format!("{rps:.0}/s"));
    let _ = writeln!(
        out,
        "availability {} (objective {})   requests {} ({rps})   errors {}",
        percent(goal.measured_percent),
        percent(goal.availability_percent),
        goal.requests,
        goal.errors
    );
    for entry in &status.entries {
        let _ = writeln!(out, "  http://{entry}/");
    }
    for database in &status.databases {
        let _ = writeln!(out, "{}", database_line(database));
        if !database.entries.is_empty() {
            let entries: Vec<String> = database.entries.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "  {} at {}", database.name, entries.join(", "));
        }
    }
    if let Some(complaint) = &status.store {
        let _ = writeln!(out, "warning: store: {}", complaint.replace('\n', "\n  "));
    }
    for warning in &status.warnings {
        out.push_str(&warning_lines(warning, status.at_ms));
    }
    out.push('\n');
}

/// `db: serving, quorum, term 4, primary db-1; a write is acknowledged once 1 of db-2, db-3 has it`
fn database_line(database: &DatabaseStatus) -> String {
    let DatabaseStatus { name, phase, term, mode, .. } = database;
    let mut line = format!("{name}: {phase}, {}, term {term}", mode.word());
    match &database.primary {
        Some(primary) => line.push_str(&format!(", primary {primary}")),
        None => line.push_str(", no primary"),
    }
    let members: Vec<&str> = database.members.iter().map(|member| member.as_str()).collect();
    // Without a primary nothing is acknowledged at all.
    if database.need > 0 && database.primary.is_some() && phase != "promoting" {
        let need = database.need;
        let has = if need == 1 { "has" } else { "have" };
        line.push_str(&format!("; a write is acknowledged once {need} of {} {has} it", members.join(", ")));
    }
    if let (Mode::Lease, Some(rto), Some(rpo)) = (*mode, database.rto_ms, database.rpo_ms) {
        line.push_str(&format!(
            "; when its primary is lost, {} takes over within {} without at most the last {} of writes",
            members.join(", "),
            model::Duration(rto),
            model::Duration(rpo)
        ));
    }
    if let Some(bytes) = database.only_here_bytes {
        line.push_str(&format!("; {} of the log are on its disk alone", model::Bytes(bytes)));
    }
    if !database.healthy && phase == "serving" {
        line.push_str("; takes no writes now");
    }
    line
}

/// What is wrong and since when, what it means, what to do: each on a line of its own.
fn warning_lines(warning: &Warning, now_ms: u64) -> String {
    let Warning { database, since_ms, what, means, hint, .. } = warning;
    let since_s = now_ms.saturating_sub(*since_ms) / 1_000;
    format!("warning: {database}: {what}, since {since_s} s\n  {means}\n  hint: {hint}\n")
}

fn grid(out: &mut String, status: &Status, colour: bool) {
    let _ = write!(out, "{:<10}", "");
    for zone in &status.zones {
        let alive = if zone.alive { "up" } else { "SILENT" };
        let leads = if status.leader.as_ref() == Some(&zone.zone) { ", leads" } else { "" };
        let _ = write!(out, "{:<CELL$}  ", fit(&format!("zone {} ({alive}{leads})", zone.zone), CELL));
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
    let mut services: Vec<_> = status.units.iter().map(|unit| &unit.service).collect();
    services.sort();
    services.dedup();
    for service in services {
        let columns: Vec<Vec<&UnitStatus>> = status
            .zones
            .iter()
            .map(|zone| {
                status.units.iter().filter(|u| u.zone == zone.zone && u.service == *service).collect()
            })
            .collect();
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
        for row in 0..rows {
            let name = if row == 0 { service.as_str() } else { "" };
            let _ = write!(out, "{:<10}", fit(name, 9));
            for column in &columns {
                let text = column.get(row).map_or(String::new(), |unit| cell(unit));
                let padded = format!("{text:<CELL$}  ");
                match column.get(row) {
                    Some(unit) if colour => out.push_str(&paint(unit, &padded)),
                    _ => out.push_str(&padded),
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
    }
}

fn cell(unit: &UnitStatus) -> String {
    let mark = if unit.healthy { "●" } else { "○" };
    let restarts = if unit.restarts > 0 { format!(" ↻{}", unit.restarts) } else { String::new() };
    // Which node is the primary is what one looks for; that it is well says the mark.
    let data = matches!(unit.role.as_str(), "primary" | "standby" | "witness");
    let word = if data && unit.healthy { unit.role.as_str() } else { phase(unit.state) };
    let text = format!("{mark} {} {word}{restarts}", unit.name);
    fit(&text, CELL)
}

/// `text` in at most `width` characters.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// The word for a phase.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Unready => "unready",
        Phase::Backoff => "waiting",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
        Phase::Stopped => "stopped",
        Phase::Failed => "failed",
    }
}

fn paint(unit: &UnitStatus, text: &str) -> String {
    let code = match (unit.healthy, unit.state) {
        (true, _) => "32",
        (false, Phase::Starting | Phase::Draining | Phase::Stopping) => "33",
        (false, _) => "31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
