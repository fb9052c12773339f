//! Effects that are SQL statements.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;

use super::client::class_of;
use super::server::millis;
use super::{Class, Instance, InstanceError, KEEPER, SlotName, StandbyName};

/// Between two looks whether a promotion has happened; the server's own look is every 100 ms.
const PROMOTED_LOOK: Duration = Duration::from_millis(5);
/// Sessions that were told to end are waited for so long.
const GONE_WITHIN: Duration = Duration::from_millis(200);
/// Sessions, and what else writes without being asked.
const WRITERS: &str = "backend_type IN ('client backend', 'autovacuum worker')";

impl Instance {
    /// Promotes a standby and returns when it writes. What it has received is replayed first; the new timeline begins
    /// at the end of it.
    ///
    /// # Errors
    /// [`InstanceError::Late`] or [`InstanceError::Sql`], both unknown: it may yet happen, ask
    /// [`Instance::observe`]. A primary already is what is asked for.
    pub async fn promote(&self, within: Duration) -> Result<(), InstanceError> {
        const WHAT: &str = "promote";
        let until = Instant::now() + within;
        let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(false) END";
        self.kept(WHAT, sql, true, within).await?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let rows = self.kept(WHAT, "SELECT pg_is_in_recovery()", true, left).await?;
            if rows.first().and_then(|row| row.first()).is_some_and(|value| value.as_deref() == Some("f")) {
                return Ok(());
            }
            tokio::time::sleep(PROMOTED_LOOK.min(left)).await;
        }
    }

    /// Writes a checkpoint. After a promotion it brings the new timeline into the control file, which a rewind from
    /// this node needs (hazard 9).
    ///
    /// # Errors
    /// [`InstanceError::Late`], [`InstanceError::Sql`], [`InstanceError::Connect`].
    pub async fn checkpoint(&self, within: Duration) -> Result<(), InstanceError> {
        self.aside("write a checkpoint", "CHECKPOINT", within).await
    }

    /// A statement that may be repeated, over a connection of its own: it can take as long as the disk, and observing goes on
    /// meanwhile.
    pub(super) async fn aside(
        &self,
        what: &'static str,
        sql: &str,
        within: Duration,
    ) -> Result<(), InstanceError> {
        let work = async {
            let mut session = self.connect("evenkeel-checkpoint").await?;
            session.ask(sql).await.map_err(|cause| InstanceError::Sql {
                what,
                cause,
                class: Class::Transient,
            })
        };
        match timeout(within, work).await {
            Ok(done) => done.map(drop),
            Err(_) => Err(late(what, within, Class::Transient)),
        }
    }

    /// Makes a slot that holds WAL from now on; done when it already is there. Standbys have slots of their own, so a
    /// standby that may be promoted needs those of its peers beforehand.
    ///
    /// # Errors
    /// [`InstanceError::Sql`], also when all slots are taken; [`InstanceError::Late`]; [`InstanceError::Connect`].
    pub async fn create_slot(&self, slot: &SlotName, within: Duration) -> Result<(), InstanceError> {
        // SQLSTATE 42710: it was made meanwhile.
        self.unless("create a slot", &create_slot(slot), &SqlState::DUPLICATE_OBJECT, within).await
    }

    /// Makes slots over a connection of its own, so that whoever looks at the server meanwhile does not wait for their
    /// syncs.
    ///
    /// # Errors
    /// [`InstanceError::Sql`], also when one is made meanwhile; [`InstanceError::Late`]; [`InstanceError::Connect`].
    pub async fn create_slots_aside(
        &self,
        slots: &[SlotName],
        within: Duration,
    ) -> Result<(), InstanceError> {
        const WHAT: &str = "create slots";
        let work = async {
            let mut session = self.connect("evenkeel-keeper-slots").await?;
            for slot in slots {
                let failed = |cause| InstanceError::Sql { what: WHAT, class: class_of(&cause, true), cause };
                session.ask(&create_slot(slot)).await.map_err(failed)?;
            }
            Ok(())
        };
        timeout(within, work).await.unwrap_or_else(|_| Err(late(WHAT, within, Class::Unknown)))
    }

    /// Drops a slot, so that it holds no WAL; done when there is none.
    ///
    /// # Errors
    /// [`InstanceError::Sql`] while a standby uses it; [`InstanceError::Late`]; [`InstanceError::Connect`].
    pub async fn drop_slot(&self, slot: &SlotName, within: Duration) -> Result<(), InstanceError> {
        let sql = format!("SELECT pg_drop_replication_slot('{slot}')");
        self.unless("drop a slot", &sql, &SqlState::UNDEFINED_OBJECT, within).await
    }

    async fn unless(
        &self,
        what: &'static str,
        sql: &str,
        fine: &SqlState,
        within: Duration,
    ) -> Result<(), InstanceError> {
        match self.kept(what, sql, true, within).await {
            Err(InstanceError::Sql { cause, .. }) if cause.code() == Some(fine) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Cuts all sessions but the keeper's, and autovacuum's workers; returns how many. After a fence, repeat it until
    /// [`Observation::clients`](super::Observation::clients) stays 0 for `authentication_timeout` (5 s): a connection
    /// that was authenticating when the fence went up still comes in. Who cannot wait kills the server.
    ///
    /// A commit that waits for a standby ends with its session unacknowledged.
    ///
    /// # Errors
    /// [`InstanceError::Sql`], [`InstanceError::Late`], [`InstanceError::Connect`].
    pub async fn terminate_clients(&self, within: Duration) -> Result<u64, InstanceError> {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WRITERS} AND usename IS DISTINCT FROM '{KEEPER}'"
        );
        self.ended("end the sessions", &sql, within).await
    }

    /// After [`Instance::terminate_clients`]: waits for a moment until those sessions are gone, and puts all that was written
    /// on the disk. Sessions that end write a little more, which is there 0.2 s later otherwise, and reaches one standby
    /// before the other.
    ///
    /// # Errors
    /// [`InstanceError::Sql`], [`InstanceError::Late`], [`InstanceError::Connect`].
    pub async fn settle_log(&self, within: Duration) -> Result<(), InstanceError> {
        const WHAT: &str = "settle the log";
        let left = format!(
            "SELECT 1 FROM pg_stat_activity WHERE {WRITERS} AND usename IS DISTINCT FROM '{KEEPER}' LIMIT 1"
        );
        let until = Instant::now() + GONE_WITHIN.min(within);
        while !self.kept(WHAT, &left, false, within).await?.is_empty() && Instant::now() < until {
            tokio::time::sleep(PROMOTED_LOOK).await;
        }
        // A commit writes all that comes before it; this one waits for nobody.
        let sql = "BEGIN; SET LOCAL synchronous_commit = 'local'; \
                   SELECT pg_logical_emit_message(true, 'evenkeel', 'handover'); COMMIT";
        self.kept(WHAT, sql, true, within).await.map(drop)
    }

    /// Cuts the replication connections of `names`; returns how many. They come back unless their side is told
    /// otherwise.
    ///
    /// # Errors
    /// [`InstanceError::Sql`], [`InstanceError::Late`], [`InstanceError::Connect`].
    pub async fn terminate_walsenders(
        &self,
        names: &[StandbyName],
        within: Duration,
    ) -> Result<u64, InstanceError> {
        let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_replication \
             WHERE lower(application_name) = ANY (ARRAY[{}]::text[])",
            names.join(",")
        );
        self.ended("end replication connections", &sql, within).await
    }

    async fn ended(&self, what: &'static str, sql: &str, within: Duration) -> Result<u64, InstanceError> {
        let rows = self.kept(what, sql, true, within).await?;
        let done = rows.iter().filter(|row| row.first().is_some_and(|v| v.as_deref() == Some("t"))).count();
        Ok(u64::try_from(done).unwrap_or(u64::MAX))
    }
}

/// A slot that holds WAL from now on, unless it is there: a statement that fails costs its connection.
fn create_slot(slot: &SlotName) -> String {
    format!(
        "SELECT pg_create_physical_replication_slot('{slot}', true) \
         WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}')"
    )
}

fn late(what: &'static str, within: Duration, class: Class) -> InstanceError {
    InstanceError::Late { what, within_ms: millis(within), class }
}
