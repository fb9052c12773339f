//! Real sockets on 127.0.x.y, a network of its own for each test.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use world::{Limits, Tasks};

use super::opening::{BEAT_BYTES, MAGIC, Said};
use super::*;

/// Above what a machine with no core free takes, below what a person waits for.
const PATIENCE: Duration = Duration::from_secs(10);
const KEY: [u8; 32] = [7; 32];
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// The addresses of one test: `127.0.<net>.<node>`, ports that are free now.
struct Map(BTreeMap<NodeId, PeerAddress>);

impl Map {
    fn new(net: u8, nodes: u8) -> Map {
        let address = |node| PeerAddress { keeper: free(net, node), server: free(net, node) };
        Map((1..=nodes).map(|node| (NodeId(node), address(node))).collect())
    }

    fn options(&self, me: NodeId) -> PeersOptions {
        let mut others = self.0.clone();
        let own = others.remove(&me).unwrap();
        PeersOptions { me, listen: own.keeper, others, key: KEY.to_vec() }
    }

    fn of(&self, node: NodeId) -> PeerAddress {
        self.0[&node]
    }
}

fn free(net: u8, node: u8) -> SocketAddr {
    std::net::TcpListener::bind(SocketAddr::from(([127, 0, net, node], 0))).unwrap().local_addr().unwrap()
}

/// One keeper's side; dropped, its process is dead.
struct Keeper {
    _tasks: Tasks,
    peers: Peers,
}

fn keeper(options: PeersOptions) -> Keeper {
    let tasks = Tasks::new();
    let peers = start(options, &tasks.spawner(), Clock::real()).unwrap();
    Keeper { _tasks: tasks, peers }
}

impl Keeper {
    fn of(&self, node: NodeId) -> Peer {
        self.peers.seen()[&node]
    }

    /// Waits until `wish` is true of `node`, by news or by looking.
    #[track_caller]
    fn until(&mut self, node: NodeId, wish: impl Fn(&Peer) -> bool) -> impl Future<Output = Duration> {
        let caller = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            while !wish(&self.of(node)) {
                assert!(began.elapsed() < PATIENCE, "{caller}: node {node} is {:?}", self.of(node));
                let _ = timeout(Duration::from_millis(2), self.peers.changed()).await;
            }
            began.elapsed()
        }
    }

    /// Waits until `node` was heard at `count` more moments.
    async fn beats(&mut self, node: NodeId, count: usize) {
        for _ in 0..count {
            let last = self.of(node).heard;
            self.until(node, |peer| peer.heard > last).await;
        }
    }
}

/// A server that answers every request for TLS, as PostgreSQL does; tells how often it was asked.
fn server(at: SocketAddr) -> (Tasks, watch::Receiver<u64>) {
    let tasks = Tasks::new();
    let listener = TcpListener::from_std(net::listener::open(at, 1).unwrap().pop().unwrap()).unwrap();
    let (count, asked) = watch::channel(0);
    tasks.spawn("server", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            if stream.read_exact(&mut request).await.is_ok() && request[4..] == 80_877_103_u32.to_be_bytes() {
                count.send_modify(|count| *count += 1);
                let _ = stream.write_all(b"N").await;
            }
        }
    });
    (tasks, asked)
}

/// A listener whose process stands still: the kernel takes connections, nobody reads them.
fn frozen(at: SocketAddr) -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Waits until a frozen listener was dialled `count` times, and keeps those connections open.
async fn dialled(listener: &std::net::TcpListener, count: usize) -> Vec<std::net::TcpStream> {
    let mut open = Vec::new();
    let began = Instant::now();
    while open.len() < count {
        assert!(began.elapsed() < PATIENCE, "dialled {} times", open.len());
        match listener.accept() {
            Ok((stream, _)) => open.push(stream),
            Err(_) => sleep(Duration::from_millis(2)).await,
        }
    }
    open
}

/// Waits until the other side closes; what it sent before.
async fn closed(stream: &mut TcpStream) -> usize {
    let mut sent = 0;
    let mut bytes = [0; 256];
    loop {
        match timeout(PATIENCE, stream.read(&mut bytes)).await.expect("still open") {
            Ok(0) | Err(_) => return sent,
            Ok(more) => sent += more,
        }
    }
}

#[tokio::test]
async fn three_keepers_hear_each_other_and_of_a_suspicion_at_once() {
    let map = Map::new(10, 3);
    let mut keepers: Vec<Keeper> = (1..=3).map(|node| keeper(map.options(NodeId(node)))).collect();
    for (me, keeper) in (1..=3).map(NodeId).zip(&mut keepers) {
        for node in (1..=3).map(NodeId).filter(|node| *node != me) {
            keeper.beats(node, 3).await;
            let peer = keeper.of(node);
            assert!(!peer.refused && peer.suspects.is_none(), "{peer:?}");
        }
    }
    let mut waits = Vec::new();
    for term in 0..11 {
        let said = (term % 3 != 2).then_some(term);
        keepers[0].peers.say(said);
        waits.push(keepers[1].until(A, |peer| peer.suspects == said).await);
        keepers[2].until(A, |peer| peer.suspects == said).await;
    }
    waits.sort();
    eprintln!("a suspicion is heard after {:?} (median of {})", waits[waits.len() / 2], waits.len());
    assert!(waits[waits.len() / 2] < Duration::from_millis(BEAT_MS / 2), "{waits:?}");
    assert!(keepers[1].of(NodeId(3)).suspects.is_none());
}

const BEAT_MS: u64 = crate::BEAT_MS;

#[tokio::test]
async fn beats_come_ten_times_a_second_and_not_in_bursts() {
    let map = Map::new(11, 2);
    let (mut a, _b) = (keeper(map.options(A)), keeper(map.options(B)));
    a.beats(B, 1).await;
    let (began, mut moments) = (Instant::now(), BTreeSet::new());
    while began.elapsed() < Duration::from_millis(1_000) {
        moments.extend(a.of(B).heard);
        sleep(Duration::from_millis(5)).await;
    }
    // The first was there before; a machine with no core free beats late, never early.
    assert!((5..=11).contains(&(moments.len() - 1)), "{moments:?}");
}

#[tokio::test]
async fn a_keeper_with_another_key_is_never_heard() {
    let map = Map::new(12, 3);
    let mut a = keeper(map.options(A));
    let mut wrong = map.options(B);
    wrong.key[31] ^= 1;
    let b = keeper(wrong);
    let _c = keeper(map.options(NodeId(3)));
    a.beats(NodeId(3), 10).await;
    assert_eq!((a.of(B).heard, b.of(A).heard, b.of(NodeId(3)).heard), (None, None, None));
    // It listens, so nobody says that it is not there.
    assert!(!a.of(B).refused);
}

#[tokio::test]
async fn recorded_bytes_are_worth_nothing_later() {
    let map = Map::new(13, 2);
    let mut a = keeper(map.options(A));
    let mut options = map.options(B);
    let relay = TcpListener::bind("127.0.13.9:0").await.unwrap();
    options.others.get_mut(&A).unwrap().keeper = relay.local_addr().unwrap();
    let b = keeper(options);
    let (mut near, _) = relay.accept().await.unwrap();
    let mut far = TcpStream::connect(map.of(A).keeper).await.unwrap();
    let mut recorded = Vec::new();
    while recorded.len() < opening::HELLO_BYTES + 5 * BEAT_BYTES {
        let (mut one, mut two) = ([0; 512], [0; 512]);
        tokio::select! {
            biased;
            read = near.read(&mut one) => {
                let read = read.unwrap();
                recorded.extend_from_slice(&one[..read]);
                far.write_all(&one[..read]).await.unwrap();
            }
            read = far.read(&mut two) => near.write_all(&two[..read.unwrap()]).await.unwrap(),
        }
    }
    a.until(B, |peer| peer.heard.is_some()).await;
    drop((b, near));
    // A beat of the connection that is still open, once more.
    let last = a.of(B).heard;
    far.write_all(&recorded[recorded.len() - BEAT_BYTES..]).await.unwrap();
    closed(&mut far).await;
    // The last honest one may have come after the look.
    let last = last.max(a.of(B).heard);
    let mut again = TcpStream::connect(map.of(A).keeper).await.unwrap();
    sleep(Duration::from_millis(5)).await;
    again.write_all(&recorded).await.unwrap();
    assert!(closed(&mut again).await <= opening::ANSWER_BYTES);
    assert_eq!(a.of(B).heard, last);
}

#[tokio::test]
async fn a_newer_connection_ends_the_older_one() {
    let map = Map::new(14, 2);
    let mut a = keeper(map.options(A));
    let mut streams = Vec::new();
    for said in [Some(1), Some(2)] {
        let mut stream = TcpStream::connect(map.of(A).keeper).await.unwrap();
        let mut beats = opening::dial(&mut stream, &Key::new(&KEY), B, A).await.unwrap().unwrap();
        stream.write_all(&beats.write(Said(said))).await.unwrap();
        a.until(B, |peer| peer.suspects == said).await;
        streams.push((stream, beats));
    }
    let (mut older, mut beats) = streams.remove(0);
    let _ = older.write_all(&beats.write(Said(Some(3)))).await;
    closed(&mut older).await;
    assert_eq!(a.of(B).suspects, Some(2));
    let (newer, beats) = &mut streams[0];
    newer.write_all(&beats.write(Said(Some(4)))).await.unwrap();
    a.until(B, |peer| peer.suspects == Some(4)).await;
}

#[tokio::test]
async fn a_killed_peer_is_refused_at_once_and_one_that_listens_again_is_not() {
    let map = Map::new(15, 2);
    let (mut a, mut b) = (keeper(map.options(A)), keeper(map.options(B)));
    let (dies, _) = server(map.of(B).server);
    a.beats(B, 2).await;
    b.beats(A, 2).await;
    drop((b, dies));
    let after = a.until(B, |peer| peer.refused).await;
    eprintln!("a killed peer is refused after {after:?}");
    // Silence alone would take longer.
    assert!(after < Duration::from_millis(crate::SUSPECT_MS - 200), "{after:?}");
    // It stays so while nothing changes there, and is no news.
    sleep(Duration::from_millis(1_000)).await;
    assert!(a.of(B).refused);
    let _ = timeout(Duration::from_millis(1), a.peers.changed()).await;
    assert!(timeout(Duration::from_millis(300), a.peers.changed()).await.is_err());
    let (_lives, _) = server(map.of(B).server);
    a.until(B, |peer| !peer.refused && peer.server_heard.is_some()).await;
    let last = a.of(B).heard;
    let _b = keeper(map.options(B));
    a.until(B, |peer| peer.heard > last && !peer.refused).await;
}

#[tokio::test]
async fn a_peer_that_was_never_there_is_refused_too() {
    let map = Map::new(16, 2);
    let mut a = keeper(map.options(A));
    a.until(B, |peer| peer.refused && peer.heard.is_none()).await;
    // Its keeper alone is enough.
    let _b = keeper(map.options(B));
    a.until(B, |peer| !peer.refused && peer.heard.is_some()).await;
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_silent_and_not_refused() {
    let map = Map::new(17, 2);
    let (keeper_port, server_port) = (frozen(map.of(B).keeper), frozen(map.of(B).server));
    let a = keeper(map.options(A));
    let _open = tokio::join!(dialled(&keeper_port, 3), dialled(&server_port, 3));
    assert_eq!(a.of(B), Peer::default());
}

#[tokio::test]
async fn a_peer_that_freezes_is_silent_and_speaks_again_on_the_same_link() {
    let map = Map::new(18, 2);
    let (freeze, wait) = std::sync::mpsc::channel::<oneshot::Sender<()>>();
    let (thaw, thawed) = std::sync::mpsc::channel::<()>();
    let options = map.options(B);
    // A runtime of its own, whose only thread can be made to stand still.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let b = keeper(options);
            loop {
                match wait.try_recv() {
                    Ok(frozen) => {
                        frozen.send(()).unwrap();
                        thawed.recv().unwrap();
                    }
                    Err(std::sync::mpsc::TryRecvError::Empty) => sleep(Duration::from_millis(5)).await,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return drop(b),
                }
            }
        });
    });
    let server_port = frozen(map.of(B).server);
    let mut a = keeper(map.options(A));
    a.beats(B, 3).await;
    let server_before = a.of(B).server_heard;
    let (tell, is_frozen) = oneshot::channel();
    freeze.send(tell).unwrap();
    is_frozen.await.unwrap();
    let open = dialled(&server_port, 2).await;
    let peer = a.of(B);
    assert!(Clock::real().now().ms_since(peer.heard.unwrap()) >= 300, "{peer:?}");
    assert!(!peer.refused && peer.server_heard == server_before, "{peer:?}");
    thaw.send(()).unwrap();
    a.beats(B, 3).await;
    drop((freeze, open));
    thread.join().unwrap();
}

#[tokio::test]
async fn a_server_without_a_keeper_is_heard_and_not_asked_more_than_five_times_a_second() {
    let map = Map::new(19, 2);
    let (mut a, b) = (keeper(map.options(A)), keeper(map.options(B)));
    a.beats(B, 2).await;
    b.peers.say(None);
    let (_server, asked) = server(map.of(B).server);
    a.beats(B, 8).await;
    let idle = *asked.borrow();
    drop(b);
    let began = Instant::now();
    for _ in 0..4 {
        let last = a.of(B).server_heard;
        a.until(B, |peer| peer.server_heard > last).await;
    }
    let most = 2 + began.elapsed().as_millis() as u64 / 200;
    let asked = *asked.borrow() - idle;
    assert!(idle <= 1, "asked {idle} times while its keeper spoke");
    assert!(asked <= most, "asked {asked} times");
    assert!(!a.of(B).refused);
}

#[tokio::test]
async fn whatever_a_stranger_sends_it_is_shown_out() {
    let map = Map::new(20, 2);
    let mut a = keeper(map.options(A));
    let _b = keeper(map.options(B));
    a.beats(B, 2).await;
    let huge = [0xFF_u8; 1 << 20];
    let hello = |to: u8| [MAGIC.as_slice(), &[B.0, to], &[5; 32]].concat();
    let beats = [hello(A.0), vec![1; 4096]].concat();
    let cases: [(&str, &[u8], usize); 5] = [
        ("garbage", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ("huge", &huge, 0),
        ("for another", &hello(3), 0),
        ("beats without the key", &beats, opening::ANSWER_BYTES),
        ("half a hello and then nothing", &hello(A.0)[..20], 0),
    ];
    for (what, bytes, most) in cases {
        let mut stream = TcpStream::connect(map.of(A).keeper).await.unwrap();
        // It may close before all of it is written.
        let _ = stream.write_all(bytes).await;
        let sent = closed(&mut stream).await;
        assert!(sent <= most, "{what}: {sent} bytes came back");
        a.beats(B, 1).await;
    }
    // One that drips is not given more time.
    let mut slow = TcpStream::connect(map.of(A).keeper).await.unwrap();
    let began = Instant::now();
    for byte in hello(A.0) {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(60)).await;
    }
    closed(&mut slow).await;
    assert!(began.elapsed() < Duration::from_millis(4_000), "{:?}", began.elapsed());
    a.beats(B, 2).await;
}

#[tokio::test]
async fn strangers_that_sit_there_do_not_keep_a_peer_out() {
    let map = Map::new(21, 2);
    let mut a = keeper(map.options(A));
    let mut strangers = Vec::new();
    let began = Instant::now();
    for _ in 0..20 {
        strangers.push(TcpStream::connect(map.of(A).keeper).await.unwrap());
    }
    let mut b = keeper(map.options(B));
    a.beats(B, 1).await;
    for _ in 0..listen::STRANGERS_MAX {
        strangers.push(TcpStream::connect(map.of(A).keeper).await.unwrap());
    }
    // The oldest had to go; the peer, known by now, did not.
    assert_eq!(closed(&mut strangers[0]).await, 0);
    assert!(began.elapsed() < Duration::from_millis(1_500), "by its own slowness: {:?}", began.elapsed());
    a.beats(B, 2).await;
    drop(b);
    b = keeper(map.options(B));
    b.beats(A, 1).await;
    a.beats(B, 2).await;
}

#[tokio::test]
async fn an_address_that_is_still_held_is_had_later() {
    let map = Map::new(22, 2);
    let held = std::net::TcpListener::bind(map.of(A).keeper).unwrap();
    let mut a = keeper(map.options(A));
    let mut b = keeper(map.options(B));
    // It can speak before it can listen.
    b.beats(A, 2).await;
    drop(held);
    a.beats(B, 2).await;
    assert!(!a.of(B).refused);
}

#[tokio::test]
async fn a_lost_link_is_news_and_all_tasks_end_when_asked() {
    let map = Map::new(23, 2);
    let (mut a, mut b) = (keeper(map.options(A)), keeper(map.options(B)));
    let (_server, _) = server(map.of(B).server);
    a.beats(B, 2).await;
    b.beats(A, 2).await;
    while timeout(Duration::from_millis(150), a.peers.changed()).await.is_ok() {}
    let began = Instant::now();
    assert_eq!(b._tasks.shutdown(Limits::default()).await, Vec::<String>::new());
    timeout(PATIENCE, a.peers.changed()).await.unwrap();
    eprintln!("a lost link is news after {:?}", began.elapsed());
    assert_eq!(a._tasks.shutdown(Limits::default()).await, Vec::<String>::new());
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let tasks = Tasks::new();
    let map = Map::new(24, 2);
    let refused = |change: &dyn Fn(&mut PeersOptions)| {
        let mut options = map.options(A);
        change(&mut options);
        start(options, &tasks.spawner(), Clock::real()).unwrap_err().to_string()
    };
    let own = map.of(A);
    assert_eq!(
        refused(&|options| options.key.truncate(31)),
        "the keepers' key has 31 bytes; it must have at least 32"
    );
    assert!(
        refused(&|options| options.others.extend([(A, own)])).starts_with("node 1 cannot have the peers")
    );
    assert!(refused(&|options| options.others.extend([(NodeId(16), own)])).contains("from 1 to 15"));
    assert!(!format!("{:?}", map.options(A)).contains("7, 7"));
    assert!(tasks.names().is_empty());
}

/// Drops every packet on the loopback, so it must have one of its own:
/// `unshare -n sh -c 'ip link set lo up && cargo test -p database --lib peers::tests::a_cut -- --ignored --nocapture'`.
#[tokio::test]
#[ignore = "needs a network namespace of its own"]
async fn a_cut_host_is_silent_and_is_heard_soon_after_the_cut_is_healed() {
    let links = std::fs::read_to_string("/proc/net/dev").unwrap();
    assert_eq!(links.lines().filter(|line| line.contains(':')).count(), 1, "not a namespace of its own");
    let nft = |rules: &str| {
        let done = std::process::Command::new("nft").arg(rules).status().unwrap();
        assert!(done.success());
    };
    let map = Map::new(26, 2);
    let (mut a, _b) = (keeper(map.options(A)), keeper(map.options(B)));
    let (_server, _) = server(map.of(B).server);
    a.beats(B, 3).await;
    for cut_ms in [3_000, 20_000] {
        let (cut, mut lost) = (Instant::now(), None);
        nft("table inet cut { chain arrives { type filter hook input priority 0; policy drop; }; }");
        let before = a.of(B);
        while cut.elapsed() < Duration::from_millis(cut_ms) {
            let peer = a.of(B);
            assert!(!peer.refused, "after {:?}", cut.elapsed());
            if lost.is_none() && !*a.peers.board.link(B).unwrap().borrow() {
                lost = Some(cut.elapsed());
            }
            sleep(Duration::from_millis(5)).await;
        }
        let peer = a.of(B);
        let moved = peer.heard.unwrap().ms_since(before.heard.unwrap());
        assert!(moved < 200 && peer.server_heard == before.server_heard, "{before:?} {peer:?}");
        nft("delete table inet cut");
        let heard = a.until(B, |now| now.heard > peer.heard).await;
        println!(
            "a cut of {cut_ms} ms: link given up after {lost:?}, heard again {heard:?} after the healing"
        );
        assert!(heard < Duration::from_millis(2_000), "{heard:?}");
        a.beats(B, 10).await;
    }
}

/// Prints what it costs: `cargo test -p database --lib peers::tests::cost -- --exact --nocapture --ignored`.
#[tokio::test]
#[ignore = "measures; needs the process for itself"]
async fn cost() {
    let map = Map::new(25, 3);
    let cpu_ns = || -> u64 {
        let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
        let own = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or(stat);
        own.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
    };
    let rss_kb = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or_default()
    };
    let before = rss_kb();
    let mut keepers: Vec<Keeper> = (1..=3).map(|node| keeper(map.options(NodeId(node)))).collect();
    keepers[0].beats(B, 3).await;
    let (began, start_ns) = (Instant::now(), cpu_ns());
    sleep(Duration::from_secs(5)).await;
    let cpu_us = (cpu_ns() - start_ns) as f64 / 1_000.0 / began.elapsed().as_secs_f64();
    println!("three keepers, {cpu_us:.0} us of CPU a second together, {} KiB more", rss_kb() - before);
    println!(
        "a beat has {BEAT_BYTES} bytes; {} bytes a second and link",
        BEAT_BYTES as u64 * 1_000 / BEAT_MS
    );
    drop(keepers.split_off(2));
    let (began, start_ns) = (Instant::now(), cpu_ns());
    sleep(Duration::from_secs(5)).await;
    let cpu_us = (cpu_ns() - start_ns) as f64 / 1_000.0 / began.elapsed().as_secs_f64();
    println!("one of them dead: {cpu_us:.0} us of CPU a second");
}
