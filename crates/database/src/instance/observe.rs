//! What a running server says of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::client::{Question, Session};
use super::server::millis;
use super::settings::{OURS, PINNED};
use super::{Acks, Class, Instance, InstanceError, KEEPER, Lsn};

/// The connection over which a standby receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Its process.
    pub pid: u32,
    /// `starting`, `streaming`, `waiting`, `restarting`, `stopping`.
    pub status: String,
    /// The timeline of what it receives.
    pub timeline: Option<u32>,
    /// From where.
    pub sender_host: Option<String>,
    /// From where.
    pub sender_port: Option<u16>,
    /// The slot it uses there.
    pub slot: Option<String>,
    /// As whom it is known there.
    pub name: Option<String>,
    /// Since the last message of the other side, in milliseconds; by this host's clock alone.
    pub silent_ms: Option<u64>,
}

/// A connection over which a standby, or a base backup, is sent WAL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Its process.
    pub pid: u32,
    /// As whom the other side connected.
    pub user: String,
    /// Its `application_name`.
    pub name: String,
    /// From where; `None` over the Unix socket.
    pub address: Option<String>,
    /// `startup`, `catchup`, `streaming`, `backup`, `stopping`.
    pub state: String,
    /// 0: its acknowledgements count for nothing. The process itself decides it when it reads its settings again.
    pub sync_priority: u32,
    /// `async`, `potential`, `sync`, `quorum`.
    pub sync_state: String,
    /// Up to where the other side has synced.
    pub flushed: Option<Lsn>,
    /// Up to where it has replayed.
    pub replayed: Option<Lsn>,
    /// When it connected, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// When the other side sent its last answer, in microseconds since 1970 **by its clock**.
    #[serde(default)]
    pub replied_unix_us: Option<i64>,
}

/// A place in the log that is kept for a standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Somebody streams through it.
    pub active: bool,
    /// Log from before what its standby needs was removed: the standby cannot go on.
    pub lost: bool,
    /// From here on everything is kept; `None`: nothing is.
    pub restart: Option<Lsn>,
}

/// A role or database whose commits may wait for less than a standby's sync (hazard 4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LoweredCommit {
    /// `None`: all databases.
    pub database: Option<String>,
    /// `None`: all roles.
    pub role: Option<String>,
    /// The value of `synchronous_commit`.
    pub value: String,
}

/// One look at a running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// The timeline it writes in, or whose log it has. A standby without a receiver says the highest of which it has
    /// a piece of log.
    pub timeline: u32,
    /// The timeline of its latest checkpoint, which `pg_rewind` from it goes by.
    pub checkpoint_timeline: u32,
    /// A primary's end of log, in memory.
    pub inserted: Option<Lsn>,
    /// A primary's end of log, on its disk.
    pub flushed: Option<Lsn>,
    /// What a standby has received **and synced** since its start; `None` when nothing was, so that what it has is
    /// what it replays from its disk.
    pub received: Option<Lsn>,
    /// What it has replayed.
    pub replayed: Option<Lsn>,
    /// Whether a standby has replayed all that it has: its startup process waits for more. Once seen with no
    /// receiver, `replayed` is the end.
    pub replay_waits: bool,
    /// Whether a standby's replay stands still: somebody wants that, or [`Instance::lacks_settings`].
    #[serde(default)]
    pub replay_paused: bool,
    /// Its receiver, if one runs.
    pub receiver: Option<Receiver>,
    /// Whom it sends WAL.
    pub senders: Vec<Sender>,
    /// Sessions that are not the keeper's.
    pub clients: u32,
    /// `synchronous_standby_names`, as this session goes by it.
    #[serde(default)]
    pub awaits: String,
    /// Roles and databases that would not wait for standbys.
    pub lowered: Vec<LoweredCommit>,
    /// Its replication slots.
    #[serde(default)]
    pub slots: Vec<Slot>,
    /// Bytes free for the data; `None` when the system does not say.
    #[serde(default)]
    pub free_bytes: Option<u64>,
}

impl Observation {
    /// Up to where a standby has the log on its disk, as far as it knows.
    #[must_use]
    pub fn has_up_to(&self) -> Option<Lsn> {
        self.flushed.or(self.received.max(self.replayed))
    }
}

/// What a new connection says of the standbys that are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncCheck {
    /// The value the postmaster gives to its children.
    pub value: String,
    /// Whether that is what was wanted.
    pub in_force: bool,
    /// Connections that may still acknowledge and should not.
    pub strangers: Vec<String>,
}

impl SyncCheck {
    /// Whether the new set is the one, everywhere.
    #[must_use]
    pub fn confirmed(&self) -> bool {
        self.in_force && self.strangers.is_empty()
    }
}

/// Settings that are not as we wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Name and where the value comes from, of what is ours and does not come from us.
    pub overridden: Vec<(String, String)>,
    /// Names whose new value waits for a restart.
    pub pending_restart: Vec<String>,
}

/// One round trip. Every part is cheap: catalogs of a few rows, shared memory, and (without a receiver) one folder. Planning
/// it is not: 3.8 ms of a processor each time, 0.5 when it was planned before.
/// `r` is looked at once, as a promotion may come between two looks; what follows works in both roles.
/// PostgreSQL answers from left to right: that there is no receiver and that replay waits is asked before how far both
/// have come. A receiver that is still connecting has no row in its own view, but may have read the password already.
const LOOK: &str = "WITH q AS MATERIALIZED (SELECT pg_is_in_recovery() AS r), \
  v AS MATERIALIZED (SELECT a.pid, coalesce(w.status, 'starting') AS status, received_tli, sender_host, sender_port, \
    slot_name, conninfo, last_msg_receipt_time FROM pg_stat_activity a LEFT JOIN pg_stat_wal_receiver w USING (pid) \
    WHERE a.backend_type = 'walreceiver') \
  SELECT json_build_object( \
  'in_recovery', r, \
  'timeline', CASE WHEN NOT r THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint \
    ELSE coalesce((SELECT received_tli FROM v), \
      (SELECT max(('x' || left(name, 8))::bit(32)::bigint) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'), 0) END, \
  'checkpoint_timeline', (SELECT timeline_id FROM pg_control_checkpoint()), \
  'inserted', CASE WHEN NOT r THEN pg_current_wal_insert_lsn() END, \
  'flushed', CASE WHEN NOT r THEN pg_current_wal_flush_lsn() END, \
  'replay_waits', EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' \
    AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')), \
  'replay_paused', EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' \
    AND wait_event = 'RecoveryPause'), \
  'received', CASE WHEN r THEN pg_last_wal_receive_lsn() END, \
  'replayed', CASE WHEN r THEN pg_last_wal_replay_lsn() END, \
  'receiver', (SELECT json_build_object('pid', pid, 'status', status, 'timeline', received_tli, \
    'sender_host', sender_host, 'sender_port', sender_port, 'slot', slot_name, \
    'name', substring(conninfo from 'application_name=([a-z0-9_-]+)'), \
    'silent_ms', greatest(0, extract(epoch FROM clock_timestamp() - last_msg_receipt_time) * 1000)::bigint) FROM v), \
  'senders', (SELECT coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'name', application_name, \
    'address', host(client_addr), 'state', state, 'sync_priority', sync_priority, 'sync_state', sync_state, \
    'flushed', flush_lsn, 'replayed', replay_lsn, \
    'since_unix_ms', (extract(epoch FROM backend_start) * 1000)::bigint, \
    'replied_unix_us', (extract(epoch FROM reply_time) * 1000000)::bigint) ORDER BY pid), '[]'::json) \
    FROM pg_stat_replication WHERE state IS NOT NULL), \
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active, \
    'lost', wal_status IS NOT DISTINCT FROM 'lost', 'restart', restart_lsn) ORDER BY slot_name), '[]'::json) \
    FROM pg_replication_slots), \
  'clients', (SELECT count(*) FROM pg_stat_activity \
    WHERE backend_type = 'client backend' AND usename IS DISTINCT FROM '{KEEPER}'), \
  'awaits', current_setting('synchronous_standby_names'), \
  'lowered', (SELECT coalesce(json_agg(json_build_object('database', datname, 'role', rolname, \
    'value', split_part(one, '=', 2)) ORDER BY datname, rolname), '[]'::json) \
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS one \
    LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles o ON o.oid = s.setrole \
    WHERE one LIKE 'synchronous\\_commit=%' AND split_part(one, '=', 2) NOT IN ('on', 'remote_apply')) \
  )::text FROM q";

impl Instance {
    /// Looks at the server, in one round trip over one kept connection.
    ///
    /// A kept connection is a child that exists: it answers although the postmaster is frozen. Whether new sessions
    /// get in is shown by [`Instance::confirm_sync`] and [`Instance::probe`].
    ///
    /// # Errors
    /// All transient: [`InstanceError::Connect`] while it is down or starting, [`InstanceError::Sql`],
    /// [`InstanceError::Late`]; permanent: [`InstanceError::Garbled`].
    pub async fn observe(&self, within: Duration) -> Result<Observation, InstanceError> {
        let sql = LOOK.replace("{KEEPER}", KEEPER);
        let look = Question::Planned { name: "evenkeel_look", sql: &sql };
        let rows = self.kept_question("observe PostgreSQL", look, false, within).await?;
        let text = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        let text = text.unwrap_or_default();
        let seen: Observation = serde_json::from_str(&text).map_err(|error| InstanceError::Garbled {
            what: "what PostgreSQL says of itself",
            why: format!("{error} in `{text}`"),
        })?;
        Ok(Observation { free_bytes: self.free_bytes(), ..seen })
    }

    /// Whether a new session gets in and an answer: the postmaster forks.
    ///
    /// # Errors
    /// As [`Instance::observe`].
    pub async fn probe(&self, within: Duration) -> Result<(), InstanceError> {
        self.fresh("open a session", "SELECT 1", within).await.map(drop)
    }

    async fn fresh(
        &self,
        what: &'static str,
        sql: &str,
        within: Duration,
    ) -> Result<super::client::Rows, InstanceError> {
        let work = async {
            let mut session: Session = self.connect("evenkeel-check").await?;
            let answer = session.ask(sql).await;
            answer.map_err(|cause| InstanceError::Sql { what, cause, class: Class::Transient })
        };
        let late = || InstanceError::Late { what, within_ms: millis(within), class: Class::Transient };
        timeout(within, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Whether commits wait for `wanted` and nobody else's acknowledgement counts. A new connection shows what the
    /// postmaster has read; each sender shows what it has made of it itself.
    ///
    /// Two things it cannot show. A session that waits for a commit under the old set is released by the senders of
    /// the new one, so a set must never be exchanged for a disjoint one in one step while both can acknowledge. And a
    /// change **from [`Acks::NotAwaited`]** by a reload is only in force when the checkpointer has read it too
    /// (`SyncRepUpdateSyncStandbysDefined`), which nothing shows: two [`Instance::checkpoint`]s after this have
    /// passed its loop. Starting with a set, [`Acks::Never`] at least, avoids the question.
    ///
    /// # Errors
    /// As [`Instance::observe`].
    pub async fn confirm_sync(&self, wanted: &Acks, within: Duration) -> Result<SyncCheck, InstanceError> {
        let sql = "SELECT current_setting('synchronous_standby_names'), application_name \
            FROM (SELECT 1) one LEFT JOIN pg_stat_replication ON sync_priority > 0";
        let rows = self.fresh("read whom commits wait for", sql, within).await?;
        let mut check = SyncCheck { value: String::new(), in_force: false, strangers: Vec::new() };
        for row in rows {
            let mut row = row.into_iter();
            check.value = row.next().flatten().unwrap_or_default();
            check.strangers.extend(row.next().flatten().filter(|name| !wanted.counts(name)));
        }
        check.in_force = check.value == wanted.value();
        Ok(check)
    }

    /// Names what overrides our settings, and what waits for a restart. A new connection, some milliseconds.
    ///
    /// # Errors
    /// As [`Instance::observe`].
    pub async fn audit(&self, within: Duration) -> Result<Audit, InstanceError> {
        let list = |names: &mut dyn Iterator<Item = &str>| {
            names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",")
        };
        let (ours, pinned) =
            (list(&mut OURS.iter().copied()), list(&mut PINNED.iter().map(|(name, _)| *name)));
        // Of a synchronous_commit our own connection has its own value. Without a file a default or ours is in force.
        let sql = format!(
            "SELECT name, coalesce(sourcefile, source), pending_restart FROM pg_settings \
             WHERE pending_restart \
             OR (name IN ({ours}) AND sourcefile IS NOT NULL AND sourcefile <> current_setting('config_file')) \
             OR (name IN ({pinned}) AND name <> 'synchronous_commit' AND source <> 'command line') ORDER BY name"
        );
        let mut audit = Audit::default();
        for row in self.fresh("audit the settings", &sql, within).await? {
            let Ok([Some(name), Some(source), Some(pending)]) = <[Option<String>; 3]>::try_from(row) else {
                continue;
            };
            if pending == "t" {
                audit.pending_restart.push(name);
            } else {
                audit.overridden.push((name, source));
            }
        }
        Ok(audit)
    }
}
