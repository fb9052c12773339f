//! YAML text -> a tree that knows where each of its values stands. The only module that knows the YAML parser.
//!
//! Anchors, aliases, tags, merge keys, directives and second documents are mistakes here, so a small file cannot
//! stand for a large one. Depth and number of values are bounded, and so is the time.

use std::borrow::Cow;
use std::collections::BTreeSet;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError};

use crate::codes;
use crate::finding::{Found, Span, quoted};

/// Largest file, in bytes. The largest of 405 compose files in the wild has 60 KB.
pub const FILE_MAX: usize = 1 << 20;
/// Deepest nesting; the table of fields needs 8.
pub const DEPTH_MAX: usize = 32;
/// Most values in one file: 99 services with every key filled in have a tenth of that.
pub const VALUES_MAX: usize = 50_000;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Table(Table),
    /// Something a finding was already made for.
    Broken,
}

/// A text, number, boolean or nothing; what it is depends on [`Scalar::kind`].
#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes and not as a block.
    pub(crate) plain: bool,
    /// Where the text's first byte stands when it is written in the file as it is; `None` when escapes or folded
    /// lines lie between.
    pub(crate) body: Option<usize>,
}

/// Keys in the order of the file, each once.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    /// The key is written without quotes.
    pub(crate) key_plain: bool,
    pub(crate) value: Node,
}

/// What a plain scalar is by the core schema of YAML 1.2 (section 10.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Null,
    Boolean(bool),
    /// Digits with a sign, or `0o`, `0x`.
    Integer,
    /// With a point or exponent, or `.inf`, `.nan`.
    Float,
    Text,
}

impl Scalar {
    pub(crate) fn kind(&self) -> ScalarKind {
        if self.plain { core_schema(&self.text) } else { ScalarKind::Text }
    }
}

/// Resolves a plain scalar.
pub(crate) fn core_schema(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Boolean(true),
        "false" | "False" | "FALSE" => return ScalarKind::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return ScalarKind::Float,
        _ => {}
    }
    let radix = |prefix: &str, base: u32| {
        text.strip_prefix(prefix).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(base)))
    };
    if radix("0o", 8) || radix("0x", 16) {
        return ScalarKind::Integer;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return ScalarKind::Float;
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return ScalarKind::Integer;
    }
    if is_float(unsigned) { ScalarKind::Float } else { ScalarKind::Text }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_good = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_good && exponent_good
}

/// Reads `text`. `None` when it is too large, no YAML, too deep, or empty; then `found` has exactly one error.
pub(crate) fn parse(text: &str, found: &mut Found) -> Option<Node> {
    if text.len() > FILE_MAX {
        found.error(&codes::TOO_LARGE, Span::default(), too_large(text.len()));
        return None;
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_yaml_character(*c)) {
        let span = Span::new(at, at + c.len_utf8());
        let message = format!("the character U+{:04X} is not allowed in YAML", u32::from(c));
        found.error(&codes::ENCODING, span, message).hint(
            "save the file as plain UTF-8 text; in double quotes such a character can be written as `\\u0007`",
        );
        return None;
    }
    // Gathered apart: a syntax error is reported alone, for what stands before it may be misread already.
    let mut collected = Found::default();
    let mut builder = Builder::new(text, &mut collected);
    match builder.run() {
        Ok(()) => {
            let root = builder.root.take();
            *found = collected;
            if root.is_none() && !found.has_errors() {
                found.error(&codes::NOT_A_TABLE, Span::default(), "the file is empty").hint(
                    "the smallest file: `name: shop` and `services: { web: { command: [\"bin/shop\"] } }`",
                );
            }
            root
        }
        Err(stop) => {
            found.error(stop.code, stop.span, stop.message).maybe_hint(stop.hint);
            None
        }
    }
}

/// What is said about a file of so many bytes.
pub(crate) fn too_large(bytes: usize) -> String {
    // A reader that stops one byte past the limit must not be quoted with that number.
    let size = if bytes == FILE_MAX + 1 { "more than 1 MiB".to_owned() } else { format!("{bytes} bytes") };
    format!("the file has {size}; it may have {FILE_MAX} bytes (1 MiB)")
}

/// `c-printable` of YAML 1.2, section 5.1; a byte order mark is handled by the parser.
fn is_yaml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{7e}' | '\u{85}' | '\u{a0}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Why reading ended early.
struct Stopped {
    code: &'static codes::Code,
    span: Span,
    message: String,
    hint: Option<String>,
}

/// A list or table whose end has not come yet.
struct Open {
    start: usize,
    /// The node carries a tag or is otherwise not to be used.
    broken: bool,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Table { table: Table, seen: BTreeSet<String>, key: Option<Key> },
}

/// A key whose value has not come yet.
struct Key {
    span: Span,
    plain: bool,
    /// `None`: the entry is dropped, a finding was made.
    text: Option<String>,
}

struct Builder<'t, 'f> {
    text: &'t str,
    found: &'f mut Found,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    values: usize,
}

impl<'t, 'f> Builder<'t, 'f> {
    fn new(text: &'t str, found: &'f mut Found) -> Self {
        Builder { text, found, open: Vec::new(), root: None, documents: 0, values: 0 }
    }

    fn run(&mut self) -> Result<(), Stopped> {
        let mut options = granit_parser::options! {
            disallow_directives: true,
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
            // Our own count comes first, with a place and for both styles together; the parser looks ahead.
            flow_nesting_limit: 2 * DEPTH_MAX,
            block_nesting_limit: 2 * DEPTH_MAX,
        };
        options.set_emit_comments(false);
        let mut parser = Parser::new_from_str_with_options(self.text, options);
        while let Some(next) = parser.next_event() {
            let (event, at) = next.map_err(|error| self.syntax(&error))?;
            let span = self.span(&at);
            let tag = at.tag_span().map(|tag| self.span(&tag));
            match event {
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        self.found
                            .error(&codes::DOCUMENTS, span, "a second document begins here")
                            .hint("a file is one document; put a second application in a file of its own");
                        return Ok(());
                    }
                }
                Event::Anchor(..) => {
                    let text = &self.text[span.start..span.end];
                    let message = format!("the anchor {} is not used here", quoted(text));
                    self.found
                        .error(&codes::ALIAS, span, message)
                        .hint("write the value where it belongs; a text that begins with `&` goes in quotes");
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => self.alias(span)?,
                Event::Scalar(text, style, _, node_tag) => {
                    self.scalar(text, style, span, node_tag.is_some(), tag)?
                }
                Event::SequenceStart(_, _, node_tag) => {
                    self.begin(OpenKind::List(Vec::new()), span, node_tag.is_some(), tag)?;
                }
                Event::MappingStart(_, _, node_tag) => {
                    let kind = OpenKind::Table { table: Table::default(), seen: BTreeSet::new(), key: None };
                    self.begin(kind, span, node_tag.is_some(), tag)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(span),
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let range = at.byte_range().unwrap_or(0..0);
        self.clamped(range.start, range.end)
    }

    /// A range that is inside the text and on character borders, whatever the parser said.
    fn clamped(&self, start: usize, end: usize) -> Span {
        let border = |at: usize| {
            let mut at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        Span::new(border(start), border(end))
    }

    fn alias(&mut self, span: Span) -> Result<(), Stopped> {
        let text = &self.text[span.start..span.end];
        self.found
            .error(&codes::ALIAS, span, format!("the alias {} is not used here", quoted(text)))
            .hint("write the value where it belongs; a text that begins with `*` goes in quotes");
        if self.takes_key() {
            return self.key(Key { span, plain: true, text: None });
        }
        self.count(span)?;
        self.place(Node { span, value: Value::Broken });
        Ok(())
    }

    fn tagged(&mut self, is_tagged: bool, tag: Option<Span>, span: Span) -> bool {
        if is_tagged {
            let at = tag.unwrap_or(span);
            let message = format!("the tag {} is not used here", quoted(&self.text[at.start..at.end]));
            self.found
                .error(&codes::TAG, at, message)
                .hint("leave it out; a number that is meant as text goes in quotes, as does a text that begins with `!`");
        }
        is_tagged
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        span: Span,
        is_tagged: bool,
        tag: Option<Span>,
    ) -> Result<(), Stopped> {
        let broken = self.tagged(is_tagged, tag, span);
        let plain = style == ScalarStyle::Plain;
        // The parser gives `~` with an empty range for a value that is not there.
        let text = if plain && span.start == span.end { String::new() } else { text.into_owned() };
        if self.takes_key() {
            let text = if broken { None } else { self.key_text(text, plain, span) };
            return self.key(Key { span, plain, text });
        }
        self.count(span)?;
        let value = if broken {
            Value::Broken
        } else {
            let body = self.body(&text, style, span);
            Value::Scalar(Scalar { text, plain, body })
        };
        self.place(Node { span, value });
        Ok(())
    }

    /// Where `text` itself begins inside `span`, when it stands there unchanged.
    fn body(&self, text: &str, style: ScalarStyle, span: Span) -> Option<usize> {
        let skip = match style {
            ScalarStyle::Plain => 0,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
            ScalarStyle::Literal | ScalarStyle::Folded => return None,
        };
        let start = span.start + skip;
        let same = self.text.as_bytes().get(start..start + text.len()) == Some(text.as_bytes());
        // Shorter than the text between the quotes means that an escape was taken out behind it.
        (same && start + text.len() + skip == span.end).then_some(start)
    }

    fn key_text(&mut self, text: String, plain: bool, span: Span) -> Option<String> {
        if plain && text == "<<" {
            self.found
                .error(&codes::MERGE_KEY, span, "merge keys are not used here")
                .hint("write the keys out where they belong");
            return None;
        }
        let kind = if plain { core_schema(&text) } else { ScalarKind::Text };
        let what = match kind {
            ScalarKind::Text if text.is_empty() => "an empty text",
            ScalarKind::Text => return Some(text),
            ScalarKind::Null => "nothing",
            ScalarKind::Boolean(_) => "a boolean",
            ScalarKind::Integer | ScalarKind::Float => "a number",
        };
        self.found.error(&codes::KEY_KIND, span, format!("a key must be a text; this is {what}")).maybe_hint(
            (!text.is_empty()).then(|| {
                format!("put it in quotes if it is meant as a name: \"{}\"", crate::finding::short(&text))
            }),
        );
        None
    }

    fn takes_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: OpenKind::Table { key: None, .. }, .. }))
    }

    fn key(&mut self, mut new: Key) -> Result<(), Stopped> {
        self.count(new.span)?;
        if let Some(Open { kind: OpenKind::Table { seen, key, .. }, .. }) = self.open.last_mut() {
            if let Some(text) = &new.text {
                if seen.contains(text) {
                    let message = format!("the key {} is given twice", quoted(text));
                    self.found.error(&codes::DUPLICATE_KEY, new.span, message).hint("remove one of them");
                    new.text = None;
                } else {
                    seen.insert(text.clone());
                }
            }
            *key = Some(new);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        kind: OpenKind,
        span: Span,
        is_tagged: bool,
        tag: Option<Span>,
    ) -> Result<(), Stopped> {
        let mut broken = self.tagged(is_tagged, tag, span);
        if self.takes_key() {
            self.found
                .error(&codes::KEY_KIND, span, "a key must be a text; this is a list or a table")
                .hint("a text that begins with `{` or `[` goes in quotes");
            broken = true;
        }
        self.count(span)?;
        if self.open.len() == DEPTH_MAX {
            return Err(too_deep(span));
        }
        self.open.push(Open { start: span.start, broken, kind });
        Ok(())
    }

    fn end(&mut self, span: Span) {
        let Some(done) = self.open.pop() else { return };
        // A block ends where the next token begins, lines later; what is pointed at is its own text.
        let end = match &done.kind {
            OpenKind::List(items) => items.last().map(|item| item.span.end),
            OpenKind::Table { table, .. } => {
                table.entries.last().map(|entry| entry.value.span.end.max(entry.key_span.end))
            }
        };
        let is_flow = span.end > span.start;
        let end = if is_flow { span.end } else { end.unwrap_or(done.start) };
        let span = self.clamped(done.start, end);
        let value = match done.kind {
            _ if done.broken => Value::Broken,
            OpenKind::List(items) => Value::List(items),
            OpenKind::Table { table, .. } => Value::Table(table),
        };
        if self.takes_key() {
            // A list or table as a key; `begin` said so already.
            if let Some(Open { kind: OpenKind::Table { key, .. }, .. }) = self.open.last_mut() {
                *key = Some(Key { span, plain: false, text: None });
            }
            return;
        }
        self.place(Node { span, value });
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { kind: OpenKind::List(items), .. }) => items.push(node),
            Some(Open { kind: OpenKind::Table { table, key, .. }, .. }) => {
                if let Some(Key { span, plain, text: Some(text) }) = key.take() {
                    table.entries.push(Entry { key: text, key_span: span, key_plain: plain, value: node });
                }
            }
        }
    }

    fn count(&mut self, span: Span) -> Result<(), Stopped> {
        self.values += 1;
        if self.values <= VALUES_MAX {
            return Ok(());
        }
        Err(Stopped {
            code: &codes::TOO_LARGE,
            span,
            message: format!("the file has more than {VALUES_MAX} keys and values"),
            hint: None,
        })
    }

    /// The parser's error in our words.
    fn syntax(&self, error: &ScanError) -> Stopped {
        let at = self.offset(error.marker());
        let width =
            self.text[at..].chars().next().filter(|c| !matches!(c, '\n' | '\r')).map_or(0, char::len_utf8);
        let span = Span::new(at, at + width);
        let (message, hint) = match error.kind() {
            ErrorKind::RecursionLimitExceeded => return too_deep(span),
            ErrorKind::DirectiveDisallowed => {
                return Stopped {
                    code: &codes::DOCUMENTS,
                    span,
                    message: "directives are not used here".to_owned(),
                    hint: Some("remove this line; the file is YAML 1.2".to_owned()),
                };
            }
            kind => words(kind),
        };
        let message = message.map_or_else(|| format!("this is not YAML: {}", error.kind()), str::to_owned);
        Stopped { code: &codes::SYNTAX, span, message, hint: hint.map(str::to_owned) }
    }

    fn offset(&self, marker: &Marker) -> usize {
        self.clamped(marker.byte_offset().unwrap_or(0), 0).start
    }
}

fn too_deep(span: Span) -> Stopped {
    Stopped {
        code: &codes::TOO_DEEP,
        span,
        message: format!("lists and tables are nested more than {DEPTH_MAX} levels deep"),
        hint: None,
    }
}

/// What a person most likely did, for the mistakes people make; other kinds keep the parser's words.
fn words(kind: &ErrorKind) -> (Option<&'static str>, Option<&'static str>) {
    use ErrorKind as K;
    const SPACES: &str = "indent with spaces";
    const FLOW: &str = "between brackets, a text with `{`, `}`, `[`, `]` or `,` goes in quotes";
    const ALIGN: &str = "keys of one table begin in the same column";
    match kind {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabAtBlockScalarStart
        | K::TabInPlainScalar => (Some("a tab cannot be used here"), Some(SPACES)),
        K::UnclosedQuotedScalar => {
            (Some("a quote is never closed"), Some("close it with the same kind of quote"))
        }
        K::UnclosedFlowCollection { open: '[' } | K::UnexpectedEofFlowSequence => {
            (Some("a `[` is never closed"), Some("close the list with `]`"))
        }
        K::UnclosedFlowCollection { .. }
        | K::UnexpectedEofFlowMapping
        | K::UnexpectedEofImplicitFlowMapping => {
            (Some("a `{` is never closed"), Some("close the table with `}`"))
        }
        K::MismatchedFlowCollectionEnd { .. } => {
            (Some("the bracket that opens here is closed by one of another kind"), None)
        }
        K::MisplacedFlowCollectionEnd => (Some("this bracket closes nothing that is open"), None),
        K::ExpectedFlowSequenceSeparator => (Some("a `,` or `]` is missing before this"), Some(FLOW)),
        K::ExpectedFlowMappingSeparator => (Some("a `,` or `}` is missing before this"), Some(FLOW)),
        K::MappingValueNotAllowed | K::InvalidColonPlacement => (
            Some("a `:` cannot stand here"),
            Some("put a text that holds `: ` in quotes; begin each key on its own line"),
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey => (
            Some("a `:` is missing after this key"),
            Some("a key is written `name: value`, with a space behind the `:`"),
        ),
        K::ExpectedBlockMappingKey | K::InvalidIndentation | K::ExpectedBlockSequenceEntry => {
            (Some("this line does not fit those around it"), Some(ALIGN))
        }
        K::UnexpectedCharacter { .. } => {
            (Some("a value cannot begin with this character"), Some("put the value in quotes"))
        }
        K::UnknownQuotedScalarEscape => (
            Some("unknown escape in double quotes"),
            Some("write `\\\\` for a backslash, or use single quotes"),
        ),
        K::CommentNotSeparated => (Some("a `#` needs a space before it to begin a comment"), None),
        K::BlockSequenceEntryNotAllowed | K::BlockEntryInFlowCollection => (
            Some("a list entry `- ` cannot stand here"),
            Some("begin it on a new line, or write the list as `[one, two]`"),
        ),
        _ => (None, None),
    }
}
