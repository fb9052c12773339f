//! Looks at the page with the eyes of a person: headless Chromium.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use model::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;

use crate::picture::{Served, TOKEN, busy, serve};

/// Chromium takes seconds to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|full| full.is_file());
    if found.is_none() {
        let required = std::env::var("EVENKEEL_REQUIRE").unwrap_or_default();
        assert!(required != "all", "`chromium` is missing, and EVENKEEL_REQUIRE=all");
        eprintln!(
            "SKIPPED: `chromium` is missing, nobody has looked at the console; `cargo xtask test` installs it"
        );
    }
    found
}

/// Runs Chromium on `url` with an empty profile; gives back its stdout.
async fn look(chromium: &Path, case: &str, url: &str, flags: &[&str]) -> String {
    let profile = std::env::temp_dir().join(format!("evenkeel-console-{}-{case}", std::process::id()));
    let mut command = Command::new(chromium);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--timeout=30000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(flags)
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let _ = fs::remove_dir_all(&profile);
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How long the end of the page is held back.
#[derive(Clone, Copy, PartialEq)]
enum Hold {
    /// Until the page has got a live picture.
    Live,
    /// Until the console has ended after that.
    Gone,
    /// Until the page has heard nothing for longer than three beats after that: the agent is frozen, its
    /// connections stay open.
    Silent,
}

/// A browser that only loads a page looks at it when its document ends, before anything live has come. So this
/// stands between the two and keeps the document's last bytes until what is to be seen has happened. (Virtual time
/// does not help: it stands still while an event stream is open.)
async fn held(served: Served, hold: Hold) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (live, mut is_live) = watch::channel(false);
    let (gone, is_gone) = watch::channel(false);
    let console = served.address;
    tokio::spawn(async move {
        let mut frozen = Vec::new();
        loop {
            let (browser, _) = listener.accept().await.unwrap();
            if hold == Hold::Silent && *live.borrow() {
                frozen.push(browser);
                continue;
            }
            // Nobody is there any more: the browser is refused as it would be.
            let Ok(server) = TcpStream::connect(console).await else { continue };
            let (live, is_live, is_gone) = (live.clone(), live.subscribe(), is_gone.clone());
            tokio::spawn(async move {
                let (mut from_browser, to_browser) = browser.into_split();
                let (from_server, mut to_server) = server.into_split();
                tokio::join!(
                    async { drop(tokio::io::copy(&mut from_browser, &mut to_server).await) },
                    relay(
                        hold,
                        from_server,
                        to_browser,
                        live,
                        is_live,
                        (hold != Hold::Live).then_some(is_gone)
                    ),
                );
            });
        }
    });
    tokio::spawn(async move {
        is_live.wait_for(|live| *live).await.unwrap();
        let Served { status, stopper, task, .. } = served;
        if hold == Hold::Gone {
            stopper.request();
            task.await.unwrap();
            gone.send_replace(true);
        }
        if hold == Hold::Silent {
            tokio::time::sleep(Duration::from_millis(7_500)).await;
            gone.send_replace(true);
        }
        // Dropped, either of them would end the console.
        let _kept = (status, stopper);
        std::future::pending::<()>().await;
    });
    address
}

async fn relay(
    hold: Hold,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    live: watch::Sender<bool>,
    mut is_live: watch::Receiver<bool>,
    is_gone: Option<watch::Receiver<bool>>,
) {
    let mut buffer = vec![0u8; 256 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let chunk = &buffer[..count];
        let text = String::from_utf8_lossy(chunk);
        let end = text.ends_with("</html>\n") && !text.contains("you are not signed in");
        let now = if end { count - 8 } else { count };
        if to.write_all(&chunk[..now]).await.is_err() {
            return;
        }
        if text.starts_with("HTTP/1.1 200") && text.contains("event: status")
            || text.starts_with("event: status")
        {
            live.send_replace(true);
            if hold == Hold::Silent {
                std::future::pending::<()>().await;
            }
        }
        if end {
            is_live.wait_for(|live| *live).await.unwrap();
            if let Some(mut gone) = is_gone.clone() {
                gone.wait_for(|gone| *gone).await.unwrap();
            }
            // What has arrived is drawn within a frame or two.
            tokio::time::sleep(Duration::from_millis(400)).await;
            let _ = to.write_all(&chunk[now..]).await;
        }
    }
}

/// Takes a picture into the folder of things to look at; gives back its path.
async fn shoot(chromium: &Path, url: &str, name: &str, size: &str, flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("review");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.png"));
    let _ = fs::remove_file(&path);
    let (shot, size) = (format!("--screenshot={}", path.display()), format!("--window-size={size}"));
    let mut all = vec![shot.as_str(), size.as_str()];
    all.extend(flags);
    look(chromium, name, url, &all).await;
    path
}

/// The text of the page without its markup, script and style.
fn text_of(dom: &str) -> String {
    let mut text = String::new();
    let body = &dom[dom.find("<body").unwrap()..];
    let mut rest = body;
    while let Some((before, tail)) = rest.split_once('<') {
        text.push_str(before);
        let closing =
            ["script", "style"].iter().find(|name| tail.starts_with(**name)).map(|name| format!("</{name}>"));
        rest = match closing {
            Some(end) => tail.split_once(&end).unwrap().1,
            None => tail.split_once('>').unwrap().1,
        };
        text.push(' ');
    }
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn hostile() -> Status {
    let mut status = busy();
    status.app = "<img src=x onerror=\"document.body.id='owned'\">".to_owned();
    status.units[1].role = "<b id=owned>".to_owned();
    status.units[4].detail = "</script><script>document.body.id='owned'</script>".to_owned();
    status.drills[1].missed = vec!["<svg onload=\"document.body.id='owned'\">".to_owned(); 2];
    status.drills[1].target = "&lt;i&gt;<i>".to_owned();
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_objectives_zones_and_drills() {
    let Some(chromium) = chromium() else { return };
    let address = held(serve(busy()).await, Hold::Live).await;
    let url = format!("http://{address}/?token={TOKEN}");
    let text = text_of(&look(&chromium, "dom", &url, &["--dump-dom"]).await);
    let expected = [
        "webshop plan 7 rolling answers at 127.0.1.1:8080 live runs on one machine",
        "not the loss of this machine",
        "db: no standby is left since",
        "writes wait for one; nothing acknowledged is lost bring back `db-2` or `db-3`",
        "Availability promised 99.95 % a zone lost: at most 60 s, drilled 184 ms",
        "Availability now 99.987 % kept of 184,233 requests",
        "Error budget left 73 % 24 errors of 92 allowed",
        "Load now 402 /s",
        "Spend planned 612 USD within 900 USD a month",
        "zone a alive decides for all · front 127.0.1.1:8080",
        "zone c silent front 127.0.3.1:8080",
        "edge: 2 of 3 healthy",
        "edge-b ready front · 1 restart",
        "web: 2 of 6 healthy",
        "web-2 not answering replica probe `GET /healthz`: no answer within 500 ms",
        "web-4 ready replica · 2 restarts",
        "web-5 starting",
        "web-3 was ready",
        "db: 2 of 3 healthy · serving, term 4 · quorum · primary db-1 · acknowledged by 1 of db-2, db-3",
        "db-1 ready primary · term 4",
        "db-2 ready standby · term 4, votes, lag 0B",
        "worker-1 draining",
        "worker-2 waits to restart replica · 4 restarts exit status 101, next start in 8 s",
        "worker-3 was failed",
        "objectives met zone c killed",
        "requests 12,044 failed 7 unsavable 7 done twice 0 writes lost 0 without service 184 ms p99 then 212 ms",
        "objectives missed front edge-a frozen",
        "1 order was carried out twice requests 12,044 failed 31 unsavable 2 done twice 1",
        "not run zone b cut off",
        "`cut` needs network namespaces",
    ];
    for part in expected {
        assert!(text.contains(part), "`{part}` is not on the page:\n{text}");
    }
    let nothing = shoot(&chromium, "about:blank", "blank", "1280,1180", &[]).await;
    let blank = fs::metadata(&nothing).unwrap().len();
    fs::remove_file(nothing).unwrap();
    let phone = "390,2120";
    for (name, size, dark) in [
        ("console", "1280,1180", false),
        ("console-dark", "1280,1180", true),
        ("console-phone", phone, false),
    ] {
        let flags: &[&str] = if dark { &["--blink-settings=preferredColorScheme=0"] } else { &[] };
        let path = shoot(&chromium, &url, name, size, flags).await;
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(bytes > 6 * blank, "{} is blank: {bytes} bytes, an empty page has {blank}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_text_in_a_real_browser() {
    let Some(chromium) = chromium() else { return };
    let address = held(serve(hostile()).await, Hold::Live).await;
    let url = format!("http://{address}/?token={TOKEN}");
    let dom = look(&chromium, "hostile", &url, &["--dump-dom"]).await;
    assert!(!dom.contains("id=\"owned\""), "something ran or became markup");
    let text = text_of(&dom);
    for part in [
        "<img src=x onerror=",
        "</script><script>document.body.id='owned'</script>",
        "<svg onload=",
        "&lt;i&gt;<i> frozen",
    ] {
        assert!(text.contains(part), "`{part}` is not on the page:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_nobody_has_applied_yet_is_no_error() {
    let Some(chromium) = chromium() else { return };
    let address = held(serve(Status::default()).await, Hold::Live).await;
    let url = format!("http://{address}/?token={TOKEN}");
    let text = text_of(&look(&chromium, "empty", &url, &["--dump-dom"]).await);
    for part in [
        "nothing applied yet",
        "no zone has reported yet",
        "not measured yet",
        "nothing has been broken on purpose yet",
    ] {
        assert!(text.contains(part), "`{part}` is not on the page:\n{text}");
    }
    assert!(!text.contains("NaN") && !text.contains("undefined") && !text.contains("null"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_agent_is_frozen_does_not_call_the_old_picture_live() {
    let Some(chromium) = chromium() else { return };
    let address = held(serve(busy()).await, Hold::Silent).await;
    let url = format!("http://{address}/?token={TOKEN}");
    let text = text_of(&look(&chromium, "frozen", &url, &["--dump-dom"]).await);
    assert!(text.contains("connection lost, showing the last picture of "), "{text}");
    assert!(text.contains("web-4 ready"), "the last picture is still there: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_agent_is_gone_says_so_and_keeps_the_last_picture() {
    let Some(chromium) = chromium() else { return };
    let address = held(serve(busy()).await, Hold::Gone).await;
    let url = format!("http://{address}/?token={TOKEN}");
    let dom = look(&chromium, "lost", &url, &["--dump-dom"]).await;
    let text = text_of(&dom);
    assert!(text.contains("connection lost, showing the last picture of "), "{text}");
    assert!(text.contains("web-4 ready"), "the last picture is still there: {text}");
}
