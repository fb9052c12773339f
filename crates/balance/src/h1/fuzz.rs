//! Seeded attacks on the codec: the same answer however the bytes are cut, never a panic, and never another reading
//! than that of a lenient parser without a refusal.

use net::Random;

use super::body::{BadChunk, Body};
use super::corpus::{REQUESTS, bytes_of};
use super::framing;
use super::parse::{no_fields, request, response};

/// Feeds `bytes` up to each of `cuts` and to the end, as a connection would; the first answer counts.
fn first_answer(bytes: &[u8], cuts: &[usize]) -> Reading {
    cuts.iter().copied().chain([bytes.len()]).find_map(|end| {
        let mut fields = no_fields();
        match request(&bytes[..end], &mut fields) {
            Ok(None) => None,
            Err(refusal) => Some(Err(refusal.status)),
            Ok(Some(head)) => Some(match framing::request(&head) {
                Ok(meaning) => Ok((head.skipped + head.bytes.len(), meaning.body, meaning.keep_alive)),
                Err(refusal) => Err(refusal.status),
            }),
        }
    })
}

/// Follows a body in pieces: where it ends and whether it is over.
fn follow(body: &Body, bytes: &[u8], cuts: &[usize]) -> Result<(usize, bool), BadChunk> {
    let mut body = body.clone();
    let mut used = 0;
    for end in cuts.iter().copied().chain([bytes.len()]).map(|end| end.min(bytes.len())) {
        if end > used {
            used += body.take(&bytes[used..end])?;
        }
    }
    Ok((used, body.is_done()))
}

/// What a lenient parser makes of the same bytes: the first length that is said, a coding that contains `chunked`.
fn lenient(bytes: &[u8]) -> Option<(usize, Body)> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return None };
    let coding = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("transfer-encoding"));
    if coding.clone().any(|h| h.value.to_ascii_lowercase().windows(7).any(|w| w == b"chunked")) {
        return Some((length, Body::chunked()));
    }
    let mut lengths = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("content-length"));
    let said = lengths.next().map_or("0", |h| std::str::from_utf8(h.value).unwrap_or("x").trim());
    let digits: String = said.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
    Some((length, Body::with_length(digits.parse().unwrap_or(0))))
}

/// Pieces that attacks are made of.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "3",
    "f",
    "\0",
    "\u{b}",
    "\u{7f}",
    "\u{e9}",
    "_",
    "GET ",
    "POST / HTTP/1.1\r\n",
    " HTTP/1.1",
    " HTTP/1.0",
    "Host: a\r\n",
    "Content-Length: ",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: ",
    "Transfer-Encoding: chunked\r\n",
    "chunked",
    "identity",
    "\r\n\r\n",
    "0\r\n\r\n",
    "3\r\nabc\r\n",
    "Connection: ",
    "close",
    "http://a/",
    "#",
    "@",
    "\"",
    "ffffffffffffffff",
    "Upgrade: websocket\r\n",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.next_u64() % 4 {
        let at = (random.next_u64() as usize) % (bytes.len() + 1);
        let piece = bytes_of(PIECES[(random.next_u64() as usize) % PIECES.len()]);
        match random.next_u64() % 6 {
            0 => drop(bytes.splice(at..at, piece)),
            1 => {
                let end = (at + piece.len()).min(bytes.len());
                drop(bytes.splice(at..end, piece));
            }
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] = random.next_u64() as u8,
            4 => bytes.truncate(at),
            _ => {
                let from = (random.next_u64() as usize) % (at + 1);
                let again = bytes[from..at].to_vec();
                drop(bytes.splice(at..at, again));
            }
        }
    }
}

fn cuts(length: usize, random: &mut Random) -> Vec<usize> {
    let mut cuts: Vec<usize> =
        (0..random.next_u64() % 6).map(|_| (random.next_u64() as usize) % (length + 1)).collect();
    cuts.sort_unstable();
    cuts
}

#[test]
fn how_the_bytes_are_cut_changes_nothing() {
    for (_, text) in REQUESTS {
        let bytes = bytes_of(text);
        let each: Vec<usize> = (0..bytes.len()).collect();
        let whole = first_answer(&bytes, &[]);
        assert_eq!(whole, first_answer(&bytes, &each), "{text:?}");
        if let Some(Ok((length, body, _))) = whole {
            let rest = &bytes[length..];
            let each: Vec<usize> = (0..rest.len()).collect();
            assert_eq!(follow(&body, rest, &[]), follow(&body, rest, &each), "{text:?}");
        }
    }
}

/// A reading of a request: how long the head is, how the body ends, whether the connection stays; or the refusal.
type Reading = Option<Result<(usize, Body, bool), u16>>;

/// Attacks `codec` and counts: passed, refused, and those that were cut or read differently.
fn attack(rounds: u32, codec: impl Fn(&[u8], &[usize]) -> Reading) -> (u32, u32, Vec<String>) {
    let mut random = Random::from_seed(2026);
    let (mut passed, mut refused, mut different) = (0, 0, Vec::new());
    let good = REQUESTS.iter().take_while(|case| case.0 == 200).count();
    for round in 0..rounds {
        // Every second one starts from a good request: one step beside it is where a codec errs.
        let among = if round % 2 == 0 { good } else { REQUESTS.len() };
        let start = (random.next_u64() as usize) % among;
        let mut bytes = bytes_of(REQUESTS[start].1);
        mutate(&mut bytes, &mut random);
        let cuts = cuts(bytes.len(), &mut random);
        let whole = codec(&bytes, &[]);
        let mut same = whole == codec(&bytes, &cuts);
        match whole {
            Some(Ok((length, body, _))) => {
                passed += 1;
                let rest = &bytes[length..];
                same &= follow(&body, rest, &[]) == follow(&body, rest, &cuts);
                same &= lenient(&bytes) == Some((length, body));
            }
            Some(Err(_)) => refused += 1,
            None => {}
        }
        if !same {
            different.push(format!("round {round}: {:?}", String::from_utf8_lossy(&bytes)));
        }
    }
    (passed, refused, different)
}

#[test]
fn two_hundred_thousand_attacks() {
    let (passed, refused, different) = attack(200_000, first_answer);
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(passed > 10_000 && refused > 10_000, "{passed} passed, {refused} refused: the attacks miss");
}

#[test]
fn a_codec_that_takes_the_first_length_it_finds_is_caught() {
    // The planted bug of a hundred advisories: a length before a coding wins.
    let careless = |bytes: &[u8], cuts: &[usize]| match first_answer(bytes, cuts) {
        Some(Err(400)) => {
            let (length, _) = lenient(bytes)?;
            let text = String::from_utf8_lossy(&bytes[..length]).to_ascii_lowercase();
            let said = text.split("content-length: ").nth(1)?;
            let digits: String = said.chars().take_while(char::is_ascii_digit).collect();
            Some(Ok((length, Body::with_length(digits.parse().ok()?), true)))
        }
        other => other,
    };
    let (_, _, different) = attack(20_000, careless);
    assert!(different.len() > 10, "{}", different.len());
}

#[test]
fn a_hundred_thousand_responses() {
    let mut random = Random::from_seed(7);
    let seeds = [
        "HTTP/1.1 200 OK~Content-Length: 3~~abc",
        "HTTP/1.1 200 OK~Transfer-Encoding: chunked~Connection: close~~3~abc~0~~",
        "HTTP/1.1 101 Switching Protocols~Connection: upgrade~Upgrade: websocket~~",
        "HTTP/1.0 304 Not Modified~X: y~~",
    ];
    let read = |bytes: &[u8]| {
        let mut fields = no_fields();
        match response(bytes, &mut fields) {
            Ok(None) => None,
            Err(_) => Some(None),
            Ok(Some(head)) => {
                Some(framing::response(&head, false).ok().map(|meaning| (head.bytes.len(), meaning.body)))
            }
        }
    };
    for round in 0..100_000_u32 {
        let mut bytes = bytes_of(seeds[round as usize % seeds.len()]);
        mutate(&mut bytes, &mut random);
        let whole = read(&bytes);
        let cuts = cuts(bytes.len(), &mut random);
        let first = cuts.iter().copied().chain([bytes.len()]).find_map(|end| read(&bytes[..end]));
        assert_eq!(whole, first, "round {round}: {:?}", String::from_utf8_lossy(&bytes));
    }
}
