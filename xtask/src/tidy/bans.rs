//! Calls that are not made here.

use super::Found;
use super::decide::paths;
use super::lex::{Kind, Token};
use super::tree::{RustFile, Tree};

/// Packages that talk to a person on a terminal.
const TALKING: &[&str] = &["evenkeel", "xtask", "shop", "bench"];
/// Packages whose per-core workers own a runtime that lives on one thread.
const LOCAL_WORKERS: &[&str] = &["balance", "net"];
/// Tools of this house: blocking programs without tasks.
const TOOLS: &[&str] = &["xtask", "bench"];
/// What an `expect` needs beside it.
const CANNOT_FAIL: &str = "// cannot fail:";

pub(super) fn check(tree: &Tree, found: &mut Found) {
    for file in tree.rust.iter().filter(|file| !file.package.is_empty()) {
        comments(file, found);
        if file.all_test {
            continue;
        }
        spawns(file, found);
        let tokens = &file.source.tokens;
        for index in 0..tokens.len() {
            if tokens[index].kind == Kind::Ident && !file.is_test(tokens[index].line) {
                calls(file, tokens, index, found);
                macros(file, tokens, index, found);
            }
        }
    }
    local_spawns(tree, found);
}

fn punct(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|t| t.kind == Kind::Punct && t.text == text)
}

fn calls(file: &RustFile, tokens: &[Token], at: usize, found: &mut Found) {
    let (name, line) = (tokens[at].text.as_str(), tokens[at].line);
    let method = at > 0 && punct(tokens, at - 1, ".") && punct(tokens, at + 1, "(");
    match name {
        "unwrap" if method => found.add(
            &file.path,
            line,
            "unwrap",
            "`unwrap()` turns a bad moment into a crash without a reason",
            "return an error, or match the value",
        ),
        "expect" if method && !explained(file, line) => found.add(
            &file.path,
            line,
            "expect",
            "`expect()` crashes, and nothing says why that cannot happen",
            "return an error; where it truly cannot fail, say why in a line `// cannot fail: ..` above",
        ),
        "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" => found.add(
            &file.path,
            line,
            "unbounded",
            format!("`{name}` grows until memory ends when its reader is slow"),
            "use a bounded channel, its size a named constant with a unit",
        ),
        "channel" if punct(tokens, at + 1, "(") && punct(tokens, at + 2, ")") && is_mpsc(tokens, at) => found
            .add(
                &file.path,
                line,
                "unbounded",
                "`mpsc::channel()` grows until memory ends when its reader is slow",
                "use `sync_channel` with a named size",
            ),
        "unwrap_used" | "missing_docs" | "unsafe_code" if is_allow(tokens, at) => found.add(
            &file.path,
            line,
            "lints",
            format!("`{name}` is switched off here, so the lint no longer means anything"),
            "mend what the lint says",
        ),
        _ => {}
    }
}

fn is_mpsc(tokens: &[Token], at: usize) -> bool {
    at >= 3 && punct(tokens, at - 1, ":") && tokens[at - 3].text == "mpsc"
}

/// `allow(.., name`: the attribute that switches a lint off.
fn is_allow(tokens: &[Token], at: usize) -> bool {
    tokens[..at].iter().rev().take(8).take_while(|t| t.text != "[").any(|t| t.text == "allow")
}

/// The call's line, or the comment block directly above it, says why it cannot fail.
fn explained(file: &RustFile, line: usize) -> bool {
    let says = |at: usize| {
        let comment = file.source.comments.iter().find(|c| c.line == at);
        comment.map(|c| (c.alone, c.text.starts_with(CANNOT_FAIL)))
    };
    if says(line).is_some_and(|(_, reason)| reason) {
        return true;
    }
    (1..line).rev().map_while(says).take_while(|(alone, _)| *alone).any(|(_, reason)| reason)
}

fn macros(file: &RustFile, tokens: &[Token], at: usize, found: &mut Found) {
    if !punct(tokens, at + 1, "!") || punct(tokens, at + 2, "=") {
        return;
    }
    let (name, line) = (tokens[at].text.as_str(), tokens[at].line);
    match name {
        "todo" | "unimplemented" => found.add(
            &file.path,
            line,
            "open end",
            format!("`{name}!` crashes whoever comes this way"),
            "build it, or return an error that says it is not there",
        ),
        "dbg" => found.add(&file.path, line, "print", "`dbg!` was for looking", "take it out"),
        "print" | "println" | "eprint" | "eprintln" if !talks(file) => found.add(
            &file.path,
            line,
            "print",
            format!("`{name}!` in a library mixes with what the command prints"),
            "return the text, or log with `tracing`",
        ),
        "select" if !is_biased(tokens, at + 2) => found.add(
            &file.path,
            line,
            "select",
            "`select!` without `biased;` picks by chance, so that stopping may lose to work",
            "start it with `biased;`, the branch that stops first",
        ),
        _ => {}
    }
}

fn talks(file: &RustFile) -> bool {
    TALKING.contains(&file.package.as_str()) || file.path.contains("/examples/")
}

fn is_biased(tokens: &[Token], open: usize) -> bool {
    tokens.get(open + 1).is_some_and(|t| t.text == "biased")
}

fn spawns(file: &RustFile, found: &mut Found) {
    for path in paths(&file.source.tokens).iter().filter(|p| !file.is_test(p.line)) {
        let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        let tokio = segments.first() == Some(&"tokio") || segments.first() == Some(&"task");
        if tokio && segments.last() == Some(&"spawn") && file.package != "world" {
            found.add(
                &file.path,
                path.line,
                "spawn",
                "a bare spawn makes a task nobody knows, stops or waits for",
                "use `world::Tasks::spawn` with a name",
            );
        }
        if segments.ends_with(&["thread", "sleep"]) && !TOOLS.contains(&file.package.as_str()) {
            found.add(
                &file.path,
                path.line,
                "sleep",
                "`thread::sleep` blocks every task of its thread and cannot be stopped",
                "use the runtime's timer beside `stop.requested()`",
            );
        }
    }
}

/// `spawn_local` is for per-core workers, each crate through one function whose name starts with `spawn_`.
fn local_spawns(tree: &Tree, found: &mut Found) {
    let mut doors: Vec<(String, String, String)> = Vec::new();
    for file in tree.rust.iter().filter(|file| !file.all_test && file.package != "world") {
        for token in &file.source.tokens {
            if token.kind != Kind::Ident || token.text != "spawn_local" || file.is_test(token.line) {
                continue;
            }
            let door = file
                .function_at(token.line)
                .filter(|f| LOCAL_WORKERS.contains(&file.package.as_str()) && f.name.starts_with("spawn_"))
                .map(|f| (file.package.clone(), file.path.clone(), f.name.clone()));
            let Some(door) = door else {
                local_spawn(file, token.line, "its task has no name and no owner", found);
                continue;
            };
            if doors.iter().any(|known| known.0 == door.0 && *known != door) {
                local_spawn(file, token.line, "this crate has another function that does it", found);
            }
            doors.push(door);
        }
    }
}

fn local_spawn(file: &RustFile, line: usize, why: &str, found: &mut Found) {
    let why = format!("`spawn_local`: {why}");
    let way_out =
        "use `world::Tasks`; per-core workers have one function `spawn_..` for it in `balance` and `net`";
    found.add(&file.path, line, "spawn", why, way_out);
}

fn comments(file: &RustFile, found: &mut Found) {
    // In two halves, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for comment in &file.source.comments {
        let words = comment.text.split(|c: char| !c.is_ascii_alphanumeric());
        if let Some(mark) = words.into_iter().find(|word| marks.contains(word)) {
            let why = format!("`{mark}` is a promise nobody reads again");
            found.add(&file.path, comment.line, "open end", why, "do it, or open an issue");
        }
    }
}
