use std::io::{Read, Write};

use crate::support::{Client, Replica, Stand, field};

#[test]
fn a_connection_serves_many_requests_and_pipelining_is_tolerated() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let mut client = stand.connect();
    for _ in 0..3 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "web-1");
    }
    let mut many = String::new();
    for size in 1..=40 {
        many += &format!("GET /big?{size} HTTP/1.1\r\nHost: a\r\n\r\n");
        many += "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n";
    }
    client.send(&many);
    for size in 1..=40 {
        assert_eq!(client.answer(false).unwrap().body.len(), size);
        assert_eq!(client.answer(false).unwrap().text(), "abc");
    }
}

#[test]
fn hop_by_hop_fields_stay_behind_and_ours_are_added() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let request = "GET http://Shop.example/x?y=1 HTTP/1.1\r\nhost: shop.EXAMPLE\r\nConnection: close, X-Private\r\n\
        X-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nUpgrade: h2c\r\n\
        X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Host: b\r\n\
        X-Forwarded-Port: 1\r\nX-Request-Id: abc-1\r\nCookie: a=b\r\nAccept:  */* \r\n\r\n";
    assert_eq!(stand.connect().ask(request).status, 200);
    let heads = web.heads();
    let expected = "GET /x?y=1 HTTP/1.1\r\nHost: shop.EXAMPLE\r\nCookie: a=b\r\nAccept:  */* \r\n\
        X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nx-request-id: abc-1\r\n\r\n";
    assert_eq!(heads, [expected]);

    let answer = stand.get("/raw?hop");
    assert_eq!((answer.field("x-secret"), answer.field("keep-alive")), (None, None));
    assert_eq!(answer.field("x-kept"), Some("1"));
    assert_eq!(field(&web.heads()[1], "x-request-id").unwrap().len(), 32, "made when there was none");
}

#[test]
fn bodies_stream_both_ways_with_back_pressure() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    for size in [0, 1, 32_767, 32_768, 65_536, 65_537, 5_000_000] {
        let answer = stand.get(&format!("/big?{size}"));
        assert_eq!((answer.status, answer.body.len()), (200, size));
        let answer = stand.get(&format!("/chunked?{size}"));
        assert_eq!((answer.status, answer.body.len()), (200, size));
        let body: String = (0..size).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let answer = stand.post("/echo", &body);
        assert!(answer.status == 200 && answer.text() == body, "{size}");
    }
}

#[test]
fn an_echo_that_answers_before_it_has_read_does_not_lock_up() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let size = 8_000_000;
    let mut client = stand.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        write!(writer, "POST /echo-stream HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").unwrap();
        writer.write_all(&vec![b'z'; size]).unwrap();
    });
    let answer = client.answer(false).unwrap();
    assert!(answer.body.len() == size && answer.body.iter().all(|b| *b == b'z'));
    sender.join().unwrap();
}

#[test]
fn a_chunked_request_arrives_whole_however_it_is_cut() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let text = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;name=\"x\"\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(stand.connect().ask(text).text(), "hello world");
    let mut client = stand.connect();
    for byte in text.as_bytes() {
        client.send([*byte]);
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    assert_eq!(client.answer(false).unwrap().text(), "hello world");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200, "and the connection goes on");
}

#[test]
fn responses_without_a_body_have_none() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let mut client = stand.connect();
    let head = client.ask("HEAD /big?500 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.field("content-length")), (200, Some("500")));
    assert_eq!(client.ask("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n").status, 204);
    assert_eq!(client.ask("GET /not-modified HTTP/1.1\r\nHost: a\r\n\r\n").status, 304);
    client.send("GET /early-hints HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).unwrap().status, 103);
    assert_eq!(client.answer(false).unwrap().text(), "late");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "web-1");
}

#[test]
fn an_old_client_gets_what_it_understands() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let answer = stand.connect().ask("GET /chunked?20000 HTTP/1.0\r\n\r\n");
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!((answer.body.len(), answer.field("connection")), (20_000, Some("close")));
    let mut client = stand.connect();
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((answer.text(), answer.field("connection")), ("web-1", Some("keep-alive")));
    }
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").field("connection"), Some("close"));
    assert_eq!(client.rest(), b"");
    assert_eq!(stand.get("/until-close").text(), "the end is the end");
}

#[test]
fn the_front_says_continue_only_when_an_endpoint_is_connected() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut client = stand.connect();
    client.send(head);
    assert_eq!(client.answer(false).unwrap().status, 100);
    client.send("hello");
    assert_eq!(client.answer(false).unwrap().text(), "hello");
    assert_eq!(field(&web.heads()[0], "expect"), None);

    // A replica that answers its first probe and is gone when the request comes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gone = Replica::dead("web-2");
    gone.address = listener.local_addr().unwrap();
    let once = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let stand = Stand::new(&[&gone]);
    once.join().unwrap();
    let mut client = stand.connect();
    client.send(head);
    let answer = client.answer(false).unwrap();
    assert_eq!(answer.status, 503, "without an endpoint the body is never asked for");
    assert_eq!(answer.fate(), "unit=web-2; sent=0; reason=refused");
}

#[test]
fn a_websocket_is_a_tunnel_only_after_101() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let ask = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
    };
    let mut client = stand.connect();
    client.send(ask("/ws"));
    assert_eq!(client.answer(false).unwrap().status, 101);
    for text in ["ping", "pong"] {
        client.send(text);
        assert_eq!(client.read_some(), text.as_bytes());
    }
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");

    // What comes before a 101 is the next request, never tunnel bytes.
    let mut client = stand.connect();
    client.send(ask("/big?3") + "GET /big?4 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).unwrap().body.len(), 3);
    assert_eq!(client.answer(false).unwrap().body.len(), 4);
    assert_eq!(web.heads().last().unwrap().lines().next(), Some("GET /big?4 HTTP/1.1"));
}

#[test]
fn responses_that_cannot_be_trusted_become_502() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    for which in ["two-lengths", "both", "bare-lf", "fold", "gzip", "switch", "junk"] {
        let answer = stand.get(&format!("/raw?{which}"));
        assert_eq!(answer.status, 502, "{which}");
        assert!(answer.fate().starts_with("unit=web-1; sent=1; reason=bad_response"), "{which}");
    }
    let mut client = stand.connect();
    assert_eq!(client.ask("GET /raw?extra HTTP/1.1\r\nHost: a\r\n\r\n").text(), "x");
    let next = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(next.text(), "web-1", "bytes beyond a response never reach the next client");
    // Nor when their rest comes later.
    assert_eq!(client.ask("GET /raw?extra-later HTTP/1.1\r\nHost: a\r\n\r\n").text(), "x");
    let next = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(next.text(), "web-1", "{next:?}");
}

#[test]
fn a_cut_response_does_not_look_whole() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let mut client = stand.connect();
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.answer(false).is_none());
    stand.wait("counted", |report| report.counters.values().any(|c| c.errors == 1));
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let web = Replica::start("web-1");
    let stand = Stand::new(&[&web]);
    let mut client = stand.connect();
    client.send("POST /refuse-early HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..30 {
            if writer.write_all(&[b'x'; 10_000]).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    assert_eq!(client.answer(false).unwrap().status, 413);
    sender.join().unwrap();

    // The same for an answer of the front itself.
    let mut client = Client::connect(stand.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    let answer = client.answer(false).unwrap();
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    client.send(vec![b'x'; 200_000]);
    std::thread::sleep(std::time::Duration::from_millis(30));
    // A reset instead of an end would have destroyed the answer on a real network.
    client.send("more");
    assert_eq!(client.stream.read(&mut [0; 10]).unwrap(), 0);
}
