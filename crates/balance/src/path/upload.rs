//! The request on its way to an endpoint.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::connection::Client;
use super::poll_write_two;
use crate::h1::body::Body;
use crate::h1::buffer::Buffers;
use crate::h1::parse::{Refusal, refuse};

/// How far a request has been sent.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Bytes at the start of the client's input that are the whole body; `None`: it is streamed.
    whole: Option<usize>,
    body: Body,
    head_sent: usize,
    whole_sent: usize,
    /// Bytes at the start of the client's input that may be sent; streamed bodies only.
    ready: usize,
    /// Bytes of a streamed body that are gone from the client's input.
    streamed: u64,
    body_max: u64,
    /// The client owes the next byte, not the endpoint.
    pub waits_for_client: bool,
    /// Everything was sent.
    pub done: bool,
    /// The endpoint takes no more; its response may still come.
    pub broken: bool,
}

/// Why an upload ends early.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The endpoint's side failed.
    Endpoint,
    /// The client's side ended.
    ClientGone,
    /// The client's body is not one.
    Refused(Refusal),
}

impl Upload {
    pub fn new(body: Body, body_max: u64) -> Upload {
        let whole = body.is_done().then_some(0);
        Upload {
            whole,
            body,
            head_sent: 0,
            whole_sent: 0,
            ready: 0,
            streamed: 0,
            body_max,
            waits_for_client: false,
            done: false,
            broken: false,
        }
    }

    /// The body is whole in the client's input, in its first `length` bytes.
    pub fn set_whole(&mut self, length: usize) {
        self.whole = Some(length);
    }

    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Bytes of the client's input that belong to this request and are still there.
    pub fn unconsumed(&self) -> usize {
        self.whole.unwrap_or(0)
    }

    /// The client has sent everything that belongs to this request.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// At least one byte may have reached the endpoint of the current attempt.
    pub fn is_sent(&self) -> bool {
        self.head_sent > 0
    }

    /// Everything is still there to be sent again.
    pub fn can_rewind(&self) -> bool {
        self.whole.is_some() || self.streamed == 0
    }

    /// Begins again for another attempt.
    pub fn rewind(&mut self) {
        self.head_sent = 0;
        self.whole_sent = 0;
        self.done = false;
        self.broken = false;
    }

    /// Sends what can be sent now. `moved` is set when anything was.
    pub fn poll(
        &mut self,
        head: &[u8],
        client: &mut Client,
        to: &mut TcpStream,
        buffers: &Buffers,
        context: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            self.waits_for_client = false;
            let rest = &head[self.head_sent..];
            let body = match self.whole {
                Some(length) => &client.input.filled()[self.whole_sent..length],
                None => &client.input.filled()[..self.ready],
            };
            if !rest.is_empty() || !body.is_empty() {
                let written = ready!(poll_write_two(to, context, rest, body));
                let count = written.and_then(nonzero).map_err(|_| UploadError::Endpoint)?;
                *moved = true;
                self.sent(count, rest.len(), client);
                continue;
            }
            if self.whole.is_some() || self.body.is_done() {
                self.done = true;
                client.input.rest(buffers);
                return Poll::Ready(Ok(()));
            }
            if client.input.is_empty() {
                self.waits_for_client = true;
                match ready!(client.input.poll_fill(&mut client.stream, buffers, context)) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(UploadError::ClientGone)),
                    Ok(_) => *moved = true,
                }
            }
            self.follow(client.input.filled())?;
        }
    }

    fn follow(&mut self, input: &[u8]) -> Result<(), UploadError> {
        let bad = |_| UploadError::Refused(refuse(400, "malformed chunk"));
        self.ready = self.body.take(input).map_err(bad)?;
        if self.streamed + self.ready as u64 > self.body_max {
            return Err(UploadError::Refused(refuse(413, "request body too large")));
        }
        Ok(())
    }

    fn sent(&mut self, count: usize, head_left: usize, client: &mut Client) {
        let of_head = count.min(head_left);
        self.head_sent += of_head;
        let of_body = count - of_head;
        if self.whole.is_some() {
            self.whole_sent += of_body;
        } else {
            client.input.consume(of_body);
            self.ready -= of_body;
            self.streamed += of_body as u64;
        }
    }
}

pub(crate) fn nonzero(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}
