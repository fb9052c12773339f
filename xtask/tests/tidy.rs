//! The tree is tidy, and each rule finds what it is there for.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use xtask::tidy;

/// A small tree of its own that goes away at the end.
struct Planted(PathBuf);

impl Planted {
    fn new(name: &str, files: &[(&str, &str)]) -> Planted {
        let root = std::env::temp_dir().join(format!("evenkeel-tidy-{}-{name}", std::process::id()));
        let planted = Planted(root);
        for package in ["model", "zone", "balance", "net", "spec", "evenkeel"] {
            let manifest = format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n");
            planted.write(&format!("crates/{package}/Cargo.toml"), &manifest);
            planted.write(&format!("crates/{package}/src/lib.rs"), "//! Fine.\n");
        }
        for (path, text) in files {
            planted.write(path, text);
        }
        planted
    }

    fn write(&self, path: &str, text: &str) {
        let full = self.0.join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Plants `text` at `path`; `expected` lists `line rule` of every finding.
#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let name = std::panic::Location::caller().line();
    let case = format!("{name}-{}", text.len());
    let planted = Planted::new(&case, &[(path, text)]);
    let found = tidy::check(&planted.0).unwrap();
    let short: Vec<String> = found.iter().map(|f| format!("{} {}", f.line, f.rule)).collect();
    assert_eq!(short, expected, "{path}: {text}\n{found:#?}");
    assert!(found.iter().all(|f| f.path == path || f.path == "."), "{found:?}");
    assert!(found.iter().all(|f| !f.why.is_empty() && !f.way_out.is_empty()), "{found:?}");
}

#[test]
fn this_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = tidy::check(root).unwrap();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), lines.join("\n"));
}

#[test]
fn a_part_that_uses_its_neighbour_or_the_floor_above_is_found() {
    let head = "[package]\nname = \"zone\"\n[lints]\nworkspace = true\n[dependencies]\n";
    check("crates/zone/Cargo.toml", &format!("{head}model.workspace = true\nnet.workspace = true"), &[]);
    check("crates/zone/Cargo.toml", &format!("{head}balance.workspace = true"), &["6 layer"]);
    check(
        "crates/zone/Cargo.toml",
        &format!("{head}b = {{ path = \"../b\", package = \"balance\" }}"),
        &["6 layer"],
    );
    check("crates/zone/Cargo.toml", &format!("{head}[dependencies.evenkeel]\npath = \"x\""), &["6 layer"]);
    check(
        "crates/zone/Cargo.toml",
        &format!("{head}[dev-dependencies]\nevenkeel.workspace = true"),
        &["7 layer"],
    );
    check("crates/zone/src/lib.rs", "use {balance::Front, model::Plan};", &["1 layer"]);
    check("crates/zone/src/lib.rs", "fn f() { ::balance::go(); }", &["1 layer"]);
    check("crates/zone/src/lib.rs", "use ::balance::Front;", &["1 layer"]);
    check("crates/zone/src/lib.rs", "fn f() { a::balance::go(); <A as B>::balance::go(); }", &[]);
    check("crates/zone/src/lib.rs", "mod balance {}\nuse balance::Front;", &[]);
    check("crates/model/src/lib.rs", "fn f() -> spec::App {}", &["1 layer"]);
    check("crates/new/Cargo.toml", "[package]\nname = \"new\"\n[lints]\nworkspace = true\n", &["1 layer"]);
    check("crates/zone/Cargo.toml", "[package]\nname = \"zone\"\n", &["1 lints"]);
}

#[test]
fn a_file_or_function_nobody_can_hold_in_the_head_is_found() {
    let long = "const A: u8 = 1;\n".repeat(800);
    check("crates/net/src/big.rs", &long, &["1 file size"]);
    check("crates/net/src/big.rs", &long[17..], &[]);
    check("crates/net/src/big.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}\n"), &[]);
    check("crates/net/src/tests.rs", &long, &[]);
    let body = "    a();\n".repeat(68);
    check("crates/net/src/f.rs", &format!("\nfn f() {{\n{body}}}\n"), &["2 function size"]);
    check("crates/net/src/f.rs", &format!("fn f() {{\n{}}}\n", &body[9..]), &[]);
    check("crates/net/src/f.rs", &format!("#[test]\nfn f() {{\n{body}}}\n"), &[]);
    check(
        "crates/net/src/f.rs",
        &format!("fn f() -> [u8; {{ 2 }}] where u8: Copy {{\n{body}}}\n"),
        &["1 function size"],
    );
}

#[test]
fn a_decision_that_asks_the_world_is_found() {
    let at = "crates/zone/src/decide.rs";
    check(at, "use model::Plan;\nuse std::collections::BTreeMap;\nuse std::net::SocketAddr;", &[]);
    check(at, "use super::decide_rows::Row;\nuse crate::decide::Other;\nuse self::inner::X;", &[]);
    check(at, "use std::collections::{BTreeMap, HashMap};", &["1 decide"]);
    check(at, "fn f() { let x = std::time::Instant::now(); }", &["1 decide"]);
    check(at, "fn f() { std::fs::read(\"x\"); }", &["1 decide"]);
    check(at, "\nuse tokio::sync::watch;", &["2 decide", "2 decide"]);
    check(at, "async fn f() {}", &["1 decide"]);
    check(at, "use std::net::{IpAddr, TcpStream};", &["1 decide"]);
    check(at, "use crate::drive::Loop;", &["1 decide"]);
    check(at, "use super::status::Status;", &["1 decide"]);
    check(at, "fn f() { crate::drive::go(); }", &["1 decide"]);
    check(at, "use {#[x] model::Plan, crate::drive::Loop, ; use }", &["1 decide"; 3]);
    check(at, "use serde::Serialize;", &["1 decide"]);
    check(at, "fn f() { rand::random(); }", &["1 decide"]);
    check(at, "// tokio and Instant\nconst A: &str = \"HashMap\";", &[]);
    check(at, "#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}", &[]);
    check("crates/zone/src/decide/rows.rs", "use super::Row;", &[]);
    check("crates/zone/src/decide/rows.rs", "use super::super::drive::Row;", &["1 decide"]);
    check("crates/zone/src/decide_more.rs", "use crate::drive::Row;", &["1 decide"]);
    check("crates/zone/src/drive.rs", "use std::time::Instant;", &[]);
}

#[test]
fn a_call_that_hides_a_crash_or_a_lost_task_is_found() {
    let at = "crates/net/src/x.rs";
    check(at, "fn f() { g().unwrap(); }", &["1 unwrap"]);
    check(at, "fn f() { g().unwrap_or(1); }", &[]);
    check(at, "fn f() { g().expect(\"x\"); }", &["1 expect"]);
    check(at, "fn f() {\n // cannot fail: g is pure\n g().expect(\"x\"); }", &[]);
    check(at, "fn f() {\n // cannot fail: g is pure,\n // and small\n g().expect(\"x\"); }", &[]);
    check(at, "fn f() { g().expect(\"x\"); } // cannot fail: pure", &[]);
    check(at, "// cannot fail: this is for another line\n\nfn f() { g().expect(\"x\"); }", &["3 expect"]);
    check(at, "#[test]\nfn f() { g().unwrap(); }\nfn h() { g().unwrap(); }", &["3 unwrap"]);
    check(at, "#[cfg(not(test))]\nfn f() { g().unwrap(); }", &["2 unwrap"]);
    check(at, "fn f() { tokio::spawn(async {}); }", &["1 spawn"]);
    check(at, "use tokio::task::spawn;", &["1 spawn"]);
    check(at, "fn f() { x.spawn_local(a); }", &["1 spawn"]);
    check(at, "fn spawn_named() { tokio::task::spawn_local(a); }", &[]);
    check(at, "fn spawn_a() { spawn_local(a); }\nfn spawn_b() { spawn_local(a); }", &["2 spawn"]);
    check("crates/zone/src/x.rs", "fn spawn_named() { spawn_local(a); }", &["1 spawn"]);
    check(at, "fn f() { mpsc::unbounded_channel(); }", &["1 unbounded"]);
    check(at, "fn f() { std::sync::mpsc::channel(); tokio::sync::mpsc::channel(8); }", &["1 unbounded"]);
    check(at, "fn f() { todo!() }", &["1 open end"]);
    check(at, &format!("// {}: later", concat!("TO", "DO")), &["1 open end"]);
    check(at, "fn f() { println!(\"x\"); }", &["1 print"]);
    check("crates/evenkeel/src/x.rs", "fn f() { println!(\"x\"); }", &[]);
    check("crates/net/examples/x.rs", "fn f() { println!(\"x\"); }", &[]);
    check(at, "async fn f() { tokio::select! { a = b => {} } }", &["1 select"]);
    check(at, "async fn f() { tokio::select! { biased; a = b => {} } }", &[]);
    check(at, "fn f() { std::thread::sleep(d); }", &["1 sleep"]);
    check(at, "use std::thread;\nfn f() { thread::sleep(d); }", &["2 sleep"]);
    check(at, "#[allow(clippy::unwrap_used)]\nfn f() {}", &["1 lints"]);
}

#[test]
fn a_test_in_a_file_of_its_own_is_a_test() {
    let planted = Planted::new(
        "own-file",
        &[
            ("crates/net/src/pool.rs", "#[cfg(test)]\nmod check;\nmod work;\n"),
            ("crates/net/src/pool/check.rs", "fn f() { g().unwrap(); }"),
            ("crates/net/src/pool/work.rs", "fn f() { g().unwrap(); }"),
            ("crates/net/tests/whole.rs", "fn f() { g().unwrap(); }"),
        ],
    );
    let found = tidy::check(&planted.0).unwrap();
    let paths: Vec<&str> = found.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["crates/net/src/pool/work.rs"]);
}

#[test]
fn what_only_one_machine_knows_is_found() {
    let path = concat!("/wo", "rk/x");
    check("docs/a.md", &format!("fine\nsee {path}"), &["2 machine path"]);
    check("docs/a.md", &format!("https://example.com{path}"), &[]);
    check("crates/net/src/x.rs", &format!("const A: &str = \"{path}\";"), &["1 machine path"]);
    check(
        "Cargo.lock",
        "[[package]]\nsource = \"registry+https://mirror.example/index\"",
        &["2 dependencies"],
    );
    check("Cargo.lock", &"[[package]]\n".repeat(351), &["1 dependencies"]);
    check("crates/spec/src/x.rs", "const A: &str = \"E0107\";", &["1 error page"]);
    let planted = Planted::new(
        "page",
        &[("crates/spec/src/x.rs", "const A: &str = \"E0107\";"), ("docs/errors/E0107.md", "x")],
    );
    assert_eq!(tidy::check(&planted.0).unwrap(), []);
    let big = "x".repeat(41 << 20);
    check("data.bin", &big, &["0 tree size"]);
}
