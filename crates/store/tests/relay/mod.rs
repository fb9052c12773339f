//! A relay of bytes that can be cut, swallow what comes back, or hang up instead of handing it on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use world::Tasks;

#[derive(Clone)]
pub struct Relay {
    address: SocketAddr,
    cut: Arc<watch::Sender<bool>>,
    replies: Arc<AtomicU8>,
}

/// What becomes of what comes back.
const PASS: u8 = 0;
const SWALLOW: u8 = 1;
const HANG_UP: u8 = 2;

impl Relay {
    /// Hands every connection on to `to`.
    pub async fn start(to: SocketAddr, tasks: &Tasks) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay {
            address: listener.local_addr().unwrap(),
            cut: Arc::new(watch::Sender::new(false)),
            replies: Arc::default(),
        };
        let (spawner, of) = (tasks.spawner(), relay.clone());
        tasks.spawn("relay", async move {
            while let Ok((client, _)) = listener.accept().await {
                let of = of.clone();
                spawner.spawn("relay/connection", async move {
                    let mut cut = of.cut.subscribe();
                    let pass = async {
                        let server = TcpStream::connect(to).await.unwrap();
                        let ((from, back), (answers, ask)) = (client.into_split(), server.into_split());
                        let pass = AtomicU8::new(PASS);
                        tokio::join!(pump(from, ask, &pass), pump(answers, back, &of.replies));
                    };
                    // Cut: both ends are closed, and none gets through.
                    tokio::select! {
                        biased;
                        _ = cut.wait_for(|cut| *cut) => {}
                        () = pass => {}
                    }
                });
            }
        });
        relay
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    pub fn swallow_replies(&self) {
        self.replies.store(SWALLOW, Ordering::SeqCst);
    }

    pub fn hang_up_on_replies(&self) {
        self.replies.store(HANG_UP, Ordering::SeqCst);
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, fate: &AtomicU8) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        match fate.load(Ordering::SeqCst) {
            SWALLOW => {}
            HANG_UP => return,
            _ if to.write_all(&bytes[..read]).await.is_err() => return,
            _ => {}
        }
    }
}
