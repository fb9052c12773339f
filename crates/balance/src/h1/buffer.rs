//! Buffers of one thread: a connection holds one only while bytes wait in it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::{BUFFER_BYTES, BUFFERS_FREE_MAX};

/// The free buffers of one thread. The one used last is given out first: it is still in the cache.
#[derive(Debug, Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    /// Empty vectors for heads that are being written.
    heads: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        // One that grew for a large body goes back to the system.
        if buffer.len() == BUFFER_BYTES && free.len() < BUFFERS_FREE_MAX {
            free.push(buffer);
        }
    }

    /// An empty vector with some room.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    /// Takes such a vector back.
    pub fn give_head(&self, mut head: Vec<u8>) {
        let mut heads = self.heads.borrow_mut();
        if head.capacity() <= BUFFER_BYTES && heads.len() < BUFFERS_FREE_MAX {
            head.clear();
            heads.push(head);
        }
    }
}

/// Bytes read and not used yet.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What waits.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// The first `count` bytes are used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Makes room for `total` waiting bytes.
    pub fn grow_to(&mut self, total: usize, buffers: &Buffers) {
        if self.bytes.is_empty() {
            self.bytes = buffers.take();
        }
        if self.bytes.len() < total {
            self.compact();
            self.bytes.resize(total, 0);
        }
    }

    /// Gives the memory back when nothing waits in it.
    pub fn rest(&mut self, buffers: &Buffers) {
        if self.is_empty() && !self.bytes.is_empty() {
            buffers.give(std::mem::take(&mut self.bytes));
        }
    }

    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Reads more; 0 is the end of the stream. A full buffer is an error, never an endless wait.
    ///
    /// # Errors
    /// Those of the stream, and `OutOfMemory` for a full buffer.
    pub fn poll_fill(
        &mut self,
        stream: &mut TcpStream,
        buffers: &Buffers,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            self.bytes = buffers.take();
        }
        if self.end == self.bytes.len() && self.start > 0 {
            self.compact();
        }
        if self.end == self.bytes.len() {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        let read = Pin::new(stream).poll_read(context, &mut room);
        let count = room.filled().len();
        if read.is_pending() {
            self.rest(buffers);
        }
        ready!(read)?;
        self.end += count;
        Poll::Ready(Ok(count))
    }
}
