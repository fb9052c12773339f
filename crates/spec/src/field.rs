//! What a row of the table of fields says. The rows are in `table`.

use crate::parts::{Part, Parts};

/// One key of the file.
#[derive(Debug)]
pub(crate) struct Field {
    /// The key; `*` for an entry of a map and `[]` for one of a list.
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) kind: Kind,
    /// What holds when it is left out.
    pub(crate) presence: Presence,
    /// Whether this version does what it asks for.
    pub(crate) status: Status,
    /// One sentence for the reference page and the schema.
    pub(crate) help: &'static str,
    /// The way out when the value is of a wrong kind; `None`: the kind knows.
    pub(crate) hint: Option<&'static str>,
    /// Other spellings people try.
    pub(crate) aliases: &'static [&'static str],
}

/// What holds when a key is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence {
    /// It may not be left out.
    Required,
    /// Nothing is asked for.
    Optional,
    /// A table that is always there; when left out, the defaults of its fields hold.
    Implied,
    /// This value, written as in the file, for this reason.
    Fixed(&'static str, &'static str),
    /// Worked out from other fields, as said here.
    Derived(&'static str),
}

/// Whether this version does what a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It does.
    Built,
    /// The key is checked, and a note says that nothing is done.
    NotRun,
    /// `plan` counts it, and a note says that nothing else is done.
    Planned,
    /// As [`Parts`] says.
    Part(Part),
}

impl Status {
    /// Whether a version with these parts carries the key out.
    pub(crate) fn runs(self, parts: Parts) -> bool {
        match self {
            Status::Built => true,
            Status::NotRun | Status::Planned => false,
            Status::Part(Part::Databases) => parts.databases,
        }
    }
}

/// What a value is, with its bounds (both ends included).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Table(&'static Shape),
    Map(&'static MapOf),
    List(&'static ListOf),
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    /// A whole number, or the word that leaves it to evenkeel.
    Count {
        min: i64,
        max: i64,
        word: &'static str,
    },
    /// Plain decimal; `unit` is part of the key's name or said in its help.
    Number {
        min: f64,
        max: f64,
    },
    Bytes {
        min: u64,
        max: u64,
    },
    /// Milliseconds.
    Duration {
        min: u64,
        max: u64,
    },
    /// Per second.
    Rate {
        min: f64,
        max: f64,
    },
    /// `4/year`.
    PerYear,
    Availability,
    /// A share, `70%`.
    Percent,
    /// `900 USD/month`.
    Money,
    Word(&'static Words),
    /// A DNS label.
    Name,
    /// The name of a service of this file.
    ServiceRef,
    Text(&'static Format),
    /// A text that may hold `${...}`; at most so many bytes.
    Template {
        max: usize,
    },
    /// `0.0.0.0:8080` or `:8080`.
    Listen,
    /// Checked by a later version.
    Any,
}

/// The keys of a table.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) fields: &'static [Field],
    /// Words of other tools, with what takes their place.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
    /// Exactly one of these keys is needed.
    pub(crate) one_of: &'static [&'static str],
}

/// A table whose keys are names chosen by the user.
#[derive(Debug)]
pub(crate) struct MapOf {
    /// What the names look like.
    pub(crate) key: &'static Format,
    pub(crate) item: Field,
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// A list.
#[derive(Debug)]
pub(crate) struct ListOf {
    pub(crate) item: Field,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// No entry may stand twice; for lists of words and texts.
    pub(crate) unique: bool,
}

/// A choice.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) words: &'static [&'static str],
    /// What people write, with the word they mean.
    pub(crate) meant: &'static [(&'static str, &'static str)],
}

/// A text with a form.
#[derive(Debug)]
pub(crate) struct Format {
    /// What it is, with an example, for messages.
    pub(crate) what: &'static str,
    /// The same as `check`, for the schema (ECMA 262).
    pub(crate) pattern: &'static str,
    /// Longest, in bytes.
    pub(crate) max: usize,
    pub(crate) check: fn(&str) -> bool,
}

impl Format {
    /// Whether `text` has the form.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        text.len() <= self.max && (self.check)(text)
    }
}

impl Field {
    const fn new(name: &'static str, kind: Kind, presence: Presence, help: &'static str) -> Field {
        Field { name, kind, presence, status: Status::Built, help, hint: None, aliases: &[] }
    }

    pub(crate) const fn required(name: &'static str, kind: Kind, help: &'static str) -> Field {
        Field::new(name, kind, Presence::Required, help)
    }

    pub(crate) const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Field {
        Field::new(name, kind, Presence::Optional, help)
    }

    /// `default` is the value and why it is the default.
    pub(crate) const fn fixed(
        name: &'static str,
        kind: Kind,
        default: (&'static str, &'static str),
        help: &'static str,
    ) -> Field {
        Field::new(name, kind, Presence::Fixed(default.0, default.1), help)
    }

    pub(crate) const fn derived(
        name: &'static str,
        kind: Kind,
        how: &'static str,
        help: &'static str,
    ) -> Field {
        Field::new(name, kind, Presence::Derived(how), help)
    }

    pub(crate) const fn implied(name: &'static str, shape: &'static Shape, help: &'static str) -> Field {
        Field::new(name, Kind::Table(shape), Presence::Implied, help)
    }

    /// An entry of a list or map.
    pub(crate) const fn entry(kind: Kind) -> Field {
        Field::new("[]", kind, Presence::Optional, "")
    }

    pub(crate) const fn not_run(mut self) -> Field {
        self.status = Status::NotRun;
        self
    }

    pub(crate) const fn planned(mut self) -> Field {
        self.status = Status::Planned;
        self
    }

    pub(crate) const fn part(mut self, part: Part) -> Field {
        self.status = Status::Part(part);
        self
    }

    pub(crate) const fn hint(mut self, hint: &'static str) -> Field {
        self.hint = Some(hint);
        self
    }

    pub(crate) const fn aliases(mut self, aliases: &'static [&'static str]) -> Field {
        self.aliases = aliases;
        self
    }
}

impl Shape {
    pub(crate) const fn of(fields: &'static [Field]) -> Shape {
        Shape { fields, foreign: &[], one_of: &[] }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}
