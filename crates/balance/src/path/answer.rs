//! Answers of the front itself.

use std::future::poll_fn;
use std::io::Write;
use std::task::Poll;

use super::connection::{Client, Request};
use super::upload::nonzero;
use super::{After, poll_write_two};
use crate::h1::rewrite::{ToClient, connection, hex};
use crate::worker::Worker;

/// An answer of the front itself.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    pub status: u16,
    /// One line for people.
    pub text: &'a str,
    /// For 502, 503 and 504: what happened to the request.
    pub fate: Option<Fate<'a>>,
}

/// What happened to a request that got no response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate<'a> {
    /// The unit tried last; `-`: none.
    pub unit: &'a str,
    /// A byte of the request may have reached a unit: it may have been carried out.
    pub sent: bool,
    /// One word.
    pub reason: &'static str,
}

/// Sends an answer. `rest` says whether the request was read to its end, so that the connection can stay.
pub(crate) async fn send(
    worker: &Worker,
    client: &mut Client,
    request: Option<&Request>,
    answer: &Answer<'_>,
    read_to_end: bool,
) -> After {
    let keep_alive =
        read_to_end && request.is_some_and(|request| request.keep_alive) && !worker.shared.drain.has_begun();
    let mut out = worker.buffers.head();
    write(answer, request, keep_alive, worker, &mut out);
    let limit = worker.coarse_now().plus(worker.shared.tuning.limits.body_idle_ms);
    client.slot.set_deadline(limit);
    let sent = write_all(worker, client, &out).await;
    worker.buffers.give_head(out);
    match (sent, keep_alive) {
        (false, _) => After::Abort,
        (true, true) => After::KeepAlive,
        (true, false) => After::Linger,
    }
}

/// Writes everything before the slot's deadline; `false`: the client is gone or too slow.
pub(crate) async fn write_all(worker: &Worker, client: &mut Client, bytes: &[u8]) -> bool {
    let mut sent = 0;
    poll_fn(|context| {
        client.slot.wake_me(context);
        while sent < bytes.len() {
            match poll_write_two(&mut client.stream, context, &bytes[sent..], &[]) {
                Poll::Ready(written) => match written.and_then(nonzero) {
                    Ok(count) => sent += count,
                    Err(_) => return Poll::Ready(false),
                },
                Poll::Pending
                    if client.slot.is_late(worker.coarse_now()) || worker.shared.drain.is_over() =>
                {
                    return Poll::Ready(false);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(true)
    })
    .await
}

fn write(
    answer: &Answer<'_>,
    request: Option<&Request>,
    keep_alive: bool,
    worker: &Worker,
    out: &mut Vec<u8>,
) {
    let phrase = phrase(answer.status);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "HTTP/1.1 {} {phrase}\r\ncontent-type: text/plain\r\n", answer.status);
    let _ = write!(out, "content-length: {}\r\n", answer.text.len() + 1);
    if let Some(fate) = &answer.fate {
        let sent = u8::from(fate.sent);
        let _ = write!(out, "x-evenkeel-error: unit={}; sent={sent}; reason={}\r\n", fate.unit, fate.reason);
        if answer.status == 503 {
            out.extend_from_slice(b"retry-after: 1\r\n");
        }
    }
    out.extend_from_slice(b"x-request-id: ");
    match request {
        Some(request) => out.extend_from_slice(&request.head[request.places.id.clone()]),
        None => out.extend_from_slice(&hex(u128::from(worker.random()))),
    }
    out.extend_from_slice(b"\r\n");
    let minor = request.map_or(1, |request| request.minor);
    connection(&ToClient { minor, keep_alive, unit: None }, out);
    out.extend_from_slice(b"\r\n");
    if !request.is_some_and(|request| request.to_head) {
        out.extend_from_slice(answer.text.as_bytes());
        out.push(b'\n');
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
