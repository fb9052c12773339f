//! Where a body ends. Bodies go through as they are; this only follows along, strictly.

use super::parse::is_token;
use crate::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

/// How a body ends, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none, or it is over.
    Empty,
    /// So many bytes are left; never 0.
    Length(u64),
    /// In chunks (RFC 9112 7.1).
    Chunked(Chunks),
    /// With the connection; responses only.
    UntilClose,
}

/// A stretch of input that belongs to the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes that belong to the message, its framing included.
    pub used: usize,
    /// How many of these, at the end, are content.
    pub content: usize,
}

/// A chunked body breaks the grammar, or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl Body {
    /// A body of this length.
    #[must_use]
    pub fn with_length(length: u64) -> Body {
        if length == 0 { Body::Empty } else { Body::Length(length) }
    }

    /// A chunked body from its start.
    #[must_use]
    pub fn chunked() -> Body {
        Body::Chunked(Chunks { state: State::SizeFirst, left: 0, line: 0, name: Name::default() })
    }

    /// Whether it is over. A body that ends with the connection never says so.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.state == State::Done,
            Body::UntilClose => false,
        }
    }

    /// Follows `input` to the end of the next stretch of content, or as far as it goes. Nothing used means that
    /// the body is over or `input` is empty.
    ///
    /// # Errors
    /// [`BadChunk`]; what was used before is lost, the connection must be closed.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BadChunk> {
        match self {
            Body::Empty => Ok(Step::default()),
            Body::Length(left) => {
                let used = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                Ok(Step { used, content: used })
            }
            Body::Chunked(chunks) => chunks.step(input),
            Body::UntilClose => Ok(Step { used: input.len(), content: input.len() }),
        }
    }

    /// How many bytes at the start of `input` belong to the message; follows them all.
    ///
    /// # Errors
    /// See [`Body::step`].
    pub fn take(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        let mut used = 0;
        loop {
            let step = self.step(&input[used..])?;
            used += step.used;
            if step.used == 0 || used == input.len() {
                return Ok(used);
            }
        }
    }
}

/// The position inside a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    /// Content left in this chunk; while its size is read, the size so far.
    left: u64,
    /// Bytes of this size line, or of all trailers.
    line: u32,
    name: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SizeFirst,
    Size,
    Extension,
    SizeLf,
    Content,
    ContentCr,
    ContentLf,
    TrailerFirst,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

/// The name of a trailer field, as far as it must be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Name {
    bytes: [u8; 20],
    length: usize,
}

/// Fields that must not come after the body: they would have changed how it was read (RFC 9110 6.5.1).
const NOT_IN_TRAILERS: &[&str] = &[
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "upgrade",
    "te",
    "expect",
    "trailer",
    "keep-alive",
    "content-encoding",
    "content-type",
    "authorization",
    "cookie",
    "set-cookie",
    "x-forwarded-for",
];

/// Chunks of this size or more are refused: 60 bits cannot overflow anybody's 64.
const SIZE_MAX: u64 = 1 << 60;

impl Chunks {
    fn step(&mut self, input: &[u8]) -> Result<Step, BadChunk> {
        let mut used = 0;
        while used < input.len() {
            match self.state {
                State::Done => break,
                State::Content => {
                    let rest = input.len() - used;
                    let content = rest.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= content as u64;
                    if self.left == 0 {
                        self.state = State::ContentCr;
                    }
                    return Ok(Step { used: used + content, content });
                }
                _ => self.framing(input[used])?,
            }
            used += 1;
        }
        Ok(Step { used, content: 0 })
    }

    fn framing(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.count()?;
        self.state = match (self.state, byte) {
            (State::SizeFirst | State::Size, digit) if digit.is_ascii_hexdigit() => {
                let value = (digit as char).to_digit(16).ok_or(BadChunk)?;
                if self.left >= SIZE_MAX / 16 {
                    return Err(BadChunk);
                }
                self.left = self.left * 16 + u64::from(value);
                State::Size
            }
            (State::Size, b';') => State::Extension,
            (State::Size | State::Extension, b'\r') => State::SizeLf,
            (State::Extension, byte) if byte == b'\t' || (0x20..0x7f).contains(&byte) => State::Extension,
            (State::SizeLf, b'\n') => {
                self.line = 0;
                if self.left == 0 { State::TrailerFirst } else { State::Content }
            }
            (State::ContentCr, b'\r') => State::ContentLf,
            (State::ContentLf, b'\n') => {
                self.line = 0;
                State::SizeFirst
            }
            (State::TrailerFirst, b'\r') => State::LastLf,
            (State::TrailerFirst | State::TrailerName, byte) if is_token(byte) => {
                self.name.push(byte);
                State::TrailerName
            }
            (State::TrailerName, b':') => {
                self.name.check()?;
                State::TrailerValue
            }
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, byte) if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) => {
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::TrailerFirst,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    fn count(&mut self) -> Result<(), BadChunk> {
        let max = match self.state {
            State::SizeFirst | State::Size | State::Extension | State::SizeLf => CHUNK_LINE_BYTES_MAX,
            _ => TRAILER_BYTES_MAX,
        };
        self.line += 1;
        if self.line > max { Err(BadChunk) } else { Ok(()) }
    }
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    fn check(&mut self) -> Result<(), BadChunk> {
        let length = std::mem::take(&mut self.length);
        let Some(name) = self.bytes.get(..length) else { return Ok(()) };
        let forbidden = NOT_IN_TRAILERS.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
        if forbidden { Err(BadChunk) } else { Ok(()) }
    }
}
