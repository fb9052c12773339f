//! Frames between client and server: a length of four bytes, most significant first, then JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::kv::{Reply, Request};
use crate::{Entry, Revision};

/// Longest frame in bytes. The largest request is a transaction of [`crate::TXN_BYTES_MAX`]; JSON makes up to six bytes of
/// one, and keys and names come on top.
pub(crate) const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024 + 512 * 1024;
/// A range is answered in frames of about this many bytes, so that its size is bounded by the store's alone.
const PART_BYTES: usize = 128 * 1024;
/// Read at a time; what a peer announces is not set aside before it arrives.
const READ_BYTES: usize = 16 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestFrame {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplyFrame {
    pub(crate) id: u64,
    /// Further entries of the same range follow.
    #[serde(default)]
    pub(crate) more: bool,
    pub(crate) reply: Reply,
}

/// Why a peer's bytes are not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a frame that cannot be read: {0}")]
    Garbled(#[from] serde_json::Error),
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    #[error("the peer closed the connection")]
    Closed,
}

/// A frame of `body`, length first.
pub(crate) fn frame(body: &impl Serialize) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, body)?;
    let length = bytes.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(WireError::TooLong(length));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// The frames of one reply: a long range becomes several, so only one part at a time is in memory as text.
pub(crate) fn parts(id: u64, reply: Reply) -> impl Iterator<Item = ReplyFrame> {
    let mut rest = Some(reply);
    std::iter::from_fn(move || match rest.take()? {
        Reply::Entries { mut entries, revision } => {
            let tail = entries.split_off(first_part(&entries));
            let more = !tail.is_empty();
            rest = more.then_some(Reply::Entries { entries: tail, revision });
            Some(ReplyFrame { id, more, reply: Reply::Entries { entries, revision } })
        }
        reply => Some(ReplyFrame { id, more: false, reply }),
    })
}

fn first_part(entries: &[Arc<Entry>]) -> usize {
    let mut bytes = 0;
    let full = entries.iter().position(|entry| {
        bytes += entry.key.len() + entry.value.len();
        bytes > PART_BYTES
    });
    full.map_or(entries.len(), |last| last + 1)
}

/// Puts the parts of a range together again.
pub(crate) fn join(so_far: &mut Vec<Arc<Entry>>, entries: Vec<Arc<Entry>>, revision: Revision) -> Reply {
    so_far.extend(entries);
    Reply::Entries { entries: std::mem::take(so_far), revision }
}

/// Cuts a stream into frames. Cancel-safe: what was read stays in its buffer.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R) -> FrameReader<R> {
        FrameReader { stream, buffer: Vec::new() }
    }

    /// The next frame.
    pub(crate) async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, WireError> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<4>() {
                let length = u32::from_be_bytes(*head) as usize;
                if length > FRAME_BYTES_MAX {
                    return Err(WireError::TooLong(length));
                }
                if let Some(body) = self.buffer.get(4..4 + length) {
                    let value = serde_json::from_slice(body)?;
                    self.buffer.drain(..4 + length);
                    // One long frame must not be held for the life of an idle connection.
                    self.buffer.shrink_to(READ_BYTES);
                    return Ok(value);
                }
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(WireError::Closed);
            }
        }
    }
}

/// Values in JSON: text when they are text, which nearly all are, else a list of bytes.
pub(crate) mod value {
    use std::fmt;

    use serde::de::{SeqAccess, Visitor};
    use serde::{Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => bytes.serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of bytes")
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
            Ok(text.as_bytes().to_vec())
        }

        fn visit_string<E>(self, text: String) -> Result<Vec<u8>, E> {
            Ok(text.into_bytes())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = items.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeaseId, Op, Txn};

    fn entry(key: &str, value: &[u8]) -> Arc<Entry> {
        Arc::new(Entry { key: key.to_owned(), value: value.to_vec(), created: 2, modified: 3, lease: None })
    }

    #[tokio::test]
    async fn any_bytes_go_over_the_wire_and_come_back() {
        let values: [&[u8]; 4] = [b"", b"{\"a\":1}", "\u{0}\u{1f}é".as_bytes(), &[0xff, 0, 0xfe]];
        for value in values {
            let put =
                Op::Put { key: "é\n".to_owned(), value: value.to_vec(), lease: Some(LeaseId(u64::MAX)) };
            let sent =
                RequestFrame { id: 7, request: Request::Txn(Txn { compare: vec![], then: vec![put] }) };
            let bytes = frame(&sent).unwrap();
            let mut reader = FrameReader::new(bytes.as_slice());
            let got: RequestFrame = reader.next().await.unwrap();
            assert_eq!((got.id, got.request), (sent.id, sent.request));
            assert!(matches!(reader.next::<RequestFrame>().await, Err(WireError::Closed)));
        }
    }

    #[tokio::test]
    async fn the_longest_transaction_fits_a_frame_whatever_its_bytes() {
        for byte in [0_u8, 0xff] {
            let keys = crate::KEY_BYTES_MAX;
            let each = crate::TXN_BYTES_MAX / crate::TXN_OPS_MAX - keys;
            let put = |n: usize| Op::Put {
                key: format!("{n:0>keys$}").replace('0', "\u{1}"),
                value: vec![byte; each],
                lease: None,
            };
            let then: Vec<Op> = (0..crate::TXN_OPS_MAX).map(put).collect();
            let compare = then.iter().map(|op| match op {
                Op::Put { key, .. } | Op::Delete { key } => {
                    crate::Compare::Modified { key: key.clone(), revision: u64::MAX }
                }
            });
            let txn = Txn { compare: compare.collect(), then };
            crate::kv::check_txn(&txn).unwrap();
            frame(&RequestFrame { id: u64::MAX, request: Request::Txn(txn) }).unwrap();
        }
    }

    #[tokio::test]
    async fn a_frame_that_announces_gigabytes_is_refused_before_they_come() {
        let bytes = [0xff, 0xff, 0xff, 0xff, b'{'];
        let refused = FrameReader::new(bytes.as_slice()).next::<RequestFrame>().await;
        assert!(matches!(refused, Err(WireError::TooLong(0xffff_ffff))));
    }

    #[tokio::test]
    async fn garbage_in_a_frame_is_an_error() {
        for body in [
            "",
            "{",
            "[]",
            "{\"id\":1}",
            "{\"id\":-1,\"request\":\"ping\"}",
            "{\"id\":1,\"request\":\"dance\"}",
        ] {
            let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
            bytes.extend_from_slice(body.as_bytes());
            let refused = FrameReader::new(bytes.as_slice()).next::<RequestFrame>().await;
            assert!(matches!(refused, Err(WireError::Garbled(_))), "{body}: {refused:?}");
        }
    }

    #[test]
    fn a_long_range_goes_in_parts_and_comes_back_whole() {
        let entries: Vec<_> = (0..40).map(|n| entry(&format!("k{n:02}"), &vec![b'x'; 20_000])).collect();
        let sent: Vec<ReplyFrame> =
            parts(1, Reply::Entries { entries: entries.clone(), revision: 9 }).collect();
        assert!(sent.len() > 5, "{}", sent.len());
        let more: Vec<bool> = sent.iter().map(|part| part.more).collect();
        assert!(more[..more.len() - 1].iter().all(|more| *more) && !more[more.len() - 1]);
        let mut so_far = Vec::new();
        let mut whole = None;
        for part in sent {
            let Reply::Entries { entries, revision } = part.reply else { panic!("not entries") };
            if part.more {
                so_far.extend(entries);
            } else {
                whole = Some(join(&mut so_far, entries, revision));
            }
        }
        assert_eq!(whole, Some(Reply::Entries { entries, revision: 9 }));
        assert_eq!(parts(1, Reply::Entries { entries: vec![], revision: 9 }).count(), 1);
    }
}
