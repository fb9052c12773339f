//! What a `decide*` file may name: nothing that a simulation could not give it.

use super::Found;
use super::layers;
use super::lex::{Kind, Token};
use super::tree::{RustFile, Tree, closing};

/// Names with which the outside world comes in.
const OUTSIDE: &[(&str, &str)] = &[
    ("tokio", "the runtime"),
    ("async", "waiting"),
    ("await", "waiting"),
    ("Instant", "the machine's clock"),
    ("SystemTime", "the machine's clock"),
    ("HashMap", "hash order"),
    ("HashSet", "hash order"),
    ("RandomState", "hash order"),
    ("rand", "chance nobody can replay"),
    ("thread_rng", "chance nobody can replay"),
    ("TcpStream", "a socket"),
    ("TcpListener", "a socket"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("UnixListener", "a socket"),
    ("UnixDatagram", "a socket"),
    ("Mutex", "a lock"),
    ("RwLock", "a lock"),
];

/// Modules of `std` that reach outside. `std::net` gives addresses as plain data; its sockets are named above.
const STD_OUTSIDE: &[&str] = &["fs", "process", "thread", "env", "os", "io"];

/// Where a path starts and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// It stands in a `use`.
    pub(super) import: bool,
}

/// Every path of the code: each branch of a `use` tree, and each inline path of two names or more.
pub(super) fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        if token.kind == Kind::Ident && token.text == "use" {
            index = tree_of(tokens, index + 1, &[], &mut found);
            continue;
        }
        let starts = token.kind == Kind::Ident && separator(tokens, index + 1) && !follows(tokens, index);
        if !starts {
            index += 1;
            continue;
        }
        let (mut segments, line) = (vec![token.text.clone()], token.line);
        index += 1;
        while separator(tokens, index) && tokens.get(index + 2).is_some_and(|t| t.kind == Kind::Ident) {
            segments.push(tokens[index + 2].text.clone());
            index += 3;
        }
        found.push(Path { segments, line, import: false });
    }
    found
}

fn separator(tokens: &[Token], at: usize) -> bool {
    let colon = |index: usize| tokens.get(index).is_some_and(|t| t.kind == Kind::Punct && t.text == ":");
    colon(at) && colon(at + 1)
}

/// Something stands before `index` that makes it no start of a path.
fn follows(tokens: &[Token], index: usize) -> bool {
    let Some(before) = index.checked_sub(1).map(|i| &tokens[i]) else { return false };
    if index < 2 || !separator(tokens, index - 2) {
        return before.text == ".";
    }
    // `::name` at the start of a path names a crate; after a name or `>` it goes on with one.
    index >= 3 && (tokens[index - 3].kind == Kind::Ident || tokens[index - 3].text == ">")
}

/// Reads one `use` tree from `at`; returns the index after it.
fn tree_of(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ":" => at += 1,
            "{" => {
                let end = closing(tokens, at);
                at += 1;
                while at < end {
                    let next = tree_of(tokens, at, &segments, found);
                    // Past the comma, and past anything that cannot stand in a `use`.
                    at = if next == at || tokens.get(next).is_some_and(|t| t.text == ",") {
                        next + 1
                    } else {
                        next
                    };
                }
                return end + 1;
            }
            "as" => at += 2,
            "*" => {
                segments.push("*".to_owned());
                at += 1;
            }
            _ if token.kind == Kind::Ident => {
                segments.push(token.text.clone());
                at += 1;
            }
            _ => break,
        }
    }
    found.push(Path { segments, line, import: true });
    if tokens.get(at).is_some_and(|t| t.text == ";") { at + 1 } else { at }
}

/// Whether the purity rule holds for a file: `decide.rs`, `decide_x.rs`, `decide/x.rs`.
fn is_decide(path: &str) -> bool {
    path.split('/').any(|part| {
        let stem = part.trim_end_matches(".rs");
        stem == "decide" || stem.starts_with("decide_")
    }) && path.contains("/src/")
        && !path.starts_with("xtask/")
}

pub(super) fn check(tree: &Tree, found: &mut Found) {
    for file in tree.rust.iter().filter(|file| is_decide(&file.path) && !file.all_test) {
        for token in file.source.tokens.iter().filter(|t| t.kind == Kind::Ident && !file.is_test(t.line)) {
            if let Some((name, what)) = OUTSIDE.iter().find(|(name, _)| *name == token.text) {
                outside(file, token.line, name, what, found);
            }
        }
        for path in paths(&file.source.tokens).iter().filter(|p| !file.is_test(p.line)) {
            judge(tree, file, path, found);
        }
    }
}

fn outside(file: &RustFile, line: usize, name: &str, what: &str, found: &mut Found) {
    let why = format!("`{name}` brings in {what}; a decision must be replayable from what it was given");
    found.add(
        &file.path,
        line,
        "decide",
        why,
        "take the value as an argument, give the effect back as an action",
    );
}

fn judge(tree: &Tree, file: &RustFile, path: &Path, found: &mut Found) {
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["std" | "core" | "alloc", module, ..] if STD_OUTSIDE.contains(module) => {
            let name = segments[..2].join("::");
            outside(file, path.line, &name, "the operating system", found);
        }
        ["std" | "core" | "alloc" | "model" | "self" | "Self", ..] => {}
        ["crate" | "super", ..] if own_module(file, &segments) => {}
        ["crate" | "super", ..] => foreign(file, path, &segments, found),
        [root, ..] if path.import && !local(tree, file, root) => foreign(file, path, &segments, found),
        [root, ..] if layers::layer(root).is_some_and(|_| !local(tree, file, root)) => {
            foreign(file, path, &segments, found);
        }
        _ => {}
    }
}

/// A `use` may start at a type of the file itself: `use Phase::*`, or at one of its own modules.
fn local(tree: &Tree, file: &RustFile, root: &str) -> bool {
    root.starts_with(|c: char| c.is_ascii_uppercase())
        || tree.rust.iter().any(|f| f.package == file.package && f.modules.contains(root))
}

/// Whether `crate::..` or `super::..` leads to a `decide*` module.
fn own_module(file: &RustFile, segments: &[&str]) -> bool {
    let inside = file.path.split_once("/src/").map_or("", |(_, inside)| inside);
    let mut module: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if module.last() == Some(&"mod") {
        module.pop();
    }
    let mut rest = segments;
    while let Some((first, tail)) = rest.split_first() {
        match *first {
            "crate" => module.clear(),
            "super" => {
                module.pop();
            }
            _ => break,
        }
        rest = tail;
    }
    module.extend(rest);
    module.iter().any(|part| *part == "decide" || part.starts_with("decide_"))
}

fn foreign(file: &RustFile, path: &Path, segments: &[&str], found: &mut Found) {
    let why = format!(
        "`{}` is neither `model`, the standard library nor another `decide*` file; what a decision uses must be pure too",
        segments.join("::")
    );
    found.add(
        &file.path,
        path.line,
        "decide",
        why,
        "move the type here, to a `decide_*` file, or to `model`",
    );
}
