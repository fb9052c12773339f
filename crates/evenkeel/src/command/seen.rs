//! `evenkeel plan --drills VERDICTS`: what drills have shown of the priors that a plan goes by.

use std::path::{Path, PathBuf};

use anyhow::Context;
use model::{App, FaultTarget, Mode, Verdict};
use serde_json::Value;

use crate::exit::{Hinted, hinted};

/// A takeover that nobody noticed took no longer than what a drill would have called one, in milliseconds.
const UNNOTICED_MS: f64 = 250.0;
/// No drill waits for as long, in seconds.
const TAKEOVER_S_MAX: f64 = 86_400.0;
const HINT: &str = "keep what `evenkeel drill primary --json` prints, one verdict a line";

/// Adds to `app` what the verdicts in `files` say of it.
///
/// # Errors
/// A file that cannot be read, a line that is no JSON, and a file of which nothing counts.
pub fn learn(app: &mut App, files: &[PathBuf]) -> anyhow::Result<()> {
    for path in files {
        let text = std::fs::read_to_string(path)
            .with_context(|| Hinted::new(format!("cannot read `{}`", path.display()), HINT))?;
        add(app, path, &text)?;
    }
    Ok(())
}

fn add(app: &mut App, path: &Path, text: &str) -> anyhow::Result<()> {
    let mut counted = 0;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("`{}`, line {number}", path.display());
        let value: Value =
            serde_json::from_str(line).map_err(|error| hinted(format!("{place}: {error}"), HINT))?;
        // A drill tells its course, too.
        if value["kind"] != "verdict" {
            continue;
        }
        let verdict: Verdict =
            serde_json::from_value(value).map_err(|error| hinted(format!("{place}: {error}"), HINT))?;
        let Some((name, seconds)) = takeover(app, &verdict) else { continue };
        if !(0.0..TAKEOVER_S_MAX).contains(&seconds) {
            return Err(hinted(format!("{place}: no takeover takes {seconds} s"), HINT));
        }
        let seen = app.seen.entry(name.to_owned()).or_default();
        (seen.count, seen.exposure) = (seen.count + 1, seen.exposure + seconds);
        counted += 1;
    }
    if counted == 0 {
        let what = format!("`{}` has no verdict that a plan could go by", path.display());
        return Err(hinted(what, format!("a struck primary of a database of the file counts; {HINT}")));
    }
    Ok(())
}

/// The prior that a struck primary says something of, and what, in seconds.
fn takeover(app: &App, verdict: &Verdict) -> Option<(&'static str, f64)> {
    if verdict.fault.target != FaultTarget::Primary || verdict.not_run.is_some() || verdict.aborted.is_some()
    {
        return None;
    }
    let (name, _) = verdict.target.rsplit_once('-')?;
    // With `standbys: auto` it is not known which of the two takeovers was seen.
    let mut counted = app.databases.iter().filter(|database| !database.auto);
    let database = counted.find(|database| database.name.as_str() == name)?;
    let prior = match database.mode() {
        Mode::Quorum => "takeover_quorum.seconds",
        Mode::Lease => "takeover_lease.seconds",
        Mode::Single | Mode::Managed => return None,
    };
    let rto_ms = verdict.rto_ms?;
    // Where no gap stands out, `rto_ms` is the time to the next write of many.
    let unnoticed = (0.0..UNNOTICED_MS).contains(&rto_ms);
    Some((prior, if unnoticed { UNNOTICED_MS } else { rto_ms } / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name: shop\nservices: { web: { command: [a] } }\n\
        databases:\n  db: { engine: postgres:15, standbys: 2 }\n  log: { engine: postgres:15, standbys: 1 }\n";

    fn learnt(lines: &[&str]) -> anyhow::Result<App> {
        let mut app = spec::read(FILE, "evenkeel.yaml").app.expect("no error");
        add(&mut app, Path::new("drills.jsonl"), &lines.join("\n"))?;
        Ok(app)
    }

    fn verdict(fault: &str, target: &str, rest: &str) -> String {
        format!(
            r#"{{"kind":"verdict","fault":"{fault}","target":"{target}","at_ms":1,"unsavable_ids":[],"missed":[]{rest}}}"#
        )
    }

    #[test]
    fn takeovers_of_the_databases_of_the_file_count_each_for_its_mode() {
        let lines = [
            r#"{"kind":"progress"}"#.to_owned(),
            verdict("primary/kill", "db-1", r#","rto_ms":400.0"#),
            verdict("primary/freeze", "db-3", r#","rto_ms":1600.0"#),
            String::new(),
            verdict("primary/kill", "log-2", r#","rto_ms":7000.0"#),
            // No gap stood out.
            verdict("primary/kill", "db-2", r#","rto_ms":2.8"#),
            verdict("primary/kill", "other-1", r#","rto_ms":9000.0"#),
            verdict("zone/kill", "b", r#","rto_ms":9000.0"#),
            verdict("primary/cut", "db-1", r#","not_run":"no namespaces""#),
            verdict("primary/kill", "db-1", r#","rto_ms":9000.0,"aborted":"too much failed""#),
        ];
        let app = learnt(&lines.each_ref().map(String::as_str)).unwrap();
        let seen: Vec<_> =
            app.seen.iter().map(|(name, seen)| (name.as_str(), seen.count, seen.exposure)).collect();
        assert_eq!(seen, [("takeover_lease.seconds", 1, 7.0), ("takeover_quorum.seconds", 3, 2.25)]);
    }

    #[test]
    fn what_is_no_verdict_says_where_and_what_to_do() {
        let told = |lines: &[&str]| format!("{:#}", learnt(lines).unwrap_err());
        assert!(told(&["{}", "nonsense"]).contains("drills.jsonl`, line 2: expected"));
        assert!(told(&[r#"{"kind":"verdict"}"#]).contains("line 1: missing field"));
        let never = verdict("primary/kill", "db-1", r#","rto_ms":-4.0"#);
        assert!(told(&[&never]).contains("line 1: no takeover takes -0.004 s"));
        assert!(told(&[&verdict("zone/kill", "b", "")]).contains("has no verdict that a plan could go by"));
        assert!(told(&[]).contains("has no verdict"));
    }
}
