//! Rules about the tree as a whole: paths of one machine, error codes, dependencies, size.

use std::collections::BTreeMap;

use super::Found;
use super::lex::Kind;
use super::tree::Tree;

/// Packages in `Cargo.lock`, our own included.
pub const LOCKED_MAX: usize = 350;
/// Everything git tracks, in bytes: a clone stays quick.
pub const TREE_BYTES_MAX: u64 = 40 * 1024 * 1024;
/// The only place dependencies come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(tree: &Tree, found: &mut Found) {
    machine_paths(tree, found);
    error_codes(tree, found);
    locked(tree, found);
    if tree.bytes > TREE_BYTES_MAX {
        let why = format!(
            "the tree holds {} MiB, more than {}; generated data may be tracked",
            tree.bytes >> 20,
            TREE_BYTES_MAX >> 20
        );
        found.add(".", 0, "tree size", why, "generate it in a build or a test instead");
    }
}

/// How many packages `Cargo.lock` names.
#[must_use]
pub fn locked_packages(lock: &str) -> usize {
    lock.lines().filter(|line| *line == "[[package]]").count()
}

fn locked(tree: &Tree, found: &mut Found) {
    let Some(lock) = tree.texts.iter().find(|text| text.path == "Cargo.lock") else { return };
    let count = locked_packages(&lock.text);
    if count > LOCKED_MAX {
        let why =
            format!("{count} locked packages, more than {LOCKED_MAX}; each is code to trust and to build");
        found.add(
            "Cargo.lock",
            1,
            "dependencies",
            why,
            "drop one, or switch off features that pull others in",
        );
    }
    for (index, line) in lock.text.lines().enumerate() {
        if let Some(source) = line.strip_prefix("source = ")
            && source.trim_matches('"') != REGISTRY
        {
            let why = format!("a package comes from {source}, which not everybody reaches or can check");
            found.add("Cargo.lock", index + 1, "dependencies", why, "take it from crates.io");
        }
    }
}

/// Starts of paths that exist on somebody's machine only. In halves, so that this file does not find itself.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("bash", "_jobs"),
];

fn machine_paths(tree: &Tree, found: &mut Found) {
    for text in &tree.texts {
        for (index, line) in text.text.lines().enumerate() {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| starts_path(line, path)) {
                let why = format!("`{path}` is a path of one machine");
                found.add(
                    &text.path,
                    index + 1,
                    "machine path",
                    why,
                    "make it relative, or take it as an option",
                );
            }
        }
    }
}

/// `path` occurs as the start of a path, not inside a longer one such as `example.com/home/`.
fn starts_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '*'))
    })
}

/// Folder of the pages that `evenkeel explain CODE` prints.
const PAGES: &str = "docs/errors/";

fn is_code(text: &str) -> bool {
    text.len() == 5 && text.starts_with('E') && text[1..].bytes().all(|b| b.is_ascii_digit())
}

fn error_codes(tree: &Tree, found: &mut Found) {
    let mut codes: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for file in tree.rust.iter().filter(|f| f.package == "spec" && !f.all_test) {
        for token in file.source.tokens.iter().filter(|t| t.kind == Kind::Str && !file.is_test(t.line)) {
            if is_code(&token.text) {
                codes.entry(&token.text).or_insert((&file.path, token.line));
            }
        }
    }
    for (code, (path, line)) in codes {
        let page = format!("{PAGES}{code}.md");
        if !tree.texts.iter().any(|text| text.path == page) {
            let why = format!("`{code}` has no page, so `evenkeel explain {code}` has nothing to say");
            found.add(path, line, "error page", why, &format!("write {page}"));
        }
    }
}
