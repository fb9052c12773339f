//! The bank: money moves and never appears or vanishes, so every read of all accounts has the same sum.

use super::decide_history::{Action, History, Listed};

/// The judgement of the bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BankReport {
    /// Acknowledged transfers.
    pub transfers_acked: u64,
    /// Reads of all accounts, that of the surviving database included.
    pub reads: u64,
    /// Reads with another sum than the constant, one sentence each.
    pub wrong: Listed<String>,
}

/// Sums up every read; `None` when the history knows no bank.
#[must_use]
pub fn check_bank(history: &History, balances: &[i64]) -> Option<BankReport> {
    let mut report = BankReport::default();
    let mut asked = false;
    for operation in &history.operations {
        match &operation.action {
            Action::Transfer { .. } => {
                asked = true;
                report.transfers_acked += u64::from(operation.is_ok());
            }
            Action::Bank { balances } => {
                asked = true;
                if let (true, Some(balances)) = (operation.is_ok(), balances) {
                    let at_s = operation.invoked_us as f64 / 1e6;
                    let who = || format!("client {} at {at_s:.3} s", operation.client);
                    read(&mut report, history.bank_total, balances, who);
                }
            }
            _ => {}
        }
    }
    if asked {
        read(&mut report, history.bank_total, balances, || "the surviving database".to_owned());
    }
    asked.then_some(report)
}

fn read(report: &mut BankReport, total: i64, balances: &[i64], who: impl Fn() -> String) {
    report.reads += 1;
    // Wide, so that no balance a broken database holds can overflow the sum.
    let sum: i128 = balances.iter().map(|balance| i128::from(*balance)).sum();
    if sum != i128::from(total) {
        report.wrong.add(|| format!("{}: all accounts hold {sum}, not {total}", who()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide_history::{Operation, Outcome, Via};
    use super::*;

    #[test]
    fn money_that_appears_is_found_in_reads_and_in_what_survives() {
        let operation = |balances: Option<Vec<i64>>, outcome| Operation {
            client: 3,
            via: Via::Front,
            due_us: 0,
            invoked_us: 1_500_000,
            ended_us: Some(1_600_000),
            action: Action::Bank { balances },
            outcome,
        };
        let operations = vec![
            operation(Some(vec![60, 40]), Outcome::Ok),
            operation(Some(vec![60, 50]), Outcome::Ok),
            operation(None, Outcome::Failed { why: "57P03".into() }),
        ];
        let history = History { operations, bank_total: 100, ..History::default() };
        let report = check_bank(&history, &[100, -1]).unwrap();
        assert_eq!(report.reads, 3);
        let wrong = [
            "client 3 at 1.500 s: all accounts hold 110, not 100",
            "the surviving database: all accounts hold 99, not 100",
        ];
        assert_eq!(report.wrong.first, wrong);
        assert_eq!(check_bank(&history, &[100, 0]).unwrap().wrong.count, 1);
        assert_eq!(check_bank(&History::default(), &[]), None);
    }
}
