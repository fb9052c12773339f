//! Clients that misbehave, and limits that are reached.

use std::time::{Duration, Instant};

use database::path::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Rig, free_address, soon};

const SSL: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSSENC: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
const CANCEL: &[u8] = &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2];
const START: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";

/// All that a client gets to read after it has said `words`, one after the other whatever is answered.
async fn told(rig: &Rig, words: &[&[u8]]) -> Vec<u8> {
    let mut client = TcpStream::connect(rig.address).await.unwrap();
    for word in words {
        let _ = client.write_all(word).await;
    }
    let mut told = Vec::new();
    // A reset after the last word is an end too.
    let _ = soon(client.read_to_end(&mut told)).await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_a_session_is_told_and_nobody_else() {
    let limits = Limits { hold_ms: 50, ..Limits::default() };
    let rig = Rig::start(None, limits).await;
    for (began, before) in [
        (vec![START], ""),
        (vec![SSL, START], "N"),
        (vec![GSSENC, START], "N"),
        (vec![GSSENC, SSL, START], "NN"),
        (vec![SSL, GSSENC, START], "NN"),
    ] {
        let told = told(&rig, &began).await;
        let error = told.strip_prefix(before.as_bytes()).unwrap();
        assert_eq!(error[0], b'E', "{told:?}");
        assert_eq!(u32::from_be_bytes(error[1..5].try_into().unwrap()) as usize, error.len() - 1);
        let fields: Vec<&[u8]> = error[5..].split(|byte| *byte == 0).collect();
        assert!(fields.contains(&b"SFATAL".as_slice()) && fields.contains(&b"C57P03".as_slice()), "{told:?}");
    }
    let huge = [0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0];
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for silent in [CANCEL, b"GET / HTTP/1.1\r\n\r\n", &huge, &tls, &[0, 0, 0, 4, 0, 3, 0, 0], &[0; 64]] {
        assert_eq!(told(&rig, &[silent]).await, b"", "{silent:?}");
    }
    assert_eq!(told(&rig, &[SSL, CANCEL]).await, b"N");
    assert_eq!(told(&rig, &[SSL, SSL, SSL, SSL, START]).await, b"NNN", "it may not ask without end");
    rig.until("closed", |report| report.connections == 0).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_say_nothing_or_leave_do_not_stay_on_the_roll() {
    let limits = Limits { hold_ms: 100, ..Limits::default() };
    let mut rig = Rig::start(None, limits).await;
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    let mut half = TcpStream::connect(rig.address).await.unwrap();
    half.write_all(&START[..7]).await.unwrap();
    let begin = Instant::now();
    rig.until("given up", |report| report.connections == 0).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "given up after {:?}", begin.elapsed());
    assert_eq!(soon(silent.read(&mut [0; 8])).await.unwrap_or(0), 0);
    assert_eq!(soon(half.read(&mut [0; 8])).await.unwrap_or(0), 0);
    rig.push(|served| served.hold = true).await;
    rig.end().await;

    // One that leaves while it is held is not held any longer, with words of its own in the queue or without.
    let rig = Rig::start(None, Limits { hold_ms: 60_000, ..Limits::default() }).await;
    let quiet = TcpStream::connect(rig.address).await.unwrap();
    let mut eager = TcpStream::connect(rig.address).await.unwrap();
    eager.write_all(START).await.unwrap();
    rig.until("held", |report| report.held == 2).await;
    drop(eager);
    rig.until("one left", |report| (report.held, report.connections) == (1, 1)).await;
    drop(quiet);
    rig.until("both left", |report| (report.held, report.connections) == (0, 0)).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_held_client_has_said_reaches_the_primary_whole() {
    let mut rig = Rig::start(None, Limits::default()).await;
    let mut clients = Vec::new();
    for number in 0..100_u8 {
        let mut client = TcpStream::connect(rig.address).await.unwrap();
        client.write_all(&[number; 1_000]).await.unwrap();
        clients.push(client);
    }
    rig.until("held", |report| report.held == 100).await;
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = primary.local_addr().unwrap();
    rig.push(|served| served.primary = Some(address)).await;
    let mut heard = Vec::new();
    for _ in 0..100 {
        let (mut server, _) = soon(primary.accept()).await.unwrap();
        let mut said = [0; 1_000];
        soon(server.read_exact(&mut said)).await.unwrap();
        assert!(said.iter().all(|byte| *byte == said[0]));
        heard.push(said[0]);
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..100).collect::<Vec<u8>>());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_first_message_without_an_answer_is_sent_again() {
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = primary.local_addr().unwrap();
    let mut rig = Rig::start(Some(address), Limits::default()).await;
    let mut simple = TcpStream::connect(rig.address).await.unwrap();
    simple.write_all(&START[..5]).await.unwrap();
    let (mut server, _) = soon(primary.accept()).await.unwrap();
    let mut heard = vec![0; 5];
    soon(server.read_exact(&mut heard)).await.unwrap();
    simple.write_all(&START[5..]).await.unwrap();
    heard.resize(START.len(), 0);
    soon(server.read_exact(&mut heard[5..])).await.unwrap();
    assert_eq!(heard, START);
    let mut eager = TcpStream::connect(rig.address).await.unwrap();
    eager.write_all(&[START, b"Q\0\0\0\x05\0"].concat()).await.unwrap();
    let (mut once, _) = soon(primary.accept()).await.unwrap();
    soon(once.read_exact(&mut [0; 24])).await.unwrap();

    // Another address, so that nobody can say that it was the same server.
    let next = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = next.local_addr().unwrap();
    rig.push(|served| (served.term, served.primary) = (2, Some(address))).await;
    let error = soon(eager.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let (mut again, _) = soon(next.accept()).await.unwrap();
    let mut heard = vec![0; START.len()];
    soon(again.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, START);
    // From the first answer on it is a session: what comes next arrives once, and a switch ends it.
    again.write_all(b"R").await.unwrap();
    assert_eq!(soon(simple.read_u8()).await.unwrap(), b'R');
    simple.write_all(b"more").await.unwrap();
    let mut heard = [0; 4];
    soon(again.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"more");
    rig.push(|served| served.term = 3).await;
    assert!(soon(simple.read_u8()).await.is_err());
    // The client hears of the end before the thread that ended it has counted it.
    rig.until("both counted", |report| report.ended_by_switch == 2).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_accepts_and_says_nothing_does_not_hold_a_client_for_ever() {
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { hold_ms: 100, ..Limits::default() };
    let rig = Rig::start(Some(primary.local_addr().unwrap()), limits).await;
    // This one says nothing either: it is not the primary's turn.
    let silent = TcpStream::connect(rig.address).await.unwrap();
    let said = String::from_utf8_lossy(&told(&rig, &[START]).await).into_owned();
    assert!(said.contains("C57P03"), "{said}");
    rig.until("alone", |report| report.connections == 1).await;
    drop(silent);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_a_limit_a_client_is_told_which_and_the_others_go_on() {
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = primary.local_addr().unwrap();
    let limits = Limits { connections: 3, held: 1, hold_ms: 60_000, ..Limits::default() };
    let mut rig = Rig::start(Some(address), limits).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(rig.address).await.unwrap();
        let (mut server, _) = soon(primary.accept()).await.unwrap();
        // Until something has passed it may still be on its way to the primary, and a hold would catch it.
        server.write_all(b"!").await.unwrap();
        soon(client.read_exact(&mut [0])).await.unwrap();
        sessions.push((client, server));
    }
    rig.push(|served| served.hold = true).await;
    let held = TcpStream::connect(rig.address).await.unwrap();
    rig.until("held", |report| report.held == 1).await;
    let said = String::from_utf8_lossy(&told(&rig, &[SSL, START]).await).into_owned();
    assert!(said.contains("C53300") && said.contains("holds 3 already"), "{said}");
    drop(sessions.pop());
    rig.until("room", |report| report.connections == 2).await;
    let said = String::from_utf8_lossy(&told(&rig, &[START]).await).into_owned();
    assert!(said.contains("C57P03") && said.contains("1 connections wait"), "{said}");
    let (client, server) = &mut sessions[0];
    client.write_all(b"on").await.unwrap();
    soon(server.read_exact(&mut [0; 2])).await.unwrap();
    drop(held);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_reported_and_had_as_soon_as_it_is_free() {
    let mut rig = Rig::start(None, Limits::default()).await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (old, new) = (rig.address, other.local_addr().unwrap());
    rig.push(|served| served.listen = new).await;
    let report = rig.front.report();
    assert_eq!((report.listen.as_slice(), report.refused[0].0), ([].as_slice(), new));
    // Each thread closes its own listener when it next runs.
    soon(async {
        while TcpStream::connect(old).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    drop(other);
    rig.until("listening", |report| report.listen == [new] && report.refused.is_empty()).await;
    TcpStream::connect(new).await.unwrap();
    rig.push(|served| served.primary = Some(free_address())).await;
    rig.end().await;
}
