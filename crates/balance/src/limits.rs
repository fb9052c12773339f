//! Every bound of the request path, with its unit.

/// Longest request head, from the first byte to the empty line. Larger: 431, or 414 when the first line alone is.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest request target. Larger: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Most header fields of a request or response. More: 431, or 502 for a response.
pub const HEADERS_MAX: usize = 100;
/// Longest response head. Larger: 502.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024;
/// A request body up to this size with a known length is read whole before it is sent, so that it can be sent again.
pub const REPLAY_BYTES_MAX: u64 = 64 * 1024;
/// Longest line with the size of a chunk, its extension included.
pub const CHUNK_LINE_BYTES_MAX: u32 = 256;
/// Longest trailer section.
pub const TRAILER_BYTES_MAX: u32 = 8 * 1024;
/// Empty lines before a request that are skipped (RFC 9112 2.2 asks for one at least).
pub const EMPTY_LINES_MAX: usize = 2;
/// Most attempts for one request, whatever the policy says.
pub const ATTEMPTS_MAX: u32 = 8;
/// What is read and thrown away after an early answer, so that the client gets to see it.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// How long that may take, in milliseconds.
pub const LINGER_MS: u64 = 2_000;
/// Longest wait for a proof of life before a request that must not be repeated. Milliseconds.
pub const PROOF_MS: u64 = 100;
/// A front whose clock jumps by so much stood still, and its zone may have been given up meanwhile: a zone's lease ends
/// 1.5 s after it was last renewed, which happens every half second. Milliseconds.
pub const STALL_MS: u64 = 1_000;
/// Requests then wait for so long before they are routed. News of what became of the zone took 60 to 120 ms, and no health
/// check lets a front in again in less. Milliseconds.
pub const SETTLE_MS: u64 = 300;
/// Size of a buffer of the request path.
pub const BUFFER_BYTES: usize = 32 * 1024;
/// Most free buffers one thread keeps.
pub const BUFFERS_FREE_MAX: usize = 128;
/// Longest `x-request-id` that is kept; a longer one is replaced.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bounds an operator or a test may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request head must be whole this long after its first byte, in milliseconds. Then: 408 and close.
    pub head_ms: u64,
    /// A connection without a request is closed after this long, in milliseconds.
    pub idle_ms: u64,
    /// A body, either way, must move within this long, in milliseconds.
    pub body_idle_ms: u64,
    /// A tunnel without a byte either way is closed after this long, in milliseconds.
    pub tunnel_idle_ms: u64,
    /// Most client connections of one front; more wait in the kernel's queue.
    pub connections: usize,
    /// Largest request body in bytes. Larger: 413.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_ms: 10_000,
            idle_ms: 60_000,
            body_idle_ms: 30_000,
            tunnel_idle_ms: 3_600_000,
            connections: 10_000,
            body_bytes: 1024 * 1024 * 1024,
        }
    }
}
