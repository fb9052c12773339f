//! Asks a unit whether it is well, as its health check says.

use std::net::SocketAddr;
use std::time::Duration;

use model::{Healthcheck, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most bytes of an answer that are read: its first line is all that counts.
const ANSWER_MAX: usize = 512;

/// Asks once; an error says, for people, why it is not well. Ends within the health check's timeout.
///
/// # Errors
/// No answer in time, no connection, or an answer that is not well.
pub async fn ask(address: Option<SocketAddr>, health: &Healthcheck) -> Result<(), String> {
    let Some(address) = address else { return Ok(()) };
    let timeout = Duration::from_millis(health.timeout.0.max(1));
    let asked = async {
        match &health.probe {
            Probe::Running => Ok(()),
            Probe::Tcp => connect(address).await.map(drop),
            Probe::Http(path) => http(address, path).await,
        }
    };
    match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("probe: no answer within {}", health.timeout)),
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| format!("probe: {error}"))?;
    // Connecting to a port of one's own machine that nobody listens on can meet itself: the kernel then connects the
    // socket to its own end.
    if stream.local_addr().ok() == Some(address) {
        return Err("probe: connection refused".to_owned());
    }
    Ok(stream)
}

async fn http(address: SocketAddr, path: &str) -> Result<(), String> {
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(format!("probe: `{}` is not a path", path.escape_debug()));
    }
    let mut stream = connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: evenkeel-probe\r\nConnection: close\r\n\r\n"
    );
    let broken = |error: std::io::Error| format!("probe: {error}");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::with_capacity(ANSWER_MAX);
    while answer.len() < ANSWER_MAX && !answer.contains(&b'\n') {
        let mut chunk = [0; ANSWER_MAX];
        let room = ANSWER_MAX - answer.len();
        match stream.read(&mut chunk[..room]).await.map_err(broken)? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    match status(&answer) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("probe: `{path}` answered {status}")),
        None => Err(format!("probe: `{path}` gave no HTTP answer")),
    }
}

/// The status of an answer's first line (RFC 9112, section 4); `None` when the line is not whole or not one.
fn status(answer: &[u8]) -> Option<u16> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&answer[..end]).ok()?.trim_end_matches('\r');
    let rest = line.strip_prefix("HTTP/1.")?;
    let (minor, rest) = rest.split_once(' ')?;
    let code = rest.split(' ').next()?;
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    (digits(minor, 1) && digits(code, 3)).then(|| code.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_status_line_is_an_answer() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nrest"), Some(200));
        assert_eq!(status(b"HTTP/1.0 399\n"), Some(399));
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK",
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 20\r\n",
            b"HTTP/1.1 +20 x\r\n",
            b"HTTP/1.1\r\n",
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 2000\r\n",
            b"\xff\xfe\n",
            b"\n",
        ] {
            assert_eq!(status(bad), None, "{}", bad.escape_ascii());
        }
    }

    async fn play(answer: &'static [u8], path: &str) -> Result<(), String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Healthcheck {
            probe: Probe::Http(path.to_owned()),
            interval: model::Duration(100),
            timeout: model::Duration(150),
            retries: 1,
            start_timeout: model::Duration(1_000),
        };
        let server = async {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let _ = stream.write_all(answer).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        };
        tokio::select! {
            biased;
            answer = ask(Some(address), &health) => answer,
            () = async { server.await; std::future::pending().await } => Ok(()),
        }
    }

    #[tokio::test]
    async fn a_unit_is_well_when_it_says_so_in_time() {
        assert_eq!(play(b"HTTP/1.1 204 No Content\r\n\r\n", "/healthz").await, Ok(()));
        let refused = play(b"HTTP/1.1 503 Busy\r\n\r\n", "/healthz").await;
        assert_eq!(refused, Err("probe: `/healthz` answered 503".to_owned()));
        let silent = play(b"", "/healthz").await;
        assert_eq!(silent, Err("probe: no answer within 150ms".to_owned()));
        let smuggled = play(b"HTTP/1.1 200 OK\r\n\r\n", "/a\r\nX: y").await;
        assert_eq!(smuggled, Err("probe: `/a\\r\\nX: y` is not a path".to_owned()));
        let endless = play(&[b'x'; 4096], "/").await;
        assert_eq!(endless, Err("probe: `/` gave no HTTP answer".to_owned()));
    }
}
