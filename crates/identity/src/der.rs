//! What we need to know of a certificate, read from its DER (RFC 5280, 4.1): whose it is, its life, its public key.
//!
//! A reader of our own, 100 lines, because a general one brings 15 packages for four fields. It reads certificates
//! that this crate has written and refuses what it does not understand; it judges no signatures.

use std::time::SystemTime;

use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which holds the version.
const VERSION: u8 = 0xa0;
/// 2.5.4.3, the common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Common name of who signed it.
    pub issuer: String,
    /// Common name of whose it is.
    pub name: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// The public key's bits, without its algorithm.
    pub public_key: Vec<u8>,
}

/// The facts of one certificate in DER; `None` when it is none or has a form that we do not write.
pub(crate) fn facts(der: &[u8]) -> Option<Facts> {
    let mut outside = Reader(der);
    let mut certificate = Reader(outside.value(SEQUENCE)?);
    if !outside.0.is_empty() {
        return None;
    }
    let mut fields = Reader(certificate.value(SEQUENCE)?);
    fields.value(VERSION)?;
    fields.value(INTEGER)?;
    fields.value(SEQUENCE)?;
    let issuer = common_name(fields.value(SEQUENCE)?)?;
    let mut life = Reader(fields.value(SEQUENCE)?);
    let (not_before, not_after) = (life.time()?, life.time()?);
    let name = common_name(fields.value(SEQUENCE)?)?;
    let mut key = Reader(fields.value(SEQUENCE)?);
    key.value(SEQUENCE)?;
    // The first byte of a bit string counts the bits that are unused at its end.
    let public_key = key.value(BITS)?.strip_prefix(&[0])?.to_vec();
    // The signature is there: a file that was cut short ends before it.
    certificate.value(SEQUENCE)?;
    certificate.value(BITS)?;
    Some(Facts { issuer, name, not_before, not_after, public_key })
}

fn common_name(name: &[u8]) -> Option<String> {
    let mut parts = Reader(name);
    while !parts.0.is_empty() {
        let mut pair = Reader(Reader(parts.value(SET)?).value(SEQUENCE)?);
        if pair.value(OID)? == COMMON_NAME {
            let (_, text) = pair.next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
    }
    None
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and its bytes.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            // Two bytes count to 65,535; no certificate of ours is longer.
            if count == 0 || count > 2 {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            rest = after;
        }
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    /// `YYMMDDHHMMSSZ`, where 50 to 99 are of the last century, or the same with four digits of the year.
    fn time(&mut self) -> Option<SystemTime> {
        let (tag, text) = self.next()?;
        let text = text.strip_suffix(b"Z")?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let year = number(text.get(..2)?)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
            }
            GENERALIZED_TIME => (number(text.get(..4)?)?, &text[4..]),
            _ => return None,
        };
        if rest.len() != 10 {
            return None;
        }
        let part = |at: usize| number(&rest[at..at + 2]).and_then(|value| u8::try_from(value).ok());
        let month = Month::try_from(part(0)?).ok()?;
        let date = Date::from_calendar_date(i32::from(year), month, part(2)?).ok()?;
        let at = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
        Some(OffsetDateTime::new_utc(date, at).into())
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |sum, digit| {
        digit.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(u16::from(digit - b'0'))).flatten()
    })
}

#[cfg(test)]
#[path = "der_tests.rs"]
mod tests;
