//! One scalar of the file -> a typed value within its bounds.

use std::fmt::Display;
use std::str::FromStr;

use model::{Availability, BadQuantity, Bytes, Duration, Money, Rate};

use crate::check::{Checker, Typed, is_yes_no, listed};
use crate::codes;
use crate::field::{Field, Kind, Words};
use crate::finding::{Found, Span, quoted};
use crate::suggest;
use crate::tree::{Node, Scalar, ScalarKind, Value};

/// Longest number that is taken as one, in characters; an `f64` holds no more digits.
const NUMBER_MAX: usize = 18;

/// What a value of this kind is, for messages.
pub(crate) fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Table(_) => "a table of keys",
        Kind::Map(_) => "a table of names",
        Kind::List(_) => "a list",
        Kind::Bool => "`true` or `false`",
        Kind::Integer { .. } => "a whole number",
        Kind::Count { .. } => "a whole number or `auto`",
        Kind::Number { .. } => "a number",
        Kind::Bytes { .. } => "a size such as `512M` or `100G`",
        Kind::Duration { .. } => "a duration with its unit, such as `500ms`, `10s` or `5m`",
        Kind::Rate { .. } => "a rate such as `400rps` or `50/s`",
        Kind::PerYear => "a count in a year such as `4/year`",
        Kind::Availability => "a percentage from 0% to below 100%, such as `99.95%`",
        Kind::Percent => "a percentage from 0% to 100%, such as `70%`",
        Kind::Money => "an amount such as `900 USD/month`",
        Kind::Word(_) => "a word",
        Kind::Name => "a name",
        Kind::ServiceRef => "the name of a service",
        Kind::Text(format) => format.what,
        Kind::Template { .. } => "a text",
        Kind::Listen => {
            "an address to listen on: `:8080`, or `0.0.0.0:8080` for every address of the machine"
        }
        Kind::Any => "a value",
    }
}

/// The typed default of a field; `None` when the table holds a wrong one, which a test excludes.
pub(crate) fn default_of(field: &'static Field, text: &str) -> Option<Typed> {
    if let Kind::List(_) = field.kind {
        return text.is_empty().then(|| Typed::List(Vec::new()));
    }
    let mut scratch = Found::default();
    let scalar = Scalar { text: text.to_owned(), plain: true, body: None };
    Checker::at_root(&mut scratch).scalar(&scalar, Span::default(), field)
}

impl<'t, 'f> Checker<'t, 'f> {
    /// Reads `scalar` as `field` asks.
    pub(crate) fn scalar(&mut self, scalar: &Scalar, span: Span, field: &'static Field) -> Option<Typed> {
        if scalar.kind() == ScalarKind::Null {
            let hint = match field.name {
                "[]" => "remove the entry, or write `\"\"` for an empty text".to_owned(),
                "*" => "write `\"\"` for an empty text; variables of your shell are not read".to_owned(),
                _ if field.hint.is_some() => field.hint.unwrap_or_default().to_owned(),
                _ => format!("give {}, or remove the key", expected(&field.kind)),
            };
            self.found
                .error(&codes::EMPTY_VALUE, span, format!("{} has no value", self.label(field)))
                .hint(hint);
            return None;
        }
        match field.kind {
            Kind::Bool => self.boolean(scalar, span, field),
            Kind::Integer { min, max } => self.integer(scalar, span, field, min, max).map(Typed::Integer),
            Kind::Count { word, .. } if scalar.text == word => Some(Typed::Word(word)),
            Kind::Count { min, max, .. } => self.integer(scalar, span, field, min, max).map(Typed::Integer),
            Kind::Number { min, max } => self.number(scalar, span, field, min, max).map(Typed::Number),
            Kind::Bytes { min, max } => {
                let value: Bytes = self.quantity(scalar, span, field)?;
                self.within(value, Bytes(min), Bytes(max), span, field).then_some(Typed::Bytes(value))
            }
            Kind::Duration { min, max } => {
                let value: Duration = self.quantity(scalar, span, field)?;
                self.within(value, Duration(min), Duration(max), span, field)
                    .then_some(Typed::Duration(value))
            }
            Kind::Rate { min, max } => {
                let value: Rate = self.quantity(scalar, span, field)?;
                self.within(value, Rate(min), Rate(max), span, field).then_some(Typed::Rate(value))
            }
            Kind::Availability => self.quantity::<Availability>(scalar, span, field).map(Typed::Availability),
            Kind::Money => self.money(scalar, span, field),
            Kind::PerYear => self.ending(scalar, span, field, "/year", 1e6),
            Kind::Percent => self.ending(scalar, span, field, "%", 100.0),
            Kind::Word(words) => self.word(scalar, span, field, words),
            Kind::Name | Kind::ServiceRef => self.form(scalar, span, field, &crate::table::NAME),
            Kind::Text(format) => self.form(scalar, span, field, format),
            Kind::Template { max } => {
                let text = self.any_text(scalar, span, field, max)?;
                let (template, later) = self.template(text, span)?;
                Some(Typed::Template(template, later))
            }
            Kind::Listen => self.listen(scalar, span, field),
            Kind::Table(_) | Kind::Map(_) | Kind::List(_) | Kind::Any => None,
        }
    }

    /// A list, table or scalar where the field takes another of them.
    pub(crate) fn wrong_type(&mut self, node: &Node, field: &Field, at: Span) {
        let hint = match (&node.value, &field.kind) {
            (Value::Scalar(scalar), _) if scalar.kind() == ScalarKind::Null => {
                let message = format!("{} has no value", self.label(field));
                let hint = field.hint.map_or_else(
                    || format!("give {}, or remove the key", expected(&field.kind)),
                    str::to_owned,
                );
                self.found.error(&codes::EMPTY_VALUE, at, message).hint(hint);
                return;
            }
            (Value::Scalar(scalar), Kind::List(_)) if field.name == "command" => {
                Some(command_hint(&scalar.text))
            }
            (Value::Scalar(scalar), Kind::List(_)) if field.hint.is_none() => Some(format!(
                "write it as a list: `{}: [{}]`",
                field.name,
                crate::finding::short(&scalar.text)
            )),
            (Value::List(_), Kind::Template { .. }) => Some("one text; a list is not joined".to_owned()),
            _ => field.hint.map(str::to_owned),
        };
        let what = match &node.value {
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Scalar(scalar) => name_of(scalar),
            Value::Broken => return,
        };
        let message = format!("{} must be {}, not {what}", self.label(field), expected(&field.kind));
        // A whole block is not pointed at; where it begins is enough.
        let span = if matches!(node.value, Value::Scalar(_)) { node.span } else { at };
        self.found.error(&codes::WRONG_TYPE, span, message).maybe_hint(hint);
    }

    fn mistyped(&mut self, scalar: &Scalar, span: Span, field: &Field, hint: Option<String>) {
        let message =
            format!("{} must be {}, not {}", self.label(field), expected(&field.kind), name_of(scalar));
        self.found.error(&codes::WRONG_TYPE, span, message).maybe_hint(hint);
    }

    fn boolean(&mut self, scalar: &Scalar, span: Span, field: &Field) -> Option<Typed> {
        if let ScalarKind::Boolean(value) = scalar.kind() {
            return Some(Typed::Bool(value));
        }
        if is_yes_no(&scalar.text) {
            let is_yes = ["on", "yes", "y"].iter().any(|word| scalar.text.eq_ignore_ascii_case(word));
            let message = format!("{} is no boolean in YAML 1.2", quoted(&scalar.text));
            self.found.error(&codes::YES_NO, span, message).hint(format!("write `{is_yes}`"));
            return None;
        }
        let hint = matches!(scalar.text.as_str(), "true" | "false").then(|| "remove the quotes".to_owned());
        self.mistyped(scalar, span, field, hint);
        None
    }

    /// A plain decimal number, whole or not, with its sign; `None` after saying what is wrong.
    fn decimal<'s>(&mut self, scalar: &'s Scalar, span: Span, field: &Field) -> Option<&'s str> {
        let text = scalar.text.as_str();
        if !scalar.plain {
            let hint = is_decimal(text).then(|| "remove the quotes".to_owned());
            self.mistyped(scalar, span, field, hint);
            return None;
        }
        if is_decimal(text) {
            return Some(text);
        }
        if let Some(plain) = plain_form(text) {
            let message = format!("{} is a form of number that readers disagree about", quoted(text));
            self.found.error(&codes::NUMBER_FORM, span, message).hint(plain);
            return None;
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let message =
                format!("{} must be {}, not {}", self.label(field), expected(&field.kind), quoted(text));
            let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            // Kubernetes counts in thousandths of a CPU.
            let thousandths: Option<f64> = digits.parse().ok().filter(|_| &text[digits.len()..] == "m");
            let hint = match thousandths.filter(|_| field.name == "cpus") {
                Some(thousandths) => Some(format!("in CPUs: `{}`", thousandths / 1_000.0)),
                None => is_decimal(&digits).then(|| format!("without a unit: `{digits}`")),
            };
            self.found.error(&codes::WRONG_TYPE, span, message).maybe_hint(hint);
            return None;
        }
        self.mistyped(scalar, span, field, None);
        None
    }

    fn integer(&mut self, scalar: &Scalar, span: Span, field: &Field, min: i64, max: i64) -> Option<i64> {
        let text = self.decimal(scalar, span, field)?;
        if text.contains('.') {
            let message = format!("{} must be a whole number, not {}", self.label(field), quoted(text));
            self.found.error(&codes::WRONG_TYPE, span, message);
            return None;
        }
        // At most 18 digits, so it fits.
        let value: i64 = text.parse().ok()?;
        self.within(value, min, max, span, field).then_some(value)
    }

    fn number(&mut self, scalar: &Scalar, span: Span, field: &Field, min: f64, max: f64) -> Option<f64> {
        let value: f64 = self.decimal(scalar, span, field)?.parse().ok()?;
        self.within(value, min, max, span, field).then_some(value)
    }

    fn within<T: PartialOrd + Display>(
        &mut self,
        value: T,
        min: T,
        max: T,
        span: Span,
        field: &Field,
    ) -> bool {
        let inside = value >= min && value <= max;
        if !inside {
            let message = format!("{} is {value}; it must be from {min} to {max}", self.label(field));
            self.found.error(&codes::OUT_OF_RANGE, span, message).maybe_hint(field.hint.map(str::to_owned));
        }
        inside
    }

    /// A text of any kind that a plain number or boolean is not.
    fn any_text<'s>(
        &mut self,
        scalar: &'s Scalar,
        span: Span,
        field: &Field,
        max: usize,
    ) -> Option<&'s Scalar> {
        match scalar.kind() {
            ScalarKind::Text => {}
            ScalarKind::Boolean(_) | ScalarKind::Integer | ScalarKind::Float | ScalarKind::Null => {
                let hint = format!("put it in quotes: \"{}\"", crate::finding::short(&scalar.text));
                self.mistyped(scalar, span, field, Some(hint));
                return None;
            }
        }
        if scalar.text.len() > max {
            let message = format!("{} has {} bytes; it may have {max}", self.label(field), scalar.text.len());
            self.found.error(&codes::OUT_OF_RANGE, span, message);
            return None;
        }
        if scalar.text.contains('\0') {
            let message =
                format!("{} holds a NUL character, which no program can be given", self.label(field));
            self.found.error(&codes::BAD_FORM, span, message);
            return None;
        }
        Some(scalar)
    }

    fn quantity<T: FromStr<Err = BadQuantity>>(
        &mut self,
        scalar: &Scalar,
        span: Span,
        field: &Field,
    ) -> Option<T> {
        match scalar.text.parse() {
            Ok(value) => Some(value),
            Err(BadQuantity { .. }) => {
                self.no_quantity(scalar, span, field);
                None
            }
        }
    }

    fn no_quantity(&mut self, scalar: &Scalar, span: Span, field: &Field) {
        let text = scalar.text.as_str();
        let message =
            format!("{} must be {}, not {}", self.label(field), expected(&field.kind), quoted(text));
        let unit = match field.kind {
            Kind::Duration { .. } => "s",
            Kind::Bytes { .. } => "M",
            Kind::Rate { .. } => "rps",
            Kind::Availability | Kind::Percent => "%",
            Kind::PerYear => "/year",
            _ => " USD/month",
        };
        let hint = if !text.starts_with('-') && is_decimal(text) && !(unit == "%" && text.starts_with("100"))
        {
            let other = if matches!(field.kind, Kind::Duration { .. }) {
                format!("`{text}ms` or ")
            } else {
                String::new()
            };
            Some(format!("with its unit: {other}`{text}{unit}`"))
        } else if matches!(field.kind, Kind::Money)
            && ["EUR", "€", "CNY", "GBP"].iter().any(|c| text.contains(c))
        {
            Some("prices are in US dollars: write the amount in `USD/month`".to_owned())
        } else if text.strip_suffix('%').is_some_and(|n| n.starts_with("100"))
            && matches!(field.kind, Kind::Availability)
        {
            Some("nothing is always there; `99.99%` is 53 minutes of downtime a year".to_owned())
        } else {
            None
        };
        self.found.error(&codes::BAD_QUANTITY, span, message).maybe_hint(hint);
    }

    fn money(&mut self, scalar: &Scalar, span: Span, field: &Field) -> Option<Typed> {
        let number = scalar.text.strip_suffix("USD/month").map(str::trim_end);
        let Some(number) = number.filter(|n| is_decimal(n) && !n.starts_with('-') && n.len() <= 12) else {
            self.no_quantity(scalar, span, field);
            return None;
        };
        let usd: f64 = number.parse().ok()?;
        if usd <= 0.0 {
            self.found.error(
                &codes::OUT_OF_RANGE,
                span,
                format!("{} is {usd}; it must be more than 0", self.label(field)),
            );
            return None;
        }
        Some(Typed::Money(Money::from_usd(usd)))
    }

    /// A number that is only checked, with its unit behind it.
    fn ending(&mut self, scalar: &Scalar, span: Span, field: &Field, unit: &str, max: f64) -> Option<Typed> {
        let number = scalar.text.strip_suffix(unit).filter(|n| is_decimal(n) && !n.starts_with('-'));
        let value: Option<f64> = number.and_then(|number| number.parse().ok());
        if value.is_some_and(|value| value <= max) {
            return value.map(Typed::Number);
        }
        self.no_quantity(scalar, span, field);
        None
    }

    fn word(&mut self, scalar: &Scalar, span: Span, field: &Field, words: &'static Words) -> Option<Typed> {
        let text = scalar.text.as_str();
        if let Some(word) = words.words.iter().find(|word| **word == text) {
            return Some(Typed::Word(word));
        }
        let message =
            format!("{} must be {}, not {}", self.label(field), listed(words.words, "or"), quoted(text));
        let lower = text.to_ascii_lowercase();
        let meant = words.meant.iter().find(|(said, _)| *said == lower).map(|(_, word)| *word);
        let meant = meant.or_else(|| suggest::nearest(text, words.words.iter().copied()));
        self.found
            .error(&codes::NOT_ONE_OF, span, message)
            .maybe_hint(meant.map(|word| format!("did you mean `{word}`?")));
        None
    }

    fn form(
        &mut self,
        scalar: &Scalar,
        span: Span,
        field: &Field,
        format: &'static crate::field::Format,
    ) -> Option<Typed> {
        let text = self.any_text(scalar, span, field, usize::MAX)?.text.as_str();
        if format.accepts(text) {
            return Some(Typed::Text(text.to_owned()));
        }
        let message = format!("{} is not {}", quoted(text), format.what);
        let fixed = text.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
        let hint = (fixed != text && format.accepts(&fixed)).then(|| format!("write `{fixed}`"));
        let hint = hint.or_else(|| {
            let slashed = format!("/{text}");
            (text.len() <= format.max && format.accepts(&slashed)).then(|| format!("write `{slashed}`"))
        });
        let hint = hint.or_else(|| field.hint.map(str::to_owned));
        self.found.error(&codes::BAD_FORM, span, message).maybe_hint(hint);
        None
    }

    fn listen(&mut self, scalar: &Scalar, span: Span, field: &Field) -> Option<Typed> {
        let text = scalar.text.as_str();
        let port = |text: &str| -> Option<u16> {
            let good = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') && text.len() <= 5;
            if good { text.parse().ok() } else { None }
        };
        if let Some((address @ ("" | "0.0.0.0"), digits)) = text.rsplit_once(':') {
            if let Some(port) = port(digits) {
                return Some(Typed::Listen { port, any_address: !address.is_empty() });
            }
            let message = format!("{} is not a port; it must be from 1 to 65535", quoted(digits));
            self.found.error(&codes::OUT_OF_RANGE, span, message);
            return None;
        }
        let message =
            format!("{} must be {}, not {}", self.label(field), expected(&field.kind), quoted(text));
        let digits = text.rsplit(':').next().unwrap_or("");
        let hint = port(digits).map(|port| format!("write `\":{port}\"` for the zone's own address"));
        self.found.error(&codes::BAD_FORM, span, message).maybe_hint(hint);
        None
    }
}

fn name_of(scalar: &Scalar) -> &'static str {
    match scalar.kind() {
        ScalarKind::Null => "nothing",
        ScalarKind::Boolean(_) => "a boolean",
        ScalarKind::Integer | ScalarKind::Float => "a number",
        ScalarKind::Text => "a text",
    }
}

/// Digits with at most one point between them, a `-` before them; no zero before another digit.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= NUMBER_MAX && all(whole) && all(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// For a number in a form that readers disagree about: what to write.
fn plain_form(text: &str) -> Option<String> {
    let radix = |prefix: &str, base: u32| {
        let digits = text.strip_prefix(prefix)?;
        u64::from_str_radix(digits, base).ok().map(|value| format!("write `{value}`"))
    };
    if let Some(hint) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)) {
        return Some(hint);
    }
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if text.starts_with('+') && is_decimal(body) {
        return Some(format!("write `{body}`"));
    }
    if body.starts_with('.') && is_decimal(&format!("0{body}")) {
        return Some(format!("write `0{body}`"));
    }
    let bare: String = body.chars().filter(|c| !matches!(c, '_' | ',')).collect();
    if bare.len() < body.len() && is_decimal(&bare) {
        return Some(format!("write `{bare}`"));
    }
    if body.len() > 1 && body.bytes().all(|b| b.is_ascii_digit()) {
        let stripped = body.trim_start_matches('0');
        let plain = if stripped.is_empty() { "0" } else { stripped };
        return Some(if plain.len() > NUMBER_MAX {
            "it has too many digits".to_owned()
        } else {
            format!("write `{plain}`")
        });
    }
    let is_number = matches!(crate::tree::core_schema(text), ScalarKind::Integer | ScalarKind::Float);
    is_number.then(|| "write plain decimal digits, such as `10` or `0.5`".to_owned())
}

/// How a command given as one text looks as a list.
fn command_hint(text: &str) -> String {
    const WORDS_MAX: usize = 8;
    let mut words: Vec<String> = text
        .split_whitespace()
        .take(WORDS_MAX)
        .map(|word| format!("\"{}\"", crate::finding::short(word)))
        .collect();
    if text.split_whitespace().nth(WORDS_MAX).is_some() {
        words.push("…".to_owned());
    }
    format!("no shell takes it apart: write `command: [{}]`", words.join(", "))
}
