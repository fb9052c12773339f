//! What a caller may conclude from what it saw. Everything that is not surely one or the other is unknown: a failure
//! taken for certain that was none would make the checker cry wolf, and the other way round it would let a loss pass.

use super::decide_history::Outcome;

/// How far an operation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No statement was sent.
    Connecting,
    /// Inside a transaction whose `COMMIT` was not sent: whatever happens now, it is rolled back.
    Open,
    /// A statement outside a transaction, or `COMMIT`, was sent.
    Deciding,
}

/// What came back for the last thing that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw<'a> {
    /// Success.
    Done(Warned),
    /// An error with this SQLSTATE.
    Error(&'a str),
    /// The connection ended, or what came was no PostgreSQL.
    Broken,
    /// Nothing came within the deadline.
    Late,
}

/// Warnings that came with an answer and change what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warned {
    /// The wait for standbys was cut short: "The transaction has already committed locally, but might not have been
    /// replicated to the standby" (PostgreSQL, `SyncRepWaitForLSN`).
    pub not_replicated: bool,
    /// `25P01`: the `COMMIT` met no transaction, so somebody between us and the server lost ours.
    pub no_transaction: bool,
}

/// SQLSTATE classes and codes with which PostgreSQL says that the statement, and with it its transaction, had no
/// effect (PostgreSQL 15, appendix A). Deliberately not here: 08 (connection; `08007` is "outcome unknown"), 40003,
/// 57P01 and 57P02 (they may come between the commit and its answer), 58 and XX (the server itself is in trouble).
const NO_EFFECT: &[&str] = &[
    "0A", "20", "21", "22", "23", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D",
    "3F", "40000", "40001", "40002", "40P01", "42", "44", "53", "54", "55", "57014", "57P03", "P0",
];

/// What the caller of an operation that writes may conclude.
#[must_use]
pub fn conclude(stage: Stage, saw: Saw<'_>) -> Outcome {
    let why = match saw {
        Saw::Done(Warned { not_replicated: true, .. }) => "01000 not replicated",
        Saw::Done(Warned { no_transaction: true, .. }) => "25P01 no transaction",
        Saw::Done(_) => return Outcome::Ok,
        Saw::Error(code) => code,
        Saw::Broken => "connection broken",
        Saw::Late => "no answer in time",
    }
    .to_owned();
    let sure = match (stage, saw) {
        (Stage::Connecting | Stage::Open, _) => true,
        (Stage::Deciding, Saw::Error(code)) => NO_EFFECT.iter().any(|known| code.starts_with(known)),
        (Stage::Deciding, _) => false,
    };
    if sure {
        return Outcome::Failed { why };
    }
    Outcome::Unknown { why, false_ack: matches!(saw, Saw::Done(Warned { not_replicated: true, .. })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(stage: Stage, saw: Saw<'_>) -> &'static str {
        match conclude(stage, saw) {
            Outcome::Ok => "ok",
            Outcome::Failed { .. } => "failed",
            Outcome::Unknown { false_ack: false, .. } => "unknown",
            Outcome::Unknown { false_ack: true, .. } => "false ack",
        }
    }

    #[test]
    fn only_what_is_certain_is_called_certain() {
        let plain = Warned::default();
        let table: &[(Stage, Saw<'_>, &str)] = &[
            (Stage::Connecting, Saw::Broken, "failed"),
            (Stage::Connecting, Saw::Late, "failed"),
            (Stage::Connecting, Saw::Error("57P03"), "failed"),
            (Stage::Connecting, Saw::Error("XX000"), "failed"),
            (Stage::Open, Saw::Broken, "failed"),
            (Stage::Open, Saw::Late, "failed"),
            (Stage::Open, Saw::Error("57P01"), "failed"),
            (Stage::Deciding, Saw::Done(plain), "ok"),
            (Stage::Deciding, Saw::Done(Warned { not_replicated: true, ..plain }), "false ack"),
            (Stage::Deciding, Saw::Done(Warned { no_transaction: true, ..plain }), "unknown"),
            (Stage::Deciding, Saw::Broken, "unknown"),
            (Stage::Deciding, Saw::Late, "unknown"),
            (Stage::Deciding, Saw::Error("40001"), "failed"),
            (Stage::Deciding, Saw::Error("40P01"), "failed"),
            (Stage::Deciding, Saw::Error("23505"), "failed"),
            (Stage::Deciding, Saw::Error("25006"), "failed"),
            (Stage::Deciding, Saw::Error("53300"), "failed"),
            (Stage::Deciding, Saw::Error("28P01"), "failed"),
            (Stage::Deciding, Saw::Error("57P03"), "failed"),
            (Stage::Deciding, Saw::Error("57014"), "failed"),
            (Stage::Deciding, Saw::Error("08007"), "unknown"),
            (Stage::Deciding, Saw::Error("08006"), "unknown"),
            (Stage::Deciding, Saw::Error("40003"), "unknown"),
            (Stage::Deciding, Saw::Error("57P01"), "unknown"),
            (Stage::Deciding, Saw::Error("57P02"), "unknown"),
            (Stage::Deciding, Saw::Error("58030"), "unknown"),
            (Stage::Deciding, Saw::Error("XX000"), "unknown"),
            (Stage::Deciding, Saw::Error(""), "unknown"),
        ];
        for (stage, saw, expected) in table {
            assert_eq!(short(*stage, *saw), *expected, "{stage:?} {saw:?}");
        }
    }
}
