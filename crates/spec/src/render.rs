//! Findings as people read them: STYLE A4, drawn by `annotate-snippets`.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::finding::{Finding, Severity, Span, is_hidden};
use crate::place::Lines;

/// Most characters of a line that are shown on each side of the place.
const CONTEXT_MAX: usize = 60;

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
    let (_, before, after) = lines.line(finding.span.start);
    let (number, column) = (finding.place.line, finding.place.column);
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
    // From the place backwards: the line may be the whole file.
    let from = before.char_indices().rev().nth(CONTEXT_MAX - 1).map_or(0, |(at, _)| at);
    let mut line = String::new();
    if from > 0 {
        line.push('…');
    }
    line.extend(before[from..].chars().map(visible));
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
