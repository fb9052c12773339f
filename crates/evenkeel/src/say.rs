//! Data to standard output, talk to standard error.
//!
//! `println!` and `eprintln!` panic when the reader has gone (`evenkeel status | head -1`, `evenkeel up 2>&1 | tee log`
//! ended by Ctrl-C) or the disk behind a redirection is full. For a command that is a wrong message; for the
//! supervisor it would be the loss of its children. So nothing in this crate uses them (`main.rs` forbids it).

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context;

/// Prints `text` as it is on standard output, at once. `false`: whoever read it has gone, which is no error; a loop
/// ends then, and everything else goes on to its exit code.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub fn data(text: impl Display) -> anyhow::Result<bool> {
    bytes(text.to_string().as_bytes())
}

/// As [`data`], for what units printed: it need not be text.
///
/// # Errors
/// As [`data`].
pub fn bytes(bytes: &[u8]) -> anyhow::Result<bool> {
    outcome(write(std::io::stdout().lock(), bytes))
}

fn write(mut out: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}

fn outcome(written: std::io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Prints `text` and a line break on standard error. That nobody can be told is no reason to stop.
pub fn talk(text: impl Display) {
    part(format_args!("{text}\n"));
}

/// Prints `text` as it is on standard error, at once; see [`talk`].
pub fn part(text: impl Display) {
    let _ = write(std::io::stderr().lock(), text.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: ErrorKind, reader: Option<bool>) {
        assert_eq!(outcome(Err(kind.into())).ok(), reader, "{kind:?}");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error_and_a_full_disk_is_one() {
        check(ErrorKind::BrokenPipe, Some(false));
        check(ErrorKind::StorageFull, None);
        assert_eq!(outcome(Ok(())).ok(), Some(true));
    }
}
