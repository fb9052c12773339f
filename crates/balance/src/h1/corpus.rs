//! Requests two servers could read differently, and what this one says to each. The sources are the advisories of
//! HAProxy, Envoy, nginx, Node.js, Go, Apache Traffic Server, Pingora (CVE-2025-4366, CVE-2026-2833, -2835) and the
//! papers on request smuggling (Linhart 2005, Kettle 2019, 2022), each cut down to the bytes that matter.

use super::framing;
use super::parse::{no_fields, request, response};
use crate::h1::body::Body;

/// What becomes of a request: `None` waits for more, else a status; 200 is "goes through".
pub(super) fn verdict(bytes: &[u8]) -> Option<u16> {
    let mut fields = no_fields();
    match request(bytes, &mut fields) {
        Ok(None) => None,
        Err(refusal) => Some(refusal.status),
        Ok(Some(head)) => match framing::request(&head) {
            Err(refusal) => Some(refusal.status),
            Ok(meaning) => {
                let mut body: Body = meaning.body;
                match body.take(&bytes[head.skipped + head.bytes.len()..]) {
                    Ok(_) => Some(200),
                    Err(_) => Some(400),
                }
            }
        },
    }
}

/// Expected status and request; `~` stands for the line end, so that each case is one line.
pub(super) const REQUESTS: &[(u16, &str)] = &[
    // What must go through.
    (200, "GET / HTTP/1.1~Host: a~~"),
    (200, "~GET / HTTP/1.1~Host: a~~"),
    (200, "~~GET / HTTP/1.1~Host: a~~"),
    (200, "GET / HTTP/1.0~~"),
    (200, "GET /a?b=c%20d HTTP/1.1~Host: a:80~~"),
    (200, "GET / HTTP/1.1~Host: [::1]:8080~~"),
    (200, "GET / HTTP/1.1~Host:a~Empty:~~"),
    (200, "GET / HTTP/1.1~Host: a~X: \u{e9}t\u{e9}~~"),
    (200, "OPTIONS * HTTP/1.1~Host: a~~"),
    (200, "GET http://a/x HTTP/1.1~Host: a~~"),
    (200, "GET HTTP://A:80/x HTTP/1.1~Host: a:80~~"),
    (200, "POST / HTTP/1.1~Host: a~Content-Length: 3~~abc"),
    (200, "POST / HTTP/1.1~Host: a~Content-Length:\t3 ~~abc"),
    (200, "POST / HTTP/1.1~Host: a~Transfer-Encoding: Chunked~~3~abc~0~~"),
    (200, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3;a=b;c=\"d\"~abc~0~X: y~~"),
    (200, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~00000003~abc~000~~"),
    (200, "GET / HTTP/1.1~Host: a~Connection: close, ,keep-alive~~"),
    (200, "PURGE / HTTP/1.1~Host: a~~"),
    (200, "GET / HTTP/1.1~Host: a~x_request_id: 1~My_Own: 2~~"),
    // A client's address that an application would take for ours (CGI, WSGI: `HTTP_X_FORWARDED_FOR`).
    (400, "GET / HTTP/1.1~Host: a~X_Forwarded_For: 6.6.6.6~~"),
    (400, "GET / HTTP/1.1~Host: a~X-Forwarded_For: 6.6.6.6~~"),
    (400, "GET / HTTP/1.1~Host: a~X_Real_IP: 6.6.6.6~~"),
    // The length said twice, or in a way only some read.
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3~Content-Length: 4~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3~Content-Length: 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3, 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3, 4~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3~Transfer-Encoding: chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~Content-Length: 3~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~Transfer-Encoding: chunked~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: identity~Transfer-Encoding: chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~Transfer-Encoding: identity~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: +3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: -3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 0x3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3_0~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 3.0~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length:~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: \u{b2}~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 18446744073709551619~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length: 1000000000000000000~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content_Length: 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Transfer_Encoding: chunked~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length : 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length\t: 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~Content-Length\u{0b}: 3~~abc"),
    (400, "POST / HTTP/1.1~Host: a~\u{0b}Content-Length: 3~~abc"),
    // Transfer codings that hide.
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: gzip, chunked~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked, identity~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked, chunked~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: xchunked~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked;q=1~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: \"chunked\"~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: cow~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding:~~0~~"),
    (501, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked,~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: \u{0b}chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding : chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding:~ chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~X: y~ Transfer-Encoding: chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~X: y\nTransfer-Encoding: chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~X: y\rTransfer-Encoding: chunked~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~X: y\0Transfer-Encoding: chunked~~0~~"),
    (400, "POST / HTTP/1.0~Host: a~Transfer-Encoding: chunked~~0~~"),
    (400, "GET / HTTP/1.0~Transfer-Encoding: chunked~Connection: keep-alive~~0~~"),
    // Line ends and control characters.
    (400, "GET / HTTP/1.1\nHost: a\n\n"),
    (400, "GET / HTTP/1.1~Host: a\n\n"),
    (400, "GET / HTTP/1.1~Host: a~\n"),
    (400, "GET / HTTP/1.1\nHost: a~~"),
    (400, "\nGET / HTTP/1.1~Host: a~~"),
    (400, "~~~GET / HTTP/1.1~Host: a~~"),
    (400, "GET / HTTP/1.1~Host: a~X: \u{7f}~~"),
    (400, "GET / HTTP/1.1~Host: a~X: \u{1}~~"),
    (400, "GET / HTTP/1.1~Host: a~X\0: 1~~"),
    (400, "GET / HTTP/1.1~Host: a~: 1~~"),
    (400, "GET / HTTP/1.1~Host: a~X~~"),
    (400, "GET / HTTP/1.1~Host: a~X Y: 1~~"),
    (400, "GET / HTTP/1.1~Host: a~(X): 1~~"),
    (400, "GET / HTTP/1.1~Host: a~X\u{e9}: 1~~"),
    (400, "GET / HTTP/1.1~ Host: a~~"),
    (400, "GET / HTTP/1.1~Host: a~ folded~~"),
    (400, "GET / HTTP/1.1~Host: a~\tfolded: 1~~"),
    // The first line.
    (400, "GET  / HTTP/1.1~Host: a~~"),
    (400, "GET /  HTTP/1.1~Host: a~~"),
    (400, "GET / HTTP/1.1 ~Host: a~~"),
    (400, "GET\t/ HTTP/1.1~Host: a~~"),
    (400, "GET / x HTTP/1.1~Host: a~~"),
    (400, " GET / HTTP/1.1~Host: a~~"),
    (400, "G\u{e9}T / HTTP/1.1~Host: a~~"),
    (400, "GET /~~"),
    (400, "GET / http/1.1~Host: a~~"),
    (400, "GET / HTTP/1.1x~Host: a~~"),
    (400, "GET / HTTP/01.1~Host: a~~"),
    (505, "GET / HTTP/1.2~Host: a~~"),
    (505, "GET / HTTP/2.0~Host: a~~"),
    (505, "PRI * HTTP/2.0~~SM~~"),
    (400, "GET /a#b HTTP/1.1~Host: a~~"),
    (400, "GET /\u{e9} HTTP/1.1~Host: a~~"),
    (400, "GET /\u{1} HTTP/1.1~Host: a~~"),
    (400, "GET a HTTP/1.1~Host: a~~"),
    (400, "GET * HTTP/1.1~Host: a~~"),
    (400, "GET ftp://a/ HTTP/1.1~Host: a~~"),
    (400, "GET https://a/ HTTP/1.1~Host: a~~"),
    (400, "\u{16}\u{3}\u{1}"),
    // Whom it is for.
    (400, "GET / HTTP/1.1~~"),
    (400, "GET / HTTP/1.1~Host:~~"),
    (400, "GET / HTTP/1.1~Host: a~Host: b~~"),
    (400, "GET / HTTP/1.1~Host: a~Host: a~~"),
    (400, "GET / HTTP/1.0~Host: a~Host: b~~"),
    (400, "GET / HTTP/1.1~Host: a, b~~"),
    (400, "GET / HTTP/1.1~Host: a b~~"),
    (400, "GET / HTTP/1.1~Host: a/b~~"),
    (400, "GET / HTTP/1.1~Host: u@a~~"),
    (400, "GET / HTTP/1.1~Host: a:x~~"),
    (400, "GET / HTTP/1.1~Host: a:80:80~~"),
    (400, "GET / HTTP/1.1~Host: [a~~"),
    (400, "GET http://b/ HTTP/1.1~Host: a~~"),
    (400, "GET http://u@a/ HTTP/1.1~Host: a~~"),
    (400, "GET http:///x HTTP/1.1~Host: a~~"),
    (400, "GET http://a?x HTTP/1.1~Host: a~~"),
    (501, "CONNECT a:443 HTTP/1.1~Host: a:443~~"),
    (501, "TRACE / HTTP/1.1~Host: a~~"),
    (417, "POST / HTTP/1.1~Host: a~Expect: magic~Content-Length: 0~~"),
    // Fields the message needs, named as if they could be removed.
    (400, "POST / HTTP/1.1~Host: a~Connection: Content-Length~Content-Length: 3~~abc"),
    (400, "GET / HTTP/1.1~Host: a~Connection: close, Host~~"),
    (400, "GET / HTTP/1.1~Host: a~Connection: transfer-encoding~~"),
    (400, "GET / HTTP/1.1~Host: a~Connection: a b~~"),
    // Chunks.
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3\nabc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3~abc\n0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3~abcd~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~0x3~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~+3~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~ 3~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3 ~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~;a=b~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3;a\nb~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~3;a\rb~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~ffffffffffffffff~abc"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~10000000000000003~abc~0~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~0~Content-Length: 5~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~0~X : y~~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~0~X: y\n~"),
    (400, "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~~0~ X: y~~"),
];

pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    // Characters up to U+00FF are single bytes, so that a case can hold bytes that are no UTF-8.
    text.replace('~', "\r\n").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn what_two_servers_could_read_differently_is_refused() {
    let wrong: Vec<String> = REQUESTS
        .iter()
        .filter(|(expected, text)| verdict(&bytes_of(text)) != Some(*expected))
        .map(|(expected, text)| format!("{expected}, got {:?}: {text:?}", verdict(&bytes_of(text))))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(REQUESTS.len() >= 60);
}

#[test]
fn heads_have_bounds() {
    let long = |what: &str, times: usize| what.repeat(times);
    let cases = [
        (414, format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long("a", 9_000))),
        (414, format!("GET /{}", long("a", 20_000))),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long("a", 17_000))),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\n{}", long("X: y\r\n", 99) + &long("Y: z\r\n", 9))),
        (431, format!("GET / HTTP/1.1\r\n{}\r\n", long("X: y\r\n", 101))),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", long("a", 16_384))),
        (200, format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long("a", 8_000))),
        (
            400,
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;{}", long("a", 300)),
        ),
        (
            400,
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
                long("X: y\r\n", 2_000)
            ),
        ),
    ];
    for (expected, text) in cases {
        assert_eq!(verdict(text.as_bytes()), Some(expected), "{}", &text[..60]);
    }
}

#[test]
fn responses_that_two_clients_could_read_differently_are_not_passed_on() {
    let cases: &[(bool, &str)] = &[
        (true, "HTTP/1.1 200 OK~Content-Length: 0~~"),
        (true, "HTTP/1.1 200~~"),
        (true, "HTTP/1.0 200 OK~~"),
        (true, "HTTP/1.1 200 OK~Transfer-Encoding: chunked~~"),
        (false, "HTTP/1.1 200 OK~Content-Length: 1~Content-Length: 1~~"),
        (false, "HTTP/1.1 200 OK~Content-Length: 1, 1~~"),
        (false, "HTTP/1.1 200 OK~Content-Length: 1~Transfer-Encoding: chunked~~"),
        (false, "HTTP/1.1 200 OK~Transfer-Encoding: gzip~~"),
        (false, "HTTP/1.0 200 OK~Transfer-Encoding: chunked~~"),
        (false, "HTTP/1.1 200 OK~X : y~~"),
        (false, "HTTP/1.1 200 OK~X: y~ z~~"),
        (false, "HTTP/1.1 200 OK\nX: y\n\n"),
        (false, "HTTP/1.1 200 OK~X: a\rb~~"),
        (false, "~HTTP/1.1 200 OK~~"),
        (false, "HTTP/1.1 099 No~~"),
        (false, "HTTP/1.1 600 No~~"),
        (false, "HTTP/1.1 20 No~~"),
        (false, "HTTP/2.0 200 OK~~"),
        (false, "HTTP/1.1 200 OK~Connection: content-length~Content-Length: 4~~"),
    ];
    for (good, text) in cases {
        let bytes = bytes_of(text);
        let mut fields = no_fields();
        let read = match response(&bytes, &mut fields) {
            Ok(Some(head)) => framing::response(&head, false).is_ok(),
            Ok(None) => panic!("{text:?} is whole"),
            Err(_) => false,
        };
        assert_eq!(read, *good, "{text:?}");
    }
}
