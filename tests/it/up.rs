//! Starting, looking, stopping; and every way to do it wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::site::{SHOP, Site, healthy, text};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn one_file_becomes_three_zones_that_answer_and_end_without_a_trace() {
    let site = Site::new("whole", SHOP);
    site.up(&[]);
    let status = site.status();
    assert_eq!(healthy(&status), 6, "{status:#}");
    assert_eq!(status["highly_available"], false);
    let entries = site.entries();
    assert_eq!(entries.len(), 3, "one front a zone: {entries:?}");
    for entry in &entries {
        assert!(get(*entry, "/products").starts_with("HTTP/1.1 200"), "{entry}");
    }
    // A second `up` of the same file changes nothing.
    let before = site.status();
    site.up(&[]);
    let after = site.status();
    assert_eq!(before["plan"], after["plan"]);
    assert_eq!(before["units"], after["units"]);

    site.expect(0, &["down"]);
    assert!(site.processes().is_empty(), "{:#?}", site.processes());
    site.expect(1, &["status"]);
    site.expect(0, &["down"]);
    // Started again it goes on with the plan and the units it had.
    site.up(&[]);
    assert_eq!(site.status()["plan"], before["plan"]);
    site.expect(0, &["down", "--delete-data"]);
    assert!(!site.state().exists());
}

#[test]
fn what_cannot_run_is_refused_before_anything_starts() {
    let site = Site::new("refused", SHOP);
    for (file, wanted) in [
        ("name: x\nservices: { web: { image: nginx } }\n", "command"),
        ("name: x\nservices: { web: { command: [\"./nowhere\"] } }\n", "nowhere"),
        ("name: x\nservices: { web: { comand: [\"true\"] } }\n", "did you mean"),
        ("name: [x\n", "error"),
        ("", "error"),
    ] {
        site.write(file);
        let output = site.expect(1, &["up", "--detach"]);
        let told = text(&output.stderr).to_lowercase();
        assert!(told.contains(wanted), "`{wanted}` not in:\n{told}");
        assert!(told.contains("hint:") || wanted == "error", "no way out in:\n{told}");
    }
    assert!(site.processes().is_empty());
    let output = site.expect(1, &["up", "nowhere.yaml"]);
    assert!(text(&output.stderr).contains("nowhere.yaml"));
    site.expect(1, &["status"]);
    site.expect(1, &["drill", "zone"]);
}
