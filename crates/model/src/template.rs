use std::fmt;

use serde::{Deserialize, Serialize};

/// What `${...}` may name in a command or an environment value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    /// The port this unit listens on; evenkeel chooses it.
    Port,
    /// The IP address this unit listens on.
    Address,
    /// The zone it runs in.
    Zone,
    /// Its own name, `web-3`.
    Unit,
    /// Its own data folder, kept over restarts.
    Data,
}

impl Variable {
    /// Every variable with its spelling.
    pub const ALL: &'static [(&'static str, Variable)] = &[
        ("port", Variable::Port),
        ("address", Variable::Address),
        ("zone", Variable::Zone),
        ("unit", Variable::Unit),
        ("data", Variable::Data),
    ];
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Goes through as it is.
    Text(String),
    /// Replaced when the unit starts.
    Variable(Variable),
}

/// A text with `${name}` holes. `$$` is a plain `$`, as in compose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template {
    /// The parts in order.
    pub pieces: Vec<Piece>,
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A name this version does not know; it may be one of a later part (`db.url`, `secret.X`).
    #[error("`${{{name}}}` is not a variable")]
    Unknown {
        /// The name between the braces.
        name: String,
        /// Byte offset of its `$` in the text.
        at: usize,
    },
    /// `$` that starts neither `${name}` nor `$$`.
    #[error("`$` must start `${{name}}`; write `$$` for a plain `$`")]
    Stray {
        /// Byte offset of the `$`.
        at: usize,
    },
}

/// The values of one unit.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    /// See [`Variable::Port`].
    pub port: u16,
    /// See [`Variable::Address`].
    pub address: std::net::IpAddr,
    /// See [`Variable::Zone`].
    pub zone: &'a str,
    /// See [`Variable::Unit`].
    pub unit: &'a str,
    /// See [`Variable::Data`].
    pub data: &'a str,
}

impl Template {
    /// A template without holes.
    #[must_use]
    pub fn plain(text: &str) -> Template {
        Template { pieces: vec![Piece::Text(text.to_owned())] }
    }

    /// Reads `text`.
    ///
    /// # Errors
    /// [`BadTemplate`] for the first stray `$` or unknown variable, with its byte offset.
    pub fn parse(text: &str) -> Result<Template, BadTemplate> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('$') {
            let at = text.len() - rest.len() + start;
            plain.push_str(&rest[..start]);
            let after = &rest[start + 1..];
            if let Some(tail) = after.strip_prefix('$') {
                plain.push('$');
                rest = tail;
                continue;
            }
            let inner = after.strip_prefix('{').ok_or(BadTemplate::Stray { at })?;
            let end = inner.find('}').ok_or(BadTemplate::Stray { at })?;
            let name = &inner[..end];
            let found = Variable::ALL.iter().find(|(spelling, _)| *spelling == name);
            let (_, variable) = found.ok_or_else(|| BadTemplate::Unknown { name: name.to_owned(), at })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Variable(*variable));
            rest = &inner[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template { pieces })
    }

    /// The text for one unit.
    #[must_use]
    pub fn render(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(Variable::Port) => text.push_str(&values.port.to_string()),
                Piece::Variable(Variable::Address) => text.push_str(&values.address.to_string()),
                Piece::Variable(Variable::Zone) => text.push_str(values.zone),
                Piece::Variable(Variable::Unit) => text.push_str(values.unit),
                Piece::Variable(Variable::Data) => text.push_str(values.data),
            }
        }
        text
    }

    /// Whether `variable` occurs.
    #[must_use]
    pub fn uses(&self, variable: Variable) -> bool {
        self.pieces.contains(&Piece::Variable(variable))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => f.write_str(&plain.replace('$', "$$"))?,
                Piece::Variable(variable) => {
                    let spelling =
                        Variable::ALL.iter().find(|(_, v)| v == variable).map_or("?", |(name, _)| name);
                    write!(f, "${{{spelling}}}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_and_dollars_kept() {
        let values =
            Values { port: 80, address: "127.0.1.1".parse().unwrap(), zone: "a", unit: "web-1", data: "/d" };
        let template = Template::parse("x${port}$$ ${address}/${zone}${unit}${data}").unwrap();
        assert_eq!(template.render(&values), "x80$ 127.0.1.1/aweb-1/d");
        assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        assert_eq!(Template::parse("a $x"), Err(BadTemplate::Stray { at: 2 }));
        assert_eq!(Template::parse("$${ok} ${"), Err(BadTemplate::Stray { at: 7 }));
        assert_eq!(Template::parse("é${pört}"), Err(BadTemplate::Unknown { name: "pört".to_owned(), at: 2 }));
    }
}
