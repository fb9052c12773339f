//! What was acknowledged is kept, what was done twice is seen, and what nobody can know is called so.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::rig::{Server, Shop, present, until};

#[test]
fn replicas_that_start_at_once_share_one_table_and_orders_outlive_them() {
    if !present("replicas_that_start_at_once") {
        return;
    }
    let server = Server::new();
    let replicas: Vec<Shop> = thread::scope(|scope| {
        let start = |n| Shop::start(&format!("web-{n}"), &server.url());
        let starts: Vec<_> = (1..=6).map(|n| scope.spawn(move || start(n))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for (n, shop) in replicas.iter().enumerate() {
        let answer = shop.order(&format!("o-{n}"));
        assert_eq!((answer.status, answer.body), (201, format!(r#"{{"id":"o-{n}"}}"#)));
        assert_eq!(shop.said(), "", "a race about the table is nobody's business");
    }
    // A retry that should not have happened shows, whichever replica carries it out.
    assert_eq!(replicas[3].order("o-1").status, 201);
    drop(replicas);

    let shop = Shop::start("web-7", &server.url());
    assert_eq!(shop.get("/orders/o-0").body, r#"{"id":"o-0","item":"mug","times":1,"unit":"web-1"}"#);
    assert_eq!(shop.get("/orders/o-1").body, r#"{"id":"o-1","item":"mug","times":2,"unit":"web-2"}"#);
    assert_eq!(shop.get("/orders/count").body, r#"{"executions":7,"orders":6}"#);
    for unknown in ["/orders/o-9", "/orders/%00", "/orders/'%3B--"] {
        assert_eq!(shop.get(unknown).status, 404, "{unknown}");
    }
    assert_eq!(server.sql("SELECT count(*) FROM orders WHERE at > now() - interval '1 hour'"), "6");
}

#[test]
fn every_acknowledged_order_is_there_after_the_server_was_killed_under_load() {
    if !present("every_acknowledged_order") {
        return;
    }
    let mut server = Server::new();
    let shop = Shop::start("web-1", &server.url());
    let (acked, none, stop) =
        (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let (next, count) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("o-{}", next.fetch_add(1, Ordering::Relaxed));
                    let answer = shop.order(&id);
                    match (answer.status, answer.outcome()) {
                        (201, _) => {
                            count.fetch_add(1, Ordering::Relaxed);
                            acked.lock().unwrap().insert(id);
                        }
                        (503, "none") => drop(none.lock().unwrap().insert(id)),
                        (503, "unknown") => {}
                        _ => panic!("{}\n{}", answer.head, answer.body),
                    }
                }
            });
        }
        // However this ends, the clients are not waited for in vain.
        let end = Ended(&stop);
        for _ in 0..3 {
            let before = count.load(Ordering::Relaxed);
            until("orders go well", || count.load(Ordering::Relaxed) >= before + 100);
            server.kill_all();
            server.start();
        }
        let before = count.load(Ordering::Relaxed);
        until("orders go well again", || count.load(Ordering::Relaxed) >= before + 100);
        drop(end);
    });
    let rows = server.sql("SELECT id FROM orders");
    let kept: BTreeSet<String> = rows.lines().map(str::to_owned).collect();
    let (acked, none) = (acked.into_inner().unwrap(), none.into_inner().unwrap());
    assert!(acked.is_subset(&kept), "lost: {:?}", acked.difference(&kept));
    assert!(none.is_disjoint(&kept), "done in spite of the answer: {:?}", none.intersection(&kept));
    assert_eq!(server.sql("SELECT count(*) FROM orders WHERE times > 1"), "0");
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets the next commits wait for a standby that does not exist.
fn hold_commits(server: &Server) {
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    server.sql("SELECT pg_reload_conf()");
    until("the setting holds", || server.sql("SHOW synchronous_standby_names") == "nobody");
}

fn is_held(server: &Server) -> bool {
    server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
}

#[test]
fn an_order_whose_commit_was_under_way_when_the_server_died_is_called_unknown() {
    if !present("an_order_whose_commit_was_under_way") {
        return;
    }
    let mut server = Server::new();
    let shop = Shop::start("web-1", &server.url());
    assert_eq!(shop.order("before").status, 201);
    hold_commits(&server);
    let answer = thread::scope(|scope| {
        let order = scope.spawn(|| shop.order("held"));
        until("the commit waits", || is_held(&server));
        server.kill_all();
        order.join().unwrap()
    });
    assert_eq!((answer.status, answer.outcome()), (503, "unknown"), "{}", answer.body);
    assert!(answer.body.contains(r#""outcome":"unknown""#), "{}", answer.body);
    // It was carried out, and a second one would have been seen: it was not sent again.
    server.start();
    assert_eq!(server.sql("SELECT times FROM orders WHERE id = 'held'"), "1");
}

#[test]
fn an_order_that_takes_too_long_is_given_up_after_nine_seconds_as_unknown() {
    if !present("an_order_that_takes_too_long") {
        return;
    }
    let server = Server::new();
    let shop = Shop::start("web-1", &server.url());
    assert_eq!(shop.order("before").status, 201);
    hold_commits(&server);
    let begin = Instant::now();
    let answer = shop.order("held");
    let took = begin.elapsed();
    assert_eq!((answer.status, answer.outcome()), (503, "unknown"), "{}", answer.body);
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(19), "{took:?}");
    // The commit still waits: giving up did not cancel it, which would have made it an acknowledged one.
    assert!(is_held(&server));
}
