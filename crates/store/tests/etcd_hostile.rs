//! What listens where etcd should, and is not etcd: nothing it does ends in a panic, a hang or a wrong belief.

// Helpers of a test; an error in them is its failure.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use store::{Class, EtcdOptions, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use world::Tasks;

/// A call's time-out, in milliseconds.
const TIMEOUT_MS: u64 = 300;
const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Answers each connection's first bytes with `head`, then with `more` again and again.
async fn peer(head: String, more: Vec<u8>, tasks: &Tasks) -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let spawner = tasks.spawner();
    tasks.spawn("peer", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (head, more) = (head.clone(), more.clone());
            spawner.spawn("peer/connection", async move {
                let mut bytes = [0; 4096];
                if stream.read(&mut bytes).await.is_err() || stream.write_all(head.as_bytes()).await.is_err()
                {
                    return;
                }
                while !more.is_empty() && stream.write_all(&more).await.is_ok() {}
                sleep(Duration::from_secs(60)).await;
            });
        }
    });
    let mut options = EtcdOptions::parse(&format!("etcd://{address}")).unwrap();
    options.timeout_ms = TIMEOUT_MS;
    Store::etcd(options).unwrap()
}

async fn check(what: &str, head: String, more: Vec<u8>) {
    let tasks = Tasks::new();
    let store = peer(head, more, &tasks).await;
    let began = Instant::now();
    let all = async {
        let put = store.put("k", "").await.unwrap_err();
        assert_eq!(put.class(), Class::Unknown, "{what}: it was sent, and who knows: {put}");
        let get = store.get("k").await.unwrap_err();
        assert_ne!(get.class(), Class::Unknown, "{what}: a read changes nothing: {get}");
        let range = store.range("").await.unwrap_err();
        assert_ne!(range.class(), Class::Unknown, "{what}: {range}");
        assert!(store.watch("", 0).await.is_err(), "{what}");
        assert!(store.grant(1_000).await.is_err(), "{what}");
    };
    // Five calls, each within its time-out, and room for a busy machine.
    let done = timeout(Duration::from_millis(20 * TIMEOUT_MS), all).await;
    assert!(done.is_ok(), "{what} holds its caller for {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_not_etcd_does_no_harm() {
    let body = |body: &str| format!("{OK}Content-Length: {}\r\n\r\n{body}", body.len());
    let piece = |bytes: usize| format!("{bytes:x}\r\n{}\r\n", " ".repeat(bytes)).into_bytes();
    let chunked = format!("{OK}Transfer-Encoding: chunked\r\n\r\n");
    check("silence", String::new(), vec![]).await;
    check("another protocol", "SSH-2.0-OpenSSH_9.2\r\n".to_owned(), vec![]).await;
    check("a web page", body("<html>welcome</html>"), vec![]).await;
    check("an empty object", body("{}"), vec![]).await;
    check("half an answer", format!("{OK}Content-Length: 99\r\n\r\n{{"), vec![]).await;
    check("an answer without end", chunked, piece(64 * 1024)).await;
    check("a header without end", OK.to_owned(), format!("X: {}\r\n", "x".repeat(1_000)).into_bytes()).await;
    check("an error without sense", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(), vec![]).await;
}

/// It is not there at all: nothing was sent, and the caller knows it.
#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let store = Store::etcd(EtcdOptions::parse(&format!("etcd://{address}")).unwrap()).unwrap();
    for _ in 0..2 {
        let error = store.put("k", "").await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        let error = store.grant(1_000).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
    }
}
