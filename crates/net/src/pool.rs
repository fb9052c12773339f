use std::task::{Context, Poll, Waker};

use model::Moment;
use tokio::net::TcpStream;

/// An idle connection older than this is not used again. Common servers close theirs after 5 s (Node.js) or more;
/// staying below means that the server does not close in the moment we send.
pub const IDLE_MAX_MS: u64 = 4_000;
/// Most idle connections one thread keeps to one endpoint.
pub const IDLE_MAX: usize = 512;

/// A connection that waits for its next request.
#[derive(Debug)]
pub struct Idle {
    /// The connection.
    pub stream: TcpStream,
    since: Moment,
    generation: u32,
}

/// The idle connections of one thread to one endpoint; the newest is taken first, because the server is least
/// likely to be closing that one.
#[derive(Debug, Default)]
pub struct IdlePool {
    idle: Vec<Idle>,
}

impl IdlePool {
    /// Keeps a connection whose last response was read to its end.
    pub fn put(&mut self, stream: TcpStream, generation: u32, now: Moment) {
        if self.idle.len() < IDLE_MAX {
            self.idle.push(Idle { stream, since: now, generation });
        }
    }

    /// The newest usable connection of this generation.
    pub fn take(&mut self, generation: u32, now: Moment) -> Option<TcpStream> {
        while let Some(idle) = self.idle.pop() {
            if idle.generation != generation || now.ms_since(idle.since) >= IDLE_MAX_MS {
                // All below are older.
                self.idle.clear();
                return None;
            }
            if is_quiet(&idle.stream) {
                return Some(idle.stream);
            }
        }
        None
    }

    /// Closes what is too old or of another generation.
    pub fn sweep(&mut self, generation: u32, now: Moment) {
        self.idle.retain(|idle| {
            idle.generation == generation && now.ms_since(idle.since) < IDLE_MAX_MS && is_quiet(&idle.stream)
        });
    }

    /// Closes all.
    pub fn clear(&mut self) {
        self.idle.clear();
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

/// Whether nothing has arrived on an idle connection: neither an end nor bytes nobody asked for. Costs a system
/// call only when the kernel has already reported something.
#[must_use]
pub fn is_quiet(stream: &TcpStream) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    match stream.poll_read_ready(&mut context) {
        Poll::Pending => true,
        Poll::Ready(Err(_)) => false,
        Poll::Ready(Ok(())) => {
            let mut byte = [0_u8; 1];
            matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn settle() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn a_connection_the_server_closed_is_not_used_again() {
        let (client, server) = pair().await;
        let mut pool = IdlePool::default();
        pool.put(client, 0, Moment(0));
        drop(server);
        settle().await;
        assert!(pool.take(0, Moment(1)).is_none());
    }

    #[tokio::test]
    async fn a_connection_with_bytes_nobody_asked_for_is_not_used_again() {
        let (client, mut server) = pair().await;
        let mut pool = IdlePool::default();
        pool.put(client, 0, Moment(0));
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        settle().await;
        assert!(pool.take(0, Moment(1)).is_none());
    }

    #[tokio::test]
    async fn old_connections_and_those_of_an_ejected_past_are_closed() {
        let (first, _a) = pair().await;
        let (second, _b) = pair().await;
        let (third, _c) = pair().await;
        let mut pool = IdlePool::default();
        pool.put(first, 0, Moment(0));
        assert!(pool.take(0, Moment(IDLE_MAX_MS)).is_none(), "too old");
        pool.put(second, 0, Moment(0));
        assert!(pool.take(1, Moment(1)).is_none(), "another generation");
        pool.put(third, 1, Moment(0));
        pool.sweep(1, Moment(IDLE_MAX_MS - 1));
        assert!(pool.take(1, Moment(1)).is_some());
        assert!(pool.is_empty());
    }
}
