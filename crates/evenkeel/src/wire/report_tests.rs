use model::ServiceCounters;

use super::super::fixture::{data_node, ip, keeper, picture, record, state, zone};
use super::*;

/// What the agent of zone a writes when its units are as `now` tells.
#[track_caller]
fn check(story: &str, now: &[UnitState], expected: &[&str]) {
    let ops = states(&picture(story), &zone("a"), now);
    let told: Vec<String> = ops
        .iter()
        .map(|op| match op {
            Op::Put { key, value, lease } => {
                let written: UnitState = serde_json::from_slice(value).unwrap();
                assert!(now.contains(&written) && lease.is_none(), "a state outlives its agent");
                format!("put {key}")
            }
            Op::Delete { key } => format!("delete {key}"),
        })
        .collect();
    assert_eq!(told, expected, "{story}");
}

#[test]
fn an_agent_at_rest_writes_nothing() {
    check("web-1 in a is ready", &[state("web-1", "a", "ready")], &[]);
    check("web-1 in a is starting", &[state("web-1", "a", "ready")], &["put states/a/web-1"]);
    let mut told_more = state("web-1", "a", "ready");
    told_more.detail = "was slow".to_owned();
    check("web-1 in a is ready", &[told_more], &["put states/a/web-1"]);
}

#[test]
fn a_zone_that_returns_removes_what_it_had_said_before_and_nothing_of_others() {
    let story = "web-1 in a is ready; web-2 in a is ready; web-3 in b is ready; edge-b in b is ready";
    check(story, &[state("web-1", "a", "ready")], &["delete states/a/web-2"]);
}

#[test]
fn a_hundred_changes_at_once_fit_into_the_stores_transactions() {
    let mut mirror = picture("agent a");
    let now: Vec<UnitState> = (0..150).map(|n| state(&format!("web-{n}"), "a", "ready")).collect();
    let mut rounds = Vec::new();
    while rounds.len() < 10 {
        let ops = states(&mirror, &zone("a"), &now);
        rounds.push(ops.len());
        if ops.is_empty() {
            break;
        }
        for op in ops {
            let Op::Put { value, .. } = op else { panic!("nothing to delete") };
            let state: UnitState = serde_json::from_slice(&value).unwrap();
            mirror.states.insert(state.name.clone(), state);
        }
    }
    assert_eq!(rounds, [64, 64, 22, 0], "each round goes on where the last ended");
}

fn report(applied: u64, requests: u64) -> FrontReport {
    let counters = ServiceCounters { requests, ..ServiceCounters::default() };
    FrontReport {
        applied,
        listen: picture("front a serves 0").fronts[&zone("a")].listen.clone(),
        counters: BTreeMap::from([(model::ServiceName::new("web").unwrap(), counters)]),
        ..FrontReport::default()
    }
}

/// Whether zone a's front, of which the store knows what `story` tells, is written about.
#[track_caller]
fn check_due(story: &str, report: &FrontReport, ms_ago: u64, due: bool) {
    let record = front(&zone("a"), report);
    assert_eq!(front_due(&picture(story), &record, ms_ago), due, "{story}");
}

#[test]
fn a_fronts_record_does_not_chase_its_own_writes() {
    // Each write makes a revision, each revision a snapshot, each snapshot a higher `applied`.
    check_due("front a serves 9; front a counts 5 0", &report(10, 5), 3_600_000, false);
    check_due("front a serves 9; front a counts 5 0; unit web-1 in a", &report(10, 5), 3_600_000, false);
    // Also after a drain: it is written about once.
    let drain = "unit web-1 in a drains since 8; front a serves 9; front a counts 5 0";
    check_due(drain, &report(10, 5), 3_600_000, false);
}

#[test]
fn a_drain_is_not_kept_waiting_for_the_next_second() {
    let drain = "unit web-1 in b drains since 8; front a counts 5 0; front a serves 7";
    check_due(drain, &report(8, 5), 0, true);
    check_due(drain, &report(7, 5), 0, false);
    check_due(&format!("{drain} holds web-1"), &report(7, 5), 0, true);
    // The newest drain of several is the one that is waited for.
    let two = format!("{drain}; unit web-2 in b drains since 12; front a serves 9");
    check_due(&two, &report(12, 5), 0, true);
    check_due(&two, &report(11, 5), 0, false);
}

#[test]
fn counters_are_written_once_a_second() {
    check_due("front a serves 9; front a counts 5 0", &report(9, 6), COUNTERS_MS - 1, false);
    check_due("front a serves 9; front a counts 5 0", &report(9, 6), COUNTERS_MS, true);
}

#[test]
fn a_front_that_is_new_or_opened_a_port_is_told_about_at_once() {
    check_due("front b serves 9", &report(9, 5), 0, true);
    check_due("front a serves 9; front a counts 5 0; front a is closed", &report(9, 5), 0, true);
    check_due("front a serves 9; front a counts 5 0; front a is refused 80", &report(9, 5), 0, true);
}

/// The keys that the agent of zone a writes when the keeper of db-1 says `now` and its data front listens.
#[track_caller]
fn check_data(story: &str, now: Option<KeeperStatus>, expected: &[&str]) {
    let board: Board =
        now.map(|status| (data_node("db-1"), std::sync::Arc::new(status))).into_iter().collect();
    let listen = vec![std::net::SocketAddr::new(ip("a"), 6432)];
    let report = DataReport { listen, ..DataReport::default() };
    let link = Link { report, heard: Some(model::Moment(1)) };
    let ops = data(&picture(story), (&zone("a"), ip("a")), &board, &link);
    let told: Vec<String> = ops
        .iter()
        .map(|op| match op {
            Op::Put { key, lease, .. } => {
                assert!(lease.is_none(), "it outlives its agent");
                format!("put {key}")
            }
            Op::Delete { key } => format!("delete {key}"),
        })
        .collect();
    assert_eq!(told, expected, "{story}");
}

const DATA: &str = "plan 1; database db; zone a; data front a listens; keeper db-1 is open";

#[test]
fn what_the_store_knows_of_data_nodes_is_written_once_and_made_good_when_lost() {
    check_data(DATA, Some(keeper("open", &[])), &[]);
    check_data(DATA, Some(keeper("fenced", &[])), &["put databases/db/status/1"]);
    let with_record = KeeperStatus { record: Some(record(4, &["serving", "1"])), ..keeper("open", &[]) };
    check_data(DATA, Some(with_record), &[]);
    check_data("plan 1", None, &["put zones/a", "put data-fronts/a"]);
}

#[test]
fn a_zone_that_moved_says_so() {
    let mut moved = picture(DATA);
    moved.zones.insert(zone("a"), ip("c"));
    let ops = data(&moved, (&zone("a"), ip("a")), &Board::new(), &Link::default());
    assert!(matches!(ops.as_slice(), [Op::Put { key, .. }] if key == "zones/a"), "{ops:?}");
}

#[test]
fn a_node_that_is_no_longer_planned_is_forgotten_and_no_other() {
    let gone = DATA.replace("database db", "database other");
    check_data(&gone, None, &["delete databases/db/status/1"]);
    check_data(DATA, None, &[]);
    check_data("zone a; data front a listens; keeper db-1 is open", None, &[]);
}
