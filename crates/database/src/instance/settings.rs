//! What the files of settings say, as text. Pure: writing them is in `configure`.
//!
//! Three layers, by who could override what (documentation, 20.1):
//! 1. [`PINNED`] stands on the postmaster's command line, which beats every file, `ALTER SYSTEM` included.
//! 2. What changes with the role (the upstream, the standbys that are waited for) must follow a reload, which the
//!    command line cannot. It stands in `evenkeel.conf`, which `postgresql.auto.conf` could override; the names in
//!    [`OURS`] are therefore taken out of that file at every configure and start, and
//!    [`Audit`](super::Audit) names what was put there since. Only a superuser can, and the only one is
//!    the keeper's, who is let in by the Unix socket alone.
//! 3. Roles and databases may carry `synchronous_commit` of their own (any role may set its own). Nothing in a file
//!    beats that; every [`Observation`](super::Observation) lists them.

use std::fmt::Write;
use std::net::SocketAddr;

use super::name::{SlotName, StandbyName};
use super::{KEEPER, REPLICATION, REWIND};

/// On the command line, because safety rests on them and they never change.
pub(super) const PINNED: &[(&str, &str)] = &[
    // A commit that waits for less than a standby's sync can vanish with the standby.
    ("synchronous_commit", "on"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    // A sync that failed is not tried again: the kernel may have dropped the pages and would say yes.
    ("data_sync_retry", "off"),
    ("wal_level", "replica"),
    ("hot_standby", "on"),
    // A crash of one backend ends the server: a recovery in place would open with commits that no standby has
    // (hazard 6). What happens next is the keeper's choice.
    ("restart_after_crash", "off"),
    ("recovery_target_timeline", "latest"),
    // No WAL comes past a revoked upstream (hazard 12).
    ("restore_command", ""),
    ("recovery_min_apply_delay", "0"),
    // After a crash the data is synced before it is replayed: as one file system (one call), not as a thousand files,
    // which took 3.3 s of a start here. Needs a kernel that reports errors of `syncfs` (5.8, 2020).
    ("recovery_init_sync_method", "syncfs"),
    ("password_encryption", "scram-sha-256"),
    ("logging_collector", "off"),
];

/// Names that are taken out of `postgresql.auto.conf`.
pub(super) const OURS: &[&str] = &[
    "synchronous_standby_names",
    "primary_conninfo",
    "primary_slot_name",
    "listen_addresses",
    "port",
    "unix_socket_directories",
    "cluster_name",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "max_wal_senders",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "wal_receiver_timeout",
    "wal_sender_timeout",
    "wal_receiver_status_interval",
    "wal_retrieve_retry_interval",
    "max_standby_streaming_delay",
];

/// Sizes. Of `connections` a standby needs at least what its primary has; see `demand`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// `shared_buffers`, in MiB.
    pub shared_buffers_mib: u32,
    /// `max_connections`.
    pub connections: u32,
    /// WAL kept for standbys without a slot, in MiB: `wal_keep_size`.
    pub wal_keep_mib: u32,
    /// Most WAL a slot may hold back, in MiB; beyond it the slot is lost, not the disk (hazard 11).
    pub slot_keep_mib: u32,
    /// WAL between two checkpoints, in MiB: `max_wal_size`. A standby lets go of its own log no sooner either.
    pub max_wal_mib: u32,
}

/// PostgreSQL's own `max_wal_size`, in MiB.
const MAX_WAL_MIB: u32 = 1024;

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            shared_buffers_mib: 64,
            connections: 100,
            wal_keep_mib: 64,
            slot_keep_mib: 1024,
            max_wal_mib: MAX_WAL_MIB,
        }
    }
}

impl Tuning {
    /// A slot may hold back an eighth of a disk of `total_bytes`: enough for a standby that is away for long, and the disk
    /// does not run full before the slot is given up. So much lies between two checkpoints at the most: with PostgreSQL's
    /// own number the log alone fills a small disk, and a standby that it has filled receives nothing that would let it go.
    #[must_use]
    pub fn for_disk(total_bytes: u64) -> Tuning {
        let eighth_mib = u32::try_from((total_bytes >> 23).clamp(64, 1 << 20)).unwrap_or(u32::MAX);
        Tuning { slot_keep_mib: eighth_mib, max_wal_mib: eighth_mib.min(MAX_WAL_MIB), ..Tuning::default() }
    }
}

/// Where a standby gets its WAL from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// As whom this standby is known there (`application_name`).
    pub name: StandbyName,
    /// The slot it uses there.
    pub slot: Option<SlotName>,
}

/// What the server is to be after its next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whatever it is: a primary goes on as one, a standby until it is promoted.
    Primary,
    /// A standby. Without an upstream it receives nothing and acknowledges nothing: it is revoked.
    Standby {
        /// Its source.
        upstream: Option<Upstream>,
    },
}

/// Which standbys a commit waits for: `synchronous_standby_names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acks {
    /// For none: an acknowledged write can be lost with this node.
    NotAwaited,
    /// For one that does not exist: no commit is acknowledged. What a standby carries until its keeper has given it
    /// a real set, so that no promotion can acknowledge by an oversight.
    Never,
    /// For `need` of `names`.
    AnyOf {
        /// How many.
        need: u32,
        /// Of which. They compare without regard to case (`pg_strcasecmp`), which is why a name has lower case only.
        names: Vec<StandbyName>,
    },
}

/// A name that no [`StandbyName`] can be.
const NOBODY: &str = "evenkeel: nobody";

impl Acks {
    /// The value of `synchronous_standby_names`. More wanted than named can never be met, as PostgreSQL does it.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Acks::NotAwaited => String::new(),
            Acks::Never => format!("ANY 1 (\"{NOBODY}\")"),
            Acks::AnyOf { names, .. } if names.is_empty() => Acks::Never.value(),
            Acks::AnyOf { need, names } => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                // `ANY 0` is an error of syntax, after which the old value would stay in force.
                format!("ANY {} ({})", (*need).max(1), names.join(","))
            }
        }
    }

    /// Whether `name` may acknowledge.
    #[must_use]
    pub fn counts(&self, name: &str) -> bool {
        match self {
            Acks::NotAwaited | Acks::Never => false,
            Acks::AnyOf { names, .. } => names.iter().any(|one| one.as_str().eq_ignore_ascii_case(name)),
        }
    }
}

/// What changes while an instance lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What it is.
    pub role: Role,
    /// Whom commits wait for, once it is a primary.
    pub acks: Acks,
    /// Whether the application may connect. `false` is the fence: only standbys and the keeper come in.
    pub open: bool,
}

/// What a [`Settings`] is written with.
pub(super) struct Facts<'a> {
    pub node: &'a str,
    pub listen: SocketAddr,
    pub sockets: &'a str,
    pub conf: &'a str,
    pub tls: bool,
    pub tls_applications: bool,
    pub database: &'a str,
    pub application: &'a str,
    pub os_user: &'a str,
    pub tuning: Tuning,
}

/// A value between single quotes, as in a file of settings.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value of a connection string (libpq, 34.1.1.1).
fn keyword(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// How a program of PostgreSQL, or the WAL receiver, reaches `address`.
pub(super) fn connection(facts: &Facts<'_>, address: SocketAddr, user: &str, passfile: &str) -> String {
    let mut text = format!(
        "host={} port={} user={user} passfile={} connect_timeout=2 keepalives_idle=2 keepalives_interval=1 \
         keepalives_count=3 tcp_user_timeout=5000",
        address.ip(),
        address.port(),
        keyword(&format!("{}/{passfile}", facts.conf)),
    );
    if facts.tls {
        let file = |name: &str| keyword(&format!("{}/{name}", facts.conf));
        // `verify-ca`, not `verify-full`: nodes are known by addresses, which move; the authority is ours alone.
        let _ = write!(
            text,
            " sslmode=verify-ca sslrootcert={} sslcert={} sslkey={}",
            file("ca.crt"),
            file("server.crt"),
            file("server.key")
        );
    } else {
        text.push_str(" sslmode=disable");
    }
    text
}

/// What only a restart changes.
pub(super) fn fixed_part(facts: &Facts<'_>) -> String {
    let Tuning { shared_buffers_mib, connections, .. } = facts.tuning;
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", quoted(value));
    };
    set("listen_addresses", &facts.listen.ip().to_string());
    set("port", &facts.listen.port().to_string());
    set("unix_socket_directories", facts.sockets);
    set("unix_socket_permissions", "0700");
    set("cluster_name", facts.node);
    set("shared_buffers", &format!("{shared_buffers_mib}MB"));
    set("max_connections", &connections.to_string());
    // The keeper still comes in when the application has taken all of them.
    set("superuser_reserved_connections", "5");
    // Two receivers per standby while one reconnects, base backups (two each), and room.
    set("max_wal_senders", "16");
    set("max_replication_slots", "16");
    // PostgreSQL's own. A start compares them with what its data demands (`demand`).
    set("max_worker_processes", "8");
    set("max_prepared_transactions", "0");
    set("max_locks_per_transaction", "64");
    text
}

/// What a reload changes.
fn loose_part(facts: &Facts<'_>, settings: &Settings) -> String {
    let Tuning { wal_keep_mib, slot_keep_mib, max_wal_mib, .. } = facts.tuning;
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", quoted(value));
    };
    set("synchronous_standby_names", &settings.acks.value());
    let upstream = match &settings.role {
        Role::Standby { upstream } => upstream.as_ref(),
        Role::Primary => None,
    };
    let source = upstream.map_or_else(String::new, |upstream| {
        let to = connection(facts, upstream.address, REPLICATION, "passfile");
        format!("{to} application_name={}", upstream.name)
    });
    set("primary_conninfo", &source);
    set(
        "primary_slot_name",
        upstream.and_then(|upstream| upstream.slot.as_ref()).map_or("", SlotName::as_str),
    );
    set("ssl", if facts.tls { "on" } else { "off" });
    if facts.tls {
        set("ssl_ca_file", &format!("{}/ca.crt", facts.conf));
        set("ssl_cert_file", &format!("{}/server.crt", facts.conf));
        set("ssl_key_file", &format!("{}/server.key", facts.conf));
    }
    if !settings.open {
        // Nobody writes while it is closed: what a standby got of that and the next primary did not would cost it a rewind.
        set("autovacuum", "off");
    }
    // With the default of 5 s between tries promotions and first commits took 5 s. A standby that already streams from the
    // node that is being promoted asks again for the new timeline after this.
    set("wal_retrieve_retry_interval", "20ms");
    // A dead peer is let go after seconds, not after the default minute; shorter would cut over a busy disk.
    set("wal_receiver_timeout", "5s");
    set("wal_sender_timeout", "5s");
    set("wal_receiver_status_interval", "1s");
    set("tcp_keepalives_idle", "2");
    set("tcp_keepalives_interval", "1");
    set("tcp_keepalives_count", "3");
    set("tcp_user_timeout", "5s");
    // Bounds how long a connection that began before a fence can still slip in behind it.
    set("authentication_timeout", "5s");
    set("wal_keep_size", &format!("{wal_keep_mib}MB"));
    set("max_slot_wal_keep_size", &format!("{slot_keep_mib}MB"));
    set("max_wal_size", &format!("{max_wal_mib}MB"));
    // Segments that are kept to be written again, at the least. A rewind copies them, so no more than PostgreSQL asks for; a
    // server that writes much keeps as many as it needs.
    set("min_wal_size", "32MB");
    // A query on a standby holds back replay, and with it a promotion, no longer than this.
    set("max_standby_streaming_delay", "1s");
    set("max_standby_archive_delay", "1s");
    // The horizon of a slot whose standby is away would let the primary's tables bloat.
    set("hot_standby_feedback", "off");
    set("log_destination", "stderr");
    set("log_line_prefix", "%m [%p] %q%u@%d ");
    set("log_timezone", "UTC");
    // Warnings and errors are read by programs: the keeper's, and the router's.
    set("lc_messages", "C");
    text
}

/// `evenkeel.conf`.
pub(super) fn conf(facts: &Facts<'_>, settings: &Settings) -> String {
    format!(
        "# Written by evenkeel; changes are overwritten.\n{}{}",
        fixed_part(facts),
        loose_part(facts, settings)
    )
}

/// `pg_hba.conf`: the first line that fits decides, so every kind of connection ends in a line of its own.
///
/// Replication is open to one role, which no application has. A superuser or another role with `REPLICATION` is
/// refused over TCP, so that nobody but who holds the secret (and with TLS a certificate of our authority) can borrow
/// a standby's name.
pub(super) fn hba(facts: &Facts<'_>, settings: &Settings) -> String {
    let (host, proof) =
        if facts.tls { ("hostssl", "scram-sha-256 clientcert=verify-ca") } else { ("host", "scram-sha-256") };
    let mut text = String::from("# Written by evenkeel; changes are overwritten.\n");
    let mut line = |words: &[&str]| {
        let _ = writeln!(text, "{}", words.join(" "));
    };
    line(&["local", "all", KEEPER, "peer", "map=keeper"]);
    line(&["local", "all", "all", "reject"]);
    line(&[host, "replication", REPLICATION, "all", proof]);
    line(&["host", "replication", "all", "all", "reject"]);
    line(&[host, "postgres", REWIND, "all", proof]);
    line(&["host", "all", &format!("{KEEPER},{REPLICATION},{REWIND}"), "all", "reject"]);
    if settings.open {
        let (database, role) = (format!("\"{}\"", facts.database), format!("\"{}\"", facts.application));
        let way = if facts.tls_applications { "hostssl" } else { "host" };
        line(&[way, &database, &role, "all", "scram-sha-256"]);
    }
    line(&["host", "all", "all", "all", "reject"]);
    text
}

/// `pg_ident.conf`: the keeper's system user is the superuser, on the Unix socket.
pub(super) fn ident(facts: &Facts<'_>) -> String {
    format!("# Written by evenkeel; changes are overwritten.\nkeeper {} {KEEPER}\n", facts.os_user)
}

/// A line of a password file (libpq, 34.16).
pub(super) fn passline(address: SocketAddr, database: &str, user: &str, password: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!(
        "{}:{}:{database}:{user}:{}\n",
        escaped(&address.ip().to_string()),
        address.port(),
        escaped(password)
    )
}

/// `postgresql.auto.conf` without what is ours to set.
pub(super) fn without_ours(text: &str) -> String {
    let is_ours = |line: &str| {
        let name =
            line.trim_start().split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
        OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    };
    text.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
