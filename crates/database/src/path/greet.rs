//! The first words between a client and a primary that has accepted: until the primary has answered, nothing has
//! happened, and the client can still be led to another.
//!
//! The kernel of a frozen machine accepts connections, and that of a dying server does until the last moment. So the
//! first message of a client is looked at and sent on, and left in its socket until the primary says its first byte;
//! when the primary is replaced or resets before that, the next one gets the same bytes. Only a client's first message is
//! ever sent twice: it asks to begin, or for encryption, or for a query to be cancelled. A client that says more before
//! it is answered may have asked for something with an effect, and stays with the primary it has.

use std::io;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use world::Stop;

/// Bytes of a first message that are looked at; a longer one is sent once. libpq's has about a hundred.
const FIRST_BYTES_MAX: usize = 1024;
/// A length says how long it is, in bytes.
const LENGTH_BYTES: usize = 4;

/// What came of the first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeted {
    /// The session belongs to this primary: its relay can begin.
    Settled,
    /// The primary was replaced before it said anything.
    Replaced,
    /// The primary reset the connection before it said anything.
    Reset,
    /// The primary has said nothing for the whole time although the client has asked.
    Silent,
}

/// What the client has said so far.
#[derive(Default)]
struct Words {
    /// Without memory until the client speaks: whoever never does costs none.
    bytes: Vec<u8>,
    /// So many bytes of it have been sent to the primary; all of them still wait in the client's socket.
    sent: usize,
}

/// Passes the client's first message on and waits for the primary's first byte, at most `limit` after the client spoke.
/// Reads nothing from the client unless the answer is [`Greeted::Settled`]; then what was sent is taken from its socket.
pub(crate) async fn greet(client: &TcpStream, primary: &TcpStream, over: &Stop, limit: Duration) -> Greeted {
    let mut words = Words::default();
    let mut deadline: Option<Instant> = None;
    let greeted = loop {
        let mut first = [0];
        tokio::select! {
            biased;
            () = over.requested() => break Greeted::Replaced,
            said = primary.peek(&mut first) => break match said {
                // Its orderly end is its own decision, as after a cancel request.
                Ok(_) => Greeted::Settled,
                Err(_) => Greeted::Reset,
            },
            more = words.pass(client, primary) => match more {
                Ok(true) => deadline = deadline.or_else(|| Some(Instant::now() + limit)),
                Ok(false) => break Greeted::Settled,
                // The primary may have said why before it closed.
                Err(_) => break match primary.peek(&mut first).await {
                    Ok(_) => Greeted::Settled,
                    Err(_) => Greeted::Reset,
                },
            },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break Greeted::Silent,
        }
    };
    if greeted == Greeted::Settled {
        words.take(client);
    }
    greeted
}

impl Words {
    /// Waits for words of the client and sends them to the primary. `true`: they can still be sent to another.
    ///
    /// # Errors
    /// When the primary does not take them.
    async fn pass(&mut self, client: &TcpStream, primary: &TcpStream) -> io::Result<bool> {
        let Some(seen) = self.look(client).await else { return Ok(false) };
        while self.sent < seen {
            primary.writable().await?;
            match primary.try_write(&self.bytes[self.sent..seen]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is_first_message(&self.bytes[..seen]) && seen < self.bytes.len())
    }

    /// How many bytes wait in the client's socket, once they are more than were sent; `None`: it has ended or broken.
    async fn look(&mut self, client: &TcpStream) -> Option<usize> {
        loop {
            let ready = client.ready(Interest::READABLE).await.ok()?;
            self.bytes.resize(FIRST_BYTES_MAX, 0);
            let seen = client.try_io(Interest::READABLE, || {
                let (seen, _) = recv(client, self.bytes.as_mut_slice(), RecvFlags::PEEK)?;
                // Said of old bytes too, so that the kernel's next word is waited for.
                if seen == self.sent && seen > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(seen) }
            });
            match seen {
                Ok(0) => return None,
                Ok(seen) => return Some(seen),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock || ready.is_read_closed() => {
                    return None;
                }
                Err(_) => {}
            }
        }
    }

    /// Takes what was sent from the client's socket. Past the runtime, which may hold that there is nothing to read.
    fn take(&mut self, client: &TcpStream) {
        while self.sent > 0 {
            match recv(client, &mut self.bytes[..self.sent], RecvFlags::empty()) {
                Ok((count, _)) if count > 0 => self.sent -= count,
                // They were seen there and nobody else reads: only a broken connection has lost them.
                _ => return,
            }
        }
    }
}

/// Whether `bytes` are the beginning of one first message, or the whole of it, and nothing else.
fn is_first_message(bytes: &[u8]) -> bool {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return true };
    let length = u32::from_be_bytes(*length) as usize;
    (LENGTH_BYTES..=FIRST_BYTES_MAX).contains(&length) && bytes.len() <= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_behind_the_first_message_is_never_sent_twice() {
        let start = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";
        assert!((0..=start.len()).all(|end| is_first_message(&start[..end])));
        assert!(!is_first_message(&[start.as_slice(), b"Q"].concat()));
        for other in [b"GET / HTTP/1.1".as_slice(), &[0x16, 3, 1, 2, 0, 1], &[0, 0, 0, 3], &[0; 8]] {
            assert!(!is_first_message(other), "{other:?}");
        }
    }
}
