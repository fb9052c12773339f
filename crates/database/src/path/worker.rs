//! The threads of a data front: each its own runtime, so that a session stays on one thread and its bytes in one
//! cache. They meet in atomics and in the gates of the databases.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use net::listener::AcceptErrors;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use world::{Spawner, Stop, Tasks};

use super::answer::{self, Refusal};
use super::limits::{ANSWERS_MAX, Limits};
use super::open::{self, Count, Door, Opened};
use super::relay::{self, End};

/// What a thread's tasks may take to end when the front has ended, in milliseconds.
const END: world::Limits = world::Limits { grace_ms: 500, abort_ms: 200 };

/// What all threads count.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub limits: Limits,
    /// Open client connections.
    pub connections: Arc<AtomicUsize>,
    /// Those that wait for a primary.
    pub held: Arc<AtomicUsize>,
    /// Clients beyond the limit that are being told so.
    pub answering: Arc<AtomicUsize>,
    /// Sessions ended because their primary was replaced.
    pub ended_by_switch: AtomicU64,
}

/// A handle on one thread.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    handle: Handle,
    spawner: Spawner,
    shared: Arc<Shared>,
}

impl Worker {
    /// Starts the thread; it ends with `cut`.
    pub fn start(index: usize, shared: &Arc<Shared>, cut: Stop) -> io::Result<(Worker, JoinHandle<()>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = Tasks::new();
        let handle = runtime.handle().clone();
        let worker = Worker { handle, spawner: tasks.spawner(), shared: Arc::clone(shared) };
        let thread = std::thread::Builder::new()
            .name(format!("data-{index}"))
            .spawn(move || run(&runtime, tasks, &cut))?;
        Ok((worker, thread))
    }

    /// Accepts on `socket` until `stop`.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn accept(
        &self,
        socket: TcpListener,
        address: SocketAddr,
        door: Arc<Door>,
        stop: Stop,
    ) -> io::Result<()> {
        // Called by another thread: socket and task belong to this one's runtime.
        let _entered = self.handle.enter();
        let listener = tokio::net::TcpListener::from_std(socket)?;
        let worker = self.clone();
        let name = format!("accept/{}", door.name);
        self.spawner.spawn(name, async move { worker.take_in(listener, address, door, stop).await });
        Ok(())
    }

    /// Accepts until told to stop; then takes what already waits in the queue, which closing would reset.
    async fn take_in(
        self,
        listener: tokio::net::TcpListener,
        address: SocketAddr,
        door: Arc<Door>,
        stop: Stop,
    ) {
        let mut errors = AcceptErrors::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.requested() => break,
                accepted = listener.accept() => accepted,
            };
            let error = match accepted {
                Ok((client, _)) => {
                    errors.accepted();
                    self.begin(client, &door);
                    continue;
                }
                Err(error) => error,
            };
            let pause = errors.pause(&error);
            if !pause.is_zero() {
                tracing::warn!(%address, error = &error as &dyn std::error::Error, "cannot accept");
                tokio::time::sleep(pause).await;
            }
        }
        while let Some(client) = accept_waiting(&listener).await {
            self.begin(client, &door);
        }
    }

    fn begin(&self, client: TcpStream, door: &Arc<Door>) {
        let (shared, door) = (Arc::clone(&self.shared), Arc::clone(door));
        let most = shared.limits.connections;
        if let Some(count) = Count::take(&shared.connections, most) {
            self.spawner.spawn(door.name.clone(), async move {
                serve(client, &door, &shared).await;
                drop(count);
            });
        } else if let Some(count) = Count::take(&shared.answering, ANSWERS_MAX) {
            let refusal = Refusal::too_many_connections(&door.name, most);
            self.spawner.spawn(door.name.clone(), async move {
                answer::refuse(client, &refusal).await;
                drop(count);
            });
        } else {
            relay::reset(client);
        }
    }
}

/// One client from its acceptance to its end.
async fn serve(client: TcpStream, door: &Door, shared: &Shared) {
    // Boxed: the way to a session takes more room than the session itself, which may last for days.
    let opened = Box::pin(open::open(client, door, &shared.limits, &shared.held)).await;
    match opened {
        Opened::Session { client, primary, over } => {
            if relay::run(client, primary, &over).await == End::Switched {
                shared.ended_by_switch.fetch_add(1, Relaxed);
            }
        }
        Opened::Refused(client, refusal) => Box::pin(answer::refuse(client, &refusal)).await,
        Opened::Over => {}
    }
}

/// One connection that already waits.
async fn accept_waiting(listener: &tokio::net::TcpListener) -> Option<TcpStream> {
    std::future::poll_fn(|context| {
        Poll::Ready(match listener.poll_accept(context) {
            Poll::Ready(Ok((client, _))) => Some(client),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        })
    })
    .await
}

fn run(runtime: &Runtime, tasks: Tasks, cut: &Stop) {
    runtime.block_on(async {
        cut.requested().await;
        // The sessions end by their gates; an answer that is still on its way is cut.
        let late = tasks.shutdown(END).await;
        tracing::debug!(?late, "a thread of the data front ends");
    });
}

/// How long [`run`] may take after `cut`.
pub(crate) const END_TIME: Duration = Duration::from_millis(END.grace_ms + END.abort_ms + 300);
