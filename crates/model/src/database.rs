use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Bytes, DatabaseName, Rate, UnitName, ZoneName};

/// One of `databases`: PostgreSQL over the zones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Its key in the file. Inside PostgreSQL the database is called after the application.
    pub name: DatabaseName,
    /// Major version of PostgreSQL, from `engine`.
    pub postgres: u16,
    /// Room for its data on each node.
    pub storage: Bytes,
    /// Nodes with data beside the primary, 0 to [`Database::STANDBYS_MAX`].
    pub standbys: u8,
    /// `standbys: auto`: how many it has is the planner's to choose. A plan has none of these left; until then `standbys` says what
    /// is usual.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
    /// One more node, which holds the log alone: it acknowledges writes, and never becomes primary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub witness: bool,
    /// Whether the provider runs it, as a service of its own.
    #[serde(default, skip_serializing_if = "Managed::is_no")]
    pub managed: Managed,
    /// Writing transactions at peak. `None`: nobody said.
    pub writes: Option<Rate>,
    /// What it does with writes when no standby is left. Of no effect without standbys.
    pub when_alone: WhenAlone,
}

/// `when_alone`: what a primary without a standby does with writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAlone {
    /// It acknowledges none: nothing acknowledged can be lost.
    #[default]
    Block,
    /// It goes on alone: what it acknowledges from then on is lost with it.
    Degrade,
}

/// `run_by`: who runs a database. A provider's is a primary and a copy in another zone, which it fails over to by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Managed {
    /// Its nodes are evenkeel's.
    #[default]
    No,
    /// Whichever is cheaper of what keeps the objectives. A plan has none of these left.
    Auto,
    /// It is the provider's: planned and priced, and not run by this version.
    Yes,
}

impl Managed {
    /// For leaving it out of what is stored.
    #[must_use]
    pub fn is_no(&self) -> bool {
        *self == Managed::No
    }
}

/// How a database keeps what it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A majority of three or more nodes has each write before it is acknowledged.
    Quorum,
    /// Two nodes: the standby follows behind and takes over when a lease has ended. The newest writes may be lost.
    Lease,
    /// One node: nothing takes over.
    Single,
    /// A provider runs it: a copy in another zone has each write before it is acknowledged, and takes over.
    Managed,
}

impl Mode {
    /// The word for people and programs: `quorum`, `lease`, `single`, `managed`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Quorum => "quorum",
            Mode::Lease => "lease",
            Mode::Single => "single",
            Mode::Managed => "managed",
        }
    }

    /// Time without writes when the machine of the primary is lost, in milliseconds; `None`: until it is repaired. Of a
    /// quorum it is the keeper's goal, 2.5 s at the 99th percentile for a frozen or cut-off primary and 0.5 s at the median
    /// for a killed one; of a lease what it and the election take (`docs/decisions/0007-lease-mode.md`); of a provider what AWS calls
    /// typical of RDS Multi-AZ, 60 to 120 s.
    #[must_use]
    pub const fn rto_ms(self) -> Option<u64> {
        match self {
            Mode::Quorum => Some(2_000),
            Mode::Lease => Some(10_000),
            Mode::Managed => Some(90_000),
            Mode::Single => None,
        }
    }

    /// Writes of at most so long before its end are lost with the machine of a primary, in milliseconds; `None`: all of them.
    /// Of a lease it is the sum of the same page, rounded up.
    #[must_use]
    pub const fn rpo_ms(self) -> Option<u64> {
        match self {
            Mode::Quorum | Mode::Managed => Some(0),
            Mode::Lease => Some(8_000),
            Mode::Single => None,
        }
    }
}

impl Database {
    /// Most standbys: five nodes outlive the loss of any two. Each one more makes every write slower.
    pub const STANDBYS_MAX: u8 = 4;

    /// How many nodes there are: the primary, its standbys and the witness; a provider's two.
    #[must_use]
    pub fn nodes(&self) -> u8 {
        match self.mode() {
            Mode::Managed => 2,
            _ => self.copies().saturating_add(u8::from(self.witness)),
        }
    }

    /// How many of them stand on machines of the plan: none where a provider runs it.
    #[must_use]
    pub fn own_nodes(&self) -> u8 {
        if self.mode() == Mode::Managed { 0 } else { self.nodes() }
    }

    /// How many of them have the data.
    #[must_use]
    pub fn copies(&self) -> u8 {
        if self.mode() == Mode::Managed { 2 } else { self.standbys.saturating_add(1) }
    }

    /// The number of the witness, the last one: `3` of `db-3`.
    #[must_use]
    pub fn witness_number(&self) -> Option<u8> {
        self.witness.then(|| self.nodes())
    }

    /// What so many nodes allow.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.standbys, self.witness) {
            _ if self.managed == Managed::Yes => Mode::Managed,
            (0, _) => Mode::Single,
            (1, false) => Mode::Lease,
            _ => Mode::Quorum,
        }
    }
}

/// One database of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedDatabase {
    /// The database as described.
    pub database: Database,
    /// Its nodes; which of them is the primary changes and is not planned. The first start makes it the first.
    pub nodes: Vec<PlannedNode>,
    /// How it keeps what it has acknowledged.
    pub mode: Mode,
    /// Equal for equal descriptions.
    pub version: u64,
}

/// One node of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNode {
    /// `db-1`, counted from 1. More or fewer standbys do not rename a node that stays.
    pub name: UnitName,
    /// Where it runs.
    pub zone: ZoneName,
}

/// What `${db.url}` becomes. It holds a password, so it is neither printed nor stored.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The address of `database` through the fronts: `own` is that of the unit's own zone and tried first, `other`
    /// another zone's.
    ///
    /// A URI with several hosts as libpq reads it (PostgreSQL 15, section 34.1.1.2). Fronts lead to the primary, so
    /// any session will do; a front that is gone is given up after 2 s, the shortest that libpq knows.
    ///
    /// `tls`: the database takes no connection without it, so the address asks for it. It asks for no proof of who the
    /// server is: what libpq calls the file of an authority, other clients refuse as an option that they do not know.
    #[must_use]
    pub fn new(
        user: &str,
        password: &str,
        own: SocketAddr,
        other: Option<SocketAddr>,
        database: &DatabaseName,
        tls: bool,
    ) -> DatabaseUrl {
        let tls = if tls { "&sslmode=require" } else { "" };
        let other = other.map_or_else(String::new, |other| format!(",{other}"));
        let (user, password) = (encoded(user), encoded(password));
        DatabaseUrl(format!(
            "postgres://{user}:{password}@{own}{other}/{database}?target_session_attrs=any&connect_timeout=2{tls}"
        ))
    }

    /// The text with the password in it: for the environment of a process alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_own_front_first_and_takes_any_password() {
        let db = DatabaseName::new("db").unwrap();
        let (own, other) = ("127.0.2.1:5432".parse().unwrap(), "[::1]:6000".parse().ok());
        let url = DatabaseUrl::new("sh:op", "p@ss/%é", own, other, &db, false);
        let plain = "postgres://sh%3Aop:p%40ss%2F%25%C3%A9@127.0.2.1:5432,[::1]:6000/db\
             ?target_session_attrs=any&connect_timeout=2";
        assert_eq!(url.expose(), plain);
        let url = DatabaseUrl::new("sh:op", "p@ss/%é", own, other, &db, true);
        assert_eq!(url.expose(), format!("{plain}&sslmode=require"));
    }

    #[test]
    fn a_password_does_not_reach_a_log() {
        let db = DatabaseName::new("db").unwrap();
        let url = DatabaseUrl::new("shop", "hunter2", "127.0.0.1:1".parse().unwrap(), None, &db, false);
        assert_eq!(format!("{url:?}"), "DatabaseUrl(..)");
    }

    #[test]
    fn two_nodes_are_no_quorum() {
        let mut database = Database {
            name: DatabaseName::new("db").unwrap(),
            postgres: 15,
            storage: Bytes(1 << 30),
            standbys: 0,
            auto: false,
            witness: false,
            managed: Managed::No,
            writes: None,
            when_alone: WhenAlone::default(),
        };
        let modes = (0..=Database::STANDBYS_MAX).map(|standbys| {
            database.standbys = standbys;
            (database.nodes(), database.mode().word())
        });
        let modes: Vec<_> = modes.collect();
        assert_eq!(modes, [(1, "single"), (2, "lease"), (3, "quorum"), (4, "quorum"), (5, "quorum")]);
        database.managed = Managed::Yes;
        let managed = (database.nodes(), database.own_nodes(), database.copies(), database.mode().word());
        assert_eq!(managed, (2, 0, 2, "managed"));
    }
}
