//! Every bound of the data front, with its unit.

/// Bytes read at once, and the most that wait in one direction of a session for a receiver that is slow. Waiting bytes
/// alone take memory: a session whose receivers keep up has no buffer of its own.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// Held connections of one database that try the primary at the same time: the others wait their turn. A primary that
/// comes back is then met by a queue and not by thousands of connections at once, which would overrun its backlog, and
/// one that stays away is asked at most 800 times a second.
pub(crate) const ATTEMPTS_MAX: usize = 16;
/// Clients beyond the limit of connections that are told so at the same time; beyond these a connection is reset.
pub(crate) const ANSWERS_MAX: usize = 256;
/// How long a client that cannot be served may take to say which protocol it speaks, in milliseconds.
pub(crate) const ANSWER_MS: u64 = 2_000;
/// How long a client may take to read the last words and close, in milliseconds. Closing at once while it still sends
/// would reset the connection, and a client may then not get to see what it was told.
pub(crate) const LINGER_MS: u64 = 2_000;
/// An idle session's primary is asked for a sign of life after this long, in seconds, and then as often again.
pub(crate) const KEEPALIVE_S: u64 = 10;
/// A primary whose machine has given no sign of life for this long while one was due is gone, in seconds
/// (`TCP_USER_TIMEOUT`, tcp(7)); without it sent bytes are repeated for a quarter of an hour.
///
/// Not shorter, because the kernel also ends a connection whose peer lives and has not read for this long with its
/// window full, as PostgreSQL does with pipelined statements behind one that waits for a lock. It is the second net:
/// with an agent the new term ends these sessions within milliseconds.
pub(crate) const USER_TIMEOUT_S: u64 = 60;

/// Bounds that an operator or a test may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most client connections of one front. More are answered with `53300` (too many connections).
    pub connections: usize,
    /// Most of them that may be held at one time. More are answered at once with `57P03` (cannot connect now).
    pub held: usize,
    /// How long a connection is held before it is answered with `57P03`, in milliseconds.
    pub hold_ms: u64,
    /// How long the primary may take to accept a connection, in milliseconds.
    pub connect_ms: u64,
    /// Wait before a primary that refused is tried again, in milliseconds; a new snapshot ends the wait.
    pub retry_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 10_000, held: 10_000, hold_ms: 10_000, connect_ms: 300, retry_ms: 20 }
    }
}
