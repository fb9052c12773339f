//! Bytes both ways between a client and its primary, until one of them ends or the primary is replaced.
//!
//! A message costs one `recv` and one `send`, and a share of one wake-up: a short `recv` says that the kernel's queue is
//! empty, so nobody asks again, and one `epoll_wait` wakes all sockets that are ready. Counted with `strace -c` under
//! `pgbench -S`: 6.0 system calls for a question and its answer with one client, 4.7 with sixteen.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use world::Stop;

use super::answer::linger;
use super::limits::BUFFER_BYTES;

thread_local! {
    /// What is read goes through here and straight on. Never held while a task waits, so one for each thread is enough.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_BYTES]);
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client or the primary ended it.
    Closed,
    /// Its primary was replaced.
    Switched,
}

/// Which side of a direction failed.
#[derive(Debug)]
enum Broken {
    Sender,
    Receiver,
}

/// Whose end ended the relay.
enum Last {
    Client,
    Primary,
}

/// Runs the session to its end, closing both sides. `over` is requested when the primary has been replaced.
pub(crate) async fn run(mut client: TcpStream, mut primary: TcpStream, over: &Stop) -> End {
    let last = tokio::select! {
        biased;
        () = over.requested() => None,
        last = carry(&mut client, &mut primary) => Some(last),
    };
    match last {
        Some(Last::Client) => End::Closed,
        Some(Last::Primary) => {
            drop(primary);
            linger(client).await;
            End::Closed
        }
        None => {
            reset(client);
            reset(primary);
            End::Switched
        }
    }
}

/// Closes with a reset: nobody waits for what will not come, and nothing that is queued still arrives.
pub(crate) fn reset(stream: TcpStream) {
    // Where it cannot be set the connection is already broken.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn carry(client: &mut TcpStream, primary: &mut TcpStream) -> Last {
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let mut client_ended = false;
    poll_fn(|context| {
        match up.poll(client, primary, context) {
            Poll::Ready(Err(Broken::Sender)) => return Poll::Ready(Last::Client),
            // What the primary said before it closed, such as why, is still on its way to the client.
            Poll::Ready(Err(Broken::Receiver)) => up = Direction { closed: true, ..Direction::default() },
            Poll::Ready(Ok(())) => client_ended |= up.ended,
            Poll::Pending => {}
        }
        match ready!(down.poll(primary, client, context)) {
            Err(Broken::Receiver) => Poll::Ready(Last::Client),
            Ok(()) if client_ended => Poll::Ready(Last::Client),
            // PostgreSQL never ends one direction alone: its end is the end of the session.
            Ok(()) | Err(Broken::Sender) => Poll::Ready(Last::Primary),
        }
    })
    .await
}

/// One direction of a session.
#[derive(Debug, Default)]
struct Direction {
    /// What the receiver did not take yet; nothing more is read until it has. Without memory while it is empty.
    waiting: Vec<u8>,
    /// So many bytes of `waiting` have been sent.
    sent: usize,
    /// The sender has ended.
    ended: bool,
    /// The receiver was told.
    closed: bool,
}

impl Direction {
    /// Ready when the sender has ended and the receiver was told.
    fn poll(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while !self.closed {
            if self.sent < self.waiting.len() {
                let rest = &self.waiting[self.sent..];
                self.sent += ready!(send(to, rest, context)).map_err(|_| Broken::Receiver)?;
            } else if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(context)).map_err(|_| Broken::Receiver)?;
                self.closed = true;
            } else {
                if self.sent > 0 {
                    self.waiting = Vec::new();
                    self.sent = 0;
                }
                ready!(self.pass(from, to, context))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and sends it on; keeps what the receiver does not take at once.
    fn pass(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut room = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(context, &mut room)).map_err(|_| Broken::Sender)?;
            let read = room.filled();
            if read.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            let taken = match send(to, read, context) {
                Poll::Ready(Ok(taken)) => taken,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Receiver)),
                Poll::Pending => 0,
            };
            self.waiting.extend_from_slice(&read[taken..]);
            Poll::Ready(Ok(()))
        })
    }
}

fn send(to: &mut TcpStream, bytes: &[u8], context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(context, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        taken => Poll::Ready(taken),
    }
}
