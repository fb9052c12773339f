use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DatabaseName, DatabaseUrl};

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
    /// `${NAME.url}`: replaced by the address of a database, with a password in it, when the unit starts.
    Url(DatabaseName),
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
    /// A name this version does not know; it may be one of a later part (`secret.X`).
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

/// A template cannot be filled: nobody has said where the database is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of database `{database}` is not known")]
pub struct NoUrl {
    /// The database whose address is missing.
    pub database: DatabaseName,
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
    /// The address of each database, for [`Piece::Url`].
    pub urls: &'a BTreeMap<DatabaseName, DatabaseUrl>,
}

/// The database of `NAME.url`. `secret.url` is none: what begins with `secret.` is a secret.
fn url_of(name: &str) -> Option<DatabaseName> {
    let store = name.strip_suffix(".url").filter(|store| *store != "secret")?;
    DatabaseName::new(store).ok()
}

impl Template {
    /// A template without holes.
    #[must_use]
    pub fn plain(text: &str) -> Template {
        Template { pieces: vec![Piece::Text(text.to_owned())] }
    }

    /// Reads `text`. Whether the database of a `${NAME.url}` exists is not known here.
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
            let known = Variable::ALL.iter().find(|(spelling, _)| *spelling == name);
            let piece = known.map(|(_, variable)| Piece::Variable(*variable));
            let piece = piece.or_else(|| url_of(name).map(Piece::Url));
            let piece = piece.ok_or_else(|| BadTemplate::Unknown { name: name.to_owned(), at })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
            rest = &inner[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template { pieces })
    }

    /// The text for one unit. It holds a password when [`Template::urls`] is not empty: not for logs, and not for
    /// the arguments of a process, which every user of the machine can read.
    ///
    /// # Errors
    /// [`NoUrl`] for the first database that `values` does not know.
    pub fn render(&self, values: &Values<'_>) -> Result<String, NoUrl> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(Variable::Port) => text.push_str(&values.port.to_string()),
                Piece::Variable(Variable::Address) => text.push_str(&values.address.to_string()),
                Piece::Variable(Variable::Zone) => text.push_str(values.zone),
                Piece::Variable(Variable::Unit) => text.push_str(values.unit),
                Piece::Variable(Variable::Data) => text.push_str(values.data),
                Piece::Url(database) => match values.urls.get(database) {
                    Some(url) => text.push_str(url.expose()),
                    None => return Err(NoUrl { database: database.clone() }),
                },
            }
        }
        Ok(text)
    }

    /// The databases whose address is filled in.
    pub fn urls(&self) -> impl Iterator<Item = &DatabaseName> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Url(database) => Some(database),
            Piece::Text(_) | Piece::Variable(_) => None,
        })
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
                Piece::Url(database) => write!(f, "${{{database}.url}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(urls: &BTreeMap<DatabaseName, DatabaseUrl>) -> Values<'_> {
        let address = "127.0.1.1".parse().unwrap();
        Values { port: 80, address, zone: "a", unit: "web-1", data: "/d", urls }
    }

    #[test]
    fn holes_are_filled_and_dollars_kept() {
        let template = Template::parse("x${port}$$ ${address}/${zone}${unit}${data}").unwrap();
        assert_eq!(template.render(&values(&BTreeMap::new())).unwrap(), "x80$ 127.0.1.1/aweb-1/d");
        assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
    }

    #[test]
    fn the_address_of_a_database_is_filled_in_or_missed_never_left_empty() {
        let db = DatabaseName::new("db").unwrap();
        let template = Template::parse("url=${db.url}").unwrap();
        assert_eq!(template.urls().collect::<Vec<_>>(), [&db]);
        assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
        assert_eq!(template.render(&values(&BTreeMap::new())), Err(NoUrl { database: db.clone() }));
        let front = "127.0.1.1:5432".parse().unwrap();
        let urls =
            BTreeMap::from([(db.clone(), DatabaseUrl::new("shop", "s3cret", front, None, &db, false))]);
        let text = template.render(&values(&urls)).unwrap();
        assert_eq!(
            text,
            "url=postgres://shop:s3cret@127.0.1.1:5432/db?target_session_attrs=any&connect_timeout=2"
        );
        assert!(!format!("{:?}", values(&urls)).contains("s3cret"));
    }

    #[test]
    fn a_stored_template_reads_as_it_was_written() {
        let text = r#"[{"text":"x"},{"variable":"port"},{"url":"db"}]"#;
        let template: Template = serde_json::from_str(text).unwrap();
        assert_eq!(template, Template::parse("x${port}${db.url}").unwrap());
        assert_eq!(serde_json::to_string(&template).unwrap(), text);
        assert!(serde_json::from_str::<Template>(r#"[{"url":"../db"}]"#).is_err());
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        assert_eq!(Template::parse("a $x"), Err(BadTemplate::Stray { at: 2 }));
        assert_eq!(Template::parse("$${ok} ${"), Err(BadTemplate::Stray { at: 7 }));
        assert_eq!(Template::parse("é${pört}"), Err(BadTemplate::Unknown { name: "pört".to_owned(), at: 2 }));
        let secret = BadTemplate::Unknown { name: "secret.url".to_owned(), at: 0 };
        assert_eq!(Template::parse("${secret.url}"), Err(secret));
    }
}
