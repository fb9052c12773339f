//! One probe of one endpoint, on a connection of its own.

use std::io::ErrorKind;
use std::time::Duration;

use model::Probe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::decide_health::Outcome;
use crate::{Endpoint, Origin};

/// Asks once. Any byte of an answer is a sign of life at once, before the probe ends.
pub(crate) async fn ask(endpoint: &Endpoint, probe: &Probe, timeout: Duration, origin: Origin) -> Outcome {
    match tokio::time::timeout(timeout, talk(endpoint, probe, origin)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Outcome::Silent,
    }
}

async fn talk(endpoint: &Endpoint, probe: &Probe, origin: Origin) -> Outcome {
    let mut stream = match TcpStream::connect(endpoint.address()).await {
        Ok(stream) => stream,
        Err(error) => return connect_failed(error.kind()),
    };
    let Probe::Http(path) = probe else { return Outcome::Well };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: evenkeel-probe\r\nConnection: close\r\n\r\n",
        endpoint.address()
    );
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Outcome::Unwell;
    }
    let mut answer = [0_u8; 2048];
    let mut length = 0;
    while length < STATUS_END {
        match stream.read(&mut answer[length..]).await {
            Ok(0) | Err(_) => return Outcome::Unwell,
            Ok(count) => length += count,
        }
        endpoint.lives(origin.now());
    }
    if is_good(&answer[..STATUS_END]) { Outcome::Well } else { Outcome::Unwell }
}

fn connect_failed(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Outcome::Refused,
        ErrorKind::TimedOut => Outcome::Silent,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Outcome::Unreachable
        }
        _ => Outcome::NotAsked,
    }
}

/// Length of `HTTP/1.1 200`.
const STATUS_END: usize = 12;

/// Any status from 200 to 399.
fn is_good(start: &[u8]) -> bool {
    let known = start.starts_with(b"HTTP/1.1 ") || start.starts_with(b"HTTP/1.0 ");
    known && matches!(start[9], b'2' | b'3') && start[10..12].iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_to_399_is_well() {
        for good in ["HTTP/1.1 200", "HTTP/1.0 204", "HTTP/1.1 399"] {
            assert!(is_good(good.as_bytes()), "{good}");
        }
        for bad in
            ["HTTP/1.1 500", "HTTP/1.1 404", "HTTP/1.1 100", "HTTP/2.0 200", "HTTP/1.1 2x0", "SSH-2.0-Open"]
        {
            assert!(!is_good(bad.as_bytes()), "{bad}");
        }
    }
}
