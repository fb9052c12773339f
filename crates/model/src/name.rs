use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name: what it is, and which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a name: {rule}")]
pub struct BadName {
    /// What was given.
    pub text: String,
    /// The rule it breaks, as a clause.
    pub rule: &'static str,
}

/// Names become host names, directory names and store keys, so all follow the DNS label rule of RFC 1123.
fn checked(text: &str) -> Result<String, BadName> {
    let bad = |rule| Err(BadName { text: text.chars().take(80).collect(), rule });
    if text.is_empty() {
        return bad("it is empty");
    }
    if text.len() > 63 {
        return bad("it is longer than 63 bytes");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return bad("only lower-case letters, digits and `-` are allowed");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return bad("it must start and end with a letter or a digit");
    }
    Ok(text.to_owned())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// A checked name.
            ///
            /// # Errors
            /// [`BadName`] when `text` is no DNS label in lower case (RFC 1123).
            pub fn new(text: &str) -> Result<Self, BadName> {
                checked(text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of an application.
    AppName
}
name! {
    /// The name of a service of an application.
    ServiceName
}
name! {
    /// The name of a database of an application.
    DatabaseName
}
name! {
    /// The name of a cache of an application.
    CacheName
}
name! {
    /// A zone: `a`, `b`, `c` in a local run, a provider's zone id on hosts.
    ZoneName
}
name! {
    /// One replica of a service, `web-3`, a node of a database, `db-1`, or a front, `edge-a`. Never given to another unit later.
    UnitName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "web", "web-3", "0", &"x".repeat(63)] {
            assert!(ServiceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Web", "we b", "-a", "a-", "a/b", "ü", "a.b", &"x".repeat(64)] {
            assert!(ServiceName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_read_from_the_store_is_checked_too() {
        assert!(serde_json::from_str::<UnitName>("\"../etc\"").is_err());
    }
}
