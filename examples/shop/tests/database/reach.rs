//! Ways to the database that are gone, frozen, late or wrong.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::rig::{PASSWORD, Server, Shop, free_port, present, until, url};

#[test]
fn connections_that_ended_while_nobody_used_them_cost_no_order() {
    if !present("connections_that_ended") {
        return;
    }
    let mut server = Server::new();
    let shop = Shop::start("web-1", &server.url());
    assert_eq!(shop.order("o-0").status, 201);
    for round in 1..=10 {
        server.end_sessions();
        let answer = shop.order(&format!("o-{round}"));
        assert_eq!(answer.status, 201, "{}\n{}", answer.body, shop.said());
    }
    server.kill_all();
    server.start();
    assert_eq!(shop.order("o-11").status, 201, "{}", shop.said());
    assert_eq!(shop.get("/orders/count").body, r#"{"executions":12,"orders":12}"#);
}

#[test]
fn an_order_waits_for_a_server_that_comes_back() {
    if !present("an_order_waits") {
        return;
    }
    let mut server = Server::new();
    let shop = Shop::start("web-1", &server.url());
    assert_eq!((shop.order("o-1").status, shop.get("/readyz").status), (201, 200));
    server.kill_all();
    assert_eq!((shop.get("/readyz").status, shop.get("/healthz").status), (503, 200));
    let answer = thread::scope(|scope| {
        let order = scope.spawn(|| shop.order("o-2"));
        server.start();
        order.join().unwrap()
    });
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(shop.get("/readyz").status, 200);
    let said = shop.said();
    assert!(said.contains("trying again\nthe database answers at 127.0.0.1:"), "{said}");
}

#[test]
fn a_host_that_is_gone_or_frozen_is_passed_over() {
    if !present("a_host_that_is_gone") {
        return;
    }
    let server = Server::new();
    // Its kernel shakes hands and nobody ever answers.
    let frozen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let frozen_port = frozen.local_addr().unwrap().port();
    for (first, at_least, at_most) in [(free_port(), 0, 2), (frozen_port, 2, 6)] {
        let hosts = format!("127.0.0.1:{first},127.0.0.1:{}", server.port);
        let begin = Instant::now();
        let shop = Shop::start("web-1", &url(&hosts, PASSWORD));
        let answer = shop.order(&format!("o-{first}"));
        let took = begin.elapsed();
        assert_eq!(answer.status, 201, "{}\n{}", answer.body, shop.said());
        assert!(took >= Duration::from_secs(at_least) && took < Duration::from_secs(at_most), "{took:?}");
        // From now on the one that answered is first.
        server.end_sessions();
        let begin = Instant::now();
        assert_eq!(shop.order("again").status, 201);
        assert!(begin.elapsed() < Duration::from_millis(1_500), "{:?}", begin.elapsed());
    }
}

/// Passes on what comes to `port`, and counts the connections.
fn relay(port: u16, to: u16) -> Arc<AtomicUsize> {
    let counter = Arc::new(AtomicUsize::new(0));
    let (taken, listener) = (Arc::clone(&counter), TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            taken.fetch_add(1, SeqCst);
            let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
            let (mut from, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut back);
                back.shutdown(Shutdown::Both)
            });
            thread::spawn(move || io::copy(&mut server, &mut client));
        }
    });
    counter
}

#[test]
fn the_nearest_host_is_used_again_once_it_is_back() {
    if !present("the_nearest_host") {
        return;
    }
    let server = Server::new();
    let nearest = free_port();
    let hosts = format!("127.0.0.1:{nearest},127.0.0.1:{}", server.port);
    let shop = Shop::start("web-1", &url(&hosts, PASSWORD));
    assert_eq!(shop.order("o-1").status, 201, "{}", shop.said());
    let taken = relay(nearest, server.port);
    assert_eq!(shop.order("o-2").status, 201);
    assert_eq!(taken.load(SeqCst), 0, "the one that answered last is first for a while");
    let mut number = 2;
    until("an order over the nearest host", || {
        number += 1;
        thread::sleep(Duration::from_millis(200));
        assert_eq!(shop.order(&format!("o-{number}")).status, 201, "{}", shop.said());
        taken.load(SeqCst) > 0
    });
    let orders = format!(r#"{{"executions":{number},"orders":{number}}}"#);
    assert_eq!(shop.get("/orders/count").body, orders);
}

#[test]
fn a_database_that_is_not_there_is_told_and_the_shop_stays_well() {
    let port = free_port();
    let shop = Shop::start("web-1", &url(&format!("127.0.0.1:{port}"), PASSWORD));
    until("it is told", || shop.said().contains(&format!("error: the database at 127.0.0.1:{port}: ")));
    for (path, status) in [("/healthz", 200), ("/products", 200), ("/readyz", 503)] {
        assert_eq!(shop.get(path).status, status, "{path}");
    }
    let answer = shop.order("o-1");
    assert_eq!((answer.status, answer.outcome()), (503, "none"), "{}", answer.body);
    assert_eq!(shop.get("/orders/o-1").status, 503);
    // Once, and not once a try.
    assert_eq!(shop.said().matches("trying again").count(), 1, "{}", shop.said());
    assert!(!shop.arguments().contains("p%40ss"));
}

#[test]
fn a_wrong_password_is_told_at_once_without_the_password() {
    if !present("a_wrong_password") {
        return;
    }
    let server = Server::new();
    let shop = Shop::start("web-1", &url(&format!("127.0.0.1:{}", server.port), "hunter2"));
    let begin = Instant::now();
    let answer = shop.order("o-1");
    assert_eq!((answer.status, answer.outcome()), (503, "none"), "{}", answer.body);
    assert!(begin.elapsed() < Duration::from_secs(5), "waiting makes no password right");
    assert_eq!(shop.get("/healthz").status, 200);
    let said = shop.said();
    assert!(said.contains("password authentication failed for user \"shop\" (28P01)"), "{said}");
    assert!(!said.contains("hunter2") && !answer.body.contains("hunter2"), "{said}");
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    for wrong in ["", "hunter2", "postgres://shop:hunter2@127.0.0.1:no/db"] {
        let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
        let output = shop.args(["--port", "0"]).env("DATABASE_URL", wrong).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("error: `DATABASE_URL` is not of the form"), "{text}");
        assert!(!output.status.success() && output.stdout.is_empty() && !text.contains("hunter2"), "{text}");
    }
}
