//! What only concerns bytes: many sessions, slow readers, ends of one direction. The servers are plain sockets.

use std::time::{Duration, Instant};

use database::path::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Rig, resident_bytes, soon};

/// Four for each session: both ends of both connections are in this process.
fn allow_descriptors(wanted: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(wanted, |hard| hard.min(wanted)).max(limit.current.unwrap_or(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).unwrap();
    raised >= wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_sessions_cost_little_and_end_at_once_with_their_primary() {
    const SESSIONS: usize = 2_000;
    if !allow_descriptors(4 * SESSIONS as u64 + 200) {
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "needs more descriptors");
        eprintln!("SKIPPED two_thousand_idle_sessions: the limit of descriptors is too low");
        return;
    }
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rig = Rig::start(Some(primary.local_addr().unwrap()), Limits::default()).await;
    let before = resident_bytes();
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS {
        clients.push(TcpStream::connect(rig.address).await.unwrap());
        servers.push(soon(primary.accept()).await.unwrap().0);
    }
    // Each has carried something both ways: a buffer that is kept would show.
    for (client, server) in clients.iter_mut().zip(&mut servers) {
        client.write_all(&[1; 20_000]).await.unwrap();
        soon(server.read_exact(&mut [0; 20_000])).await.unwrap();
        server.write_all(&[2; 20_000]).await.unwrap();
        soon(client.read_exact(&mut [0; 20_000])).await.unwrap();
    }
    let each = resident_bytes().saturating_sub(before) / SESSIONS as u64;
    assert_eq!(rig.front.report().connections, SESSIONS as u64);
    let begin = Instant::now();
    rig.push(|served| (served.term, served.primary) = (2, None)).await;
    rig.until("ended", |report| report.connections == 0).await;
    println!(
        "{each} bytes a session with the test's own half; all ended {:?} after the push",
        begin.elapsed()
    );
    // A buffer that is kept would show as 64 KiB.
    assert!(each < 16_000, "{each} bytes for each idle session");
    assert_eq!(rig.front.report().ended_by_switch, SESSIONS as u64);
    for stream in clients.iter_mut().chain(&mut servers) {
        let error = soon(stream.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_stops_its_writer_and_fills_no_memory() {
    const CHUNK: usize = 1 << 20;
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(Some(primary.local_addr().unwrap()), Limits::default()).await;
    let mut client = TcpStream::connect(rig.address).await.unwrap();
    let (mut server, _) = soon(primary.accept()).await.unwrap();
    let chunk: Vec<u8> = (0..CHUNK).map(|at| (at % 251) as u8).collect();
    let before = resident_bytes();
    let mut whole = 0;
    // The kernel's buffers take some; then it stands still.
    let mut rest = 0;
    loop {
        match tokio::time::timeout(Duration::from_millis(300), server.write(&chunk[rest..])).await {
            Ok(count) => rest += count.unwrap(),
            Err(_) => break,
        }
        if rest == CHUNK {
            (whole, rest) = (whole + 1, 0);
        }
        assert!(whole < 64, "it is read without end");
    }
    let grown = resident_bytes().saturating_sub(before);
    println!("stood still after {} bytes, grown by {grown}", whole * CHUNK + rest);
    assert!(grown < 1 << 20, "grown by {grown} bytes");
    // Nothing of it is lost, and the end arrives after it.
    drop(server);
    let mut seen = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = soon(client.read(&mut buffer)).await.unwrap();
        if count == 0 {
            break;
        }
        assert!(
            buffer[..count].iter().enumerate().all(|(at, byte)| *byte == ((seen + at) % CHUNK % 251) as u8)
        );
        seen += count;
    }
    assert_eq!(seen, whole * CHUNK + rest);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_said_all_still_gets_its_answer() {
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(Some(primary.local_addr().unwrap()), Limits::default()).await;
    let mut client = TcpStream::connect(rig.address).await.unwrap();
    let (mut server, _) = soon(primary.accept()).await.unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut asked = String::new();
    soon(server.read_to_string(&mut asked)).await.unwrap();
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answered = String::new();
    soon(client.read_to_string(&mut answered)).await.unwrap();
    assert_eq!((asked.as_str(), answered.as_str()), ("question", "answer"));
    rig.until("closed", |report| report.connections == 0).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_closes_takes_the_session_with_it_even_if_the_client_never_looks() {
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(Some(primary.local_addr().unwrap()), Limits::default()).await;
    let client = TcpStream::connect(rig.address).await.unwrap();
    drop(soon(primary.accept()).await.unwrap());
    rig.until("closed", |report| report.connections == 0).await;
    drop(client);
    rig.end().await;
}
