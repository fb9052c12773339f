//! Lines of a socket, none longer than agreed: whoever is at the other end cannot fill this process's memory.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked for at once.
const CHUNK: usize = 16 * 1024;

/// Reads lines of at most `max` bytes.
pub struct Lines<R> {
    from: R,
    max: usize,
    held: Vec<u8>,
    /// So many bytes of `held` have no end of a line.
    looked: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(from: R, max: usize) -> Lines<R> {
        Lines { from, max, held: Vec::new(), looked: 0 }
    }

    /// The next line without its end; `None` when there is none any more: it ended, broke, or said more than `max`
    /// bytes. Cancel-safe: what was read is kept for the next call.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.held[self.looked..].iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(self.looked + at + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                self.looked = 0;
                line.pop();
                return (line.len() <= self.max).then_some(line);
            }
            self.looked = self.held.len();
            if self.looked > self.max {
                return None;
            }
            self.held.reserve(CHUNK);
            match self.from.read_buf(&mut self.held).await {
                Ok(count) if count > 0 => {}
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_one_that_never_ends_is_given_up() {
        let endless = vec![b'x'; 100_000];
        let text = [b"one\n\n".as_slice(), &[b'y'; 10], b"\n", &endless].concat();
        let mut lines = Lines::new(text.as_slice(), 10);
        assert_eq!(lines.next().await, Some(b"one".to_vec()));
        assert_eq!(lines.next().await, Some(Vec::new()));
        assert_eq!(lines.next().await, Some(vec![b'y'; 10]));
        assert_eq!(lines.next().await, None);
        assert!(lines.held.capacity() < 4 * CHUNK, "not all of it was kept");
        let mut lines = Lines::new(b"12345678901\n".as_slice(), 10);
        assert_eq!(lines.next().await, None, "one byte too many");
    }
}
