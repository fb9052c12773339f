//! The response on its way to the client.

use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::poll_write_two;
use super::upload::nonzero;
use crate::h1::body::Body;
use crate::h1::buffer::{Buffer, Buffers};

/// A connection to an endpoint with what was read from it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub stream: TcpStream,
    pub input: Buffer,
}

/// How far a response has been sent on.
#[derive(Debug)]
pub(crate) struct Download {
    pub head: Vec<u8>,
    head_sent: usize,
    body: Body,
    /// Chunks are taken apart: the client speaks HTTP/1.0.
    content_only: bool,
    /// Bytes at the start of the endpoint's input that may be sent on.
    ready: usize,
    /// Bytes of the body that were sent.
    pub bytes: u64,
}

/// Who ended a response early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client went away.
    Client,
    /// The endpoint closed, broke the protocol or stopped sending.
    Endpoint,
}

impl Download {
    pub fn new(head: Vec<u8>, body: Body, content_only: bool) -> Download {
        Download { head, head_sent: 0, body, content_only, ready: 0, bytes: 0 }
    }

    /// Sends what can be sent now; reads only when everything read so far was sent, which is the back-pressure.
    pub fn poll(
        &mut self,
        from: &mut Upstream,
        client: &mut TcpStream,
        buffers: &Buffers,
        context: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<Result<(), Cut>> {
        loop {
            if self.ready == 0 && !from.input.is_empty() {
                self.follow(&mut from.input)?;
            }
            let rest = &self.head[self.head_sent..];
            if !rest.is_empty() || self.ready > 0 {
                let body = &from.input.filled()[..self.ready];
                let written = ready!(poll_write_two(client, context, rest, body));
                let count = written.and_then(nonzero).map_err(|_| Cut::Client)?;
                *moved = true;
                let of_head = count.min(rest.len());
                self.head_sent += of_head;
                self.ready -= count - of_head;
                self.bytes += (count - of_head) as u64;
                from.input.consume(count - of_head);
                continue;
            }
            if self.body.is_done() {
                return Poll::Ready(Ok(()));
            }
            match ready!(from.input.poll_fill(&mut from.stream, buffers, context)) {
                Ok(0) if self.body == Body::UntilClose => return Poll::Ready(Ok(())),
                Ok(0) | Err(_) => return Poll::Ready(Err(Cut::Endpoint)),
                Ok(_) => *moved = true,
            }
        }
    }

    fn follow(&mut self, input: &mut Buffer) -> Result<(), Cut> {
        if !self.content_only {
            self.ready = self.body.take(input.filled()).map_err(|_| Cut::Endpoint)?;
            return Ok(());
        }
        while self.ready == 0 && !input.is_empty() && !self.body.is_done() {
            let step = self.body.step(input.filled()).map_err(|_| Cut::Endpoint)?;
            input.consume(step.used - step.content);
            self.ready = step.content;
        }
        Ok(())
    }
}
