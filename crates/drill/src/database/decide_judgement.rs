//! Everything the checkers found, and one sentence for each thing that is wrong.

use super::decide_availability::{AvailabilityReport, check_availability};
use super::decide_bank::{BankReport, check_bank};
use super::decide_history::{FinalState, History, Listed, Via};
use super::decide_lists::{AnomalyKind, ListReport, check_lists};
use super::decide_register::{RegisterReport, check_registers};
use super::decide_sessions::{SessionReport, check_sessions};

/// What a history proves. A part that the workload did not exercise is `None`: not measured is never clean.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Judgement {
    /// The append-only set.
    pub registers: Option<RegisterReport>,
    /// The lists.
    pub lists: Option<ListReport>,
    /// The bank.
    pub bank: Option<BankReport>,
    /// The sessions.
    pub sessions: Option<SessionReport>,
    /// What callers felt.
    pub availability: Option<AvailabilityReport>,
    /// Answers of success that carried a warning that no standby was waited for: acknowledgements for every client that
    /// does not read warnings.
    pub false_acks: u64,
    /// What is wrong, one sentence each; empty when everything that was promised was kept. Time without service is not
    /// in here: whether it was too long is for the objectives to say.
    pub problems: Vec<String>,
}

impl Judgement {
    /// Nothing is wrong, and something was proven.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Judges a history by itself and against what survived it.
#[must_use]
pub fn judge(history: &History, survived: &FinalState) -> Judgement {
    let mut judgement = Judgement {
        registers: check_registers(history, &survived.registers),
        lists: check_lists(history, survived),
        bank: check_bank(history, &survived.balances),
        sessions: check_sessions(history),
        availability: check_availability(history),
        false_acks: history.operations.iter().filter(|o| o.is_false_ack()).count() as u64,
        problems: Vec::new(),
    };
    let mut problems = Vec::new();
    if !history.operations.iter().any(|o| o.via == Via::Front && o.is_ok()) {
        problems.push("nothing was acknowledged, so nothing is proven".to_owned());
    }
    if let Some(report) = &judgement.registers {
        register_problems(report, &mut problems);
    }
    if let Some(report) = &judgement.lists {
        list_problems(report, &mut problems);
    }
    if let Some(report) = &judgement.bank {
        sentences(&report.wrong, "sums of the bank are wrong", &mut problems);
    }
    if let Some(report) = &judgement.sessions {
        sentences(&report.stale, "reads miss a write of their own session", &mut problems);
        sentences(&report.backwards, "reads go back behind an earlier one of their session", &mut problems);
        sentences(&report.unwritten, "reads brought what was never written", &mut problems);
    }
    if judgement.false_acks > 0 {
        problems.push(format!("{} acknowledgements waited for no standby", judgement.false_acks));
    }
    judgement.problems = problems;
    judgement
}

fn register_problems(report: &RegisterReport, problems: &mut Vec<String>) {
    let mut tell = |found: &Listed<i64>, what: &str| {
        if !found.is_empty() {
            problems.push(format!("{} {what}, ids {:?}", found.count, found.first));
        }
    };
    tell(&report.lost, "acknowledged writes are lost");
    tell(&report.unexpected, "writes are there that had surely failed");
    tell(&report.foreign, "rows are there that nobody wrote, or twice");
}

fn list_problems(report: &ListReport, problems: &mut Vec<String>) {
    let forbidden = report.anomalies.iter().filter(|anomaly| anomaly.is_forbidden);
    let mut last = None;
    for anomaly in forbidden {
        if last != Some(anomaly.kind) {
            let count = report.counts.get(&anomaly.kind).copied().unwrap_or_default();
            problems.push(format!("{count} x {}: {}", name(anomaly.kind), anomaly.explanation));
        }
        last = Some(anomaly.kind);
    }
}

fn sentences(found: &Listed<String>, what: &str, problems: &mut Vec<String>) {
    if let Some(first) = found.first.first() {
        problems.push(format!("{} {what}; the first: {first}", found.count));
    }
}

/// As people call it.
fn name(kind: AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::LostAppend => "acknowledged append lost",
        AnomalyKind::IncompatibleOrder => "forked list",
        AnomalyKind::Duplicate => "duplicate",
        AnomalyKind::FromNowhere => "value from nowhere",
        AnomalyKind::G0 => "G0 (write cycle)",
        AnomalyKind::G1a => "G1a (aborted read)",
        AnomalyKind::G1b => "G1b (intermediate read)",
        AnomalyKind::G1c => "G1c (circular information flow)",
        AnomalyKind::Internal => "own append not read",
        AnomalyKind::Fuzzy => "read not repeatable",
        AnomalyKind::GSingle => "G-single (read skew)",
        AnomalyKind::G2 => "G2 (write skew)",
    }
}

#[cfg(test)]
mod serial;

#[cfg(test)]
mod tests {
    use world::Chance;

    use super::super::decide_history::{Action, Outcome, Step};
    use super::serial::{self, Sizes};
    use super::*;

    const SEEDS: u64 = 500;

    fn check(seed: u64, sizes: Sizes) -> (History, FinalState) {
        let (history, survived) = serial::run(seed, sizes);
        let judgement = judge(&history, &survived);
        assert!(judgement.is_clean(), "seed {seed}: {:#?}", judgement.problems);
        (history, survived)
    }

    #[test]
    fn a_serial_history_is_never_accused() {
        for seed in 0..SEEDS {
            check(seed, Sizes::default());
        }
    }

    /// Plants something in each seed's history; where it found a place, the judgement must say `expected`.
    fn plant(expected: &str, how: impl Fn(&mut History, &mut FinalState, &mut Chance) -> Option<()>) {
        let mut planted = 0;
        for seed in 0..SEEDS {
            let (mut history, mut survived) = serial::run(seed, Sizes::default());
            if how(&mut history, &mut survived, &mut Chance::from_seed(seed ^ 0xBAD)).is_none() {
                continue;
            }
            planted += 1;
            let problems = judge(&history, &survived).problems;
            assert!(
                problems.iter().any(|p| p.contains(expected)),
                "seed {seed}, `{expected}`: {problems:#?}"
            );
        }
        assert!(
            planted > SEEDS * 9 / 10,
            "`{expected}` found a place in {planted} of {SEEDS} histories only"
        );
    }

    fn pick<T>(items: Vec<T>, chance: &mut Chance) -> Option<T> {
        let at = chance.below(items.len() as u64) as usize;
        items.into_iter().nth(at)
    }

    #[test]
    fn a_lost_write_is_found_wherever_it_was() {
        plant("acknowledged writes are lost", |history, survived, chance| {
            let acked = history.operations.iter().filter(|o| o.is_ok()).filter_map(|o| match o.action {
                Action::Register { id } => Some(id),
                _ => None,
            });
            let lost = pick(acked.collect(), chance)?;
            survived.registers.retain(|id| *id != lost);
            Some(())
        });
        plant("acknowledged append lost", |history, survived, chance| {
            let lost = pick(acked_appends(history), chance)?;
            survived.lists.get_mut(&lost.0)?.retain(|value| *value != lost.1);
            Some(())
        });
    }

    #[test]
    fn a_failure_that_was_none_is_found() {
        plant("surely failed", |history, _, chance| {
            let present = |o: &&mut _| {
                matches!(
                    o,
                    super::super::decide_history::Operation {
                        action: Action::Register { .. },
                        outcome: Outcome::Ok,
                        ..
                    }
                )
            };
            let all = history.operations.iter_mut().filter(present).collect();
            pick(all, chance)?.outcome = Outcome::Failed { why: "planted".into() };
            Some(())
        });
        plant("G1a", |history, survived, chance| {
            let there = |(key, value, at): &(i64, i64, usize)| {
                survived.lists.get(key).is_some_and(|list| list.contains(value)).then_some(*at)
            };
            let at = pick(acked_appends(history).iter().filter_map(there).collect(), chance)?;
            history.operations[at].outcome = Outcome::Failed { why: "planted".into() };
            Some(())
        });
    }

    #[test]
    fn two_values_that_changed_places_fork_the_list() {
        plant("forked list", |history, survived, chance| {
            let lists =
                history.operations.iter_mut().filter(|o| o.is_ok()).flat_map(|o| match &mut o.action {
                    Action::Transaction { steps } => steps.iter_mut(),
                    _ => [].iter_mut(),
                });
            let long = lists.filter_map(|step| match step {
                // The values of the step's own transaction stay where they are.
                Step::Read { key, list: Some(list) } if list.len() >= 4 => {
                    survived.lists.contains_key(key).then_some(list)
                }
                _ => None,
            });
            pick(long.collect(), chance)?.swap(0, 1);
            Some(())
        });
    }

    #[test]
    fn a_read_that_is_older_than_its_session_is_found() {
        plant("G-single", |history, _, chance| {
            let mut places = Vec::new();
            for (key, value, at) in acked_appends(history) {
                let writer = &history.operations[at];
                let later = history.operations.iter().enumerate().skip(at + 1);
                for (place, _) in later.filter(|(_, o)| o.client == writer.client && o.is_ok()) {
                    places.push((key, value, place));
                }
            }
            chance.shuffle(&mut places);
            places.into_iter().find_map(|(key, value, place)| cut(history, place, key, value))
        });
        plant("reads miss a write of their own session", |history, _, chance| {
            let mut acked = std::collections::BTreeMap::new();
            let mut reads = Vec::new();
            for operation in history.operations.iter_mut().filter(|o| o.is_ok()) {
                match &mut operation.action {
                    Action::SessionWrite { session, version } => {
                        acked.insert(*session, *version);
                    }
                    Action::SessionRead { session, versions: Some(versions) } => {
                        if let Some(acked) = acked.get(session) {
                            reads.push((&mut versions[*session as usize], acked - 1));
                        }
                    }
                    _ => {}
                }
            }
            let (version, older) = pick(reads, chance)?;
            *version = older;
            Some(())
        });
    }

    #[test]
    fn money_out_of_nothing_is_found() {
        plant("sums of the bank", |history, _, chance| {
            let reads = history.operations.iter_mut().filter_map(|o| match &mut o.action {
                Action::Bank { balances: Some(balances) } => Some(balances),
                _ => None,
            });
            pick(reads.collect(), chance)?[0] += 1;
            Some(())
        });
    }

    /// Acknowledged appends as key, value and place in the history.
    fn acked_appends(history: &History) -> Vec<(i64, i64, usize)> {
        let mut found = Vec::new();
        for (at, operation) in history.operations.iter().enumerate().filter(|(_, o)| o.is_ok()) {
            let Action::Transaction { steps } = &operation.action else { continue };
            for step in steps {
                if let Step::Append { key, value } = step {
                    found.push((*key, *value, at));
                }
            }
        }
        found
    }

    /// Makes the read of `key` at `place`, if its transaction does nothing else, end before `value`.
    fn cut(history: &mut History, place: usize, key: i64, value: i64) -> Option<()> {
        let Action::Transaction { steps } = &mut history.operations[place].action else { return None };
        let [Step::Read { key: read, list: Some(list) }] = steps.as_mut_slice() else { return None };
        let at = list.iter().position(|seen| *seen == value && *read == key)?;
        list.truncate(at);
        Some(())
    }

    /// A measurement, and a promise only of the order: what it prints is for people.
    #[test]
    fn a_hundred_thousand_operations_are_judged_in_little_time() {
        let sizes = Sizes { operations: 120_000, clients: 32, keys: 2_000, ..Sizes::default() };
        let (history, survived) = serial::run(1, sizes);
        assert!(history.operations.len() > 100_000, "{}", history.operations.len());
        let began = std::time::Instant::now();
        let judgement = judge(&history, &survived);
        eprintln!("{} operations judged in {:?}", history.operations.len(), began.elapsed());
        assert!(judgement.is_clean(), "{:#?}", judgement.problems);
        let acked = judgement.lists.map(|lists| lists.acked);
        assert!(acked.is_some_and(|acked| acked > 20_000), "{acked:?}");
    }
}
