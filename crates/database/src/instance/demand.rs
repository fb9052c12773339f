//! Settings of which a standby needs at least what its primary has (documentation, 27.4.3).
//!
//! With less a standby does not start; one that runs stands still in its replay, and a promotion ends it. A user may raise them on
//! one node alone, and so may another version of this program. So each start takes what its data demands, which the control file
//! says: what the primary had whose log was replayed last. No two nodes have to agree then, and a failover to a node with more, or
//! from it, is one as any other. What was raised stays: a server that starts as a standby cannot have less than it had.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::program::last_words;
use super::{Class, Instance, InstanceError, control, settings};

/// Their names, and what `pg_controldata` calls them.
pub(super) const DEMANDED: &[(&str, &str)] = &[
    ("max_connections", "max_connections setting"),
    ("max_worker_processes", "max_worker_processes setting"),
    ("max_wal_senders", "max_wal_senders setting"),
    ("max_prepared_transactions", "max_prepared_xacts setting"),
    ("max_locks_per_transaction", "max_locks_per_xact setting"),
];

/// By name, at least so much.
pub type Demands = BTreeMap<&'static str, u32>;

/// What the last line of `text` that sets `name` says. One that is not as PostgreSQL writes it says nothing.
fn set_in(text: &str, name: &str) -> Option<u32> {
    let mut sets = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = sets.rfind(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    value.trim().trim_matches('\'').parse().ok()
}

/// Of `demands` what is more than the files of settings give; `files` is their text in the order in which they count.
fn beyond(demands: &Demands, files: &str) -> Demands {
    let lacks = |(name, demanded): &(&&str, &u32)| set_in(files, name).is_none_or(|given| given < **demanded);
    demands.iter().filter(lacks).map(|(name, demanded)| (*name, *demanded)).collect()
}

impl Instance {
    /// What a start must be told besides the files.
    pub(super) fn beyond_files(&self) -> Result<Demands, InstanceError> {
        let path = self.data().join("postgresql.auto.conf");
        let own = fs::read_to_string(&path).unwrap_or_default();
        let files = format!("{}{own}", settings::fixed_part(&self.facts()));
        Ok(beyond(&self.demands()?, &files))
    }

    /// What the data demands. Not as [`Instance::control`], since a start waits for nobody.
    fn demands(&self) -> Result<Demands, InstanceError> {
        const PROGRAM: &str = "pg_controldata";
        let path = self.options().bin.join(PROGRAM);
        let mut command = Command::new(&path);
        command.arg("-D").arg(self.data()).env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir(&self.dir).stdin(Stdio::null());
        if let Some((uid, gid)) = self.options().user {
            command.uid(uid).gid(gid);
        }
        let output = command.output().map_err(InstanceError::file("run", path))?;
        if !output.status.success() {
            let (how, says) = (format!("ended ({})", output.status), last_words(&output.stderr, &[]));
            return Err(InstanceError::Program { program: PROGRAM, how, says, class: Class::Permanent });
        }
        control::demands(&String::from_utf8_lossy(&output.stdout))
    }

    /// Whether the running server has less of something than its data demands: what its primary has by now. Then its replay
    /// stands still, and goes on after a start.
    ///
    /// # Errors
    /// As [`Instance::control`] and [`Instance::observe`].
    pub async fn lacks_settings(&self, within: Duration) -> Result<bool, InstanceError> {
        let demands = self.control().await?.demands;
        let names: Vec<String> = DEMANDED.iter().map(|(name, _)| format!("'{name}'")).collect();
        let sql = format!("SELECT name, setting FROM pg_settings WHERE name IN ({})", names.join(","));
        let rows = self.kept("read settings", &sql, false, within).await?;
        let lacks = |row: &Vec<Option<String>>| {
            let [Some(name), Some(given)] = row.as_slice() else { return false };
            let given: Option<u32> = given.parse().ok();
            demands.get(name.as_str()).zip(given).is_some_and(|(demanded, given)| given < *demanded)
        };
        Ok(rows.iter().any(lacks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_of_what_the_data_demands_and_the_files_do_not_give() {
        let demands = Demands::from([("max_connections", 300), ("max_prepared_transactions", 5)]);
        let told = |own: &str| {
            let ours = "max_connections = '100'\nmax_prepared_transactions = '0'\n";
            let told = beyond(&demands, &format!("{ours}{own}"));
            told.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        let both = "max_connections=300 max_prepared_transactions=5";
        assert_eq!(told(""), both);
        // A person's own stays when it is more, and does not count when it is less.
        assert_eq!(told("max_connections = '400'\nmax_prepared_transactions = '5'\n"), "");
        assert_eq!(told("Max_Connections='200'\n"), both);
        assert_eq!(told("max_connections = '400'\nmax_connections = '10'\n"), both);
        // By hand, and not understood: what is demanded is given.
        assert_eq!(told("max_connections 400\n"), both);
    }
}
