//! Where a log ends, by its own records.
//!
//! What was received may end in half a record, and a file of the log is as long as its segment from the beginning; only
//! the records say how far it goes. They are read as `XLogReadRecord` does (`src/backend/access/transam/xlogreader.c`,
//! `src/include/access/xlogrecord.h` and `xlog_internal.h` of PostgreSQL 15): every page by its magic and address, every
//! record by its length, the place of the record before it, and its CRC-32C. Memory is one page, whatever a record's size.

use model::Lsn;

use super::decide_log::SEGMENT_BYTES as SEGMENT;

/// A page of the log; Debian's PostgreSQL and every other that was not built by hand.
pub(super) const PAGE: u64 = 8 * 1024;
/// `XLOG_PAGE_MAGIC` of PostgreSQL 15.
const MAGIC: u16 = 0xD110;
/// `XLP_FIRST_IS_CONTRECORD`, `XLP_LONG_HEADER`, `XLP_FIRST_IS_OVERWRITE_CONTRECORD`.
const CONTINUES: u16 = 1;
/// See [`CONTINUES`].
const LONG: u16 = 2;
/// See [`CONTINUES`].
const OVERWRITES: u16 = 8;
/// `SizeOfXLogRecord`.
const HEADER: usize = 24;
/// `xl_crc` covers the header up to here, behind all the rest.
const COVERED: usize = 20;

/// Reads one page; `None`: it is not there.
pub(super) type Read<'a, E> = dyn FnMut(Lsn) -> Result<Option<Vec<u8>>, E> + 'a;

/// Where the last whole record ends that can be reached from `start`, the beginning of a segment; `None`: there is none.
/// A record that began before `start` is passed over.
///
/// # Errors
/// What `read` says: a page that cannot be read is no end.
pub(super) fn end_of<E>(start: Lsn, read: &mut Read<'_, E>) -> Result<Option<Lsn>, E> {
    let mut log = Log { read, address: None, bytes: Vec::new() };
    let mut end = None;
    match log.all(start.0, &mut end) {
        Stop::Failed(error) => Err(error),
        Stop::End => Ok(end.map(Lsn)),
    }
}

/// Whether `page`, at `address`, begins with the rest of a record.
pub(super) fn goes_on(page: &[u8], address: Lsn) -> bool {
    let is = page.len() as u64 == PAGE && number::<2>(page, 0) == u64::from(MAGIC);
    is && number::<8>(page, 8) == address.0 && number::<2>(page, 2) as u16 & CONTINUES != 0
}

/// Why reading does not go on.
enum Stop<E> {
    /// What comes next is no record.
    End,
    Failed(E),
}

struct Head {
    bytes: u64,
    info: u16,
    /// What is left of the record that goes on here.
    rest: u64,
}

struct Log<'a, 'b, E> {
    read: &'a mut Read<'b, E>,
    address: Option<u64>,
    bytes: Vec<u8>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    // As the machine that wrote it has it; those that PostgreSQL 15 and we run on are little-endian.
    u64::from_le_bytes(wide)
}

impl<E> Log<'_, '_, E> {
    /// Reads records until something ends it; `end` is then behind the last.
    fn all(&mut self, start: u64, end: &mut Option<u64>) -> Stop<E> {
        let mut at = match self.first(start) {
            Ok(at) => at,
            Err(stop) => return stop,
        };
        let mut before = None;
        loop {
            match self.record(at, before) {
                Ok((begin, next)) => (before, at) = (Some(begin), next),
                Err(stop) => return stop,
            }
            *end = Some(at);
        }
    }

    fn load(&mut self, address: u64) -> Result<Head, Stop<E>> {
        if self.address != Some(address) {
            self.address = None;
            let page = (self.read)(Lsn(address)).map_err(Stop::Failed)?;
            self.bytes = page.filter(|page| page.len() as u64 == PAGE).ok_or(Stop::End)?;
            self.address = Some(address);
        }
        let (magic, info) = (number::<2>(&self.bytes, 0), number::<2>(&self.bytes, 2) as u16);
        if magic != u64::from(MAGIC) || number::<8>(&self.bytes, 8) != address {
            return Err(Stop::End);
        }
        let bytes = if info & LONG != 0 { 40 } else { 24 };
        Ok(Head { bytes, info, rest: number::<4>(&self.bytes, 16) })
    }

    /// The first place at which a record begins.
    fn first(&mut self, start: u64) -> Result<u64, Stop<E>> {
        let mut address = start;
        loop {
            let head = self.load(address)?;
            if head.info & CONTINUES == 0 {
                return Ok(address);
            }
            if head.rest <= PAGE - head.bytes {
                return Ok((address + head.bytes + head.rest).next_multiple_of(8));
            }
            address += PAGE;
        }
    }

    /// Reads the record at `at`, whose predecessor begins at `before`: where it begins, and where the next one may.
    fn record(&mut self, at: u64, before: Option<u64>) -> Result<(u64, u64), Stop<E>> {
        let mut at = at;
        let (begin, end, header) = 'again: loop {
            let head = self.load(at - at % PAGE)?;
            if at.is_multiple_of(PAGE) {
                if head.info & CONTINUES != 0 {
                    return Err(Stop::End);
                }
                at += head.bytes;
            }
            let begin = at;
            // Records begin at multiples of 8, so the length is always on one page.
            let total = number::<4>(&self.bytes, (at % PAGE) as usize);
            if total < HEADER as u64 {
                return Err(Stop::End);
            }
            let (mut header, mut sum, mut left) = (Vec::with_capacity(HEADER), Crc::new(), total);
            loop {
                let within = (at % PAGE) as usize;
                let here = left.min(PAGE - within as u64);
                let bytes = &self.bytes[within..within + here as usize];
                let (first, rest) = bytes.split_at((HEADER - header.len()).min(bytes.len()));
                header.extend_from_slice(first);
                sum.add(rest);
                (left, at) = (left - here, at + here);
                if left == 0 {
                    break;
                }
                let head = self.load(at)?;
                if head.info & OVERWRITES != 0 {
                    // Its writer was promoted behind half a record, and says here that nothing more of that comes.
                    continue 'again;
                }
                if head.info & CONTINUES == 0 || head.rest != left {
                    return Err(Stop::End);
                }
                at += head.bytes;
            }
            sum.add(&header[..COVERED]);
            if u64::from(sum.value()) != number::<4>(&header, COVERED) {
                return Err(Stop::End);
            }
            break (begin, at.next_multiple_of(8), header);
        };
        if before.is_some_and(|before| before != number::<8>(&header, 8)) {
            return Err(Stop::End);
        }
        // `XLOG_SWITCH` of the resource manager `XLOG`: the rest of the segment is empty.
        let switch = header[17] == 0 && header[16] & 0xF0 == 0x40;
        Ok((begin, if switch { end.next_multiple_of(SEGMENT) } else { end }))
    }
}

/// CRC-32C (Castagnoli), reflected, as `pg_crc32c.h` has it.
struct Crc(u32);

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0x82F6_3B78 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

impl Crc {
    fn new() -> Crc {
        Crc(u32::MAX)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 >> 8 ^ CRC_TABLE[usize::from(self.0 as u8 ^ byte)];
        }
    }

    fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
#[path = "wal_tests.rs"]
mod tests;
