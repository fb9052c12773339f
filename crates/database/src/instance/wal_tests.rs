use std::convert::Infallible;

use model::Lsn;

use super::{CONTINUES, Crc, HEADER, LONG, MAGIC, OVERWRITES, PAGE, SEGMENT, end_of};

/// Writes a log as PostgreSQL lays it out, from the beginning of a segment.
struct Writer {
    start: u64,
    bytes: Vec<u8>,
    before: u64,
    /// Where each record ends.
    ends: Vec<u64>,
}

impl Writer {
    fn new(start: u64) -> Writer {
        Writer { start, bytes: Vec::new(), before: 0, ends: Vec::new() }
    }

    fn page(&mut self, info: u16, rest: usize) {
        let address = self.start + self.bytes.len() as u64;
        let long = address.is_multiple_of(SEGMENT);
        let info = if long { info | LONG } else { info };
        self.bytes.extend(MAGIC.to_le_bytes());
        self.bytes.extend(info.to_le_bytes());
        self.bytes.extend(1_u32.to_le_bytes());
        self.bytes.extend(address.to_le_bytes());
        self.bytes.extend((rest as u32).to_le_bytes());
        self.bytes.resize(self.bytes.len() + if long { 20 } else { 4 }, 0);
    }

    fn is_at_a_page(&self) -> bool {
        (self.bytes.len() as u64).is_multiple_of(PAGE)
    }

    /// A record with so many bytes behind its header.
    fn record(&mut self, data: usize) {
        if self.is_at_a_page() {
            self.page(0, 0);
        }
        let begin = self.start + self.bytes.len() as u64;
        let mut record = Vec::new();
        record.extend(((HEADER + data) as u32).to_le_bytes());
        record.extend(7_u32.to_le_bytes());
        record.extend(self.before.to_le_bytes());
        record.extend([0x10, 9, 0, 0]);
        let rest: Vec<u8> = (0..data).map(|n| (n % 251) as u8 + 1).collect();
        let mut sum = Crc::new();
        sum.add(&rest);
        sum.add(&record);
        record.extend(sum.value().to_le_bytes());
        record.extend(rest);
        self.before = begin;
        let mut left = &record[..];
        while !left.is_empty() {
            if self.is_at_a_page() {
                self.page(CONTINUES, left.len());
            }
            let room = PAGE as usize - self.bytes.len() % PAGE as usize;
            let (here, rest) = left.split_at(room.min(left.len()));
            self.bytes.extend(here);
            left = rest;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.ends.push(self.start + self.bytes.len() as u64);
    }
}

fn end(start: u64, bytes: &[u8]) -> Option<Lsn> {
    let mut read = |at: Lsn| -> Result<Option<Vec<u8>>, Infallible> {
        let from = (at.0 - start) as usize;
        let page = bytes.get(from..).map(|rest| &rest[..rest.len().min(PAGE as usize)]);
        // A segment is as long as it will be; what was not written is zero.
        Ok(page.filter(|page| !page.is_empty()).map(|page| {
            let mut page = page.to_vec();
            page.resize(PAGE as usize, 0);
            page
        }))
    };
    end_of(Lsn(start), &mut read).unwrap()
}

#[test]
fn castagnoli_has_its_check_value() {
    let mut sum = Crc::new();
    sum.add(b"123456789");
    assert_eq!(sum.value(), 0xE306_9283);
}

/// The last byte of an acknowledged commit decides: with it the record counts, without it not.
#[test]
fn a_log_ends_with_its_last_whole_record_wherever_it_was_cut() {
    let mut log = Writer::new(3 * SEGMENT);
    for data in [0, 1, 100, 8_000, 30, 20_000, 7, 8_100, 500] {
        log.record(data);
    }
    assert_eq!(end(log.start, &log.bytes), log.ends.last().copied().map(Lsn));
    let around = log.ends.iter().flat_map(|end| {
        let end = (end - log.start) as usize;
        end - 9..log.bytes.len().min(end + 10)
    });
    for cut in (0..log.bytes.len()).step_by(97).chain(around) {
        let mut torn = log.bytes.clone();
        // Padding is not part of a record; zeros stand for what did not come.
        torn[cut..].fill(0);
        let found = end(log.start, &torn).map_or(0, |end| end.0);
        let cut = log.start + cut as u64;
        let whole = log.ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
        let padded = log.ends.iter().copied().filter(|end| *end < cut + 8).max().unwrap_or(0);
        assert!(found == whole || found == padded, "cut at {cut}: {found}, not {whole}");
    }
}

#[test]
fn a_damaged_record_ends_the_log_before_it() {
    let mut log = Writer::new(SEGMENT);
    (0..5).for_each(|_| log.record(40));
    let inside = (log.ends[2] - log.start) as usize + HEADER + 3;
    log.bytes[inside] ^= 1;
    assert_eq!(end(log.start, &log.bytes), Some(Lsn(log.ends[2])));
}

/// The whole record before the cut is not known to the second segment alone.
#[test]
fn a_record_that_began_in_an_earlier_segment_is_passed_over() {
    let mut log = Writer::new(SEGMENT);
    while log.bytes.len() < SEGMENT as usize - 20_000 {
        log.record(60_000);
    }
    log.record(40_000);
    log.record(10);
    let second = &log.bytes[SEGMENT as usize..];
    assert_eq!(end(2 * SEGMENT, second), log.ends.last().copied().map(Lsn));
    assert_eq!(end(log.start, &log.bytes), log.ends.last().copied().map(Lsn));
    let nothing = &second[..PAGE as usize * 2];
    assert_eq!(end(2 * SEGMENT, nothing), None);
}

/// A standby that is promoted behind half a record goes on behind it.
#[test]
fn half_a_record_that_its_successor_gave_up_is_not_the_end() {
    let mut log = Writer::new(SEGMENT);
    log.record(10);
    let before = log.before;
    log.record(30_000);
    log.bytes.truncate(PAGE as usize * 2);
    log.before = before;
    log.page(OVERWRITES, 0);
    log.record(20);
    assert_eq!(end(log.start, &log.bytes), log.ends.last().copied().map(Lsn));
}
