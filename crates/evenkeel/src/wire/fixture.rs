//! Store pictures for tests, written as one would tell them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ::database::keeper::{KeeperStatus, Standing};
use model::{
    AgentRecord, AppName, Availability, Bytes, DataFrontRecord, Database, DatabaseName, Deploy, Duration,
    Fault, FrontRecord, Healthcheck, Ingress, LeaderRecord, MilliCpu, Mode, Money, NodeId, Objectives, Phase,
    Plan, PlanNumber, PlannedDatabase, PlannedNode, PlannedService, Probe, Quorum, Record, ReignPhase,
    Resources, Rollout, RolloutPhase, Run, Scale, Service, ServiceCounters, ServiceName, Template, UnitName,
    UnitRecord, UnitState, Verdict, Want, WhenAlone, ZoneName,
};

use super::database::DataNode;
use super::mirror::Mirror;

pub fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).unwrap()
}

pub fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

/// `127.0.1.1` for zone a, `127.0.2.1` for b.
pub fn ip(zone: &str) -> IpAddr {
    Ipv4Addr::new(127, 0, zone.as_bytes()[0] - b'a' + 1, 1).into()
}

pub fn service(name: &str) -> Service {
    Service {
        name: ServiceName::new(name).unwrap(),
        run: Run::Command(["bin/x", "${port}"].iter().map(|word| Template::parse(word).unwrap()).collect()),
        environment: BTreeMap::new(),
        healthcheck: Healthcheck {
            probe: Probe::Http("/healthz".to_owned()),
            interval: Duration(1_000),
            timeout: Duration(500),
            retries: 2,
            start_timeout: Duration(30_000),
        },
        resources: Resources { cpus: MilliCpu(1_000), memory: Bytes(1 << 20) },
        scale: Scale { min: 2, max: 2, target: None },
        load: None,
        rps_per_cpu: None,
        deploy: Deploy { max_unavailable: 0, drain: Duration(10_000) },
    }
}

pub fn ingress(port: u16, host: Option<&str>, to: &str) -> Ingress {
    let (host, to) = (host.map(str::to_owned), ServiceName::new(to).unwrap());
    Ingress { port, any_address: false, host, to }
}

/// A plan of service `web` in zones a, b and c, behind port 8080.
pub fn plan(number: u64) -> Plan {
    let planned = PlannedService { service: service("web"), replicas: 2, version: 1, needed_at_peak: 1 };
    Plan {
        number: PlanNumber(number),
        parent: None,
        app: AppName::new("shop").unwrap(),
        objectives: Objectives::default(),
        provider: "local".to_owned(),
        region: "local".to_owned(),
        zones: ["a", "b", "c"].map(zone).to_vec(),
        layout: model::Layout::Apart,
        services: vec![planned],
        databases: Vec::new(),
        caches: Vec::new(),
        round_trips: Vec::new(),
        ingress: vec![ingress(8080, None, "web")],
        lines: Vec::new(),
        usd_month: Money(0),
        availability: Availability { unavailability: 0.001 },
        causes: Vec::new(),
        risks: Vec::new(),
        outages: Vec::new(),
        losses: Vec::new(),
        feasible: true,
        missed: Vec::new(),
        why: Vec::new(),
        rejected: Vec::new(),
        assumed: Vec::new(),
        certain: String::new(),
        certificate: model::Certificate::default(),
    }
}

/// A planned database with a node in each of the zones a, b and c.
pub fn database(name: &str) -> PlannedDatabase {
    let node = |(number, home)| PlannedNode { name: unit(&format!("{name}-{number}")), zone: zone(home) };
    PlannedDatabase {
        database: Database {
            name: DatabaseName::new(name).unwrap(),
            postgres: 15,
            storage: Bytes(1 << 30),
            standbys: 2,
            auto: false,
            managed: model::Managed::No,
            writes: None,
            witness: false,
            when_alone: WhenAlone::Block,
        },
        nodes: [(1, "a"), (2, "b"), (3, "c")].map(node).to_vec(),
        mode: Mode::Quorum,
        version: 1,
    }
}

pub fn data_node(name: &str) -> DataNode {
    let (database, node) = name.rsplit_once('-').unwrap();
    DataNode { database: DatabaseName::new(database).unwrap(), node: NodeId(node.parse().unwrap()) }
}

/// A record of three nodes: `serving 1`, `serving 1 to 2`, `closing 1 to 2`, `electing`, `promoting 2`. Each of the other two
/// counts, of a closing one the heir alone, and one of them must have a write.
pub fn record(term: u64, phase: &[&str]) -> Record {
    let id = |text: &str| NodeId(text.parse().unwrap());
    let closing = phase.first() == Some(&"closing");
    let (phase, primary) = match phase {
        ["serving", node] => (ReignPhase::Serving { primary: id(node), handover: None }, id(node)),
        ["serving" | "closing", node, "to", to] => {
            (ReignPhase::Serving { primary: id(node), handover: Some(id(to)) }, id(node))
        }
        ["promoting", node] => (ReignPhase::Promoting { primary: id(node) }, id(node)),
        ["electing"] => (ReignPhase::Electing { preferred: None }, NodeId(1)),
        other => panic!("what is {other:?}?"),
    };
    let heir = closing.then_some(phase).and_then(|phase| match phase {
        ReignPhase::Serving { handover, .. } => handover,
        _ => None,
    });
    let counts = |node: &NodeId| heir.map_or(*node != primary, |heir| *node == heir);
    let members = [1, 2, 3].map(NodeId).into_iter().filter(counts).collect();
    let quorums = vec![Quorum { primary, term, members, need: 1 }];
    Record { term, phase, quorums, history: Vec::new(), unrest: BTreeMap::new() }
}

/// What a keeper says: the state of its server, and of each standby that it knows `2=0`, how far it is behind.
pub fn keeper(server: &str, lags: &[&str]) -> KeeperStatus {
    let standing = |text: &&str| {
        let (node, lag) = text.split_once('=').unwrap();
        Standing { node: NodeId(node.parse().unwrap()), lag_bytes: lag.parse().unwrap(), counts: true }
    };
    KeeperStatus {
        server: serde_json::from_value(server.into()).unwrap(),
        promised: 4,
        standbys: lags.iter().map(standing).collect(),
        server_pid: Some(77),
        ..KeeperStatus::default()
    }
}

/// The picture that a story tells. Its sentences end with `;`:
/// `plan 1`, `leader a`, `agent a`, `unit web-1 in a` (then perhaps `drains since 7`), `web-1 in a is ready`,
/// `front a serves 9` (then perhaps `holds web-1`), `front a counts 100 5` (requests, errors), `front a is closed`, `front a is refused 80`,
/// `database db` (planned), `zone a` (its address is known), `db at 40 term 4 serving 1` (revision; see [`record`]),
/// `slot db 4` (see `slots`), `keeper db-1 is open` (then perhaps `2=0 3=5`, see [`keeper`]), `data front a listens`.
#[track_caller]
pub fn picture(story: &str) -> Mirror {
    let mut mirror = Mirror { revision: 100, ..Mirror::default() };
    for sentence in story.split(';').map(str::trim).filter(|sentence| !sentence.is_empty()) {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        assert!(tell(&mut mirror, &words), "what is `{sentence}`?");
    }
    mirror
}

fn tell(mirror: &mut Mirror, words: &[&str]) -> bool {
    match words {
        ["plan", number] => {
            let plan = plan(number.parse().unwrap());
            mirror.rollout = Some((Rollout { plan, good: None, phase: RolloutPhase::Reached }, 1));
        }
        ["leader", name] => mirror.leader = Some(LeaderRecord { zone: zone(name), pid: 1 }),
        ["agent", name] => {
            let agent =
                AgentRecord { zone: zone(name), pid: 1, incarnation: 1, address: ip(name), console: None };
            mirror.agents.insert(zone(name), agent);
        }
        ["unit", name, "in", home, rest @ ..] => {
            let (want, since) = match rest {
                [] => (Want::Run, 1),
                ["drains", "since", revision] => (Want::Drain, revision.parse().unwrap()),
                _ => return false,
            };
            let service = service(name.rsplit_once('-').unwrap().0);
            let record = UnitRecord { name: unit(name), zone: zone(home), service, version: 1, want };
            mirror.units.insert(unit(name), (record, since));
        }
        [name, "in", home, "is", phase] => {
            let state = state(name, home, phase);
            mirror.states.insert(unit(name), state);
        }
        ["front", name, rest @ ..] => return front(mirror, name, rest),
        ["database", name] => {
            let (rollout, _) = mirror.rollout.as_mut().unwrap();
            rollout.plan.databases.push(database(name));
        }
        ["slot", name, slot] => {
            mirror.slots.insert(DatabaseName::new(name).unwrap(), slot.parse().unwrap());
        }
        ["zone", name] => drop(mirror.zones.insert(zone(name), ip(name))),
        [name, "at", revision, "term", term, phase @ ..] => {
            let record = (record(term.parse().unwrap(), phase), revision.parse().unwrap());
            mirror.databases.entry(DatabaseName::new(name).unwrap()).or_default().record = Some(record);
        }
        ["keeper", name, "is", server, lags @ ..] => {
            let node = data_node(name);
            let statuses = &mut mirror.databases.entry(node.database).or_default().statuses;
            statuses.insert(node.node, keeper(server, lags));
        }
        ["data", "front", name, "listens"] => {
            let listen = vec![SocketAddr::new(ip(name), 6432)];
            let front = DataFrontRecord { zone: zone(name), listen, refused: Vec::new() };
            mirror.data_fronts.insert(zone(name), front);
        }
        _ => return false,
    }
    true
}

fn front(mirror: &mut Mirror, name: &str, words: &[&str]) -> bool {
    let front = mirror.fronts.entry(zone(name)).or_insert_with(|| FrontRecord {
        zone: zone(name),
        listen: vec![SocketAddr::new(ip(name), 8080)],
        refused: Vec::new(),
        applied: 0,
        busy: BTreeMap::new(),
        counters: BTreeMap::new(),
    });
    match words {
        ["serves", revision, rest @ ..] => {
            front.applied = revision.parse().unwrap();
            front.busy = match rest {
                [] => BTreeMap::new(),
                ["holds", held] => BTreeMap::from([(unit(held), 1)]),
                _ => return false,
            };
        }
        ["counts", requests, errors] => {
            let (requests, errors) = (requests.parse().unwrap(), errors.parse().unwrap());
            let counters = ServiceCounters { requests, errors, ..ServiceCounters::default() };
            front.counters.insert(ServiceName::new("web").unwrap(), counters);
        }
        ["is", "closed"] => front.listen.clear(),
        ["is", "refused", port] => {
            let address = SocketAddr::new(ip(name), port.parse().unwrap());
            front.refused.push((address, "address already in use".to_owned()));
        }
        _ => return false,
    }
    true
}

/// The state of unit `name`, whose zone is `home`, in the phase of that name.
pub fn state(name: &str, home: &str, phase: &str) -> UnitState {
    let phase: Phase = serde_json::from_value(phase.into()).unwrap();
    let number: u16 = name.rsplit_once('-').unwrap().1.parse().unwrap_or(0);
    UnitState {
        name: unit(name),
        zone: zone(home),
        service: ServiceName::new(name.rsplit_once('-').unwrap().0).unwrap(),
        version: 1,
        phase,
        address: Some(SocketAddr::new(ip(home), 20_000 + number)),
        pid: Some(1),
        restarts: 0,
        detail: String::new(),
    }
}

/// What is known of a drill before anything was measured.
pub fn verdict(fault: Fault, target: &str) -> Verdict {
    Verdict {
        fault,
        target: target.to_owned(),
        at_ms: 0,
        not_run: None,
        aborted: None,
        requests: None,
        failed: None,
        unsavable: None,
        unsavable_ids: Vec::new(),
        second_front: None,
        double_effects: None,
        failed_after_ms: None,
        p50_ms: None,
        p99_ms: None,
        max_ms: None,
        calm_p99_ms: None,
        rto_ms: None,
        full_count_ms: None,
        acked_writes: None,
        lost_writes: None,
        stale_reads: None,
        objectives_met: None,
        missed: Vec::new(),
    }
}
