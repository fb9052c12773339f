//! The last words to a client that cannot be served: a PostgreSQL error it understands, whatever it began with.
//!
//! PostgreSQL 15, documentation 55.2.1 and 55.2.10: a client begins with a startup message, or asks first for TLS
//! (`SSLRequest`) or GSSAPI encryption (`GSSENCRequest`). To such a request a server may answer with one byte, `N` for
//! "go on without", or with an error at once. The error is the worse answer here: a client must not show it to anybody,
//! since nothing has proven who sent it (CVE-2024-10977), so that the code `57P03` would be lost, by which libpq and
//! drivers know that the next host is worth a try. After `N` a client that only prefers encryption sends its startup
//! message, and any error is legal as the answer to that. It holds the names of user and database, never a password,
//! which a client sends only when asked. A client that insists on encryption closes at `N`, with a message of its own
//! about that: it cannot be told more by whoever does not hold the server's certificate.
//!
//! Cancel requests are never answered (55.2.8). TLS without a request before it cannot be answered in the clear.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::limits::{ANSWER_MS, LINGER_MS};

/// Longest first message, as in PostgreSQL (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_BYTES_MAX: u32 = 10_000;
/// Length and code, in bytes: no first message is shorter.
const STARTUP_BYTES_MIN: u32 = 8;
/// A client asks once for TLS and once for GSSAPI, in any order, and then starts.
const STARTUPS_MAX: usize = 3;
/// Codes in place of a protocol version (55.7, `CancelRequest`, `SSLRequest`, `GSSENCRequest`).
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// Why a client is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// SQLSTATE.
    pub code: &'static str,
    pub message: String,
    pub hint: &'static str,
}

impl Refusal {
    /// The primary did not come within the time.
    pub fn no_primary(database: &str, held_ms: u64) -> Refusal {
        Refusal {
            code: "57P03",
            message: format!(
                "database \"{database}\" has no primary that answers; this connection was held for {held_ms} ms"
            ),
            hint: "Nothing was sent to a server: connect again in a moment. `evenkeel status` shows what the database waits for.",
        }
    }

    /// Too many wait for the primary already.
    pub fn too_many_held(database: &str, held: usize) -> Refusal {
        Refusal {
            code: "57P03",
            message: format!(
                "database \"{database}\" has no primary that answers, and {held} connections wait for one already"
            ),
            hint: "Nothing was sent to a server: connect again in a moment. `evenkeel status` shows what the database waits for.",
        }
    }

    /// The front is full.
    pub fn too_many_connections(database: &str, limit: usize) -> Refusal {
        Refusal {
            code: "53300",
            message: format!(
                "too many connections: the front before database \"{database}\" holds {limit} already"
            ),
            hint: "Close connections that are idle, use smaller pools, or connect to the front of another zone.",
        }
    }

    /// The message `ErrorResponse` (55.7), severity `FATAL`: the connection is over.
    fn message(&self) -> Vec<u8> {
        let fields = [
            (b'S', "FATAL"),
            (b'V', "FATAL"),
            (b'C', self.code),
            (b'M', self.message.as_str()),
            (b'H', self.hint),
        ];
        let mut body = Vec::with_capacity(256);
        for (kind, text) in fields {
            body.push(kind);
            // A zero byte would end the field early.
            body.extend(text.bytes().filter(|byte| *byte != 0));
            body.push(0);
        }
        body.push(0);
        // The length counts itself and not the letter before it.
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        [b"E".as_slice(), &length.to_be_bytes(), &body].concat()
    }
}

/// What a client began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    /// Asked for encryption; starts afterwards.
    Encryption,
    /// Starts a session.
    Session,
    /// Wants something cancelled, or speaks something else: gets no answer.
    Other,
}

fn began(code: u32) -> Began {
    match code {
        SSL | GSSENC => Began::Encryption,
        CANCEL => Began::Other,
        // Major version 3 of the protocol, any minor one.
        code if code >> 16 == 3 => Began::Session,
        _ => Began::Other,
    }
}

/// Tells the client why it is not served, as soon as it may be told, and closes. Takes at most [`ANSWER_MS`] and
/// [`LINGER_MS`] together.
pub(crate) async fn refuse(mut client: TcpStream, refusal: &Refusal) {
    let limit = Duration::from_millis(ANSWER_MS);
    if let Ok(Some(())) = tokio::time::timeout(limit, tell(&mut client, refusal)).await {
        linger(client).await;
    }
}

async fn tell(client: &mut TcpStream, refusal: &Refusal) -> Option<()> {
    for _ in 0..STARTUPS_MAX {
        let length = client.read_u32().await.ok()?;
        if !(STARTUP_BYTES_MIN..=STARTUP_BYTES_MAX).contains(&length) {
            return None;
        }
        let code = client.read_u32().await.ok()?;
        let mut rest = (&mut *client).take(u64::from(length - STARTUP_BYTES_MIN));
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.ok()?;
        match began(code) {
            Began::Encryption => client.write_all(b"N").await.ok()?,
            Began::Session => return client.write_all(&refusal.message()).await.ok(),
            Began::Other => return None,
        }
    }
    None
}

/// Ends our side and lets the client read what it was sent, until it closes or [`LINGER_MS`] are over.
pub(crate) async fn linger(mut client: TcpStream) {
    if client.shutdown().await.is_err() {
        return;
    }
    let limit = Duration::from_millis(LINGER_MS);
    let mut nowhere = tokio::io::sink();
    let read = tokio::io::copy(&mut client, &mut nowhere);
    let _ = tokio::time::timeout(limit, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_error_ends_with_a_zero_and_the_length_counts_itself() {
        let refusal = Refusal { code: "57P03", message: "no\0 primary".to_owned(), hint: "wait" };
        let expected = b"E\0\0\0\x2cSFATAL\0VFATAL\0C57P03\0Mno primary\0Hwait\0\0";
        let message = refusal.message();
        assert_eq!(message, expected.as_slice());
        assert_eq!(message.len(), 1 + 0x2c);
    }

    #[test]
    fn only_a_session_that_begins_is_answered_with_an_error() {
        for (code, expected) in [
            (196_608, Began::Session),
            (196_610, Began::Session),
            (SSL, Began::Encryption),
            (GSSENC, Began::Encryption),
            (CANCEL, Began::Other),
            (131_072, Began::Other),
            (0, Began::Other),
            (u32::from_be_bytes(*b"GET "), Began::Other),
        ] {
            assert_eq!(began(code), expected, "{code}");
        }
    }
}
