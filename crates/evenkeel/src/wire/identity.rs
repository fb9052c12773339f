//! Who is who in this run: the folder `identity/`, made by whoever starts it or changes its plan, read by its agents.

use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use database::instance::{self, TlsFiles};
use identity::{
    Authority, CA_FILE, CERT_FILE, Class, IdentityError, KEY_FILE, Node, NodeSpec, Secret, Secrets, Usage,
    renew_due,
};
use model::{DatabaseName, Plan, ZoneName};

use crate::exit::hinted;

/// What a database has a secret for, beside its name.
const REPLICATION: &str = "replication";
const REWIND: &str = "rewind";
const APPLICATION: &str = "application";
/// What keepers show each other.
const PEERS: &str = "peers";
/// Tries to write while another process does, one each [`BUSY_WAIT`]: writing takes it two fsyncs.
const BUSY_TRIES: u32 = 100;
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_millis(20);

/// What the keeper of a node needs to know of its database.
#[derive(Debug)]
pub struct DatabaseSecrets {
    /// Passwords of PostgreSQL's roles.
    pub secrets: instance::Secrets,
    /// See [`database::keeper::KeeperOptions::peers_key`].
    pub peers_key: Vec<u8>,
}

fn secret_name(database: &DatabaseName, what: &str) -> String {
    format!("{database}.{what}")
}

/// Makes what is missing in the folder `dir`: the authority, and the secrets of the plan's databases. What is there
/// stays as it is. Blocks for some milliseconds when it makes something.
///
/// # Errors
/// When others could have read the folder, the disk refuses, or the clock is wrong.
pub fn make(dir: &Path, plan: &Plan, now: SystemTime) -> anyhow::Result<()> {
    let failed = || format!("cannot make this run's identity in `{}`", dir.display());
    Authority::open_or_create(dir, &plan.app, now).with_context(failed)?;
    let secrets = Secrets::open(dir).with_context(failed)?;
    for planned in &plan.databases {
        for what in [REPLICATION, REWIND, APPLICATION, PEERS] {
            create(&secrets, &secret_name(&planned.database.name, what)).with_context(failed)?;
        }
    }
    Ok(())
}

fn create(secrets: &Secrets, name: &str) -> Result<Secret, IdentityError> {
    for _ in 1..BUSY_TRIES {
        match secrets.get_or_create(name) {
            Err(error @ IdentityError::Busy { .. }) if error.class() == Class::Transient => {
                std::thread::park_timeout(BUSY_WAIT);
            }
            other => return other,
        }
    }
    secrets.get_or_create(name)
}

fn secret(dir: &Path, database: &DatabaseName, what: &str) -> anyhow::Result<Secret> {
    let name = secret_name(database, what);
    let known = Secrets::open(dir).and_then(|secrets| secrets.get(&name));
    let known = known.with_context(|| format!("cannot read the secret `{name}`"))?;
    known.ok_or_else(|| {
        hinted(format!("there is no secret `{name}`"), "`evenkeel up` makes what a plan needs; run it again")
    })
}

/// The secrets of a database.
///
/// # Errors
/// When one was not made, or cannot be read.
pub fn database(dir: &Path, name: &DatabaseName) -> anyhow::Result<DatabaseSecrets> {
    let password = |what| {
        let secret = secret(dir, name, what)?;
        instance::Secret::new(secret.expose().to_string()).map_err(anyhow::Error::msg)
    };
    let secrets = instance::Secrets {
        replication: password(REPLICATION)?,
        rewind: password(REWIND)?,
        application: password(APPLICATION)?,
    };
    Ok(DatabaseSecrets { secrets, peers_key: secret(dir, name, PEERS)?.expose().as_bytes().to_vec() })
}

/// The application's password at a database: part of its `${NAME.url}`.
///
/// # Errors
/// As [`database`].
pub fn application_password(dir: &Path, name: &DatabaseName) -> anyhow::Result<String> {
    Ok(secret(dir, name, APPLICATION)?.expose().to_string())
}

/// The certificate of a zone's data nodes, in the folder `into`; `true` when it was issued now: because there was none,
/// or it was another authority's or another address's, or two thirds of its life are over.
///
/// # Errors
/// When the authority in `dir` cannot be read or is not valid `now`, or `into` cannot be written.
pub fn node(
    dir: &Path,
    (zone, address): (&ZoneName, IpAddr),
    into: &Path,
    now: SystemTime,
) -> anyhow::Result<(TlsFiles, bool)> {
    let authority = Authority::open(dir).context("cannot read this run's authority")?;
    let files = TlsFiles {
        cert: into.join(CERT_FILE),
        key: into.join(KEY_FILE),
        ca: into.join(CA_FILE),
        applications: true,
    };
    // What a certificate does not say in a form that is read here: for which address it is.
    let note = into.join("address");
    let is_for = std::fs::read_to_string(&note).unwrap_or_default();
    let good = Node::read(into, None).is_ok_and(|node| {
        let valid = renew_due(node.cert_pem(), now).is_ok_and(|due| !due);
        valid && node.ca_pem() == authority.ca_pem() && is_for == address.to_string()
    });
    if !good {
        let spec = NodeSpec::new(zone.as_str(), Usage::Both).at(&[address]);
        let node = authority.issue(&spec, now).context("cannot issue the zone's certificate")?;
        let told = || format!("cannot write the zone's certificate to `{}`", into.display());
        // Until the note is there again, whatever is in the folder is replaced.
        let _ = std::fs::remove_file(&note);
        node.write(into, None).with_context(told)?;
        super::site::write_whole(&note, address.to_string().as_bytes()).with_context(told)?;
    }
    Ok((files, !good))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
