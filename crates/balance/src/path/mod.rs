//! The path of one request: read it, choose an endpoint, send it, send the response back. No lock, no timer, no
//! allocation in the steady state.

pub(crate) mod answer;
pub(crate) mod attempt;
pub(crate) mod connection;
pub(crate) mod download;
pub(crate) mod exchange;
pub(crate) mod tunnel;
pub(crate) mod upload;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// What happens to the client's connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    KeepAlive,
    /// Closed at once; the client has everything.
    Close,
    /// Closed after the client had time to read the answer, although it may still be sending.
    Linger,
    /// Reset: the answer was cut off, and the client must be able to tell.
    Abort,
}

/// Writes `first`, then `second`, in one system call where both are there.
pub(crate) fn poll_write_two(
    stream: &mut TcpStream,
    context: &mut Context<'_>,
    first: &[u8],
    second: &[u8],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    match (first.is_empty(), second.is_empty()) {
        (true, _) => stream.poll_write(context, second),
        (false, true) => stream.poll_write(context, first),
        (false, false) => stream.poll_write_vectored(context, &[IoSlice::new(first), IoSlice::new(second)]),
    }
}
