use std::fmt;

/// A text that is no name of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind}: only {allowed} are allowed, from 1 to 63")]
pub struct BadName {
    text: String,
    kind: &'static str,
    allowed: &'static str,
}

fn checked(text: &str, kind: &'static str, allowed: &'static str, extra: &[u8]) -> Result<String, BadName> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || extra.contains(&b);
    if (1..=63).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(BadName { text: text.chars().take(80).collect(), kind, allowed })
}

/// As whom a standby is known at its upstream in one term, `b-3`: its `application_name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StandbyName(String);

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(String);

impl StandbyName {
    /// A checked name. Without capitals, as PostgreSQL compares them without regard to case.
    ///
    /// # Errors
    /// [`BadName`] when it is not 1 to 63 of `a-z`, `0-9`, `-` and `_`.
    pub fn new(text: &str) -> Result<StandbyName, BadName> {
        checked(text, "name of a standby", "`a-z`, `0-9`, `-` and `_`", b"-_").map(StandbyName)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SlotName {
    /// A checked name.
    ///
    /// # Errors
    /// [`BadName`] when it is not 1 to 63 of `a-z`, `0-9` and `_` (documentation, 27.2.6.1).
    pub fn new(text: &str) -> Result<SlotName, BadName> {
        checked(text, "name of a slot", "`a-z`, `0-9` and `_`", b"_").map(SlotName)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StandbyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A password. Never shown; letters a terminal can type, so that no program prepares it differently.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A checked password.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn new(text: String) -> Result<Secret, &'static str> {
        if text.len() < 8 {
            return Err("a password has at least 8 characters");
        }
        if text.len() > 512 || !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err("a password has at most 512 characters, all printable ASCII");
        }
        Ok(Secret(text))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_neither_leave_its_quotes_nor_stand_for_all() {
        for bad in ["", "*", "B", "b\"", "b,c", "b c", "b'", "ü", &"x".repeat(64)] {
            assert!(StandbyName::new(bad).is_err(), "{bad}");
            assert!(SlotName::new(bad).is_err(), "{bad}");
        }
        assert!(StandbyName::new("b-12").is_ok());
        assert!(SlotName::new("b-12").is_err(), "slots know no `-`");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("correct horse".to_owned()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert!(Secret::new("two\nlines of text".to_owned()).is_err());
        assert!(Secret::new("short".to_owned()).is_err());
    }
}
