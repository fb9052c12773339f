use std::path::PathBuf;
use std::process::{Child, Command};

use database::keeper::KeeperStatus;
use drill::{Break, BreakError};
use model::{DatabaseName, Fault, FaultTarget, NodeId, Status};
use store::Faults;
use world::{Clock, Limits, Tasks};

use super::super::database::DataNode;
use super::super::fixture::picture;
use super::super::picture;
use super::super::remote::RemoteFault;
use super::*;

const STORY: &str = "plan 1; database db; zone a; zone b; zone c; agent a; agent b; agent c; db at 40 term 4 serving 1; keeper db-1 is open 2=900 3=0";
const EVENT_MS: u64 = 60_000;

/// A process that is called as a server is.
struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    fn start(test: &str) -> Server {
        let folder = std::env::temp_dir().join(format!("ek-breaks-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("postgres");
        // No copy: a file that another test's child still holds open for writing is not run.
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        Server { child: Command::new(program).arg("600").spawn().unwrap(), folder }
    }

    /// A signal that was sent is not yet a state.
    async fn until(&self, state: char) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.state() != state {
            assert!(Instant::now() < end, "it is {}, not {state}", self.state());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `S` sleeps, `T` is stopped, `Z` has ended.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(')').unwrap().1.trim_start().chars().next().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A drill and the agent of zone `a`, whose node's server is as `state` says.
struct Rig {
    server: Server,
    store: Store,
    status: watch::Receiver<Arc<Status>>,
    agent: Tasks,
    _board: watch::Sender<Board>,
    _mirror: watch::Sender<Arc<Mirror>>,
}

impl Rig {
    fn new(test: &str, state: ServerState) -> Rig {
        let server = Server::start(test);
        let (store, _) = Store::simulated(1, Clock::real(), Faults::default());
        let mirror = Arc::new(picture(STORY));
        let status = picture::build(&mirror, None, Clock::real().unix_ms());
        let node = DataNode { database: DatabaseName::new("db").unwrap(), node: NodeId(1) };
        let known = KeeperStatus { server: state, server_pid: Some(server.child.id()), ..Default::default() };
        let (board_out, board) = watch::channel(Board::from([(node, Arc::new(known))]));
        let (mirror_out, mirror) = watch::channel(mirror);
        let members = StoreAddress::Embedded("127.0.0.1:1".parse().unwrap());
        let address = "127.0.1.1".parse().unwrap();
        let zone = ZoneName::new("a").unwrap();
        let scene = Scene { owner: 1, zone, address, members, store: store.clone(), board, mirror };
        let agent = Tasks::new();
        agent.spawn("breaks", serve(scene, agent.stop()));
        let status = watch::channel(Arc::new(status)).1;
        Rig { server, store, status, agent, _board: board_out, _mirror: mirror_out }
    }

    fn fault(&self, kind: FaultKind) -> RemoteFault {
        let fault = Fault { target: FaultTarget::Primary, kind };
        let name = DatabaseName::new("db").unwrap();
        RemoteFault::new(fault, name, self.store.clone(), self.status.clone(), EVENT_MS)
    }

    /// An agent hears what is ordered once it has begun to listen: before, nobody answers.
    async fn struck(&self, kind: FaultKind) -> (RemoteFault, Result<(), BreakError>) {
        loop {
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            let mut fault = self.fault(kind);
            let done = fault.inject().await.map(|injected| assert_eq!(injected.units[0].as_str(), "db-1"));
            if !done.as_ref().is_err_and(|error| error.to_string().contains("says nothing")) {
                return (fault, done);
            }
            // The order is taken back; nobody says that he has heard of it.
            let _ = fault.heal().await;
        }
    }
}

#[tokio::test]
async fn what_is_frozen_stands_still_until_it_is_healed_and_another_drill_waits_for_that() {
    let rig = Rig::new("freeze", ServerState::Open);
    let (mut fault, done) = rig.struck(FaultKind::Freeze).await;
    done.unwrap();
    assert_eq!(fault.target(), "db-1");
    rig.server.until('T').await;
    let refused = rig.fault(FaultKind::Kill).inject().await.unwrap_err().to_string();
    assert_eq!(refused, "another drill is under way in zone a");
    assert_eq!(rig.server.state(), 'T');
    fault.heal().await.unwrap();
    rig.server.until('S').await;
    fault.heal().await.unwrap();
    rig.agent.shutdown(Limits::default()).await;
}

#[tokio::test]
async fn what_is_killed_has_ended() {
    let rig = Rig::new("kill", ServerState::Open);
    let (mut fault, done) = rig.struck(FaultKind::Kill).await;
    done.unwrap();
    rig.server.until('Z').await;
    fault.heal().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_no_primary_any_more_is_not_struck() {
    let rig = Rig::new("standby", ServerState::Streaming);
    let (mut fault, done) = rig.struck(FaultKind::Freeze).await;
    assert_eq!(done.unwrap_err().to_string(), "`db-1` is no primary that serves any more");
    assert_eq!(rig.server.state(), 'S');
    fault.heal().await.unwrap();
}

/// The zones of the story share this machine's loopback: the kernel is not even asked.
#[tokio::test]
async fn a_cut_that_cannot_be_is_not_told_as_one() {
    let rig = Rig::new("cut", ServerState::Open);
    let (mut fault, done) = rig.struck(FaultKind::Cut).await;
    let refused = done.unwrap_err().to_string();
    assert!(refused.contains("is this host itself"), "{refused}");
    fault.heal().await.unwrap();
}

#[tokio::test]
async fn a_fault_that_its_agent_has_ended_early_has_no_verdict() {
    let rig = Rig::new("early", ServerState::Open);
    let (mut fault, done) = rig.struck(FaultKind::Freeze).await;
    done.unwrap();
    let Rig { server, agent, .. } = rig;
    let ends = tokio::time::timeout(Duration::from_secs(5), agent.shutdown(Limits::default()));
    assert!(ends.await.is_ok());
    // An agent that ends leaves nothing broken.
    server.until('S').await;
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    let refused = fault.heal().await.unwrap_err().to_string();
    assert!(refused.starts_with("it was broken for"), "{refused}");
}
