//! What one console may cost its agent.

/// Open connections; more wait in the kernel's queue. A browser opens up to 6.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Pages that are being kept up to date; more get `503` and ask again every few seconds.
pub(crate) const WATCHERS_MAX: usize = 64;
/// A client sends its request head within this, in milliseconds, or is cut off.
pub(crate) const HEADER_MS: u64 = 10_000;
/// Bytes of a request head and of what is read ahead.
pub(crate) const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Time between two signs of life to a page, in milliseconds. The page calls the connection lost after three.
pub(crate) const BEAT_MS: u64 = 2_000;
/// Two pictures are sent to a page at least this far apart, in milliseconds: faster than an eye follows.
pub(crate) const PICTURE_GAP_MS: u64 = 200;
/// After a stop, open answers get this long to finish, in milliseconds.
pub(crate) const CLOSE_MS: u64 = 500;
/// Pause after an accept failed, in milliseconds.
pub(crate) const ACCEPT_PAUSE_MS: u64 = 100;
