//! After a `101`: bytes both ways, until both sides have ended.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::connection::Client;
use super::download::Upstream;
use super::poll_write_two;
use super::upload::nonzero;
use crate::h1::buffer::{Buffer, Buffers};
use crate::worker::Worker;

/// One direction.
#[derive(Default)]
struct Half {
    /// The sender has ended.
    ended: bool,
    /// The receiver was told.
    closed: bool,
    bytes: u64,
}

/// Runs a tunnel whose first bytes to the client are `head`; the answer is how many bytes the client got.
pub(crate) async fn run(worker: &Worker, client: &mut Client, mut upstream: Upstream, head: Vec<u8>) -> u64 {
    let limit = worker.shared.tuning.limits.tunnel_idle_ms;
    client.slot.set_deadline(worker.coarse_now().plus(limit));
    if !super::answer::write_all(worker, client, &head).await {
        return 0;
    }
    worker.buffers.give_head(head);
    let (mut up, mut down) = (Half::default(), Half::default());
    poll_fn(|context| {
        client.slot.wake_me(context);
        let buffers = &worker.buffers;
        let before = up.bytes + down.bytes;
        let upward = up.poll(&mut client.stream, &mut client.input, &mut upstream.stream, buffers, context);
        let downward =
            down.poll(&mut upstream.stream, &mut upstream.input, &mut client.stream, buffers, context);
        if up.bytes + down.bytes != before {
            client.slot.set_deadline(worker.coarse_now().plus(limit));
        }
        let late = client.slot.is_late(worker.coarse_now()) || worker.shared.drain.is_over();
        match (upward, downward) {
            (Poll::Ready(false), _) | (_, Poll::Ready(false)) => Poll::Ready(()),
            (Poll::Ready(true), Poll::Ready(true)) => Poll::Ready(()),
            _ if late => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    down.bytes
}

impl Half {
    /// `true`: this direction is over in order; `false`: it broke.
    fn poll(
        &mut self,
        from: &mut TcpStream,
        input: &mut Buffer,
        to: &mut TcpStream,
        buffers: &Buffers,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        while !self.closed {
            if !input.is_empty() {
                let Ok(count) = ready!(poll_write_two(to, context, input.filled(), &[])).and_then(nonzero)
                else {
                    return Poll::Ready(false);
                };
                input.consume(count);
                self.bytes += count as u64;
            } else if self.ended {
                let done = ready!(Pin::new(&mut *to).poll_shutdown(context));
                self.closed = true;
                if done.is_err() {
                    return Poll::Ready(false);
                }
            } else {
                match ready!(input.poll_fill(from, buffers, context)) {
                    Ok(0) => self.ended = true,
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(false),
                }
            }
        }
        Poll::Ready(true)
    }
}
