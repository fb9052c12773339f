use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::picture::{TOKEN, busy, serve};

/// Whatever is waited for comes within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends `request` as it is, with `Connection: close` and a blank line put at its end, and reads to the end.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let text = format!("{}\r\nConnection: close\r\n\r\n", request.replace('\n', "\r\n"));
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

fn status_of(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
}

/// Reads events until `until` is satisfied by all that has come.
async fn read_until(socket: &mut TcpStream, until: impl Fn(&str) -> bool) -> String {
    let mut all = String::new();
    let reading = async {
        let mut buffer = [0u8; 64 * 1024];
        while !until(&all) {
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended: {all}");
            all.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await;
    assert!(in_time.is_ok(), "did not come: {all}");
    all
}

async fn watch(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn a_stranger_sees_nothing_but_how_to_get_in() {
    let served = serve(busy()).await;
    for path in ["/", "/api/status", "/api/events", "/?token=wrong", "/?token="] {
        let answer = ask(served.address, &format!("GET {path} HTTP/1.1\nHost: localhost")).await;
        assert_eq!(status_of(&answer), 401, "{path}");
        assert!(answer.contains("evenkeel status"), "{path} says the way out: {answer}");
        assert!(!answer.contains("webshop") && !answer.contains("web-1"), "{path} shows nothing: {answer}");
        assert!(!answer.contains(TOKEN));
    }
    let healthz = ask(served.address, "GET /healthz HTTP/1.1\nHost: lb.example").await;
    assert_eq!((status_of(&healthz), healthz.ends_with("ok\n")), (200, true));
}

#[tokio::test]
async fn the_link_signs_a_browser_in_and_leaves_the_address_bar() {
    let served = serve(busy()).await;
    let answer = ask(served.address, &format!("GET /?token={TOKEN} HTTP/1.1\nHost: localhost")).await;
    assert_eq!((status_of(&answer), header(&answer, "location")), (303, Some("/")));
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    let page = ask(served.address, &format!("GET / HTTP/1.1\nHost: localhost\nCookie: {pair}")).await;
    assert_eq!(status_of(&page), 200);
    let policy = header(&page, "content-security-policy").unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(nonce.len(), 32);
    assert!(
        page.contains(&format!("<script nonce=\"{nonce}\">")) && policy.contains("frame-ancestors 'none'")
    );
    assert!(!page.contains("{{"), "every hole is filled");
    let again = ask(served.address, &format!("GET / HTTP/1.1\nHost: localhost\nCookie: {pair}")).await;
    assert!(!again.contains(nonce), "a nonce is used once");
    assert_eq!(header(&page, "cache-control"), Some("no-store"));
}

#[tokio::test]
async fn another_site_that_points_its_name_here_is_refused() {
    let served = serve(busy()).await;
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for path in ["/", "/api/status", "/api/events"] {
        let answer = ask(served.address, &format!("GET {path} HTTP/1.1\nHost: evil.example\n{bearer}")).await;
        assert_eq!(status_of(&answer), 421, "{path}");
        assert!(!answer.contains("webshop"));
    }
    let answer =
        ask(served.address, &format!("GET /api/status HTTP/1.1\nHost: {}\n{bearer}", served.address)).await;
    assert_eq!(status_of(&answer), 200);
    assert_eq!(header(&answer, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_script_gets_the_picture_as_json_and_can_change_nothing() {
    let served = serve(busy()).await;
    let bearer = format!("Host: localhost\nAuthorization: Bearer {TOKEN}");
    let answer = ask(served.address, &format!("GET /api/status HTTP/1.1\n{bearer}")).await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((value["kind"].as_str(), value["format_version"].as_u64()), (Some("status"), Some(1)));
    assert_eq!(value["units"].as_array().unwrap().len(), 15);
    assert_eq!(value["units"][4]["state"], "unready");
    assert!(value["drills"][0]["stale_reads"].is_null(), "what was not measured is null");
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/api/status", "/api/events"] {
            let answer = ask(served.address, &format!("{method} {path} HTTP/1.1\n{bearer}")).await;
            assert_eq!(status_of(&answer), 405, "{method} {path}");
        }
    }
    assert_eq!(status_of(&ask(served.address, &format!("GET /nope HTTP/1.1\n{bearer}")).await), 404);
}

#[tokio::test]
async fn an_open_page_hears_of_every_change_and_that_the_agent_lives() {
    let served = serve(busy()).await;
    let mut socket = watch(served.address).await;
    let first = read_until(&mut socket, |all| all.contains("\n\n")).await;
    assert!(first.contains("text/event-stream") && first.contains("event: status"), "{first}");
    let mut changed = busy();
    changed.app = "other-shop".to_owned();
    served.status.send_replace(Arc::new(changed));
    read_until(&mut socket, |all| all.contains("event: status") && all.contains("other-shop")).await;
    let beat = read_until(&mut socket, |all| all.contains("event: beat\ndata: ")).await;
    assert!(!beat.contains("event: status"), "no picture without a change: {beat}");
    served.stopper.request();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the stream ends with the console");
    tokio::time::timeout(PATIENCE, served.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_page_that_sleeps_gets_the_newest_picture_only() {
    let served = serve(busy()).await;
    let mut socket = watch(served.address).await;
    read_until(&mut socket, |all| all.contains("event: status")).await;
    for number in 0..500 {
        let mut status = busy();
        status.app = format!("change-{number}");
        served.status.send_replace(Arc::new(status));
    }
    let all = read_until(&mut socket, |all| all.contains("change-499")).await;
    assert!(all.matches("event: status").count() < 5, "pictures were skipped: {}", all.len());
}

#[tokio::test]
async fn the_sixty_fifth_page_is_told_to_come_later_and_a_closed_one_makes_room() {
    let served = serve(busy()).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut socket = watch(served.address).await;
        read_until(&mut socket, |all| all.contains("event: status")).await;
        open.push(socket);
    }
    let request = format!("GET /api/events HTTP/1.1\nHost: localhost\nAuthorization: Bearer {TOKEN}");
    let refused = ask(served.address, &request).await;
    assert_eq!((status_of(&refused), header(&refused, "retry-after")), (503, Some("5")));
    open.pop();
    let freed = async {
        loop {
            let mut socket = watch(served.address).await;
            let answer = read_until(&mut socket, |all| all.contains("\r\n\r\n")).await;
            if status_of(&answer) == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn what_a_unit_says_cannot_leave_its_place_in_the_page() {
    let mut status = busy();
    status.app = "</script><script>alert(1)</script>".to_owned();
    status.rollout = "{{nonce}} <!-- ".to_owned();
    let served = serve(status).await;
    let bearer = format!("Host: localhost\nAuthorization: Bearer {TOKEN}");
    let page = ask(served.address, &format!("GET / HTTP/1.1\n{bearer}")).await;
    assert!(!page.contains("<script>alert") && page.contains("{{nonce}} \\u003c!-- "), "{page}");
    let mut socket = watch(served.address).await;
    let mut status = busy();
    status.rollout = "a\n\nevent: beat\ndata: 0\r\n\r\n".to_owned();
    served.status.send_replace(Arc::new(status));
    let all = read_until(&mut socket, |all| all.contains("a\\n\\nevent: beat")).await;
    assert!(!all.contains("\nevent: beat\ndata: 0"), "a line break in a value starts no event: {all}");
}

#[tokio::test]
async fn garbage_is_refused_and_hinders_nobody() {
    let served = serve(busy()).await;
    let long = format!("GET /?token={} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let cases: [&[u8]; 5] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        long.as_bytes(),
        b"GET / HT",
    ];
    for case in cases {
        let mut socket = TcpStream::connect(served.address).await.unwrap();
        // The console may close before all of it was taken.
        let _ = socket.write_all(case).await;
        let _ = socket.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("webshop") && !text.starts_with("HTTP/1.1 200"), "{text}");
    }
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    assert_eq!(status_of(&ask(served.address, "GET /healthz HTTP/1.1\nHost: x").await), 200);
}
