//! From a head that was read to the head that is sent on: whole lines are copied, hop-by-hop lines left out
//! (RFC 9110 7.6.1), ours added at the end. Nothing is decoded and encoded again.

use std::ops::Range;

use httparse::Header;

use super::body::Body;
use super::framing::{Kind, RequestMeaning, ResponseMeaning, kind, options};
use super::parse::{RequestHead, ResponseHead, offset};

/// Where in an upstream head the parts are that the log wants.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The method.
    pub method: Range<usize>,
    /// The target.
    pub target: Range<usize>,
    /// `Host`; empty when there was none.
    pub host: Range<usize>,
    /// `x-request-id`.
    pub id: Range<usize>,
}

/// What is added to a request.
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// The client's address as text.
    pub peer: &'a str,
    /// `Host` for an HTTP/1.0 request without one.
    pub host: &'a str,
    /// `x-request-id` for a request without a usable one.
    pub id: u128,
}

/// Writes the head that goes to an endpoint; always HTTP/1.1.
pub fn request(
    head: &RequestHead<'_, '_>,
    meaning: &RequestMeaning<'_>,
    added: &Added<'_>,
    out: &mut Vec<u8>,
) -> Places {
    let method = push(out, head.method.as_bytes());
    out.push(b' ');
    let target = push(out, meaning.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    let host = if meaning.host.is_empty() { added.host } else { meaning.host };
    let host = push(out, host.as_bytes());
    out.extend_from_slice(b"\r\n");
    copy_lines(head.bytes, head.headers, out, |header| match kind(header.name) {
        Kind::Other => !meaning.names_fields || !named(head.headers, header.name),
        Kind::ContentLength => true,
        _ => false,
    });
    if matches!(meaning.body, Body::Chunked(_)) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if meaning.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    out.extend_from_slice(b"X-Forwarded-For: ");
    out.extend_from_slice(added.peer.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: http\r\nx-request-id: ");
    let id_is_named = meaning.names_fields && named(head.headers, "x-request-id");
    let id = match meaning.id.filter(|_| !id_is_named) {
        Some(id) => push(out, id.as_bytes()),
        None => push(out, &hex(added.id)),
    };
    out.extend_from_slice(b"\r\n\r\n");
    Places { method, target, host, id }
}

/// How the response goes to the client.
#[derive(Clone, Copy, Debug)]
pub struct ToClient<'a> {
    /// The client's own version: 0 or 1.
    pub minor: u8,
    /// The connection stays open.
    pub keep_alive: bool,
    /// Shown as `x-evenkeel-unit`.
    pub unit: Option<&'a str>,
}

/// Writes the head that goes to the client; always HTTP/1.1, as RFC 9110 2.5 wants it even for a 1.0 client.
pub fn response(
    head: &ResponseHead<'_, '_>,
    meaning: &ResponseMeaning,
    to: &ToClient<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1");
    let first_line = head.bytes.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
    out.extend_from_slice(&head.bytes["HTTP/1.1".len()..first_line]);
    copy_lines(head.bytes, head.headers, out, |header| match kind(header.name) {
        Kind::Other | Kind::RequestId => !meaning.names_fields || !named(head.headers, header.name),
        Kind::ContentLength => !meaning.drop_length,
        _ => false,
    });
    if meaning.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if head.status >= 200 {
        if matches!(meaning.body, Body::Chunked(_)) && to.minor == 1 {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        connection(to, out);
    }
    if let Some(unit) = to.unit.filter(|_| head.status >= 200) {
        out.extend_from_slice(b"x-evenkeel-unit: ");
        out.extend_from_slice(unit.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Says what happens to the connection, where the client's version does not say it already.
pub fn connection(to: &ToClient<'_>, out: &mut Vec<u8>) {
    match (to.keep_alive, to.minor) {
        (true, 1) => {}
        (true, _) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = out.len();
    out.extend_from_slice(bytes);
    start..out.len()
}

/// A number as 32 digits.
#[must_use]
pub fn hex(number: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (place, digit) in text.iter_mut().rev().enumerate() {
        let value = (number >> (4 * place)) as usize & 15;
        *digit = b"0123456789abcdef"[value];
    }
    text
}

/// Copies the lines of `headers` that `keep` wants; neighbours go in one piece.
fn copy_lines(head: &[u8], headers: &[Header<'_>], out: &mut Vec<u8>, keep: impl Fn(&Header<'_>) -> bool) {
    // The head ends with an empty line, which belongs to no field.
    let end = head.len() - 2;
    let mut run: Option<usize> = None;
    for header in headers {
        match (keep(header), run) {
            (true, None) => run = Some(offset(head, header.name.as_bytes())),
            (false, Some(from)) => {
                out.extend_from_slice(&head[from..offset(head, header.name.as_bytes())]);
                run = None;
            }
            _ => {}
        }
    }
    if let Some(from) = run {
        out.extend_from_slice(&head[from..end]);
    }
}

/// Whether a `Connection` field names `name`.
fn named(headers: &[Header<'_>], name: &str) -> bool {
    headers
        .iter()
        .filter(|header| kind(header.name) == Kind::Connection)
        .flat_map(|header| options(header.value))
        .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}
