use crate::codes::Code;
use crate::place::{Lines, Place};

/// Most mistakes that are kept and shown; what is beyond is counted.
pub const SHOWN_MAX: usize = 100;

/// Longest piece of the user's own text that is repeated in a message, in characters.
const QUOTED_MAX: usize = 40;

/// A place in the file: a half-open range of byte offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte; never less than `start`.
    pub end: usize,
}

impl Span {
    /// The range from `start` to `end`; empty at `start` when `end` is less.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end: end.max(start) }
    }
}

/// How much a [`Finding`] weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but something in it does not do what one would think.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing to tell about the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its code, `E0107`; [`crate::explain`] has a page for each.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// Where it is.
    pub span: Span,
    /// The same for people.
    pub place: Place,
    /// What is wrong. Control characters of the user's text are escaped.
    pub message: String,
    /// The way out, when known.
    pub hint: Option<String>,
}

/// Collects findings, at most [`SHOWN_MAX`] errors and as many others, in any order.
#[derive(Debug, Default)]
pub(crate) struct Found {
    errors: Vec<Finding>,
    others: Vec<Finding>,
    hidden: usize,
    first_hidden: Option<Span>,
}

/// What [`Found`] gives back, to add a hint to.
pub(crate) struct Shown<'a>(Option<&'a mut Finding>);

impl Shown<'_> {
    /// Adds the way out.
    pub(crate) fn hint(self, text: impl Into<String>) {
        self.maybe_hint(Some(text.into()));
    }

    /// Adds the way out when there is one.
    pub(crate) fn maybe_hint(self, text: Option<String>) {
        if let (Some(finding), Some(text)) = (self.0, text) {
            finding.hint = Some(escaped(&text));
        }
    }
}

impl Found {
    pub(crate) fn error(&mut self, code: &'static Code, span: Span, message: impl Into<String>) -> Shown<'_> {
        self.add(code, Severity::Error, span, message.into())
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static Code,
        span: Span,
        message: impl Into<String>,
    ) -> Shown<'_> {
        self.add(code, Severity::Warning, span, message.into())
    }

    pub(crate) fn note(&mut self, code: &'static Code, span: Span, message: impl Into<String>) -> Shown<'_> {
        self.add(code, Severity::Note, span, message.into())
    }

    /// Whether more errors would only be counted; then suggestions need not be searched for.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= SHOWN_MAX
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    fn add(&mut self, code: &'static Code, severity: Severity, span: Span, message: String) -> Shown<'_> {
        let list = if severity == Severity::Error { &mut self.errors } else { &mut self.others };
        if list.len() >= SHOWN_MAX {
            self.hidden += 1;
            self.first_hidden.get_or_insert(span);
            return Shown(None);
        }
        list.push(Finding {
            code: code.id,
            severity,
            span,
            place: Place::default(),
            message: escaped(&message),
            hint: None,
        });
        Shown(list.last_mut())
    }

    /// The findings in the order of the file, with one more at the end when some are not shown.
    pub(crate) fn finish(mut self, text: &str) -> Vec<Finding> {
        let mut all = self.errors;
        all.append(&mut self.others);
        all.sort_by_key(|finding| (finding.span.start, finding.severity));
        if let Some(span) = self.first_hidden {
            let severity = all.iter().map(|finding| finding.severity).min().unwrap_or(Severity::Error);
            all.push(Finding {
                code: crate::codes::MORE.id,
                severity,
                span,
                place: Place::default(),
                message: format!("and {} more", self.hidden),
                hint: Some("correct those above first; one mistake often causes many".to_owned()),
            });
        }
        let lines = Lines::new(text);
        for finding in &mut all {
            finding.place = lines.place(finding.span.start);
        }
        all
    }
}

/// The user's text as a message may repeat it: escaped, cut, in backticks.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", short(text))
}

/// The user's text, escaped and cut, without backticks.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// `text` with an escape for each character that [`is_hidden`].
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Whether a terminal would act on `c` or show nothing: control characters, line and paragraph separators, the
/// characters that turn the writing direction, and those without width.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
