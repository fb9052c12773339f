//! Findings as people read them: STYLE A4, drawn by `annotate-snippets`.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::finding::{Finding, Severity, Span, is_hidden};

/// Most characters of a line that are shown on each side of the place.
const CONTEXT_MAX: usize = 60;

/// A place as people count: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters (Unicode scalar values).
    pub column: usize,
}

/// Where each line of a text begins; finding a place costs a binary search and one line.
#[derive(Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Looks through `text` once. Lines end with LF, CR LF or CR, as in YAML 1.2.
    #[must_use]
    pub fn new(text: &'t str) -> Lines<'t> {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            if ends {
                starts.push(at + 1);
            }
        }
        Lines { text, starts }
    }

    /// The place of a byte offset; one past the end is the end.
    #[must_use]
    pub fn place(&self, offset: usize) -> Place {
        let (line, before, _) = self.line(offset);
        Place { line, column: before.chars().count() + 1 }
    }

    /// The number of the line `offset` is in, what stands before it and what from it on; no byte order mark.
    fn line(&self, offset: usize) -> (usize, &'t str, &'t str) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        let before = &self.text[start..offset];
        let before = if start == 0 { before.strip_prefix('\u{feff}').unwrap_or(before) } else { before };
        let after = if offset == 0 {
            self.text[..end].trim_start_matches('\u{feff}')
        } else {
            &self.text[offset..end]
        };
        (line, before.trim_end_matches(['\r', '\n']), after.trim_end_matches(['\r', '\n']))
    }
}

/// Findings for a terminal (`colour`) or a file, in the given order, an empty line between two.
///
/// `text` is what was read, `origin` its name. No control character of either reaches the output.
#[must_use]
pub fn render(findings: &[Finding], text: &str, origin: &str, colour: bool) -> String {
    let lines = Lines::new(text);
    let origin = shown(origin);
    let renderer = if colour { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let all: Vec<String> = findings.iter().map(|finding| one(finding, &lines, &origin, &renderer)).collect();
    all.join("\n")
}

fn one(finding: &Finding, lines: &Lines<'_>, origin: &str, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let (number, before, after) = lines.line(finding.span.start);
    let column = before.chars().count() + 1;
    let (line, span) = cut(before, after, finding.span);
    let snippet = Snippet::source(line)
        .line_start(number)
        .annotation(AnnotationKind::Primary.span(span.start..span.end));
    let message = shown(&finding.message);
    let mut report = vec![
        level
            .primary_title(message.as_str())
            .id(finding.code)
            .element(Origin::path(origin).line(number).char_column(column))
            .element(snippet),
    ];
    if let Some(hint) = &finding.hint {
        report.push(Group::with_title(Level::HELP.with_name("hint").secondary_title(shown(hint))));
    }
    let mut out = without_gutter(&renderer.render(&report));
    out.push('\n');
    out
}

/// The part of the line around the place, and the place in it. Characters a terminal would act on become `\u{fffd}`,
/// one for one, so that the caret stays below what it means.
fn cut(before: &str, after: &str, span: Span) -> (String, Span) {
    let skipped = before.chars().count().saturating_sub(CONTEXT_MAX);
    let mut line = String::new();
    if skipped > 0 {
        line.push('…');
    }
    line.extend(before.chars().skip(skipped).map(visible));
    let start = line.len();
    let mut end = start;
    for (count, (at, c)) in after.char_indices().enumerate() {
        if count == CONTEXT_MAX {
            line.push('…');
            break;
        }
        line.push(visible(c));
        if at < span.end.saturating_sub(span.start) {
            end = line.len();
        }
    }
    (line, Span::new(start, end))
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_hidden(c) => '\u{fffd}',
        c => c,
    }
}

fn shown(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// STYLE A4 has no lines with an empty gutter, and no second mark for where the snippet comes from.
fn without_gutter(drawn: &str) -> String {
    let kept: Vec<&str> = drawn.lines().filter(|line| !matches!(plain(line).trim(), "|" | ":::")).collect();
    kept.join("\n")
}

/// `line` without the colours.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for inner in chars.by_ref() {
                if inner.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}
