//! A server that is killed with -9 under writes, again and again: what was acknowledged is there when it is back.

// Helpers of a test; an error in them is its failure.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use store::{Class, ClientOptions, ServeOptions, Store, Token, serve};
use tokio::sync::oneshot;
use world::{Stop, Tasks};

/// Names the folder a child serves from.
const FOLDER: &str = "EVENKEEL_TEST_STORE";
/// Most memory an idle server may take for its own, in KiB.
const IDLE_KIB: u64 = 10 * 1024;

/// Not a test: what the child process runs. Without its variable it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let token = Token::load(&folder.join("token")).unwrap();
        let mut options = ServeOptions::new("127.0.0.1:0".parse().unwrap(), folder.join("store.db"), token);
        let (bound, is_bound) = oneshot::channel();
        options.bound = Some(bound);
        let (_stopper, stop) = Stop::pair();
        let says = async {
            println!("\nbound {}", is_bound.await.unwrap());
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            ended = serve(options, stop) => panic!("{ended:?}"),
            () = says => {}
        }
    });
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path) -> Server {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("bound ").map(str::to_owned));
        Server { process, address: address.expect("the child ended").parse().unwrap() }
    }

    /// Its own memory, without what it shares with other programs, in KiB.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL, on every way out of the test.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes one key after the other until the server is gone; how many were acknowledged.
async fn write_until_killed(store: Store, writer: usize, mut next: u32) -> u32 {
    loop {
        match store.put(format!("writer{writer}/{next:06}"), format!("{next}")).await {
            Ok(_) => next += 1,
            Err(error) => {
                assert_ne!(error.class(), Class::Permanent, "{error}");
                return next;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    const WRITERS: usize = 8;
    let folder = Folder(std::env::temp_dir().join(format!("evenkeel-killed-{}", std::process::id())));
    fs::create_dir_all(&folder.0).unwrap();
    let token = Token::create(&folder.0.join("token")).unwrap();
    let mut acknowledged = [0; WRITERS];
    let mut idle_kib = None;
    for round in 0..6_u64 {
        let server = Server::start(&folder.0);
        idle_kib.get_or_insert_with(|| server.memory_kib());
        let options = ClientOptions { timeout_ms: 5_000 };
        let store = Store::connect_with(server.address, token.clone(), options);
        let (entries, _) = store.range("writer").await.unwrap();
        for (writer, count) in acknowledged.iter().enumerate() {
            let prefix = format!("writer{writer}/");
            let mut there = entries.iter().filter(|entry| entry.key.starts_with(&prefix));
            for number in 0..*count {
                // What was sent and not acknowledged may be there too, but only behind these.
                let entry =
                    there.next().unwrap_or_else(|| panic!("round {round}: {prefix}{number:06} is lost"));
                assert_eq!(entry.key, format!("{prefix}{number:06}"), "round {round}");
                assert_eq!(entry.value, number.to_string().as_bytes(), "round {round}");
            }
        }
        let tasks = Tasks::new();
        let (results, mut counts) = tokio::sync::mpsc::channel(WRITERS);
        for (writer, next) in acknowledged.into_iter().enumerate() {
            let (store, results) = (store.clone(), results.clone());
            tasks.spawn("writer", async move {
                results.send((writer, write_until_killed(store, writer, next).await)).await.unwrap();
            });
        }
        drop(results);
        tokio::time::sleep(Duration::from_millis(60 + 37 * round)).await;
        drop(server);
        while let Some((writer, count)) = counts.recv().await {
            acknowledged[writer] = count;
        }
    }
    let sum: u32 = acknowledged.iter().sum();
    println!("{sum} acknowledged writes over 6 kills, idle memory {idle_kib:?} KiB");
    assert!(sum > 50, "{sum}");
    assert!(idle_kib.is_some_and(|kib| kib < IDLE_KIB), "{idle_kib:?}");
}
