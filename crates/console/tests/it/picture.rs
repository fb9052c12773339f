//! Pictures to show: a busy one, and the server that shows it.

use std::net::SocketAddr;
use std::sync::Arc;

use model::{
    DatabaseName, DatabaseStatus, Fault, Mode, ObjectiveStatus, Phase, PlanNumber, ServiceName, Status,
    UnitName, UnitStatus, Verdict, Warning, WarningKind, ZoneName, ZoneStatus,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use world::{Stop, Stopper};

pub(crate) const TOKEN: &str = "correct-horse-battery";

/// A console on a port of its own.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) status: watch::Sender<Arc<Status>>,
    pub(crate) stopper: Stopper,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) async fn serve(status: Status) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = watch::channel(Arc::new(status));
    let (stopper, stop) = Stop::pair();
    let task = tokio::spawn(console::serve(listener, receiver, TOKEN.to_owned(), stop));
    Served { address, status: sender, stopper, task }
}

fn unit(name: &str, zone: &str, service: &str, state: Phase, restarts: u32, detail: &str) -> UnitStatus {
    UnitStatus {
        name: UnitName::new(name).unwrap(),
        zone: ZoneName::new(zone).unwrap(),
        service: ServiceName::new(service).unwrap(),
        state,
        role: if service == "edge" { "front" } else { "replica" }.to_owned(),
        healthy: state == Phase::Ready,
        restarts,
        address: Some("127.0.1.1:20001".parse().unwrap()),
        pid: Some(4711),
        detail: detail.to_owned(),
    }
}

fn node(name: &str, zone: &str, role: &str, state: Phase, detail: &str) -> UnitStatus {
    let healthy = zone != "c";
    UnitStatus { role: role.to_owned(), healthy, ..unit(name, zone, "db", state, 0, detail) }
}

fn warning(since_ms: u64) -> Warning {
    Warning {
        kind: WarningKind::NoStandby,
        database: DatabaseName::new("db").unwrap(),
        since_ms,
        what: "no standby is left".to_owned(),
        means: "writes wait for one; nothing acknowledged is lost".to_owned(),
        hint: "bring back `db-2` or `db-3`".to_owned(),
    }
}

fn database() -> DatabaseStatus {
    let node = |number| UnitName::new(&format!("db-{number}")).unwrap();
    DatabaseStatus {
        name: DatabaseName::new("db").unwrap(),
        entries: vec!["127.0.1.1:6432".parse().unwrap()],
        mode: Mode::Quorum,
        term: 4,
        phase: "serving".to_owned(),
        primary: Some(node(1)),
        members: vec![node(2), node(3)],
        need: 1,
        rto_ms: Some(2_000),
        rpo_ms: Some(0),
        only_here_bytes: None,
        healthy: true,
    }
}

pub(crate) fn verdict(fault: &str, target: &str, at_ms: u64) -> Verdict {
    Verdict {
        fault: fault.parse::<Fault>().unwrap(),
        target: target.to_owned(),
        at_ms,
        not_run: None,
        aborted: None,
        requests: Some(12_044),
        failed: Some(7),
        unsavable: Some(7),
        unsavable_ids: Vec::new(),
        second_front: None,
        double_effects: Some(0),
        failed_after_ms: Some(412.0),
        p50_ms: Some(3.1),
        p99_ms: Some(212.4),
        max_ms: Some(608.0),
        calm_p99_ms: Some(11.7),
        rto_ms: Some(184.0),
        full_count_ms: Some(2_940.0),
        acked_writes: Some(2_377),
        lost_writes: Some(0),
        stale_reads: None,
        objectives_met: Some(true),
        missed: Vec::new(),
    }
}

/// Three zones, one of them silent, every state of a unit, and each kind of drill.
pub(crate) fn busy() -> Status {
    let at_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let zone = |name: &str, alive: bool, octet: u8| ZoneStatus {
        zone: ZoneName::new(name).unwrap(),
        alive,
        front: Some(format!("127.0.{octet}.1:8080").parse().unwrap()),
    };
    Status {
        app: "webshop".to_owned(),
        plan: PlanNumber(7),
        rollout: "rolling".to_owned(),
        leader: Some(ZoneName::new("a").unwrap()),
        entries: vec!["127.0.1.1:8080".parse().unwrap()],
        zones: vec![zone("a", true, 1), zone("b", true, 2), zone("c", false, 3)],
        units: vec![
            unit("edge-a", "a", "edge", Phase::Ready, 0, ""),
            unit("edge-b", "b", "edge", Phase::Ready, 1, ""),
            unit("edge-c", "c", "edge", Phase::Ready, 0, ""),
            unit("web-1", "a", "web", Phase::Ready, 0, ""),
            unit("web-2", "b", "web", Phase::Unready, 0, "probe `GET /healthz`: no answer within 500 ms"),
            unit("web-3", "c", "web", Phase::Ready, 0, ""),
            unit("web-4", "a", "web", Phase::Ready, 2, ""),
            unit("web-5", "b", "web", Phase::Starting, 0, "waits for its first healthy probe"),
            unit("web-6", "c", "web", Phase::Stopped, 0, ""),
            node("db-1", "a", "primary", Phase::Ready, "term 4"),
            node("db-2", "b", "standby", Phase::Ready, "term 4, votes, lag 0B"),
            node("db-3", "c", "standby", Phase::Ready, "its zone does not answer"),
            unit("worker-1", "a", "worker", Phase::Draining, 0, "3 requests left"),
            unit("worker-2", "b", "worker", Phase::Backoff, 4, "exit status 101, next start in 8 s"),
            unit("worker-3", "c", "worker", Phase::Failed, 9, "not healthy within 30 s"),
        ],
        databases: vec![database()],
        warnings: vec![warning(at_ms - 12_000)],
        objectives: ObjectiveStatus {
            availability_percent: Some(99.95),
            measured_percent: Some(99.987),
            requests: 184_233,
            errors: 24,
            ejections: 0,
            rps: Some(402.0),
            rto_zone_ms: Some(60_000),
            measured_rto_zone_ms: Some(184),
            budget_usd_month: Some(900.0),
            planned_usd_month: Some(612.4),
        },
        drills: vec![
            verdict("zone/kill", "c", at_ms - 4_000),
            Verdict {
                objectives_met: Some(false),
                failed: Some(31),
                unsavable: Some(2),
                double_effects: Some(1),
                missed: vec![
                    "29 requests failed that could have been saved".to_owned(),
                    "1 order was carried out twice".to_owned(),
                ],
                ..verdict("front/freeze", "edge-a", at_ms - 600_000)
            },
            Verdict {
                not_run: Some(
                    "`cut` needs network namespaces: start with `evenkeel up --isolate` as root".to_owned(),
                ),
                objectives_met: None,
                ..verdict("zone/cut", "b", at_ms - 900_000)
            },
        ],
        at_ms,
        store: None,
        highly_available: false,
    }
}
