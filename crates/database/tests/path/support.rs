//! A data front whose agent is the test.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::path::{DataFront, DataReport, DataSnapshot, Limits, Served};
use tokio::sync::watch;

/// Nothing here takes this long unless it never happens.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub struct Rig {
    pub front: DataFront,
    pub address: SocketAddr,
    agent: Option<watch::Sender<Arc<DataSnapshot>>>,
    now: Served,
    revision: u64,
}

impl Rig {
    /// A front that leads to `primary` in term 1.
    pub async fn start(primary: Option<SocketAddr>, limits: Limits) -> Rig {
        let address = free_address();
        let now = Served { name: "db".to_owned(), listen: address, primary, term: 1, hold: false };
        let (agent, snapshots) = watch::channel(Arc::new(DataSnapshot::default()));
        let front = DataFront::start(1, limits, snapshots).unwrap();
        let mut rig = Rig { front, address, agent: Some(agent), now, revision: 0 };
        rig.push(|_| {}).await;
        rig
    }

    /// Changes the snapshot and waits until it is in force.
    pub async fn push(&mut self, change: impl FnOnce(&mut Served)) {
        change(&mut self.now);
        self.revision += 1;
        self.send(self.revision, self.now.clone());
        let revision = self.revision;
        self.until("applied", |report| report.applied == revision).await;
    }

    /// Sends a snapshot of any age.
    pub fn send(&self, revision: u64, served: Served) {
        let snapshot = DataSnapshot { revision, zone: None, databases: vec![served] };
        self.agent.as_ref().unwrap().send_replace(Arc::new(snapshot));
    }

    pub fn served(&self) -> Served {
        self.now.clone()
    }

    pub fn agent_dies(&mut self) {
        self.agent = None;
    }

    pub async fn until(&self, what: &str, check: impl Fn(&DataReport) -> bool) {
        let begin = Instant::now();
        loop {
            let report = self.front.report();
            if check(&report) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "never {what}: {report:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn end(self) {
        let begin = Instant::now();
        self.front.stop(0).await;
        assert!(begin.elapsed() < Duration::from_secs(2), "the front ended late");
    }
}

/// Resident memory of this process in bytes.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Waits for `work`, which must not take for ever.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("never")
}
