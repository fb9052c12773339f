//! Which failures nobody could have saved.
//!
//! A failure is savable, and so turns the drill red, unless the evidence says otherwise: the burden of proof is
//! on the excuse. The conditions below bound the excuses by what was in flight at the fault, and for an order at a
//! database whose primary was hit by what was in flight until there was another one.

use crate::decide_record::{Failure, FaultFacts, Kind, Outcome, Record};

/// A fault of many processes is carried out one signal after the other; a request sent this long after its
/// first effect may still have met a victim alive. 20 ms is ten times what `cgroup.kill` takes for a zone.
pub const SLACK_US: u64 = 20_000;

/// Why nobody could have saved the request, or `None` when it could have been saved.
///
/// 1. Its deciding attempt was sent before the fault, within [`SLACK_US`], and was still open at the fault.
/// 2. Either its front was hit and held it: the body of the `POST` had left, or the connection broke under it;
/// 3. or a front that lives says that the bytes had been sent to a replica that was hit, and the request must
///    not be carried out twice (RFC 9110 9.2.2).
/// 4. Apart from these: the primary of the database was hit, the application said that it does not know the outcome of
///    this order, and it was sent before orders went through again. Its commit was at a server that could not answer:
///    whoever sends it again may do it twice. It is excused, not forgotten: all orders are looked up afterwards, and one
///    that is there twice is red like any other.
#[must_use]
pub fn unsavable(record: &Record, fault: &FaultFacts) -> Option<&'static str> {
    let failure = record.failure()?;
    if record.kind == Kind::Write && failure.outcome_unknown && fault.primary {
        let until = fault.orders_again_us.unwrap_or(fault.at_us).max(fault.at_us);
        if in_flight(failure, record.end_us, (fault.at_us, until)) {
            return Some("its outcome is unknown: it was at the database when the primary was hit");
        }
    }
    if !in_flight(failure, record.end_us, (fault.at_us, fault.at_us)) {
        return None;
    }
    if failure.front.is_some_and(|front| fault.fronts.contains(&front)) {
        if record.kind == Kind::Write && failure.body_sent {
            return Some("its body had been sent to a front that was hit");
        }
        if failure.connection_held {
            return Some("its connection was held by a front that was hit");
        }
    }
    let blamed = failure.blamed.as_ref()?;
    if !record.kind.is_idempotent() && blamed.sent && fault.units.contains(&blamed.unit) {
        return Some("its body had been sent to a replica that was hit");
    }
    None
}

/// Sent before `until_us`, and not over at the fault.
fn in_flight(failure: &Failure, end_us: u64, (at_us, until_us): (u64, u64)) -> bool {
    failure.sent_us.is_some_and(|sent| sent <= until_us.saturating_add(SLACK_US)) && end_us >= at_us
}

/// When orders went through again after a fault at `at_us`: the end of the first one to be acknowledged of those that
/// were sent when the fault was complete.
#[must_use]
pub fn orders_again_us(records: &[Record], at_us: u64) -> Option<u64> {
    let whole = at_us.saturating_add(SLACK_US);
    let sent = |r: &&Record| r.kind == Kind::Write && r.outcome == Outcome::Expected && r.due_us > whole;
    records.iter().filter(sent).map(|r| r.end_us).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide_record::{Blamed, Outcome};

    const AT: u64 = 5_000_000;

    fn fault() -> FaultFacts {
        FaultFacts {
            at_us: AT,
            fronts: [1].into(),
            units: ["web-2".to_owned()].into(),
            ..FaultFacts::default()
        }
    }

    fn failed(kind: Kind, sent_us: u64, end_us: u64, edit: impl FnOnce(&mut Failure)) -> Record {
        let mut failure = Failure { front: Some(0), sent_us: Some(sent_us), ..Failure::default() };
        edit(&mut failure);
        Record { seq: 1, kind, due_us: sent_us, end_us, outcome: Outcome::Failed(failure) }
    }

    #[track_caller]
    fn check(record: Record, unsavable_expected: bool) {
        assert_eq!(unsavable(&record, &fault()).is_some(), unsavable_expected, "{record:?}");
    }

    fn by_front(failure: &mut Failure) {
        failure.front = Some(1);
        failure.connection_held = true;
    }

    fn by_body(failure: &mut Failure) {
        failure.front = Some(1);
        failure.body_sent = true;
    }

    fn by_unit(failure: &mut Failure) {
        failure.body_sent = true;
        failure.blamed = Blamed::parse("unit=web-2; sent=1");
    }

    #[test]
    fn a_post_whose_body_was_at_the_dead_front_could_not_be_saved() {
        check(failed(Kind::Write, AT - 3_000, AT + 900, by_body), true);
        check(failed(Kind::Write, AT - 3_000, AT + 900, by_front), true);
    }

    #[test]
    fn a_post_whose_body_was_at_the_dead_replica_could_not_be_saved() {
        check(failed(Kind::Write, AT - 3_000, AT + 900, by_unit), true);
    }

    #[test]
    fn a_post_sent_after_the_fault_is_never_excused() {
        check(failed(Kind::Write, AT + SLACK_US + 1, AT + 900_000, by_body), false);
        check(failed(Kind::Write, AT + SLACK_US + 1, AT + 900_000, by_unit), false);
        check(failed(Kind::Read, AT + SLACK_US + 1, AT + 900_000, by_front), false);
        // The injection itself takes a moment.
        check(failed(Kind::Write, AT + SLACK_US, AT + 900_000, by_body), true);
    }

    #[test]
    fn a_failure_that_was_over_before_the_fault_is_not_its_doing() {
        check(failed(Kind::Write, AT - 9_000, AT - 1, by_body), false);
    }

    #[test]
    fn a_read_that_a_living_front_gave_up_is_always_savable() {
        check(failed(Kind::Read, AT - 3_000, AT + 900, by_unit), false);
        check(failed(Kind::Slow, AT - 3_000, AT + 900, by_unit), false);
    }

    #[test]
    fn blaming_a_replica_that_nobody_broke_is_no_excuse() {
        let wrong = |f: &mut Failure| f.blamed = Blamed::parse("unit=web-3; sent=1");
        check(failed(Kind::Write, AT - 3_000, AT + 900, wrong), false);
        let unsent = |f: &mut Failure| f.blamed = Blamed::parse("unit=web-2; sent=0");
        check(failed(Kind::Write, AT - 3_000, AT + 900, unsent), false);
        check(failed(Kind::Write, AT - 3_000, AT + 900, |f| f.front = Some(1)), false);
    }

    fn unknown(failure: &mut Failure) {
        failure.body_sent = true;
        failure.outcome_unknown = true;
    }

    #[test]
    fn an_order_of_unknown_outcome_is_excused_until_orders_go_through_again() {
        let again = AT + 1_500_000;
        let facts = FaultFacts { primary: true, orders_again_us: Some(again), ..fault() };
        let excused = |record: Record, facts: &FaultFacts| unsavable(&record, facts).is_some();
        assert!(excused(failed(Kind::Write, AT - 3_000, AT + 900, unknown), &facts));
        // A frozen primary takes orders and answers none, until there is another one.
        assert!(excused(failed(Kind::Write, AT + 1_000_000, again, unknown), &facts));
        assert!(!excused(failed(Kind::Write, again + SLACK_US + 1, again + 900_000, unknown), &facts));
        assert!(!excused(failed(Kind::Write, AT - 9_000, AT - 1, unknown), &facts), "over before the fault");
        assert!(!excused(failed(Kind::Read, AT - 3_000, AT + 900, unknown), &facts), "a read is no order");
        // One that was refused had no effect: it could have been carried out later.
        assert!(!excused(failed(Kind::Write, AT - 3_000, AT + 900, |f| f.body_sent = true), &facts));
        // The primary was not hit: the application lost the connection for some other reason.
        let elsewhere = FaultFacts { primary: false, ..facts.clone() };
        assert!(!excused(failed(Kind::Write, AT - 3_000, AT + 900, unknown), &elsewhere));
        // Orders never went through again: only what was in flight at the fault.
        let never = FaultFacts { orders_again_us: None, ..facts };
        assert!(excused(failed(Kind::Write, AT, AT + 900, unknown), &never));
        assert!(!excused(failed(Kind::Write, AT + SLACK_US + 1, AT + 900_000, unknown), &never));
    }

    #[test]
    fn orders_go_through_again_with_the_first_one_that_the_fault_cannot_have_met() {
        let order = |due_us: u64, end_us: u64| Record {
            seq: 1,
            kind: Kind::Write,
            due_us,
            end_us,
            outcome: Outcome::Expected,
        };
        let read = Record { kind: Kind::Read, ..order(AT + 100_000, AT + 101_000) };
        let lost = failed(Kind::Write, AT + 200_000, AT + 300_000, unknown);
        // The first one was at the database already: it says nothing about a primary after the fault.
        let records = [order(AT - 1_000, AT + 5_000), read, lost, order(AT + 400_000, AT + 1_500_000)];
        assert_eq!(orders_again_us(&records, AT), Some(AT + 1_500_000));
        assert_eq!(orders_again_us(&records[..3], AT), None);
    }

    #[test]
    fn the_header_is_read_strictly_enough_not_to_excuse_by_accident() {
        assert_eq!(Blamed::parse("unit=web-2; sent=1"), Some(Blamed { unit: "web-2".into(), sent: true }));
        assert_eq!(Blamed::parse(" sent=1 ;unit=a;x=y"), Some(Blamed { unit: "a".into(), sent: true }));
        assert_eq!(Blamed::parse("unit=web-2"), Some(Blamed { unit: "web-2".into(), sent: false }));
        for nothing in ["", "sent=1", "unit=; sent=1", "unit", ";;;=", "Unit=a"] {
            assert_eq!(Blamed::parse(nothing), None, "{nothing}");
        }
    }
}
