use std::net::SocketAddr;
use std::time::Instant;

use database::path::{DataReport, Served};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use world::{Clock, Tasks};

use super::*;
use crate::wire::publish::{self, Link};

#[test]
fn idle_clients_leave_descriptors_for_the_way_to_the_replicas() {
    let before = getrlimit(Resource::Nofile);
    let lowered = Rlimit { current: Some(1_024), maximum: before.maximum };
    setrlimit(Resource::Nofile, lowered).unwrap();
    let taken = connections(10_000) as u64;
    let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let hard = before.maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Nofile, before).unwrap();
    assert!(have >= hard.min(30_000), "the soft limit was raised as far as allowed");
    assert_eq!(taken, 10_000.min(have / 3));
    assert_eq!(connections(100), 100);
}

/// A data front that follows an agent over a socket, with the agent's end of it.
struct Followed {
    snapshots: watch::Sender<Arc<DataSnapshot>>,
    link: watch::Receiver<Link<DataReport>>,
    served: Served,
    /// The agent's tasks; dropped, it is gone.
    agent: Tasks,
    front: Arc<DataFront>,
    front_tasks: Tasks,
    path: std::path::PathBuf,
}

impl Followed {
    fn start(primary: SocketAddr) -> Followed {
        let path = std::env::temp_dir().join(format!("ek-data-{}.sock", std::process::id()));
        let listener = publish::bind(&path).unwrap();
        let (snapshots, latest) = watch::channel(Arc::new(DataSnapshot::default()));
        let (out, link) = watch::channel(Link::default());
        let agent = Tasks::new();
        agent.spawn("link", publish::serve(listener, latest, out, Clock::real(), agent.stop()));
        let (received, newest) = watch::channel(Arc::new(DataSnapshot::default()));
        let front = Arc::new(DataFront::start(1, database::path::Limits::default(), newest).unwrap());
        let front_tasks = Tasks::new();
        let (socket, reporter) = (path.clone(), Arc::clone(&front));
        front_tasks.spawn("follow", async move {
            follow(&socket, &received, || reporter.report()).await;
        });
        let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let served = Served { name: "db".to_owned(), listen, primary: Some(primary), term: 1, hold: false };
        Followed { snapshots, link, served, agent, front, front_tasks, path }
    }

    /// Changes the agent's snapshot; the answer is how long the front took to apply it.
    async fn push(&self) -> Duration {
        let revision = self.snapshots.borrow().revision + 1;
        let databases = vec![self.served.clone()];
        let begin = Instant::now();
        self.snapshots.send_replace(Arc::new(DataSnapshot { revision, zone: None, databases }));
        while self.front.report().applied < revision {
            assert!(begin.elapsed() < Duration::from_secs(20), "never applied");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        begin.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_reaches_the_data_front_at_once_and_without_its_agent_it_serves_on() {
    let primary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut followed = Followed::start(primary.local_addr().unwrap());
    followed.push().await;
    let mut took = Vec::new();
    for _ in 0..50 {
        followed.served.hold = !followed.served.hold;
        took.push(followed.push().await);
    }
    took.sort_unstable();
    // The goal is 5 ms; the median, since a busy machine may be away for longer at any time.
    assert!(took[25] < Duration::from_millis(5), "median {:?}, longest {:?}", took[25], took[49]);
    let applied = followed.snapshots.borrow().revision;
    let told = followed.link.wait_for(|link| link.report.applied == applied);
    let report = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap().unwrap().report.clone();
    assert_eq!(report.listen, [followed.served.listen]);

    let Followed { agent, front, front_tasks, path, served, .. } = followed;
    drop(agent);
    std::fs::remove_file(path).unwrap();
    let mut client = TcpStream::connect(served.listen).await.unwrap();
    let (mut server, _) = primary.accept().await.unwrap();
    server.write_all(b"on").await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();
    drop(front_tasks);
    assert_eq!(front.report().connections, 1);
}
