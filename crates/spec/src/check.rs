//! The tree against the table of fields: kinds, units, bounds, names of keys. What comes out is typed and within its
//! bounds, with the fixed defaults filled in; what fields say about each other is `lower`'s.

use std::collections::BTreeSet;

use model::{Availability, Bytes, Duration, Money, Rate, Template};

use crate::codes;
use crate::field::{Field, Kind, ListOf, MapOf, Presence, Shape, Status};
use crate::finding::{Found, Span, quoted};
use crate::hole::Later;
use crate::parts::Parts;
use crate::suggest;
use crate::table;
use crate::tree::{Entry, Node, Table, Value};
use crate::value;

/// A checked value and where it stands.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) span: Span,
    /// It stands in the file; otherwise it is the default.
    pub(crate) given: bool,
    pub(crate) typed: Typed,
}

/// A value of the kind its field asks for.
#[derive(Debug)]
pub(crate) enum Typed {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Bytes(Bytes),
    Duration(Duration),
    Rate(Rate),
    Availability(Availability),
    Money(Money),
    Word(&'static str),
    Text(String),
    Template(Template, Vec<Later>),
    Listen {
        port: u16,
        any_address: bool,
    },
    List(Vec<Item>),
    Table(Checked),
    Map(Vec<Named>),
    /// Checked, and of no use yet.
    Unused,
}

/// A checked table.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Where to point at when something is missing: its key.
    pub(crate) at: Span,
    fields: Vec<(&'static str, Span, Option<Item>)>,
}

/// An entry of a map.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) at: Span,
    /// `None`: a finding was made.
    pub(crate) item: Option<Item>,
}

impl Checked {
    /// The place of the key when the file has it, whether its value is good or not.
    pub(crate) fn given(&self, name: &str) -> Option<Span> {
        let (_, at, item) = self.entry(name)?;
        item.as_ref().is_none_or(|item| item.given).then_some(*at)
    }

    /// The value, given or default.
    pub(crate) fn item(&self, name: &str) -> Option<&Item> {
        self.entry(name)?.2.as_ref()
    }

    /// The table below `name`.
    pub(crate) fn table(&self, name: &str) -> Option<&Checked> {
        match &self.item(name)?.typed {
            Typed::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The list below `name`.
    pub(crate) fn list(&self, name: &str) -> Option<&[Item]> {
        match &self.item(name)?.typed {
            Typed::List(items) => Some(items),
            _ => None,
        }
    }

    /// The map below `name`; empty when left out.
    pub(crate) fn map(&self, name: &str) -> &[Named] {
        match self.item(name).map(|item| &item.typed) {
            Some(Typed::Map(entries)) => entries,
            _ => &[],
        }
    }

    /// The text below `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.item(name)?.typed {
            Typed::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number below `name`.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.item(name)?.typed {
            Typed::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The number below `name`.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        match self.item(name)?.typed {
            Typed::Number(value) => Some(value),
            _ => None,
        }
    }

    /// The duration below `name`.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        match self.item(name)?.typed {
            Typed::Duration(value) => Some(value),
            _ => None,
        }
    }

    /// The rate below `name`.
    pub(crate) fn bytes(&self, name: &str) -> Option<Bytes> {
        match self.item(name)?.typed {
            Typed::Bytes(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn rate(&self, name: &str) -> Option<Rate> {
        match self.item(name)?.typed {
            Typed::Rate(value) => Some(value),
            _ => None,
        }
    }

    fn entry(&self, name: &str) -> Option<&(&'static str, Span, Option<Item>)> {
        self.fields.iter().find(|(known, ..)| *known == name)
    }
}

/// Walks the tree along the table.
pub(crate) struct Checker<'t, 'f> {
    pub(crate) found: &'f mut Found,
    /// Keys from the root to where we are, for messages.
    pub(crate) path: Vec<&'t str>,
    /// Below a key that is not run; its children need no note of their own.
    in_not_run: bool,
    parts: Parts,
}

/// Checks the whole file.
pub(crate) fn file(root: &Node, parts: Parts, found: &mut Found) -> Option<Checked> {
    let mut checker = Checker { parts, ..Checker::at_root(found) };
    match &root.value {
        Value::Table(table) => {
            // What the whole file lacks is said at its first key.
            let at = table.entries.first().map_or(root.span, |entry| entry.key_span);
            Some(checker.table(table, &table::ROOT, at))
        }
        Value::Broken => None,
        _ => {
            let message = "the file must be a table of keys, beginning with `name:` and `services:`";
            checker
                .found
                .error(&codes::NOT_A_TABLE, root.span, message)
                .hint("a key is written `name: shop`");
            None
        }
    }
}

impl<'f> Checker<'_, 'f> {
    /// A checker for one value outside of a file.
    pub(crate) fn at_root(found: &'f mut Found) -> Self {
        Checker { found, path: Vec::new(), in_not_run: false, parts: Parts::BUILT }
    }
}

impl<'t> Checker<'t, '_> {
    fn table(&mut self, table: &'t Table, shape: &'static Shape, at: Span) -> Checked {
        let mut fields = Vec::with_capacity(shape.fields.len());
        for entry in &table.entries {
            match shape.field(&entry.key) {
                Some(field) => {
                    let item = self.entry(entry, field);
                    fields.push((field.name, entry.key_span, item));
                }
                // What a misspelt key was meant for is neither missing nor left out.
                None => {
                    let meant = self.unknown_key(entry, table, shape);
                    fields.extend(meant.map(|name| (name, entry.key_span, None)));
                }
            }
        }
        for field in shape.fields {
            if !fields.iter().any(|(name, ..)| *name == field.name) {
                fields.extend(self.left_out(field, at));
            }
        }
        self.one_of(&fields, shape, at);
        Checked { at, fields }
    }

    fn one_of(&mut self, fields: &[(&'static str, Span, Option<Item>)], shape: &Shape, at: Span) {
        let mut chosen = fields.iter().filter(|(name, ..)| shape.one_of.contains(name));
        let (first, second) = (chosen.next(), chosen.next());
        let (verb, at) = match (first, second) {
            _ if shape.one_of.is_empty() => return,
            (Some(_), None) => return,
            (None, _) => ("needs", at),
            (Some(_), Some((_, second, _))) => ("takes only one of", *second),
        };
        let message = format!("{} {verb} {}", self.here(), listed(shape.one_of, "or"));
        self.found
            .error(&codes::COMMAND_OR_IMAGE, at, message)
            .hint("`command: [\"bin/shop\", \"--port\", \"${port}\"]` starts a program of this machine");
    }

    /// What holds for a field that is not in the file.
    fn left_out(&mut self, field: &'static Field, at: Span) -> Option<(&'static str, Span, Option<Item>)> {
        let typed = match field.presence {
            Presence::Required => {
                let message = match self.path.is_empty() {
                    true => format!("the file has no `{}`", field.name),
                    false => format!("{} has no `{}`", self.here(), field.name),
                };
                self.found.error(&codes::MISSING_KEY, at, message).hint(format!(
                    "add `{}:`, {}",
                    field.name,
                    value::expected(&field.kind)
                ));
                return None;
            }
            Presence::Optional | Presence::Derived(_) => return None,
            Presence::Implied => match field.kind {
                Kind::Table(shape) => Typed::Table(self.implied(shape, at)),
                _ => return None,
            },
            Presence::Fixed(text, _) => value::default_of(field, text)?,
        };
        Some((field.name, at, Some(Item { span: at, given: false, typed })))
    }

    /// A table nobody wrote: the defaults of its fields.
    fn implied(&mut self, shape: &'static Shape, at: Span) -> Checked {
        let fields = shape.fields.iter().filter_map(|field| self.left_out(field, at)).collect();
        Checked { at, fields }
    }

    fn entry(&mut self, entry: &'t Entry, field: &'static Field) -> Option<Item> {
        let noted = !field.status.runs(self.parts) && !self.in_not_run;
        if noted {
            let what = if field.status == Status::Planned { "planned and priced" } else { "accepted" };
            let message = format!("`{}` is {what}, not run by this version", field.name);
            self.found.note(&codes::NOT_RUN, entry.key_span, message);
            self.in_not_run = true;
        }
        self.path.push(&entry.key);
        let item = self.value(&entry.value, field, entry.key_span);
        self.path.pop();
        if noted {
            self.in_not_run = false;
        }
        item
    }

    /// `at` is the key, or the entry itself in a list.
    fn value(&mut self, node: &'t Node, field: &'static Field, at: Span) -> Option<Item> {
        let typed = match (&node.value, &field.kind) {
            (Value::Broken, _) => return None,
            (_, Kind::Any) => Typed::Unused,
            (Value::Table(table), Kind::Table(shape)) => Typed::Table(self.table(table, shape, at)),
            (Value::Table(table), Kind::Map(of)) => Typed::Map(self.map(table, of, at)?),
            (Value::List(nodes), Kind::List(of)) => Typed::List(self.list(nodes, of, at)?),
            (Value::Scalar(scalar), kind)
                if !matches!(kind, Kind::Table(_) | Kind::Map(_) | Kind::List(_)) =>
            {
                self.scalar(scalar, node.span, field)?
            }
            _ => {
                self.wrong_type(node, field, at);
                return None;
            }
        };
        Some(Item { span: node.span, given: true, typed })
    }

    fn map(&mut self, table: &'t Table, of: &'static MapOf, at: Span) -> Option<Vec<Named>> {
        if !self.count(table.entries.len(), of.min, of.max, at) {
            return None;
        }
        let mut entries = Vec::with_capacity(table.entries.len());
        for entry in &table.entries {
            if entry.key_plain && is_yes_no(&entry.key) {
                self.yes_no_key(entry);
            } else if !of.key.accepts(&entry.key) {
                let message = format!("{} is not {}", quoted(&entry.key), of.key.what);
                let fixed = entry.key.to_ascii_lowercase().replace(['_', '.', ' '], "-");
                let hint = (fixed != entry.key && of.key.accepts(&fixed)).then(|| format!("write `{fixed}`"));
                self.found.error(&codes::BAD_FORM, entry.key_span, message).maybe_hint(hint);
            }
            let item = self.entry(entry, &of.item);
            entries.push(Named { name: entry.key.clone(), at: entry.key_span, item });
        }
        Some(entries)
    }

    fn list(&mut self, nodes: &'t [Node], of: &'static ListOf, at: Span) -> Option<Vec<Item>> {
        if !self.count(nodes.len(), of.min, of.max, at) {
            return None;
        }
        let mut items = Vec::with_capacity(nodes.len());
        let mut seen = BTreeSet::new();
        let mut whole = true;
        for node in nodes {
            self.path.push("[]");
            let item = self.value(node, &of.item, node.span);
            self.path.pop();
            let Some(item) = item else {
                whole = false;
                continue;
            };
            let text = match &item.typed {
                Typed::Word(word) => (*word).to_owned(),
                Typed::Text(text) => text.clone(),
                _ => String::new(),
            };
            if of.unique && !seen.insert(text.clone()) {
                let message = format!("{} stands twice in {}", quoted(&text), self.here());
                self.found.error(&codes::REPEATED, node.span, message).hint("remove one of them");
            }
            items.push(item);
        }
        // Arguments of a command without the one that is wrong would be another command.
        (whole || matches!(of.item.kind, Kind::Table(_))).then_some(items)
    }

    fn count(&mut self, count: usize, min: usize, max: usize, at: Span) -> bool {
        if count < min {
            self.found.error(
                &codes::OUT_OF_RANGE,
                at,
                format!("{} is empty; it needs at least {min} entry", self.here()),
            );
        } else if count > max {
            let message = format!("{} has {count} entries; it may have {max}", self.here());
            self.found.error(&codes::OUT_OF_RANGE, at, message);
        }
        (min..=max).contains(&count)
    }

    fn yes_no_key(&mut self, entry: &Entry) {
        let message = format!("the key {} is a boolean for many YAML readers", quoted(&entry.key));
        self.found
            .error(&codes::YES_NO, entry.key_span, message)
            .hint(format!("put it in quotes: \"{}\"", entry.key));
    }

    /// Reports the key. Gives the field it was most likely meant for, when the table does not have that too.
    fn unknown_key(&mut self, entry: &Entry, table: &Table, shape: &'static Shape) -> Option<&'static str> {
        if self.found.is_full() {
            self.found.error(&codes::UNKNOWN_KEY, entry.key_span, "unknown key");
            return None;
        }
        let key = entry.key.as_str();
        let place = self.here();
        if let Some((_, hint)) = shape.foreign.iter().find(|(word, _)| *word == key) {
            let message = format!("{} is no key of {place}; it belongs to other tools", quoted(key));
            self.found.error(&codes::FOREIGN_KEY, entry.key_span, message).hint(*hint);
            return None;
        }
        let aliased = shape.fields.iter().find(|field| field.aliases.contains(&key)).map(|field| field.name);
        let near = aliased.or_else(|| suggest::nearest(key, shape.fields.iter().map(|field| field.name)));
        let is_there = near.is_some_and(|name| table.entries.iter().any(|entry| entry.key == name));
        let hint = match near {
            Some(name) => {
                format!("did you mean `{name}`?{}", if is_there { " it is there already" } else { "" })
            }
            None => self.where_else(key, shape),
        };
        let (code, why) = match entry.key_plain && is_yes_no(key) {
            true => (&codes::YES_NO, "; many YAML readers take it for a boolean"),
            false => (&codes::UNKNOWN_KEY, ""),
        };
        self.found
            .error(code, entry.key_span, format!("unknown key {} in {place}{why}", quoted(key)))
            .hint(hint);
        near.filter(|_| !is_there)
    }

    /// The hint for a key that is like no other: the place where it belongs, or what there is.
    fn where_else(&self, key: &str, shape: &'static Shape) -> String {
        if let Some(place) = self.elsewhere(key) {
            return format!("there is `{place}`");
        }
        let all: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
        format!("known here: {}", listed(&all, "and"))
    }

    /// The nearest place with a key of that name: below here first, then anywhere.
    fn elsewhere(&self, key: &str) -> Option<String> {
        let mut places = Vec::new();
        table::each(&mut |path, field| {
            if field.name == key {
                places.push(path.to_owned());
            }
        });
        let here = self.path.join(".");
        let near =
            |place: &&String| !here.is_empty() && place.starts_with(here.split('.').next().unwrap_or(""));
        places.iter().find(near).or(places.first()).cloned()
    }

    /// Where we are, in backticks.
    pub(crate) fn here(&self) -> String {
        match self.path.split_last() {
            None => "the file".to_owned(),
            Some((&"[]", list)) => format!("an entry of {}", quoted(&list.join("."))),
            Some(_) => quoted(&self.path.join(".").replace(".[]", "[]")),
        }
    }

    /// What a message calls the value of `field`.
    pub(crate) fn label(&self, field: &Field) -> String {
        match (field.name, self.path.last()) {
            ("[]", _) => self.here(),
            (_, Some(key)) => quoted(key),
            (name, None) => format!("`{name}`"),
        }
    }
}

/// `a`, `b` or `c`.
pub(crate) fn listed(words: &[&str], before_last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {before_last} {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Words that readers of YAML 1.1 take for booleans.
pub(crate) fn is_yes_no(text: &str) -> bool {
    ["on", "off", "yes", "no"].iter().any(|word| text.eq_ignore_ascii_case(word))
}
