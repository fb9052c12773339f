//! The client's HTTP/1.1 (RFC 9112): enough to ask and to see exactly what came back, and no more. Own lines, as
//! a general client hides what a drill must know: whether a byte had been sent, whether one had come.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer head in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Most header lines of an answer.
const HEADERS_MAX: usize = 64;
/// Longest answer body in bytes; a page of an application under load is far below.
const BODY_MAX: usize = 1024 * 1024;
/// Bytes taken from the kernel at once.
const READ_BYTES: usize = 4096;
/// Interim answers (RFC 9110 15.2) accepted before the final one.
const INTERIM_MAX: usize = 8;

/// How a front's error answer names the replica it had asked.
const BLAME_HEADER: &str = "x-evenkeel-error";
/// How the application says that it does not know whether it carried an order out: `unknown`.
const OUTCOME_HEADER: &str = "x-order-outcome";

/// One connection, with what was read beyond the last answer.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// A byte of the current answer has come.
    begun: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The value of [`BLAME_HEADER`].
    pub(crate) blame: Option<String>,
    /// [`OUTCOME_HEADER`] says `unknown`.
    pub(crate) outcome_unknown: bool,
    /// The connection may carry another request.
    pub(crate) reusable: bool,
}

/// What a server says before the body has been sent (RFC 9110 10.1.1).
#[derive(Debug)]
pub(crate) enum Leave {
    /// `100 Continue`: send the body.
    Continue,
    /// A final answer without having seen the body.
    Final(Answer),
}

/// Why a connection is of no more use.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) why: String,
    /// No byte of an answer had come.
    pub(crate) before_first_byte: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug)]
struct Head {
    status: u16,
    framing: Framing,
    keep: bool,
    blame: Option<String>,
    outcome_unknown: bool,
}

/// Why no connection could be opened.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The other side's doing: refused, unreachable, silent.
    Refused(String),
    /// This process has no descriptors or local ports left.
    Own(String),
}

impl Conn {
    /// Opens a connection; nothing of a request has been sent when it fails.
    pub(crate) async fn open(to: SocketAddr, within: Duration) -> Result<Conn, ConnectError> {
        match timeout(within, TcpStream::connect(to)).await {
            Err(_) => {
                Err(ConnectError::Refused(format!("no connection to {to} within {} ms", within.as_millis())))
            }
            Ok(Err(error)) if is_own(&error) => Err(ConnectError::Own(error.to_string())),
            Ok(Err(error)) => Err(ConnectError::Refused(format!("no connection to {to}: {error}"))),
            Ok(Ok(stream)) => {
                // Requests are small and whole: waiting for more to send would only measure Nagle's algorithm.
                let _ = stream.set_nodelay(true);
                Ok(Conn { stream, buffer: Vec::with_capacity(READ_BYTES), begun: false })
            }
        }
    }

    /// Is it still open with nothing to read? Asked before a pooled connection is used again. Asks the kernel, as
    /// the runtime's own idea of readiness may lag behind by one turn.
    pub(crate) fn is_idle(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let mut byte = [0u8; 1];
        let peek = recv(&self.stream, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.buffer.is_empty() && matches!(peek, Err(rustix::io::Errno::AGAIN))
    }

    /// Hands `bytes` to the kernel.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.begun = false;
        self.stream.write_all(bytes).await.map_err(|error| self.broken(format!("cannot send: {error}")))
    }

    /// Waits for `100 Continue` or for a final answer.
    pub(crate) async fn leave(&mut self) -> Result<Leave, Broken> {
        for _ in 0..INTERIM_MAX {
            let head = self.head().await?;
            match head.status {
                100 => return Ok(Leave::Continue),
                101 => return Err(self.broken("status 101 that nobody asked for".to_owned())),
                102..=199 => {}
                _ => {
                    let mut answer = self.body(head).await?;
                    // The server still waits for the body that will not come.
                    answer.reusable = false;
                    return Ok(Leave::Final(answer));
                }
            }
        }
        Err(self.broken("too many interim answers".to_owned()))
    }

    /// Waits for the final answer, with its whole body.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Broken> {
        for _ in 0..INTERIM_MAX {
            let head = self.head().await?;
            match head.status {
                101 => return Err(self.broken("status 101 that nobody asked for".to_owned())),
                100..=199 => {}
                _ => return self.body(head).await,
            }
        }
        Err(self.broken("too many interim answers".to_owned()))
    }

    async fn head(&mut self) -> Result<Head, Broken> {
        loop {
            if !self.buffer.is_empty() {
                match parse_head(&self.buffer) {
                    Ok(Some((head, length))) => {
                        self.buffer.drain(..length);
                        return Ok(head);
                    }
                    Ok(None) if self.buffer.len() >= HEAD_MAX => {
                        return Err(self.broken(format!("the answer's head is longer than {HEAD_MAX} bytes")));
                    }
                    Ok(None) => {}
                    Err(why) => return Err(self.broken(why)),
                }
            }
            if !self.more().await? {
                let when = if self.begun { "within the answer's head" } else { "before the answer" };
                return Err(self.broken(format!("the connection ended {when}")));
            }
        }
    }

    async fn body(&mut self, head: Head) -> Result<Answer, Broken> {
        let body = match head.framing {
            Framing::None => Vec::new(),
            Framing::Length(length) => {
                self.need(length).await?;
                self.buffer.drain(..length).collect()
            }
            Framing::Chunked => self.chunks().await?,
            Framing::UntilClose => {
                while self.more().await? {
                    self.bounded()?;
                }
                std::mem::take(&mut self.buffer)
            }
        };
        // Bytes after the answer belong to nothing that was asked.
        let reusable = head.keep && head.framing != Framing::UntilClose && self.buffer.is_empty();
        let Head { status, blame, outcome_unknown, .. } = head;
        Ok(Answer { status, body, blame, outcome_unknown, reusable })
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((line, size))) => break (line, size as usize),
                    Ok(httparse::Status::Partial) if self.buffer.len() < HEAD_MAX => self.must_grow().await?,
                    _ => return Err(self.broken("a chunk's size cannot be read".to_owned())),
                }
            };
            self.buffer.drain(..line);
            if size == 0 {
                self.trailers().await?;
                return Ok(body);
            }
            if size > BODY_MAX - body.len() {
                return Err(self.broken(format!("the answer's body is longer than {BODY_MAX} bytes")));
            }
            self.need(size + 2).await?;
            body.extend_from_slice(&self.buffer[..size]);
            if &self.buffer[size..size + 2] != b"\r\n" {
                return Err(self.broken("a chunk does not end where it should".to_owned()));
            }
            self.buffer.drain(..size + 2);
        }
    }

    async fn trailers(&mut self) -> Result<(), Broken> {
        loop {
            match self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                Some(0) => {
                    self.buffer.drain(..2);
                    return Ok(());
                }
                Some(end) => {
                    self.buffer.drain(..end + 2);
                }
                None if self.buffer.len() >= HEAD_MAX => {
                    return Err(self.broken("the trailers are too long".to_owned()));
                }
                None => self.must_grow().await?,
            }
        }
    }

    async fn need(&mut self, length: usize) -> Result<(), Broken> {
        while self.buffer.len() < length {
            self.must_grow().await?;
        }
        Ok(())
    }

    async fn must_grow(&mut self) -> Result<(), Broken> {
        if self.more().await? {
            return self.bounded();
        }
        Err(self.broken("the connection ended within the answer's body".to_owned()))
    }

    fn bounded(&self) -> Result<(), Broken> {
        if self.buffer.len() > BODY_MAX + READ_BYTES {
            return Err(self.broken(format!("the answer's body is longer than {BODY_MAX} bytes")));
        }
        Ok(())
    }

    /// Reads once; `false` at the end of the stream.
    async fn more(&mut self) -> Result<bool, Broken> {
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Ok(false),
            Ok(_) => {
                self.begun = true;
                Ok(true)
            }
            Err(error) => Err(self.broken(format!("the connection broke: {error}"))),
        }
    }

    fn broken(&self, why: String) -> Broken {
        Broken { why, before_first_byte: !self.begun }
    }
}

/// Is it this process that cannot open a connection?
fn is_own(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let own = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| own.iter().any(|errno| errno.raw_os_error() == code))
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer is no HTTP/1.1: {error}")),
    };
    let status = response.code.unwrap_or(0);
    let mut keep = response.version == Some(1);
    let (mut length_said, mut chunked, mut blame, mut outcome_unknown) = (None, false, None, false);
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        let value = value.trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let said: usize = value.parse().map_err(|_| format!("`content-length: {value}` is no length"))?;
            if said > BODY_MAX || length_said.is_some_and(|before| before != said) {
                return Err(format!("`content-length: {value}` cannot be trusted"));
            }
            length_said = Some(said);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(format!("`transfer-encoding: {value}` was not asked for"));
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep &= !value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
        } else if header.name.eq_ignore_ascii_case(BLAME_HEADER) {
            blame = Some(value.to_owned());
        } else if header.name.eq_ignore_ascii_case(OUTCOME_HEADER) {
            outcome_unknown = value == "unknown";
        }
    }
    let framing = match (status, chunked, length_said) {
        (100..=199 | 204 | 304, _, _) => Framing::None,
        (_, true, Some(_)) => return Err("the answer has two lengths".to_owned()),
        (_, true, None) => Framing::Chunked,
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    Ok(Some((Head { status, framing, keep, blame, outcome_unknown }, length)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that sends `wire`, one piece at a time, and then closes.
    async fn asked(wire: &[&[u8]]) -> Result<Answer, Broken> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 64];
            let _ = stream.read(&mut request).await.unwrap();
            for piece in wire {
                let _ = stream.write_all(piece).await;
                tokio::task::yield_now().await;
            }
        };
        let ask = async {
            let mut conn = Conn::open(address, Duration::from_secs(1)).await.unwrap();
            conn.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            conn.answer().await
        };
        let ((), answer) = tokio::join!(serve, ask);
        answer
    }

    #[tokio::test]
    async fn an_answer_is_whole_however_it_is_cut_into_packets() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        for cut in 0..plain.len() {
            let answer = asked(&[&plain[..cut], &plain[cut..]]).await.unwrap();
            assert_eq!(
                (answer.status, &answer.body[..], answer.reusable),
                (200, &b"hello"[..], true),
                "{cut}"
            );
        }
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\na: b\r\n\r\n";
        for cut in 0..chunked.len() {
            let answer = asked(&[&chunked[..cut], &chunked[cut..]]).await.unwrap();
            assert_eq!((&answer.body[..], answer.reusable), (&b"hello"[..], true), "{cut}");
        }
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over_and_close_is_heeded() {
        let wire: &[&[u8]] = &[
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nX-Evenkeel-Error: unit=web-2; sent=1\r\ncontent-length: 0\r\n\r\n",
        ];
        let answer = asked(wire).await.unwrap();
        assert_eq!((answer.status, answer.reusable), (502, false));
        assert_eq!(answer.blame.as_deref(), Some("unit=web-2; sent=1"));
    }

    #[tokio::test]
    async fn the_client_knows_whether_a_byte_of_the_answer_had_come() {
        assert!(asked(&[]).await.unwrap_err().before_first_byte);
        let cut = asked(&[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"]).await.unwrap_err();
        assert!(!cut.before_first_byte);
        assert_eq!(cut.why, "the connection ended within the answer's body");
    }

    #[tokio::test]
    async fn a_hostile_server_gets_an_error_and_nothing_more() {
        let endless_head = [&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'y'; HEAD_MAX]].concat();
        let interim = b"HTTP/1.1 102 x\r\n\r\n".repeat(INTERIM_MAX + 1);
        let wires: &[&[u8]] = &[
            b"\0\0\0\0",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            &endless_head,
            &interim,
        ];
        for wire in wires {
            let text = String::from_utf8_lossy(&wire[..wire.len().min(70)]).into_owned();
            assert!(asked(&[wire]).await.is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn broken_answers_of_every_kind_end_the_request_and_not_the_drill() {
        let good = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let mut chance = world::Chance::from_seed(3);
        for _ in 0..400 {
            let mut wire = good.to_vec();
            for _ in 0..=chance.below(3) {
                let at = chance.below(wire.len() as u64) as usize;
                match chance.below(3) {
                    0 => wire[at] = chance.next_u64() as u8,
                    1 => wire.truncate(at.max(1)),
                    _ => wire.insert(at, b"0f\r\n: ;"[chance.below(7) as usize]),
                }
            }
            // Whatever comes back is fine; a hang or a panic is not.
            let _ = timeout(Duration::from_secs(5), asked(&[&wire])).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_that_nobody_takes_is_given_up_in_time() {
        // What a cut looks like from outside: with the queue of the listener full, the kernel drops what comes.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        let refused = loop {
            match Conn::open(address, Duration::from_millis(100)).await {
                Ok(conn) => held.push(conn),
                Err(error) => break error,
            }
            assert!(held.len() < 50, "the queue has no end");
        };
        assert!(
            matches!(&refused, ConnectError::Refused(why) if why.ends_with("within 100 ms")),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_pooled_connection_that_the_server_closed_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let conn = Conn::open(listener.local_addr().unwrap(), Duration::from_secs(1)).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        assert!(conn.is_idle());
        peer.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        assert!(!conn.is_idle());
        let conn = Conn::open(listener.local_addr().unwrap(), Duration::from_secs(1)).await.unwrap();
        drop(listener.accept().await.unwrap());
        assert!(!conn.is_idle());
    }
}
