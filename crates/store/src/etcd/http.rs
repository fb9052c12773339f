//! HTTP/1.1 to one member. The gateway answers one request a connection at a time, so a few connections are kept open
//! and reused; a watch has one for itself.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use world::Spawner;

use super::options::Endpoint;
use super::tls::EtcdTls;

/// Connections kept open while nobody uses them.
const IDLE_MAX: usize = 4;
/// Longest answer, and longest line of a watch, in bytes. The gateway of etcd 3.4 takes 4 MiB, of which base64 and
/// field names make at most twice that.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A silent connection is asked for a sign of life by the kernel after this long and then this often, in seconds; a
/// watch whose connection alone was cut is found out so.
const KEEP_ALIVE_S: u64 = 1;
/// Signs of life that may be missed.
const KEEP_ALIVE_MISSES: u32 = 3;

pub(super) type Sender = SendRequest<Whole>;

/// A body that is all there.
pub(super) struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) path: &'static str,
    pub(super) body: Bytes,
    /// etcd's token of a login; never logged.
    pub(super) token: Option<HeaderValue>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum HttpError {
    /// Not a byte of it was sent.
    NotSent(String),
    /// It may have arrived.
    Sent(String),
    TooLong,
}

/// The open connections to one member.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Sender>>,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Sender>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a silence: what was sent on these might lie in a cut for minutes.
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut *self.idle());
        drop(gone);
    }

    /// Sends `post` and reads the whole answer. `sent` is true from before its first byte is on its way, also for a
    /// caller who stops waiting.
    pub(super) async fn post(
        &self,
        way: &Way,
        post: &Post,
        sent: &AtomicBool,
    ) -> Result<(u16, Vec<u8>), HttpError> {
        loop {
            let kept = self.idle().pop();
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => dial(way).await.map_err(HttpError::NotSent)?,
            };
            if let Err(error) = sender.ready().await {
                // A kept connection that the member has closed meanwhile says nothing about the member.
                match reused {
                    true => continue,
                    false => return Err(HttpError::NotSent(error.to_string())),
                }
            }
            sent.store(true, Ordering::Release);
            let response = match sender.try_send_request(request(&way.endpoint, post)?).await {
                Ok(response) => response,
                Err(error) if error.message().is_some() => {
                    sent.store(false, Ordering::Release);
                    match reused {
                        true => continue,
                        false => return Err(HttpError::NotSent(error.error().to_string())),
                    }
                }
                Err(error) => return Err(HttpError::Sent(error.error().to_string())),
            };
            let status = response.status().as_u16();
            let body = whole(response.into_body()).await?;
            let mut idle = self.idle();
            if !sender.is_closed() && idle.len() < IDLE_MAX {
                idle.push(sender);
            }
            return Ok((status, body));
        }
    }
}

/// How a member is reached.
pub(super) struct Way {
    pub(super) endpoint: Endpoint,
    /// `None`: in the clear.
    pub(super) tls: Option<EtcdTls>,
    /// Of what drives connections.
    pub(super) spawner: Spawner,
}

/// Opens a connection; its traffic is driven by a task that ends with it.
pub(super) async fn dial(way: &Way) -> Result<Sender, String> {
    let no = |error: std::io::Error| error.to_string();
    let Way { endpoint, tls, spawner } = way;
    let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(no)?;
    stream.set_nodelay(true).map_err(no)?;
    let idle = Duration::from_secs(KEEP_ALIVE_S);
    sockopt::set_socket_keepalive(&stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(&stream, idle))
        .and_then(|()| sockopt::set_tcp_keepintvl(&stream, idle))
        .and_then(|()| sockopt::set_tcp_keepcnt(&stream, KEEP_ALIVE_MISSES))
        .map_err(|error| error.to_string())?;
    match tls {
        Some(tls) => speak(tls.secure(endpoint.host(), stream).await?, spawner).await,
        None => speak(stream, spawner).await,
    }
}

async fn speak<S>(stream: S, spawner: &Spawner) -> Result<Sender, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|error| error.to_string())?;
    let stop = spawner.stop();
    spawner.spawn("store/etcd connection", async move {
        tokio::select! {
            biased;
            () = stop.requested() => {}
            // Its error is also the request's.
            _ = connection => {}
        }
    });
    Ok(sender)
}

/// Sends `post` and leaves the answer to be read: a stream.
pub(super) async fn open(
    endpoint: &Endpoint,
    sender: &mut Sender,
    post: &Post,
) -> Result<Response<Incoming>, HttpError> {
    let response = sender.send_request(request(endpoint, post)?).await;
    response.map_err(|error| HttpError::Sent(error.to_string()))
}

fn request(endpoint: &Endpoint, post: &Post) -> Result<Request<Whole>, HttpError> {
    let mut request = Request::post(post.path)
        .header(HOST, endpoint.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Whole(Some(post.body.clone())))
        .map_err(|error| HttpError::NotSent(error.to_string()))?;
    if let Some(token) = &post.token {
        request.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    Ok(request)
}

/// Reads a body to its end, and not beyond its bound.
pub(super) async fn whole(mut body: Incoming) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(piece) = piece(&mut body).await.map_err(HttpError::Sent)? {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(HttpError::TooLong);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The next bytes of a body; `None`: its end. Cancel-safe.
pub(super) async fn piece(body: &mut Incoming) -> Result<Option<Bytes>, String> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(error.to_string()),
            // Anything but data is a trailer, which says nothing.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                _ => {}
            },
        }
    }
}

/// Cuts what arrives into lines, none longer than [`ANSWER_BYTES_MAX`].
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// No end of line before this.
    looked: usize,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole line that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            let unseen = self.bytes.get(self.looked..).unwrap_or_default();
            let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.looked = self.bytes.len();
                return if self.looked > ANSWER_BYTES_MAX { Err(HttpError::TooLong) } else { Ok(None) };
            };
            let rest = self.bytes.split_off(self.looked + end + 1);
            let mut line = std::mem::replace(&mut self.bytes, rest);
            self.looked = 0;
            line.pop();
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"{\"a\"");
        assert_eq!(lines.next(), Ok(None));
        lines.push(b":1}\n\n{}\n{");
        assert_eq!(lines.next(), Ok(Some(b"{\"a\":1}".to_vec())));
        assert_eq!(lines.next(), Ok(Some(b"{}".to_vec())));
        assert_eq!(lines.next(), Ok(None));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; ANSWER_BYTES_MAX + 1]);
        assert_eq!(lines.next(), Err(HttpError::TooLong));
    }
}
