//! Where the data of databases lies on one machine.
//!
//! Run by a user: in the zone's own folder. Run by root, PostgreSQL drops to a system user that must be able to pass
//! through every folder above its data, and a state folder is for its owner alone; so the data lies outside of it:
//!
//! ```text
//! /var/lib/evenkeel/ID/            0711, root's; ID is in the state folder's `data.id`
//!                   ID/a/db-1/     a node of zone a
//! ```
//!
//! The ID is half of the state folder's path, so that runs do not meet, and half random, so that a state folder that was
//! removed by hand and made again does not meet the data of the one before.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::local::run_id;
use model::ZoneName;

use crate::exit::hinted;

use super::site::{Site, write_whole};

/// Where the data of runs by root lies.
const ROOT: &str = "/var/lib/evenkeel";

/// The folder of the data of `zone`'s nodes.
///
/// # Errors
/// When root's run has no name yet and none can be written.
pub fn of(site: &Site, zone: &ZoneName) -> anyhow::Result<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return Ok(site.zone_dir(zone).join("databases"));
    }
    let folder = match outside(site)? {
        Some(folder) => folder,
        None => {
            let id = format!("{}-{}", run_id(site.root()), random()?);
            write_whole(&site.data_id(), id.as_bytes())?;
            Path::new(ROOT).join(id)
        }
    };
    Ok(folder.join(zone.as_str()))
}

/// The folder of the data of `zone`'s nodes, without making a name for it; `None`: there is none yet.
///
/// # Errors
/// As [`outside`].
pub fn known(site: &Site, zone: &ZoneName) -> anyhow::Result<Option<PathBuf>> {
    if rustix::process::geteuid().is_root() {
        return Ok(outside(site)?.map(|folder| folder.join(zone.as_str())));
    }
    Ok(Some(site.zone_dir(zone).join("databases")))
}

/// The folder outside of the state folder that holds this run's data; `None`: there is none.
///
/// # Errors
/// When its name is there and cannot be read.
pub fn outside(site: &Site) -> anyhow::Result<Option<PathBuf>> {
    let path = site.data_id();
    let id = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        let text = format!("`{}` is damaged: it names no folder below `{ROOT}`", path.display());
        return Err(hinted(text, format!("write the name of the data's folder below `{ROOT}` to it")));
    }
    Ok(Some(Path::new(ROOT).join(id)))
}

/// Makes the folder `dir` and what is missing above it: for this user alone; as root, whose PostgreSQL runs as another
/// user, so that everybody can pass through and nobody can look.
///
/// # Errors
/// When it cannot be made, or one below [`ROOT`] belongs to somebody else, who could put another in its place.
pub fn make(dir: &Path) -> std::io::Result<()> {
    let shared = dir.starts_with(ROOT);
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    let mut folders: Vec<&Path> = dir.ancestors().collect();
    folders.reverse();
    for folder in folders {
        match DirBuilder::new().mode(mode).create(folder) {
            // Whatever the mask of permissions took away is given back.
            Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(mode))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Parents that are there need not be writable, `/proc` or a read-only root.
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(error),
        }
        if shared && folder.starts_with(ROOT) {
            let about = std::fs::symlink_metadata(folder)?;
            if !about.is_dir() || about.uid() != 0 || about.mode() & 0o022 != 0 {
                let why = format!("`{}` is not a folder that root alone may write to", folder.display());
                return Err(std::io::Error::new(ErrorKind::PermissionDenied, why));
            }
        }
    }
    Ok(())
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 4];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("no randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
