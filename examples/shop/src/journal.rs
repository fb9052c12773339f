//! The order journal: a line for each order that was carried out.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::Serialize;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    at_ms: u64,
    unit: &'a str,
}

impl Journal {
    /// Opens or creates it; its folder must be there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Journal> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the journal `{}`", path.display()))?;
        Ok(Journal { file })
    }

    /// Appends one order. The line reaches the kernel in one write at the end of the file (`O_APPEND`), so the death
    /// of this process neither tears nor loses it. It is not synced to disk: the loss of the machine is not what this
    /// journal is for, and six replicas that sync 80 times a second would measure the disk.
    pub(crate) fn append(&self, id: &str, unit: &str) -> io::Result<()> {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut line = serde_json::to_vec(&Line { id, at_ms, unit })?;
        line.push(b'\n');
        let written = (&self.file).write(&line)?;
        if written < line.len() {
            // The rest would no longer be the same write, and the next order must not be glued to this piece. The
            // caller is told that nothing was carried out.
            let _ = (&self.file).write(b"\n");
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the journal took a part of a line"));
        }
        (&self.file).flush()
    }
}
