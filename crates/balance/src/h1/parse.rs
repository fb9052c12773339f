//! From bytes to a head: `httparse` finds the parts, and everything it tolerates beyond RFC 9112 is refused here.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use crate::limits::{
    EMPTY_LINES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, RESPONSE_HEAD_BYTES_MAX, TARGET_BYTES_MAX,
};

/// Why a request is answered with an error by the front itself, before any endpoint hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer.
    pub status: u16,
    /// Reason for people and logs; never shows bytes of the request.
    pub why: &'static str,
}

pub(crate) const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// Room for the fields of one head, on the stack.
pub type Fields<'b> = [MaybeUninit<Header<'b>>; HEADERS_MAX];

/// Empty [`Fields`].
#[must_use]
pub fn no_fields<'b>() -> Fields<'b> {
    [const { MaybeUninit::uninit() }; HEADERS_MAX]
}

/// A request head, still in the buffer it was read into.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'b> {
    /// A token.
    pub method: &'b str,
    /// As sent: visible ASCII without `#`.
    pub target: &'b str,
    /// 0 or 1.
    pub minor: u8,
    /// The fields in order. Names are tokens, values hold no control character but tab.
    pub headers: &'h [Header<'b>],
    /// The bytes of the head, from the method to the empty line.
    pub bytes: &'b [u8],
    /// Empty lines before it, in bytes.
    pub skipped: usize,
}

/// A response head, still in the buffer it was read into.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// 100 to 599.
    pub status: u16,
    /// 0 or 1.
    pub minor: u8,
    /// The fields in order.
    pub headers: &'h [Header<'b>],
    /// The bytes of the head, from `HTTP/` to the empty line.
    pub bytes: &'b [u8],
}

/// Reads the head at the start of `buffer`; `None` when more bytes are needed. The answer for a prefix is either
/// `None` or the answer for the whole: cutting a stream elsewhere changes nothing.
///
/// # Errors
/// A [`Refusal`] with 400, 414, 431 or 505.
pub fn request<'h, 'b>(
    buffer: &'b [u8],
    fields: &'h mut Fields<'b>,
) -> Result<Option<RequestHead<'h, 'b>>, Refusal> {
    let skipped = empty_lines(buffer);
    let start = &buffer[skipped..];
    match start.first() {
        None => return Ok(None),
        // One more empty line than is tolerated, half an empty line, or a line end without `\r`.
        Some(b'\r') if start.len() == 1 && skipped < 2 * EMPTY_LINES_MAX => return Ok(None),
        Some(first) if !is_token(*first) => return Err(refuse(400, "not an HTTP request")),
        Some(_) => {}
    }
    let text = &start[..start.len().min(HEAD_BYTES_MAX)];
    let mut request = httparse::Request::new(&mut []);
    let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, text, fields);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if text.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(Status::Partial) => return Err(too_long(text)),
        Err(httparse::Error::Version) => return bad_version(text),
        Err(httparse::Error::TooManyHeaders) => return Err(refuse(431, "too many header fields")),
        Err(_) => return Err(refuse(400, "malformed request head")),
    };
    let bytes = &text[..length];
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(refuse(400, "malformed request head"));
    };
    if !lines_end_well(bytes, request.headers) {
        return Err(refuse(400, "line end without carriage return"));
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(refuse(414, "request target too long"));
    }
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(refuse(400, "malformed request target"));
    }
    // The first line is rebuilt from its parts; anything between them beyond one space would be lost silently.
    if bytes.get(method.len() + target.len() + 1..).is_none_or(|rest| !rest.starts_with(b" HTTP/1.")) {
        return Err(refuse(400, "malformed request line"));
    }
    Ok(Some(RequestHead { method, target, minor, headers: request.headers, bytes, skipped }))
}

/// Reads the head at the start of `buffer`; `None` when more bytes are needed.
///
/// # Errors
/// Why the response cannot be trusted; the client gets 502.
pub fn response<'h, 'b>(
    buffer: &'b [u8],
    fields: &'h mut Fields<'b>,
) -> Result<Option<ResponseHead<'h, 'b>>, &'static str> {
    let text = &buffer[..buffer.len().min(RESPONSE_HEAD_BYTES_MAX)];
    // `httparse` would skip empty lines, which no response may start with.
    if text.first().is_some_and(|first| *first != b'H') {
        return Err("not an HTTP response");
    }
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, text, fields);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if text.len() < RESPONSE_HEAD_BYTES_MAX => return Ok(None),
        Ok(Status::Partial) => return Err("response head too long"),
        Err(_) => return Err("malformed response head"),
    };
    let bytes = &text[..length];
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err("malformed response head");
    };
    if !(100..600).contains(&status) {
        return Err("status out of range");
    }
    if !lines_end_well(bytes, response.headers) {
        return Err("line end without carriage return");
    }
    Ok(Some(ResponseHead { status, minor, headers: response.headers, bytes }))
}

/// Bytes of the empty lines before a request.
fn empty_lines(buffer: &[u8]) -> usize {
    let lines = buffer.chunks(2).take(EMPTY_LINES_MAX).take_while(|line| *line == b"\r\n");
    lines.count() * 2
}

/// Whether each line ends with `\r\n`. A value holds neither, so it is enough to look before each name and at the end.
fn lines_end_well(head: &[u8], headers: &[Header<'_>]) -> bool {
    let before_names = headers.iter().all(|header| {
        let at = offset(head, header.name.as_bytes());
        at >= 2 && head[at - 2..at] == *b"\r\n"
    });
    before_names && head.ends_with(b"\r\n\r\n")
}

/// Where `part` starts in `whole`; `part` must be a slice of it.
pub(crate) fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

fn too_long(text: &[u8]) -> Refusal {
    if text.contains(&b'\n') {
        refuse(431, "request head too long")
    } else {
        refuse(414, "request target too long")
    }
}

/// A version that is not 1.0 or 1.1: judged when its line is whole, so that how the bytes were cut cannot matter.
fn bad_version<T>(text: &[u8]) -> Result<Option<T>, Refusal> {
    let Some(end) = text.iter().position(|b| *b == b'\n') else {
        return if text.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(too_long(text)) };
    };
    let version = text[..end].rsplit(|b| *b == b' ').next().unwrap_or_default();
    match version {
        // A good version that was not found where it should be: something stands before it.
        b"HTTP/1.0\r" | b"HTTP/1.1\r" => Err(refuse(400, "malformed request line")),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(refuse(505, "HTTP version not supported"))
        }
        _ => Err(refuse(400, "malformed request line")),
    }
}

/// `tchar` of RFC 9110 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
