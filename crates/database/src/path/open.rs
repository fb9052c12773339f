//! The way from a client that was accepted to its primary: at once, or held until there is one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use world::Stop;

use super::answer::Refusal;
use super::greet::{Greeted, greet};
use super::limits::{ATTEMPTS_MAX, KEEPALIVE_S, Limits, USER_TIMEOUT_S};

/// What new connections of one database meet.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// Where they go; `None`: they are held.
    pub open: Option<SocketAddr>,
    /// Requested when the primary that `open` names has been replaced.
    pub over: Stop,
}

/// One database as its connections see it; the same for all threads, from its first snapshot to its last.
#[derive(Debug)]
pub(crate) struct Door {
    pub name: String,
    /// Closed when the database is no longer served.
    pub gate: watch::Receiver<Gate>,
    attempts: Semaphore,
}

impl Door {
    pub fn new(name: String, gate: watch::Receiver<Gate>) -> Door {
        Door { name, gate, attempts: Semaphore::new(ATTEMPTS_MAX) }
    }
}

/// What became of a client.
pub(crate) enum Opened {
    /// It has a primary of its own, which has answered.
    Session { client: TcpStream, primary: TcpStream, over: Stop },
    /// It must be told that there is none.
    Refused(TcpStream, Refusal),
    /// It is gone, or the database is.
    Over,
}

/// Takes one of a bounded number; given back when dropped.
#[derive(Debug)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    /// `None` when `most` are taken already.
    pub fn take(of: &Arc<AtomicUsize>, most: usize) -> Option<Count> {
        let more = |count: usize| (count < most).then_some(count + 1);
        of.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Count(Arc::clone(of)))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Connects the client, holding it where need be, until a primary has answered it. Its first bytes stay in the kernel
/// until then.
pub(crate) async fn open(
    mut client: TcpStream,
    door: &Door,
    limits: &Limits,
    held: &Arc<AtomicUsize>,
) -> Opened {
    let limit = Duration::from_millis(limits.hold_ms);
    let mut gate = door.gate.clone();
    let mut found = attempt(&mut gate, limits).await;
    let mut holding: Option<(Count, Instant)> = None;
    loop {
        if let Some((primary, over)) = found.take() {
            match greet(&client, &primary, &over, limit).await {
                Greeted::Settled => return Opened::Session { client, primary, over },
                Greeted::Replaced => {}
                // What has just failed is not tried again at once; a change of the gate ends the pause.
                Greeted::Reset => {
                    let _ = timeout(Duration::from_millis(limits.retry_ms), gate.changed()).await;
                }
                Greeted::Silent => return refused(client, Refusal::no_primary(&door.name, limits.hold_ms)),
            }
        }
        if holding.is_none() {
            let Some(count) = Count::take(held, limits.held) else {
                return refused(client, Refusal::too_many_held(&door.name, limits.held));
            };
            holding = Some((count, Instant::now() + limit));
        }
        let deadline = holding.as_ref().map_or_else(Instant::now, |(_, deadline)| *deadline);
        let waited = tokio::select! {
            biased;
            () = gone(&client) => return Opened::Over,
            waited = timeout_at(deadline, hold(&mut gate, door, limits)) => waited,
        };
        let Some(again) = registered(client) else { return Opened::Over };
        client = again;
        match waited {
            Ok(None) => return Opened::Over,
            Ok(next) => found = next,
            Err(_) => return refused(client, Refusal::no_primary(&door.name, limits.hold_ms)),
        }
    }
}

/// Looks at waiting bytes have used up the kernel's word that something can be read; a new registration with the
/// runtime has it said again.
fn registered(client: TcpStream) -> Option<TcpStream> {
    client.into_std().and_then(TcpStream::from_std).ok()
}

fn refused(client: TcpStream, refusal: Refusal) -> Opened {
    registered(client).map_or(Opened::Over, |client| Opened::Refused(client, refusal))
}

/// Tries until a primary has accepted; `None` when the database is no longer served.
async fn hold(gate: &mut watch::Receiver<Gate>, door: &Door, limits: &Limits) -> Option<(TcpStream, Stop)> {
    loop {
        gate.wait_for(|gate| gate.open.is_some()).await.ok()?;
        // Kept over the pause: who waits for a turn would otherwise only try what has just been refused.
        let _turn = door.attempts.acquire().await.ok()?;
        if let Some(found) = attempt(gate, limits).await {
            return Some(found);
        }
        // Also asked here, since a gate that was left open when it was taken away would be tried without end.
        gate.has_changed().ok()?;
        if gate.borrow().open.is_none() {
            continue;
        }
        let pause = Duration::from_millis(limits.retry_ms);
        // A time-out says that nothing has changed; an error of the gate is seen above.
        let _ = timeout(pause, gate.changed()).await;
    }
}

/// One attempt at the primary, given up when anything changes: a primary that was just replaced must not be reached,
/// and during a planned switch none.
async fn attempt(gate: &mut watch::Receiver<Gate>, limits: &Limits) -> Option<(TcpStream, Stop)> {
    let (address, over) = {
        let now = gate.borrow_and_update();
        (now.open?, now.over.clone())
    };
    let connected = tokio::select! {
        biased;
        _ = gate.changed() => return None,
        connected = timeout(Duration::from_millis(limits.connect_ms), connect(address)) => connected,
    };
    match connected {
        Ok(Ok(primary)) => Some((primary, over)),
        Ok(Err(error)) => {
            tracing::debug!(%address, error = &error as &dyn std::error::Error, "primary not reached");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "primary does not answer");
            None
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    let socket = SockRef::from(&stream);
    let every = Duration::from_secs(KEEPALIVE_S);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(every).with_interval(every))?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(USER_TIMEOUT_S)))?;
    Ok(stream)
}

/// Waits until the client has closed; bytes it sends stay where they are.
async fn gone(client: &TcpStream) {
    loop {
        match client.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                // Says that nothing can be read, without reading: the next word of the kernel is waited for.
                let _ = client.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            }
            _ => return,
        }
    }
}
