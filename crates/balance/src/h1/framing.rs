//! What a head means: how long the body is, whether the connection stays, what it is about.

use httparse::Header;

use super::body::Body;
use super::parse::{Refusal, RequestHead, ResponseHead, is_token, refuse};

/// The header fields the request path must know. Everything else goes through untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes through.
    Other,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`.
    Upgrade,
    /// `Expect`.
    Expect,
    /// `X-Request-Id`.
    RequestId,
    /// Never passed on: for one connection only, or ours to say.
    Dropped,
}

/// Sorts a field by its name.
#[must_use]
pub fn kind(name: &str) -> Kind {
    // By length and first letter: of the fields that go through untouched, hardly one is compared at all.
    let first = name.as_bytes().first().map_or(0, |byte| byte | 0x20);
    let (known, kind) = match (name.len(), first) {
        (2, b't') => ("te", Kind::Dropped),
        (4, b'h') => ("host", Kind::Host),
        (6, b'e') => ("expect", Kind::Expect),
        (7, b'u') => ("upgrade", Kind::Upgrade),
        // A client could otherwise claim any address; a front has nobody before it that it trusts.
        (9, b'f') => ("forwarded", Kind::Dropped),
        (9, b'x') => ("x-real-ip", Kind::Dropped),
        (10, b'c') => ("connection", Kind::Connection),
        (10, b'k') => ("keep-alive", Kind::Dropped),
        (12, b'x') => ("x-request-id", Kind::RequestId),
        (14, b'c') => ("content-length", Kind::ContentLength),
        (15, b'x') if name.as_bytes()[2] | 0x20 == b'f' => ("x-forwarded-for", Kind::Dropped),
        (15, b'x') => ("x-evenkeel-unit", Kind::Dropped),
        (16, b'p') => ("proxy-connection", Kind::Dropped),
        (16, b'x') if name.as_bytes()[2] | 0x20 == b'e' => ("x-evenkeel-error", Kind::Dropped),
        (16, b'x') if name.as_bytes()[12] | 0x20 == b'h' => ("x-forwarded-host", Kind::Dropped),
        (16, b'x') => ("x-forwarded-port", Kind::Dropped),
        (17, b't') => ("transfer-encoding", Kind::TransferEncoding),
        (17, b'x') => ("x-forwarded-proto", Kind::Dropped),
        _ => return Kind::Other,
    };
    if name.eq_ignore_ascii_case(known) { kind } else { Kind::Other }
}

/// What a request head means.
#[derive(Clone, Debug)]
pub struct RequestMeaning<'b> {
    /// How the body ends.
    pub body: Body,
    /// The client would like to send another request on this connection.
    pub keep_alive: bool,
    /// It waits for `100 Continue`.
    pub expects_continue: bool,
    /// It asks for a WebSocket.
    pub upgrade: bool,
    /// `Host` as sent; empty only for HTTP/1.0 without one.
    pub host: &'b str,
    /// What goes upstream as target: origin form or `*`.
    pub target: &'b str,
    /// `x-request-id`, when it may be kept.
    pub id: Option<&'b str>,
    /// `Connection` names fields beyond the usual ones, which must be removed.
    pub names_fields: bool,
}

/// Fields that `Connection` must not name: removing them would change what the message means.
const NOT_REMOVABLE: &[&str] = &["host", "content-length", "transfer-encoding", "expect"];

/// Reads the meaning of a request head.
///
/// # Errors
/// A [`Refusal`] for everything two readers could understand differently.
pub fn request<'b>(head: &RequestHead<'_, 'b>) -> Result<RequestMeaning<'b>, Refusal> {
    let mut lengths = Lengths::default();
    let mut host: Option<&'b str> = None;
    let mut connection = Connection::default();
    let (mut websocket, mut expects_continue, mut id) = (false, false, None);
    for header in head.headers {
        match kind(header.name) {
            Kind::Other => refuse_lookalike(header.name)?,
            Kind::Host if host.is_some() => return Err(refuse(400, "several Host fields")),
            Kind::Host => host = Some(good_host(header.value)?),
            Kind::ContentLength | Kind::TransferEncoding => lengths.add(header)?,
            Kind::Connection => connection.add(header.value).map_err(|why| refuse(400, why))?,
            Kind::Upgrade => websocket |= header.value.eq_ignore_ascii_case(b"websocket"),
            Kind::Expect if header.value.eq_ignore_ascii_case(b"100-continue") => expects_continue = true,
            Kind::Expect => return Err(refuse(417, "unknown expectation")),
            Kind::RequestId if id.is_none() => id = good_id(header.value),
            Kind::RequestId | Kind::Dropped => {}
        }
    }
    if head.minor == 0 && lengths.chunked {
        return Err(refuse(400, "Transfer-Encoding in HTTP/1.0"));
    }
    if head.minor == 1 && host.is_none() {
        return Err(refuse(400, "no Host"));
    }
    let target = good_target(head.method, head.target, host)?;
    let body = lengths.request_body();
    Ok(RequestMeaning {
        keep_alive: connection.keeps(head.minor),
        expects_continue: expects_continue && head.minor == 1 && !body.is_done(),
        upgrade: websocket && connection.upgrade && head.minor == 1 && body.is_done() && head.method == "GET",
        host: host.unwrap_or_default(),
        target,
        id,
        names_fields: connection.names_fields,
        body,
    })
}

/// What a response head means.
#[derive(Clone, Debug)]
pub struct ResponseMeaning {
    /// How the body ends.
    pub body: Body,
    /// The endpoint keeps the connection open.
    pub keep_alive: bool,
    /// It agrees to become a WebSocket.
    pub upgrade: bool,
    /// See [`RequestMeaning::names_fields`].
    pub names_fields: bool,
    /// A `Content-Length` must not go through: there is no body it could describe.
    pub drop_length: bool,
}

/// Reads the meaning of a response head to a request that was `HEAD` or not (RFC 9112 6.3).
///
/// # Errors
/// Why the response cannot be trusted; the client gets 502.
pub fn response(head: &ResponseHead<'_, '_>, to_head: bool) -> Result<ResponseMeaning, &'static str> {
    let mut lengths = Lengths::default();
    let mut connection = Connection::default();
    let mut websocket = false;
    for header in head.headers {
        match kind(header.name) {
            Kind::ContentLength | Kind::TransferEncoding => {
                lengths.add(header).map_err(|refusal| refusal.why)?;
            }
            Kind::Connection => connection.add(header.value)?,
            Kind::Upgrade => websocket |= header.value.eq_ignore_ascii_case(b"websocket"),
            _ => {}
        }
    }
    if head.minor == 0 && lengths.chunked {
        return Err("Transfer-Encoding in HTTP/1.0");
    }
    let never = head.status < 200 || head.status == 204;
    let without = never || head.status == 304 || to_head;
    // Some servers send a body after all: the connection is not used again when a length says so.
    let suspicious = never && (lengths.chunked || lengths.length.is_some_and(|length| length > 0));
    let body = match (without, lengths.chunked, lengths.length) {
        (true, _, _) => Body::Empty,
        (false, true, _) => Body::chunked(),
        (false, false, Some(length)) => Body::with_length(length),
        (false, false, None) => Body::UntilClose,
    };
    let keeps = connection.keeps(head.minor) && !suspicious && !matches!(body, Body::UntilClose);
    Ok(ResponseMeaning {
        keep_alive: keeps,
        upgrade: head.status == 101 && websocket && connection.upgrade,
        names_fields: connection.names_fields,
        drop_length: never,
        body,
    })
}

/// The two ways to say how long a body is; saying it twice is refused.
#[derive(Default)]
struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

impl Lengths {
    fn add(&mut self, header: &Header<'_>) -> Result<(), Refusal> {
        if self.chunked || self.length.is_some() {
            return Err(refuse(400, "the length of the body is said twice"));
        }
        if kind(header.name) == Kind::ContentLength {
            self.length = Some(good_length(header.value)?);
        } else if header.value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
        } else {
            return Err(refuse(501, "a Transfer-Encoding that is not `chunked`"));
        }
        Ok(())
    }

    fn request_body(&self) -> Body {
        match (self.chunked, self.length) {
            (true, _) => Body::chunked(),
            (false, Some(length)) => Body::with_length(length),
            (false, None) => Body::Empty,
        }
    }
}

/// Digits only, and no more than fit.
fn good_length(value: &[u8]) -> Result<u64, Refusal> {
    const DIGITS_MAX: usize = 18;
    let bad = refuse(400, "malformed Content-Length");
    if value.is_empty() || value.len() > DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// `Content_Length`, `X_Forwarded_For` and the like reach some applications under the same name as the real ones (CGI).
fn refuse_lookalike(name: &str) -> Result<(), Refusal> {
    if !name.contains('_') {
        return Ok(());
    }
    let real = name.replace('_', "-");
    match kind(&real) {
        Kind::ContentLength | Kind::TransferEncoding | Kind::Host | Kind::Dropped => {
            Err(refuse(400, "a field that looks like one that only the front may set"))
        }
        _ => Ok(()),
    }
}

fn good_host(value: &[u8]) -> Result<&str, Refusal> {
    let bad = refuse(400, "malformed Host");
    let text = std::str::from_utf8(value).map_err(|_| bad)?;
    let (name, port) = match text.rsplit_once(':') {
        // The colons of an address in brackets are not those of a port.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let in_brackets = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name_is_good = match in_brackets {
        Some(inside) => {
            !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
        }
        None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)),
    };
    let port_is_good = port.is_none_or(|port| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()));
    if name_is_good && port_is_good { Ok(text) } else { Err(bad) }
}

fn good_id(value: &[u8]) -> Option<&str> {
    let good = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    let fits = !value.is_empty() && value.len() <= crate::limits::REQUEST_ID_BYTES_MAX;
    (fits && value.iter().all(good)).then(|| std::str::from_utf8(value).ok()).flatten()
}

/// The target to send on. Absolute form (RFC 9112 3.2.2) must agree with `Host`, else two readers would route it
/// to two places.
fn good_target<'b>(method: &str, target: &'b str, host: Option<&str>) -> Result<&'b str, Refusal> {
    if method == "CONNECT" || method == "TRACE" {
        return Err(refuse(501, "method not supported"));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(target);
    }
    let bad = refuse(400, "malformed request target");
    let scheme = target.get(..7).ok_or(bad)?;
    if !scheme.eq_ignore_ascii_case("http://") {
        return Err(bad);
    }
    let rest = &target[7..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) || authority.contains('@') {
        return Err(refuse(400, "request target and Host differ"));
    }
    match path {
        "" if method == "OPTIONS" => Ok("*"),
        "" => Ok("/"),
        path if path.starts_with('/') => Ok(path),
        _ => Err(bad),
    }
}

/// What the `Connection` fields of a message say.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    names_fields: bool,
}

impl Connection {
    fn add(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for option in options(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !option.iter().all(|b| is_token(*b)) {
                return Err("malformed Connection");
            } else if NOT_REMOVABLE.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes())) {
                return Err("Connection names a field the message needs");
            } else {
                self.names_fields = true;
            }
        }
        Ok(())
    }

    fn keeps(&self, minor: u8) -> bool {
        !self.close && (minor == 1 || self.keep_alive)
    }
}

/// The options of one `Connection` value.
pub(crate) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_fields_are_found_in_any_case_and_no_others() {
        let known = [
            ("te", Kind::Dropped),
            ("host", Kind::Host),
            ("expect", Kind::Expect),
            ("upgrade", Kind::Upgrade),
            ("forwarded", Kind::Dropped),
            ("x-real-ip", Kind::Dropped),
            ("x-forwarded-host", Kind::Dropped),
            ("x-forwarded-port", Kind::Dropped),
            ("connection", Kind::Connection),
            ("keep-alive", Kind::Dropped),
            ("x-request-id", Kind::RequestId),
            ("content-length", Kind::ContentLength),
            ("x-forwarded-for", Kind::Dropped),
            ("x-evenkeel-unit", Kind::Dropped),
            ("proxy-connection", Kind::Dropped),
            ("x-evenkeel-error", Kind::Dropped),
            ("transfer-encoding", Kind::TransferEncoding),
            ("x-forwarded-proto", Kind::Dropped),
        ];
        for (name, expected) in known {
            assert_eq!(kind(name), expected, "{name}");
            assert_eq!(kind(&name.to_ascii_uppercase()), expected, "{name}");
            let last = name.len() - 1;
            assert_eq!(kind(&format!("{}~", &name[..last])), Kind::Other, "{name}");
        }
        for name in ["", "x", "date", "cookie", "content-type", "accept-encoding", "x-b3-traceid-ab"] {
            assert_eq!(kind(name), Kind::Other, "{name}");
        }
    }
}
