use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use balance::limits::Limits;
use balance::{FrontOptions, Tuning};

use crate::support::{Client, POLICY, Replica, Stand, free_address, snapshot};

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Each thread closes its own listener when it next runs.
fn closed(address: std::net::SocketAddr) {
    let end = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "{address} is still open");
        sleep(5);
    }
}

#[test]
fn a_draining_replica_gets_nothing_new_and_is_busy_until_it_is_done() {
    let (old, new) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&old]));
    let held = Arc::clone(&stand);
    let slow = std::thread::spawn(move || held.get("/slow?3000"));
    sleep(300);
    let mut next = snapshot(stand.address, &[&old, &new], POLICY);
    next.revision = 2;
    next.pools[0].endpoints[0].draining = true;
    stand.snapshots.send_replace(Arc::new(next));
    stand.wait("busy", |report| report.applied == 2 && report.busy.values().eq([&1]));
    let effects = old.effects();
    for _ in 0..10 {
        assert_eq!(stand.get("/").text(), "web-2");
    }
    assert_eq!(old.effects(), effects);
    assert_eq!(slow.join().unwrap().text(), "web-1");
    stand.wait("idle", |report| report.busy.is_empty());
    // The other way round: by its speed the new one would get everything, by the rule it gets nothing.
    let mut back = snapshot(stand.address, &[&old, &new], POLICY);
    back.revision = 3;
    back.pools[0].endpoints[1].draining = true;
    stand.snapshots.send_replace(Arc::new(back));
    stand.wait("applied", |report| report.applied == 3);
    for _ in 0..20 {
        assert_eq!(stand.get("/").text(), "web-1");
    }
}

#[test]
fn a_thousand_snapshots_under_load_fail_no_request() {
    let replicas: Vec<Replica> = (0..4).map(|n| Replica::start(&format!("web-{n}"))).collect();
    let stand = Arc::new(Stand::new(&replicas.iter().collect::<Vec<_>>()));
    let over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (stand, over, count) = (Arc::clone(&stand), Arc::clone(&over), Arc::clone(&count));
            std::thread::spawn(move || {
                while !over.load(SeqCst) {
                    let mut client = stand.connect();
                    for _ in 0..20 {
                        let answer =
                            client.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
                        assert_eq!(answer.text(), "hi");
                        count.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    for revision in 2..1_000 {
        // Each in turn leaves, comes back, or drains.
        let mut next = snapshot(stand.address, &replicas.iter().collect::<Vec<_>>(), POLICY);
        next.revision = revision;
        next.pools[0].endpoints[revision as usize % 4].draining = true;
        next.pools[0].endpoints.remove((revision as usize / 4) % 4);
        stand.snapshots.send_replace(Arc::new(next));
        sleep(1);
    }
    over.store(true, SeqCst);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    let sent = count.load(SeqCst);
    assert_eq!(replicas.iter().map(Replica::effects).sum::<usize>(), sent);
    assert_eq!(stand.counters().errors, 0);
}

#[test]
fn an_older_snapshot_is_ignored() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let mut older = snapshot(stand.address, &[], POLICY);
    older.revision = 0;
    stand.snapshots.send_replace(Arc::new(older));
    sleep(60);
    assert_eq!(stand.get("/").text(), "web-1");
}

#[test]
fn listeners_come_and_go_and_the_others_do_not_notice() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let mut kept = stand.connect();
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    let second = free_address();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let third = taken.local_addr().unwrap();
    let mut next = snapshot(stand.address, &[&web], POLICY);
    next.revision = 2;
    for address in [second, third] {
        next.listeners.push(model::Listener { address, ..next.listeners[0].clone() });
    }
    stand.snapshots.send_replace(Arc::new(next.clone()));
    stand.wait("open", |report| report.listen.contains(&second));
    let refused = stand.report().refused;
    assert_eq!(refused.len(), 1);
    assert!(refused[0].0 == third && refused[0].1.contains("in use"), "{refused:?}");
    sleep(30);
    assert_eq!(Client::connect(second).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);

    drop(taken);
    stand.wait("opened later", |report| report.refused.is_empty() && report.listen.contains(&third));
    next.revision = 3;
    next.listeners.truncate(1);
    stand.snapshots.send_replace(Arc::new(next));
    stand.wait("closed", |report| report.listen == [stand.address]);
    closed(second);
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
}

#[test]
fn a_front_that_stops_finishes_what_is_open_and_accepts_nothing() {
    let web = Replica::start("web-1");
    let mut stand = Stand::new(&[&web]);
    let mut idle = stand.connect();
    assert_eq!(idle.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    let mut open = stand.connect();
    open.send("GET /slow?1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    sleep(300);
    let address = stand.address;
    let start = Instant::now();
    let stopping = std::thread::spawn(move || stand.stop(5_000));
    assert_eq!(idle.rest(), b"", "an idle connection is closed at once");
    closed(address);
    let answer = open.answer(false).unwrap();
    assert_eq!((answer.text(), answer.field("connection")), ("web-1", Some("close")));
    stopping.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_front_that_stops_cuts_what_does_not_end() {
    let web = Replica::start("web-1");
    let mut stand = Stand::new(&[&web]);
    let mut open = stand.connect();
    open.send("GET /slow?6000 HTTP/1.1\r\nHost: a\r\n\r\n");
    sleep(50);
    let start = Instant::now();
    stand.stop(200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(open.answer(false).is_none());
}

#[test]
fn a_client_that_dawdles_is_let_go() {
    let web = Replica::start("web-1");
    let limits = Limits { head_ms: 200, idle_ms: 300, body_idle_ms: 250, ..Limits::default() };
    let stand = Stand::with(&[&web], POLICY, Tuning { limits, ..Tuning::default() });
    // A head in drops.
    let mut client = stand.connect();
    let start = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaa" {
        if client.stream.write_all(&[*byte]).is_err() {
            break;
        }
        sleep(10);
    }
    assert_eq!(client.answer(false).unwrap().status, 408);
    assert!(start.elapsed() < Duration::from_secs(3));
    // Nothing at all.
    assert_eq!(stand.connect().rest(), b"");
    // A body that stops.
    let mut client = stand.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.answer(false).unwrap().status, 408);
    let mut client = stand.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc");
    assert_eq!(client.answer(false).unwrap().status, 408);
    assert_eq!(web.effects(), 0);
}

#[test]
fn a_front_without_an_agent_serves_on() {
    let web = Replica::start("web-1");
    let mut stand = Stand::new(&[&web]);
    stand.snapshots = tokio::sync::watch::channel(Arc::default()).0;
    sleep(50);
    assert_eq!(stand.get("/").text(), "web-1");
}

#[test]
fn hosts_are_routed_and_limits_kept_and_every_request_is_logged() {
    let web = Replica::start("web-1");
    let path = std::env::temp_dir().join(format!("evenkeel-access-{}.log", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let options = FrontOptions { threads: 2, access_log: Some(path.clone()) };
    let limits = Limits { body_bytes: 1_000, ..Limits::default() };
    let tuning = Tuning { limits, mark_unit: true, ..Tuning::default() };
    let mut stand = Stand::with_options(&[&web], POLICY, tuning, options);
    let mut next = snapshot(stand.address, &[&web], POLICY);
    next.revision = 2;
    next.listeners[0].routes[0].host = Some("shop.example".to_owned());
    stand.snapshots.send_replace(Arc::new(next));
    stand.wait("applied", |report| report.applied == 2);
    let ask = |rest: &str| stand.connect().ask(&format!("GET / HTTP/1.1\r\n{rest}\r\n"));
    assert_eq!(ask("Host: Shop.Example:80\r\n").field("x-evenkeel-unit"), Some("web-1"));
    assert_eq!(ask("Host: other.example\r\n").status, 404);
    assert_eq!(ask(&format!("Host: shop.example\r\nCookie: {}\r\n", "a=1;".repeat(300))).status, 431);
    assert_eq!(ask("Host: shop.example\r\nContent-Length: 1001\r\n").status, 413);
    let chunked =
        format!("Host: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{}", "x".repeat(2_000));
    assert_eq!(ask(&chunked).status, 413);
    let metrics = stand.front.as_ref().unwrap().metrics();
    assert!(metrics.contains("evenkeel_front_endpoint_up{service=\"web\",unit=\"web-1\"} 1"), "{metrics}");
    stand.stop(1_000);
    let log = std::fs::read_to_string(&path).unwrap();
    let _ = std::fs::remove_file(&path);
    let mut status: Vec<u64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["status"].as_u64().unwrap())
        .collect();
    status.sort_unstable();
    assert_eq!(status, [200, 404, 413, 413, 431]);
}

#[test]
fn a_log_on_a_full_disk_costs_no_request() {
    let web = Replica::start("web-1");
    let options = FrontOptions { threads: 1, access_log: Some("/dev/full".into()) };
    let mut stand = Stand::with_options(&[&web], POLICY, Tuning::default(), options);
    for _ in 0..50 {
        assert_eq!(stand.get("/").status, 200);
    }
    sleep(300);
    let metrics = stand.front.as_ref().unwrap().metrics();
    assert!(metrics.contains("evenkeel_front_log_dropped_total 50"), "{metrics}");
    stand.stop(1_000);
}
