//! The repository as `tidy` sees it: Rust files with their test parts marked, manifests, and every text.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::lex::{self, Kind, Source, Token};

/// Files above this size are not read as text; they count for the size of the tree only.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Line of its `fn`.
    pub line: usize,
    /// Line of its closing brace.
    pub last_line: usize,
}

/// One Rust file.
#[derive(Debug)]
pub struct RustFile {
    /// Path from the root, with `/`.
    pub path: String,
    /// The package it belongs to: `balance`, `evenkeel`, `shop`, `it`, `xtask`.
    pub package: String,
    /// Its tokens and comments.
    pub source: Source,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Lines that are compiled for tests only, as first and last.
    test_lines: Vec<(usize, usize)>,
    /// The whole file is a test.
    pub all_test: bool,
    /// Modules declared under `#[cfg(test)]`.
    test_modules: Vec<String>,
    /// Modules declared here.
    pub modules: BTreeSet<String>,
}

impl RustFile {
    /// Whether that line is compiled for tests only.
    #[must_use]
    pub fn is_test(&self, line: usize) -> bool {
        self.all_test || self.test_lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    /// Lines that are not tests.
    #[must_use]
    pub fn product_lines(&self) -> usize {
        (1..=self.source.lines).filter(|line| !self.is_test(*line)).count()
    }

    /// The function around that line, the innermost.
    #[must_use]
    pub fn function_at(&self, line: usize) -> Option<&Function> {
        self.functions.iter().rev().find(|f| (f.line..=f.last_line).contains(&line))
    }
}

/// One `Cargo.toml`.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Path from the root.
    pub path: String,
    /// `package.name`.
    pub name: String,
    /// Every dependency of every kind, with its line.
    pub dependencies: Vec<(String, usize)>,
    /// `[lints] workspace = true` is there.
    pub workspace_lints: bool,
}

/// Any text.
#[derive(Debug)]
pub struct Text {
    /// Path from the root.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// The repository.
#[derive(Debug, Default)]
pub struct Tree {
    /// Rust files.
    pub rust: Vec<RustFile>,
    /// Manifests of packages.
    pub manifests: Vec<Manifest>,
    /// Every file that is UTF-8 text.
    pub texts: Vec<Text>,
    /// Size of all files in bytes.
    pub bytes: u64,
}

impl Tree {
    /// Reads what is below `root`: what git tracks or would track, or every file where there is no git.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        for path in list(root)? {
            let full = root.join(&path);
            // A file that git knows and somebody has just deleted is no finding.
            let Ok(meta) = std::fs::symlink_metadata(&full) else { continue };
            tree.bytes += meta.len();
            if !meta.is_file() || meta.len() > TEXT_BYTES_MAX {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&full) else { continue };
            if path == "Cargo.toml" || path.ends_with("/Cargo.toml") {
                tree.manifests.push(manifest(&path, &text));
            }
            if path.ends_with(".rs") {
                tree.rust.push(rust_file(&path, &text));
            }
            tree.texts.push(Text { path, text });
        }
        tree.name_packages();
        tree.mark_test_files();
        Ok(tree)
    }

    fn name_packages(&mut self) {
        let folders: Vec<(String, String)> = self
            .manifests
            .iter()
            .filter(|m| !m.name.is_empty())
            .map(|m| (m.path.trim_end_matches("Cargo.toml").to_owned(), m.name.clone()))
            .collect();
        for file in &mut self.rust {
            let owner = folders
                .iter()
                .filter(|(folder, _)| file.path.starts_with(folder))
                .max_by_key(|(folder, _)| folder.len());
            file.package = owner.map(|(_, name)| name.clone()).unwrap_or_default();
        }
    }

    /// A file declared as `#[cfg(test)] mod x;` elsewhere is a test too, with everything below it.
    fn mark_test_files(&mut self) {
        let mut stems = Vec::new();
        for file in &self.rust {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let base = match name {
                "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
                _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
            };
            stems.extend(file.test_modules.iter().map(|module| format!("{base}/{module}")));
        }
        for file in &mut self.rust {
            let declared = stems
                .iter()
                .any(|stem| file.path == format!("{stem}.rs") || file.path.starts_with(&format!("{stem}/")));
            file.all_test |= declared;
        }
    }
}

fn list(root: &Path) -> Result<Vec<String>> {
    if root.join(".git").exists() {
        let mut git = Command::new("git");
        git.arg("-C").arg(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        if let Ok(output) = git.output()
            && output.status.success()
        {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let paths: BTreeSet<String> =
                text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned).collect();
            return Ok(paths.into_iter().collect());
        }
    }
    let mut paths = Vec::new();
    walk(root, "", &mut paths)?;
    paths.sort();
    Ok(paths)
}

fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> Result<()> {
    let here = root.join(folder);
    for entry in std::fs::read_dir(&here).with_context(|| format!("cannot list `{}`", here.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(name.as_str(), ".git" | "target" | ".evenkeel") {
            continue;
        }
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            walk(root, &path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Reads the few facts of a manifest that the rules need; not a TOML reader.
fn manifest(path: &str, text: &str) -> Manifest {
    let mut found = Manifest { path: path.to_owned(), ..Manifest::default() };
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('[') {
            section = head.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.dependencies.push((unquoted(name), index + 1));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        match section.as_str() {
            "package" if key == "name" => found.name = unquoted(value),
            "lints" if key == "workspace" => found.workspace_lints = value == "true",
            // `[workspace.dependencies]` only names versions; nothing depends on them yet.
            s if s.ends_with("dependencies") && !s.starts_with("workspace") && !key.starts_with('#') => {
                let name = unquoted(key.split('.').next().unwrap_or(key));
                found.dependencies.push((name, index + 1));
                if let Some((_, renamed)) = value.split_once("package") {
                    let real = renamed.trim_start_matches([' ', '=']).trim_start_matches('"');
                    let real = real.split('"').next().unwrap_or_default();
                    found.dependencies.push((real.to_owned(), index + 1));
                }
            }
            _ => {}
        }
    }
    found
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('"').to_owned()
}

fn rust_file(path: &str, text: &str) -> RustFile {
    let source = lex::lex(text);
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut file = RustFile {
        path: path.to_owned(),
        package: String::new(),
        functions: functions(&source.tokens),
        source,
        test_lines: Vec::new(),
        all_test: name == "tests.rs"
            || name.ends_with("_tests.rs")
            || path.starts_with("tests/")
            || path.contains("/tests/")
            || path.contains("/benches/"),
        test_modules: Vec::new(),
        modules: BTreeSet::new(),
    };
    mark_tests(&mut file);
    file
}

fn is(token: Option<&Token>, text: &str) -> bool {
    token.is_some_and(|t| t.text == text && matches!(t.kind, Kind::Ident | Kind::Punct))
}

/// Index of the token that closes the bracket at `open`, or the last token.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.kind != Kind::Punct {
            continue;
        }
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// Index of the last token of the item that starts at `from`.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut index = from;
    while index < tokens.len() {
        match tokens[index].text.as_str() {
            _ if tokens[index].kind != Kind::Punct => {}
            ";" => return index,
            "{" => return closing(tokens, index),
            "(" | "[" => index = closing(tokens, index),
            _ => {}
        }
        index += 1;
    }
    tokens.len().saturating_sub(1)
}

fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(index + 1) else { continue };
        if token.kind != Kind::Ident || token.text != "fn" || name.kind != Kind::Ident {
            continue;
        }
        let end = item_end(tokens, index);
        if is(tokens.get(end), "}") {
            let last_line = tokens[end].last_line;
            found.push(Function { name: name.text.clone(), line: token.line, last_line });
        }
    }
    found
}

/// `#[test]`, `#[tokio::test(..)]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
fn is_test_attribute(inside: &[Token]) -> bool {
    let texts: Vec<&str> = inside.iter().map(|t| t.text.as_str()).collect();
    match texts.as_slice() {
        ["cfg", "(", "test", ")"] | ["cfg", "(", "all", "(", "test", ..] => true,
        _ => {
            let head = texts.split(|text| *text == "(").next().unwrap_or(&[]);
            head.last() == Some(&"test")
        }
    }
}

fn mark_tests(file: &mut RustFile) {
    let tokens = &file.source.tokens;
    let mut index = 0;
    let mut pending: Option<usize> = None;
    while index < tokens.len() {
        let inner = is(tokens.get(index + 1), "!") && is(tokens.get(index + 2), "[");
        if is(tokens.get(index), "#") && (inner || is(tokens.get(index + 1), "[")) {
            let open = if inner { index + 2 } else { index + 1 };
            let end = closing(tokens, open);
            if is_test_attribute(&tokens[open + 1..end]) {
                file.all_test |= inner;
                pending.get_or_insert(tokens[index].line);
            }
            index = end + 1;
            continue;
        }
        let module = is(tokens.get(index), "mod").then(|| tokens.get(index + 1)).flatten();
        if let Some(name) = module.filter(|name| name.kind == Kind::Ident) {
            file.modules.insert(name.text.clone());
        }
        let Some(first) = pending.take() else {
            index += 1;
            continue;
        };
        let end = item_end(tokens, index);
        let item = &tokens[index..=end.min(tokens.len() - 1)];
        if let Some(at) = item.iter().take(4).position(|t| t.text == "mod")
            && is(item.last(), ";")
            && let Some(name) = item.get(at + 1)
        {
            file.test_modules.push(name.text.clone());
        }
        file.test_lines.push((first, tokens[end].last_line));
        index = end + 1;
    }
}
