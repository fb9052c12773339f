use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use balance::filter::{Filter, HeadView, Judgement};
use balance::{FrontOptions, Tuning};
use model::RetryPolicy;

use crate::support::{Answer, Client, Mode, POLICY, Replica, Stand, snapshot};

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn a_refused_connection_is_tried_elsewhere_and_the_dead_replica_is_out_at_once() {
    let (dead, web) = (Replica::dead("web-1"), Replica::start("web-2"));
    let stand = Stand::new(&[&dead, &web]);
    for _ in 0..20 {
        assert_eq!(stand.get("/").text(), "web-2");
        assert_eq!(stand.post("/", "x").text(), "web-2");
    }
    stand.wait("ejected", |report| report.ejected.len() == 1);
    assert_eq!(stand.ejected(), ["web-1"]);
    assert_eq!(web.effects(), 40, "each request once");
    // A request is counted when it is over, which the client may see a little earlier.
    stand.wait("counted", |report| report.counters.values().map(|c| c.requests).sum::<u64>() == 40);
    let counters = stand.counters();
    assert_eq!((counters.errors, counters.ejections), (0, 1));
}

#[test]
fn with_everybody_refused_the_answer_is_503_and_says_that_nothing_was_sent() {
    let (one, two) = (Replica::dead("web-1"), Replica::dead("web-2"));
    let stand = Stand::new(&[&one, &two]);
    let answer = stand.post("/", "x");
    assert_eq!(answer.status, 503);
    assert!(answer.fate().contains("sent=0; reason=refused"), "{}", answer.fate());
    stand.wait("ejected", |report| report.ejected.len() == 2);
    let answer = stand.get("/");
    assert_eq!((answer.status, answer.fate()), (503, "unit=-; sent=0; reason=no_endpoint"));
}

#[test]
fn a_frozen_replica_is_ejected_its_gets_are_saved_and_its_posts_are_not_repeated() {
    let (frozen, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&frozen, &web]));
    // Both show life, so that posts go to either.
    for _ in 0..20 {
        assert_eq!(stand.get("/").status, 200);
    }
    frozen.be(Mode::Frozen);
    let start = Instant::now();
    let ask = |stand: &Stand, n| if n % 2 == 0 { stand.get("/") } else { stand.post("/", "order") };
    let answers = joined(at_once(&stand, 16, ask));
    let took = start.elapsed();
    assert_eq!(stand.ejected(), ["web-1"]);
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    let mut lost = 0;
    for (n, answer) in answers.iter().enumerate() {
        if answer.status == 502 {
            assert!(n % 2 == 1, "a get was lost");
            assert!(answer.fate().starts_with("unit=web-1; sent=1"), "{}", answer.fate());
            lost += 1;
        } else {
            assert_eq!((answer.status, answer.text()), (200, "web-2"));
        }
    }
    assert!(lost > 0, "no post was caught by the freeze: the test shows nothing");
    assert_eq!(web.effects() + frozen.effects(), 20 + 16 - lost, "no post was carried out twice");

    frozen.be(Mode::Fine);
    stand.wait("readmitted", |report| report.ejected.is_empty());
}

#[test]
fn a_frozen_replica_that_leaves_the_snapshot_does_not_keep_its_requests() {
    let (frozen, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&frozen, &web]));
    for _ in 0..20 {
        assert_eq!(stand.get("/").status, 200);
    }
    frozen.be(Mode::Frozen);
    let start = Instant::now();
    let asked = at_once(&stand, 16, |stand, _| stand.post("/", "order"));
    // The leader takes a lost zone's units out before the front has proven their silence.
    std::thread::sleep(Duration::from_millis(300));
    let mut without = snapshot(stand.address, &[&web], POLICY);
    without.revision = 2;
    stand.snapshots.send_replace(Arc::new(without));
    let answers = joined(asked);
    let took = start.elapsed();
    assert!(took > Duration::from_millis(600), "nothing was caught by the freeze: the test shows nothing");
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    for answer in &answers {
        let fate = answer.fate();
        let caught = answer.status == 502 && fate == "unit=web-1; sent=1; reason=ejected";
        assert!(caught || (answer.status, answer.text()) == (200, "web-2"), "{} {fate}", answer.status);
    }
}

/// Asks so many times, each in a thread of its own.
fn at_once(
    stand: &Arc<Stand>,
    count: usize,
    ask: impl Fn(&Stand, usize) -> Answer + Copy + Send + 'static,
) -> Vec<JoinHandle<Answer>> {
    let one = |number| {
        let stand = Arc::clone(stand);
        std::thread::spawn(move || ask(&stand, number))
    };
    (0..count).map(one).collect()
}

fn joined(asked: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    asked.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// So many GETs at once, and how long all of them took.
fn gets(stand: &Arc<Stand>, count: usize) -> (Vec<Answer>, Duration) {
    let start = Instant::now();
    (joined(at_once(stand, count, |stand, _| stand.get("/"))), start.elapsed())
}

#[test]
fn gets_leave_a_frozen_replica_long_before_it_is_ejected() {
    let (frozen, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&frozen, &web]));
    for _ in 0..20 {
        assert_eq!(stand.get("/").status, 200);
    }
    frozen.be(Mode::Frozen);
    let (answers, took) = gets(&stand, 16);
    assert!(answers.iter().all(|answer| (answer.status, answer.text()) == (200, "web-2")));
    assert!(took > Duration::from_millis(100), "nothing was caught by the freeze: the test shows nothing");
    assert!(took < Duration::from_millis(700), "{took:?}; ejecting takes 1.1 s");
    assert!(stand.ejected().is_empty());
    stand.wait("counted", |_| stand.counters().retries > 0);
}

/// The replica may only be slow, and carry out what it has after the next request was answered by another.
#[test]
fn a_put_that_was_sent_stays_until_its_replica_is_ejected() {
    let (frozen, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&frozen, &web]));
    for _ in 0..20 {
        assert_eq!(stand.get("/").status, 200);
    }
    frozen.be(Mode::Frozen);
    let start = Instant::now();
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nv1";
    let answers = joined(at_once(&stand, 16, move |stand, _| stand.connect().ask(put)));
    assert!(answers.iter().all(|answer| (answer.status, answer.text()) == (200, "web-2")));
    // A front that lets them leave has all answers after 0.2 s.
    assert!(start.elapsed() > Duration::from_millis(900), "nothing was caught by the freeze, or it left");
    assert_eq!(stand.ejected(), ["web-1"]);
}

#[test]
fn a_get_waits_for_a_suspect_where_nobody_is_better_or_too_many_went_on() {
    let paused = Replica::start("web-1");
    let alone = Arc::new(Stand::new(&[&paused]));
    assert_eq!(alone.get("/").status, 200);
    paused.be(Mode::Frozen);
    let waker = std::thread::spawn(move || {
        sleep(400);
        paused.be(Mode::Fine);
    });
    let (answers, took) = gets(&alone, 4);
    waker.join().unwrap();
    assert!(answers.iter().all(|answer| (answer.status, answer.text()) == (200, "web-1")));
    assert!(took > Duration::from_millis(300), "nobody waited");
    assert_eq!(alone.counters().retries, 0);

    let (paused, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let policy = RetryPolicy { budget: 0.0, ..POLICY };
    let stand = Arc::new(Stand::with(&[&paused, &web], policy, Tuning::default()));
    for _ in 0..20 {
        assert_eq!(stand.get("/").status, 200);
    }
    paused.be(Mode::Frozen);
    web.be(Mode::Saturated);
    let waker = std::thread::spawn(move || {
        sleep(400);
        paused.be(Mode::Fine);
    });
    let (answers, _) = gets(&stand, 200);
    waker.join().unwrap();
    assert!(answers.iter().all(|answer| answer.status == 200));
    stand.wait("counted", |_| stand.counters().requests == 220);
    let counters = stand.counters();
    // 3 a second over 10 seconds, for each of two threads.
    assert!(counters.retries > 0 && counters.retries <= 60, "{counters:?}");
    assert_eq!(counters.errors, 0);
}

/// Stops the thread that asks it about `/stall`.
#[derive(Debug)]
struct Stall;

impl Filter for Stall {
    fn name(&self) -> &'static str {
        "stall"
    }

    fn judge(&self, head: &HeadView<'_>) -> Judgement {
        if head.target == "/stall" {
            sleep(1_200);
        }
        Judgement::Pass
    }
}

#[test]
fn a_front_that_stood_still_waits_for_news_before_it_sends_anything() {
    let (old, new) = (Replica::start("web-1"), Replica::start("web-2"));
    let tuning = Tuning { filters: vec![Arc::new(Stall)], ..Tuning::default() };
    let options = FrontOptions { threads: 1, access_log: None };
    let stand = Arc::new(Stand::with_options(&[&old], POLICY, tuning, options));
    let ask = |target: &'static str| {
        let stand = Arc::clone(&stand);
        std::thread::spawn(move || stand.get(target))
    };
    let stalled = ask("/stall");
    sleep(600);
    let held = ask("/");
    sleep(700);
    // It goes on; what became of the replica meanwhile is not told before now.
    assert!(!held.is_finished());
    let mut next = snapshot(stand.address, &[&new], POLICY);
    next.revision = 2;
    stand.snapshots.send_replace(Arc::new(next));
    assert_eq!(held.join().unwrap().text(), "web-2");
    stalled.join().unwrap();
    let start = Instant::now();
    assert_eq!(stand.get("/").text(), "web-2");
    assert!(start.elapsed() < Duration::from_millis(200), "and soon works as before");
}

#[test]
fn a_replica_that_pauses_for_300_ms_is_never_ejected() {
    let (paused, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&paused, &web]));
    let over = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..6)
        .map(|_| {
            let (stand, over) = (Arc::clone(&stand), Arc::clone(&over));
            std::thread::spawn(move || {
                while over.load(SeqCst) == 0 {
                    assert_eq!(stand.get("/").status, 200);
                    sleep(3);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        paused.be(Mode::Frozen);
        sleep(300);
        paused.be(Mode::Fine);
        sleep(130);
    }
    over.store(1, SeqCst);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    let counters = stand.counters();
    assert_eq!((counters.ejections, counters.errors), (0, 0));
}

#[test]
fn a_saturated_replica_that_answers_is_never_ejected_nor_one_that_fails() {
    let (busy, failing) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Arc::new(Stand::new(&[&busy, &failing]));
    busy.be(Mode::Saturated);
    failing.be(Mode::Failing);
    let load: Vec<_> = (0..6)
        .map(|_| {
            let stand = Arc::clone(&stand);
            std::thread::spawn(move || {
                let end = Instant::now() + Duration::from_millis(2_200);
                while Instant::now() < end {
                    assert!(matches!(stand.get("/").status, 200 | 500));
                    sleep(2);
                }
            })
        })
        .collect();
    load.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(stand.counters().ejections, 0);
    assert!(busy.effects() > 0 && failing.effects() > 0);
}

#[test]
fn a_post_whose_answer_was_lost_is_not_repeated_and_the_planted_bug_shows() {
    let (one, two) = (Replica::start("web-1"), Replica::start("web-2"));
    one.be(Mode::DiesAfterEffect);
    two.be(Mode::DiesAfterEffect);
    let stand = Stand::new(&[&one, &two]);
    let answer = stand.post("/", "order");
    assert_eq!(answer.status, 502);
    assert!(answer.fate().contains("; sent=1; reason=closed"), "{}", answer.fate());
    assert_eq!(one.effects() + two.effects(), 1);
    drop(stand);

    let unsafe_policy = RetryPolicy { retry_unsafe: true, ..POLICY };
    let stand = Stand::with(&[&one, &two], unsafe_policy, Tuning::default());
    stand.post("/", "order");
    assert!(one.effects() + two.effects() > 2, "the drill's planted double effect must be visible");
}

#[test]
fn a_get_whose_answer_was_lost_is_asked_again_elsewhere() {
    let (one, two) = (Replica::start("web-1"), Replica::start("web-2"));
    one.be(Mode::DiesAfterEffect);
    let stand = Stand::new(&[&one, &two]);
    for _ in 0..15 {
        assert_eq!(stand.get("/").text(), "web-2");
    }
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n".to_owned() + &"x".repeat(60_000);
    for _ in 0..5 {
        assert_eq!(stand.connect().ask(&put).text(), "web-2", "a small body is kept to be sent again");
    }
    assert_eq!(two.effects(), 20);
    assert!(stand.counters().retries > 0);
}

#[test]
fn when_every_attempt_fails_retries_stay_within_their_budget() {
    let (one, two) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Stand::new(&[&one, &two]);
    one.be(Mode::DiesAfterEffect);
    two.be(Mode::DiesAfterEffect);
    let mut client_errors = 0;
    for _ in 0..600 {
        client_errors += usize::from(stand.get("/").status == 502);
    }
    assert_eq!(client_errors, 600);
    let attempts = one.effects() + two.effects();
    // A fifth of the requests, and 30 for each of two threads.
    assert!(attempts <= 600 + 120 + 60 + 2, "{attempts} attempts for 600 requests");
    assert!(attempts > 650, "{attempts}");
}

#[test]
fn an_attempt_that_takes_too_long_is_made_elsewhere_when_that_is_safe() {
    let (slow, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let retry = RetryPolicy { attempt_timeout: model::Duration(200), ..POLICY };
    let stand = Stand::with(&[&slow], retry, Tuning::default());
    let answer = stand.get("/slow?900");
    assert_eq!(answer.status, 504);
    assert!(answer.fate().starts_with("unit=web-1; sent=1; reason=timeout"), "{}", answer.fate());
    let before = slow.effects();
    let answer = stand.post("/slow?900", "x");
    assert_eq!(answer.status, 504);
    assert_eq!(slow.effects(), before + 1, "a post is asked once");
    drop((stand, web));
}

#[test]
fn a_post_is_not_sent_to_a_replica_that_froze_while_nobody_looked() {
    let (frozen, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Stand::new(&[&frozen, &web]);
    for _ in 0..10 {
        assert_eq!(stand.get("/").status, 200);
    }
    frozen.be(Mode::Frozen);
    // Long enough that no sign of life is fresh, short enough that no probe has failed yet.
    sleep(150);
    for _ in 0..10 {
        assert_eq!(stand.post("/", "order").text(), "web-2");
        sleep(110);
    }
    assert_eq!(frozen.effects(), 10_usize.saturating_sub(web.effects().saturating_sub(10)));
}

#[test]
fn an_idle_connection_that_the_server_closed_costs_no_post() {
    // The server closes after each answer without saying so: the oldest race of keep-alive.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut web = Replica::start("web-1");
    web.address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    });
    let stand = Stand::new(&[&web]);
    // One after the other, and so far apart that each asks for life first.
    for apart_ms in [2, 20] {
        for _ in 0..50 {
            assert_eq!(stand.post("/", "order").status, 200);
            sleep(apart_ms);
        }
    }
}

#[test]
fn a_post_of_a_slow_client_is_not_sent_to_a_replica_that_froze_while_its_body_came() {
    let (frozen, web) = (Replica::start("web-1"), Replica::start("web-2"));
    let stand = Stand::new(&[&frozen, &web]);
    let mut clients: Vec<Client> = (0..10).map(|_| stand.connect()).collect();
    for client in &mut clients {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nor");
    }
    sleep(150);
    frozen.be(Mode::Frozen);
    // Long enough that no sign of life is fresh, short enough that no probe has failed yet.
    sleep(150);
    for client in &mut clients {
        client.send("der");
    }
    for client in &mut clients {
        assert_eq!(client.answer(false).unwrap().text(), "web-2");
    }
    assert_eq!((frozen.effects(), web.effects()), (0, 10));
}
