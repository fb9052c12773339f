//! `${...}` in commands and environment values, with the place of each mistake inside the text.

use model::{Template, Variable};

use crate::check::Checker;
use crate::codes;
use crate::finding::{Span, quoted, short};
use crate::suggest;
use crate::tree::Scalar;

/// Longest name between the braces.
const NAME_MAX: usize = 140;

/// `${NAME.url}` or `${secret.NAME}`: what it names is looked up in `lower`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Later {
    /// `db.url`, `secret.X`.
    pub(crate) name: String,
    pub(crate) span: Span,
}

/// One mistake in a text.
enum Mistake<'t> {
    Unknown(&'t str),
    Stray,
    Unclosed,
}

impl Checker<'_, '_> {
    /// Reads a template. Secrets stay in the text as they are; no part of this version provides them.
    pub(crate) fn template(&mut self, scalar: &Scalar, span: Span) -> Option<(Template, Vec<Later>)> {
        let text = scalar.text.as_str();
        let mut later = Vec::new();
        let mut mistakes = Vec::new();
        // The text for `model::Template`, where what it does not know is escaped.
        let mut escaped = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(offset) = text[at..].find('$') {
            let dollar = at + offset;
            escaped.push_str(&text[at..dollar]);
            let after = &text[dollar + 1..];
            if after.starts_with('$') {
                escaped.push_str("$$");
                at = dollar + 2;
                continue;
            }
            let Some(inner) = after.strip_prefix('{') else {
                mistakes.push((dollar, dollar + 1, Mistake::Stray));
                at = dollar + 1;
                continue;
            };
            let Some(length) = inner.find('}') else {
                mistakes.push((dollar, text.len(), Mistake::Unclosed));
                at = text.len();
                break;
            };
            let name = &inner[..length];
            let end = dollar + 2 + length + 1;
            if Variable::ALL.iter().any(|(known, _)| *known == name) {
                escaped.push_str(&text[dollar..end]);
            } else if is_later(name) {
                later.push(Later { name: name.to_owned(), span: place(scalar, span, dollar, end) });
                if !is_url(name) {
                    escaped.push('$');
                }
                escaped.push_str(&text[dollar..end]);
            } else {
                mistakes.push((dollar, end, Mistake::Unknown(name)));
            }
            at = end;
        }
        if mistakes.is_empty() {
            escaped.push_str(&text[at..]);
            return Template::parse(&escaped).ok().map(|template| (template, later));
        }
        for (start, end, mistake) in mistakes {
            self.say(place(scalar, span, start, end), &mistake);
        }
        None
    }

    fn say(&mut self, span: Span, mistake: &Mistake<'_>) {
        let (message, hint) = match mistake {
            Mistake::Stray => (
                "`$` must begin `${name}`".to_owned(),
                "write `$$` for a plain `$`; variables of your shell are not read".to_owned(),
            ),
            Mistake::Unclosed => (
                "`${` is never closed".to_owned(),
                "close it with `}`, or write `$$` for a plain `$`".to_owned(),
            ),
            Mistake::Unknown(name) => {
                (format!("`${{{}}}` is not a variable", short(name)), unknown_hint(name))
            }
        };
        self.found.error(&codes::BAD_TEMPLATE, span, message).hint(hint);
    }
}

fn unknown_hint(name: &str) -> String {
    let known = || Variable::ALL.iter().map(|(known, _)| *known);
    let is_shell = name.starts_with(|c: char| c.is_ascii_uppercase());
    match suggest::nearest(name, known()) {
        Some(near) => format!("did you mean `${{{near}}}`?"),
        None if is_shell => {
            format!(
                "variables of your shell are not read; a secret is {}, a plain `$` is `$$`",
                quoted("${secret.NAME}")
            )
        }
        None => {
            let all: Vec<String> = known().map(|known| format!("`${{{known}}}`")).collect();
            format!("known: {}, `${{NAME.url}}` of a database or cache, `${{secret.NAME}}`", all.join(", "))
        }
    }
}

/// `NAME.url` or `secret.NAME`.
fn is_later(name: &str) -> bool {
    if name.len() > NAME_MAX {
        return false;
    }
    match name.split_once('.') {
        Some(("secret", key)) => {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        }
        _ => is_url(name),
    }
}

/// `NAME.url` of a database or cache.
fn is_url(name: &str) -> bool {
    match name.split_once('.') {
        Some((store, "url")) => store != "secret" && model::DatabaseName::new(store).is_ok(),
        _ => false,
    }
}

/// The place of `start..end` of the text in the file; the whole value when it is not written there as it is.
fn place(scalar: &Scalar, span: Span, start: usize, end: usize) -> Span {
    scalar.body.map_or(span, |body| Span::new(body + start, body + end))
}
