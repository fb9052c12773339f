//! That a host of the lab is cut, frozen and killed as the soaks believe it is, and that nothing of a lab is left.
#![allow(clippy::unwrap_used)]

#[path = "../../examples/lab/mod.rs"]
mod lab;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use lab::slow::Slowness;
use lab::{Cut, Lab, Program};

const PORT: u16 = 4000;
/// What does not come within this is taken for dropped: on a switch in the kernel an answer takes microseconds.
const DROPPED: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(20);

/// Whether a lab can be made; says so when it cannot.
fn present(test: &str) -> bool {
    let Some(why) = lab::missing() else { return true };
    assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test}: {why}");
    eprintln!("SKIPPED {test}: {why}");
    false
}

/// Answers each connection with its line.
const ECHO: &str = r#"
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
while True:
    c, _ = s.accept()
    c.settimeout(0.3)
    try: c.sendall(c.recv(100))
    except OSError: pass
    c.close()
"#;

fn echo(lab: &Lab, host: &str) -> u32 {
    let address = lab.address(host).unwrap().to_string();
    let words = ["python3", "-c", ECHO, &address, &PORT.to_string()];
    lab.spawn(host, &Program::new("echo", words)).unwrap()
}

fn answers(at: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&at, DROPPED) else { return false };
    stream.set_read_timeout(Some(DROPPED)).unwrap();
    let mut answer = [0; 2];
    stream.write_all(b"hi").is_ok() && stream.read_exact(&mut answer).is_ok()
}

/// Whether one host hears another, asked from inside.
fn hears(lab: &Lab, from: &str, to: &str) -> bool {
    let text = format!(
        "import socket\ns = socket.create_connection(('{}', {PORT}), 0.3)\ns.sendall(b'hi')\nassert s.recv(2) == b'hi'",
        lab.address(to).unwrap()
    );
    lab.ask(from, &["python3", "-c", &text]).is_ok()
}

#[track_caller]
fn soon(what: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !what() {
        assert!(Instant::now() < end, "not within {SOON:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_cut_frozen_and_killed_as_a_whole_and_the_others_are_not() {
    if !present("a_host_is_cut_frozen_and_killed_as_a_whole_and_the_others_are_not") {
        return;
    }
    let lab = Lab::make(&["a", "b"]).unwrap();
    let at = |host: &str| SocketAddr::new(lab.address(host).unwrap(), PORT);
    let (first, _second) = (echo(&lab, "a"), echo(&lab, "b"));
    soon(|| answers(at("a")) && answers(at("b")) && hears(&lab, "a", "b"));

    for cut in [Cut::Both, Cut::In, Cut::Out] {
        lab.cut("a", cut).unwrap();
        assert!(!answers(at("a")) && !hears(&lab, "b", "a"), "{cut:?}");
        soon(|| answers(at("b")));
        // Whoever is inside of it is not cut off from it.
        let inside = lab.way_in("a", at("a")).unwrap();
        soon(|| answers(inside));
        lab.heal().unwrap();
        soon(|| answers(at("a")) && hears(&lab, "b", "a"));
    }
    lab.cut_between("a", "b", true).unwrap();
    assert!(!hears(&lab, "a", "b") && !hears(&lab, "b", "a"));
    // Only the link between them is cut.
    soon(|| answers(at("a")) && answers(at("b")));
    lab.heal().unwrap();
    soon(|| hears(&lab, "a", "b"));

    lab.freeze("a").unwrap();
    assert!(!answers(at("a")));
    soon(|| answers(at("b")));
    lab.thaw("a").unwrap();
    soon(|| answers(at("a")));
    lab.kill("a").unwrap();
    // A signal that was sent is not yet an end.
    soon(|| !lab.lives(first) && answers(at("b")));
    assert!(!answers(at("a")));
    echo(&lab, "a");
    soon(|| answers(at("a")));

    lab.spawn("b", &Program::new("id", ["id", "-un"]).user("nobody")).unwrap();
    soon(|| std::fs::read_to_string(lab.home("b").join("id.log")).unwrap() == "nobody\n");
    let disk = lab.disk("b", 1 << 20).unwrap();
    assert!(std::fs::write(disk.join("large"), vec![7; 2 << 20]).is_err(), "a disk of 1 MiB held 2");
    let (folder, prefix) = (lab.folder().to_owned(), lab.prefix());
    drop(lab);
    assert!(!folder.exists());
    let left = std::fs::read_dir("/run/netns").unwrap().flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!Path::new("/sys/class/net").join(format!("{prefix}up")).exists());
}

/// How long a connection, a question and its answer take; `None`: they do not come.
fn round(at: SocketAddr) -> Option<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&at, SOON).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let mut answer = [0; 2];
    stream.write_all(b"hi").and_then(|()| stream.read_exact(&mut answer)).ok()?;
    Some(began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_a_slow_host_come_late_or_never_and_those_of_others_do_not() {
    const NAME: &str = "packets_of_a_slow_host_come_late_or_never_and_those_of_others_do_not";
    if !present(NAME) {
        return;
    }
    if !lab::slow::possible() {
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{NAME}: no `macvtap`");
        eprintln!("SKIPPED {NAME}: this kernel has no `macvtap`");
        return;
    }
    let lab = Lab::make(&["a", "b"]).unwrap();
    let at = |host: &str| SocketAddr::new(lab.address(host).unwrap(), PORT);
    let (_first, _second) = (echo(&lab, "a"), echo(&lab, "b"));
    soon(|| answers(at("a")) && answers(at("b")));
    let hold = Duration::from_millis(60);
    let slow = |jitter, lost| Slowness { hold, jitter, lost, seed: 1 };

    let link = lab.slow("a", slow(0.25, 0.0)).unwrap();
    soon(|| round(at("b")).is_some_and(|took| took < hold));
    // Four ways: to connect there and back, and the same for a line and its answer.
    let took = round(at("a")).unwrap();
    assert!(took > hold.mul_f64(4.0 * 0.75), "{took:?}");
    let passed = link.end().await.unwrap();
    assert!(passed.held >= 4 && passed.lost == 0, "{passed:?}");
    soon(|| round(at("a")).is_some_and(|took| took < hold));

    let link = lab.slow("a", slow(0.0, 1.0)).unwrap();
    assert!(!answers(at("a")));
    soon(|| answers(at("b")));
    let passed = link.end().await.unwrap();
    assert!(passed.held == 0 && passed.lost > 0, "{passed:?}");
    soon(|| answers(at("a")));
    // A cut knows the port as before.
    lab.cut("a", Cut::Both).unwrap();
    assert!(!answers(at("a")));
}
