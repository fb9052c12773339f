//! What can be known of a data folder without starting it.

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use super::demand::{DEMANDED, Demands};
use super::{Class, Half, Instance, InstanceError, Lsn, STANDBY_SIGNAL};

/// `pg_controldata` reads one file of 8 KiB.
const CONTROL_WITHIN: Duration = Duration::from_secs(10);

/// How the server was left (`DBState`, `src/include/catalog/pg_control.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbState {
    /// `initdb` has not ended.
    StartingUp,
    /// Stopped as a primary, cleanly.
    ShutDown,
    /// Stopped as a standby, cleanly.
    ShutDownInRecovery,
    /// It was stopping.
    ShuttingDown,
    /// It was recovering from a crash.
    InCrashRecovery,
    /// It runs as a standby, or was killed as one.
    InArchiveRecovery,
    /// It runs as a primary, or was killed as one.
    InProduction,
}

/// `pg_controldata`, as far as needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// How it was left.
    pub state: DbState,
    /// Which cluster it is: all copies share it.
    pub system_identifier: u64,
    /// Where the latest checkpoint's record is.
    pub checkpoint: Lsn,
    /// From where a recovery would replay.
    pub redo: Lsn,
    /// The timeline of that checkpoint. Behind the true one between a promotion and the checkpoint after it
    /// (hazard 9).
    pub timeline: u32,
    /// Up to where a standby must replay to be consistent; zero for a primary.
    pub min_recovery_end: Lsn,
    /// The timeline of that; zero for a primary.
    pub min_recovery_timeline: u32,
    /// Whether pages carry checksums, which `pg_rewind` relies on.
    pub checksums: bool,
    /// Settings of which a start as a standby needs at least so much.
    pub demands: Demands,
    /// Whether it would start as a standby (`standby.signal`).
    pub standby: bool,
    /// A clone or rewind that did not come to its end.
    pub half: Option<Half>,
}

impl Control {
    /// Whether it was stopped cleanly, as either.
    #[must_use]
    pub fn clean(&self) -> bool {
        matches!(self.state, DbState::ShutDown | DbState::ShutDownInRecovery)
    }
}

/// The end of a stopped server's log, as far as it is known without reading the log itself.
///
/// - Stopped cleanly as a primary: the record at `at_least` is the last one, so two such nodes compare exactly.
/// - Stopped cleanly as a standby: it has replayed up to `at_least`. What it received and did not replay lies behind
///   it, unknown: the shutdown does not wait for replay.
/// - Anything else: the log goes on behind `at_least`, by as much as the last checkpoint is old.
///
/// To know more, start it as a standby without an upstream and observe until its replay waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalEnd {
    /// The log reaches at least here.
    pub at_least: Lsn,
    /// On this timeline.
    pub timeline: u32,
    /// Whether nothing but the record at `at_least` follows.
    pub exact: bool,
}

/// A fork in a timeline's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where: what that timeline has from here on is not in this history.
    pub at: Lsn,
    /// PostgreSQL's words.
    pub why: String,
}

impl Instance {
    /// Reads the control file of the data folder, running or not.
    ///
    /// # Errors
    /// [`InstanceError::Program`] when there is no data or it is damaged; [`InstanceError::Garbled`].
    pub async fn control(&self) -> Result<Control, InstanceError> {
        let data = self.data_text();
        let output = self.program().run("pg_controldata", &["-D", data], None, CONTROL_WITHIN).await?;
        let standby = self.data().join(STANDBY_SIGNAL).exists();
        parse(&String::from_utf8_lossy(&output.stdout), standby, self.half()?)
    }

    /// Where the log of a stopped server ends; see [`WalEnd`] for how much that says.
    ///
    /// # Errors
    /// As [`Instance::control`].
    pub async fn wal_end(&self) -> Result<WalEnd, InstanceError> {
        let control = self.control().await?;
        Ok(match control.state {
            DbState::ShutDown => {
                WalEnd { at_least: control.checkpoint, timeline: control.timeline, exact: true }
            }
            _ if control.min_recovery_end > control.checkpoint => WalEnd {
                at_least: control.min_recovery_end,
                timeline: control.min_recovery_timeline,
                exact: false,
            },
            _ => WalEnd { at_least: control.checkpoint, timeline: control.timeline, exact: false },
        })
    }

    /// The forks on the way to `timeline`, oldest first. Timeline 1 has none.
    ///
    /// # Errors
    /// [`InstanceError::File`] when the history is not there (the node has not followed that timeline);
    /// [`InstanceError::Garbled`].
    pub fn timeline_history(&self, timeline: u32) -> Result<Vec<Fork>, InstanceError> {
        if timeline <= 1 {
            return Ok(Vec::new());
        }
        let path = self.data().join("pg_wal").join(format!("{timeline:08X}.history"));
        let text = fs::read_to_string(&path).map_err(InstanceError::file("read", path))?;
        parse_history(&text)
    }
}

fn garbled(what: &'static str, why: impl Into<String>) -> InstanceError {
    InstanceError::Garbled { what, why: why.into() }
}

/// Whose words these are.
const WHAT: &str = "pg_controldata";

fn field<'a>(text: &'a str, name: &str) -> Result<&'a str, InstanceError> {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.map(str::trim).ok_or_else(|| garbled(WHAT, format!("it does not say `{name}`")))
}

fn number<T: FromStr>(text: &str, name: &str) -> Result<T, InstanceError> {
    let value = field(text, name)?;
    value.parse().map_err(|_| garbled(WHAT, format!("`{name}` is `{value}`")))
}

/// What `pg_controldata` says of the primary whose log was replayed last.
pub(super) fn demands(text: &str) -> Result<Demands, InstanceError> {
    DEMANDED.iter().map(|(name, control)| Ok((*name, number(text, control)?))).collect()
}

fn parse(text: &str, standby: bool, half: Option<Half>) -> Result<Control, InstanceError> {
    let field = |name: &str| field(text, name);
    let lsn = |name: &str| field(name)?.parse::<Lsn>().map_err(|bad| garbled(WHAT, bad.to_string()));
    let timeline = |name: &str| number::<u32>(text, name);
    let state = match field("Database cluster state")? {
        "starting up" => DbState::StartingUp,
        "shut down" => DbState::ShutDown,
        "shut down in recovery" => DbState::ShutDownInRecovery,
        "shutting down" => DbState::ShuttingDown,
        "in crash recovery" => DbState::InCrashRecovery,
        "in archive recovery" => DbState::InArchiveRecovery,
        "in production" => DbState::InProduction,
        other => return Err(garbled(WHAT, format!("the state is `{other}`"))),
    };
    Ok(Control {
        state,
        system_identifier: number(text, "Database system identifier")?,
        checkpoint: lsn("Latest checkpoint location")?,
        redo: lsn("Latest checkpoint's REDO location")?,
        timeline: timeline("Latest checkpoint's TimeLineID")?,
        min_recovery_end: lsn("Minimum recovery ending location")?,
        min_recovery_timeline: timeline("Min recovery ending loc's timeline")?,
        checksums: number::<u32>(text, "Data page checksum version")? != 0,
        demands: demands(text)?,
        standby,
        half,
    })
}

/// `1<tab>0/3000148<tab>no recovery target specified`, one fork a line.
fn parse_history(text: &str) -> Result<Vec<Fork>, InstanceError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.splitn(3, '\t');
            let timeline = words.next().and_then(|word| word.trim().parse().ok());
            let at = words.next().and_then(|word| word.trim().parse().ok());
            match (timeline, at) {
                (Some(timeline), Some(at)) => {
                    Ok(Fork { timeline, at, why: words.next().unwrap_or_default().trim().to_owned() })
                }
                _ => Err(garbled("a timeline's history", format!("the line `{line}`"))),
            }
        })
        .collect()
}

/// The system identifier of a data folder: the first eight bytes of its control file, in the machine's order
/// (`ControlFileData`, `src/include/catalog/pg_control.h`). Reading them needs no program.
pub(super) fn system_identifier(data: &std::path::Path) -> Result<u64, InstanceError> {
    let path = data.join("global").join("pg_control");
    let bytes = fs::read(&path).map_err(InstanceError::file("read", &path))?;
    let first: Option<[u8; 8]> = bytes.get(..8).and_then(|bytes| bytes.try_into().ok());
    first.map(u64::from_ne_bytes).ok_or(InstanceError::Program {
        program: "pg_controldata",
        how: "was not run".to_owned(),
        says: format!("`{}` is cut short", path.display()),
        class: Class::Permanent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pg_control version number:            1300\n\
        Database system identifier:           7423401234567890123\n\
        Database cluster state:               shut down in recovery\n\
        Latest checkpoint location:           0/3000060\n\
        Latest checkpoint's REDO location:    0/3000028\n\
        Latest checkpoint's TimeLineID:       1\n\
        Latest checkpoint's PrevTimeLineID:   1\n\
        Minimum recovery ending location:     0/3000148\n\
        Min recovery ending loc's timeline:   2\n\
        max_connections setting:              100\n\
        max_worker_processes setting:         8\n\
        max_wal_senders setting:              16\n\
        max_prepared_xacts setting:           5\n\
        max_locks_per_xact setting:           64\n\
        Data page checksum version:           1\n";

    #[test]
    fn a_control_file_says_how_the_server_was_left() {
        let control = parse(TEXT, true, None).unwrap();
        assert_eq!(control.state, DbState::ShutDownInRecovery);
        assert_eq!(control.system_identifier, 7_423_401_234_567_890_123);
        assert_eq!((control.checkpoint, control.redo), (Lsn(0x300_0060), Lsn(0x300_0028)));
        assert_eq!((control.timeline, control.min_recovery_timeline), (1, 2));
        assert!(control.clean() && control.checksums);
        assert_eq!(control.demands["max_prepared_transactions"], 5);
        for line in TEXT.lines().skip(1).filter(|line| !line.contains("Prev")) {
            let without = TEXT.replace(line, "");
            assert!(parse(&without, true, None).is_err(), "{line}");
        }
    }

    #[test]
    fn forks_are_read_oldest_first_and_nothing_is_guessed() {
        let forks =
            parse_history("1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\twhy\n").unwrap();
        let places: Vec<_> = forks.iter().map(|fork| (fork.timeline, fork.at)).collect();
        assert_eq!(places, [(1, Lsn(0x300_0148)), (2, Lsn(0x500_0000))]);
        assert!(parse_history("1 0/3000148 spaces\n").is_err());
    }
}
