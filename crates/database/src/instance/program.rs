//! PostgreSQL's own programs: where they are, and running one to its end.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::files::User;
use super::{Class, InstanceError};

/// Bytes of a program's last words that are kept.
const SAYS_MAX: usize = 1024;
/// The least minor versions without the hole that lets commits through before the checkpointer has read the names of
/// the standbys after a start ("Fix race in commit wait for synchronous replication after restart", release notes of
/// May 2025).
const LEAST: &[(u32, u32)] = &[(13, 21), (14, 18), (15, 13), (16, 9), (17, 5)];

/// The folder of PostgreSQL's programs: Debian's for this major version, else where `postgres` is in the `PATH`.
///
/// # Errors
/// [`InstanceError::NotInstalled`]; [`InstanceError::TooOld`] for a minor version that may acknowledge too early.
pub fn find_bin(major: u32) -> Result<PathBuf, InstanceError> {
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(debian).chain(std::env::split_paths(&path));
    for folder in folders.filter(|folder| folder.join("postgres").is_file()) {
        let output = std::process::Command::new(folder.join("postgres"))
            .arg("--version")
            .env_clear()
            .env("LC_ALL", "C")
            .output()
            .map_err(InstanceError::file("run", folder.join("postgres")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match version(&text) {
            Some((found, minor)) if found == major => return new_enough(major, minor).map(|()| folder),
            _ => {}
        }
    }
    Err(InstanceError::NotInstalled { major })
}

/// `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`: 15 and 20.
fn version(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let (major, minor) = word.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn new_enough(major: u32, minor: u32) -> Result<(), InstanceError> {
    match LEAST.iter().find(|(known, _)| *known == major) {
        Some((_, least)) if minor < *least => Err(InstanceError::TooOld {
            found: format!("{major}.{minor}"),
            least: format!("{major}.{least}"),
        }),
        _ => Ok(()),
    }
}

/// How a program is run.
pub(super) struct Run<'a> {
    pub bin: &'a Path,
    pub user: Option<User>,
    /// Where it runs; also the only folder it may take for its home.
    pub folder: &'a Path,
    /// Texts that are not shown.
    pub secrets: Vec<&'a str>,
}

impl Run<'_> {
    /// Runs `program` to its end. What it has started ends with it: `pg_basebackup` takes the log in a second process, which
    /// outlives a killed first one, goes on for ever, and keeps its outputs open.
    pub(super) async fn output(
        &self,
        program: &'static str,
        arguments: &[&str],
        input: Option<&str>,
        within: Duration,
    ) -> Result<Output, InstanceError> {
        let mut command = Command::new(self.bin.join(program));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", self.bin)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", self.folder)
            .current_dir(self.folder)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let cannot = InstanceError::file("run", self.bin.join(program));
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(cause) => return Err(cannot(cause)),
        };
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            // One that ends early says why itself. The pipe holds more than any text we give.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let mut group = Group(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let status = child.wait().await;
            group.end();
            status
        };
        let all = async { tokio::join!(ended, to_end(stdout), to_end(stderr)) };
        match tokio::time::timeout(within, all).await {
            Ok((status, stdout, stderr)) => status
                .and_then(|status| Ok(Output { status, stdout: stdout?, stderr: stderr? }))
                .map_err(cannot),
            Err(_) => Err(late(program, within)),
        }
    }

    /// As [`Run::output`]; an end other than success is an error.
    pub(super) async fn run(
        &self,
        program: &'static str,
        arguments: &[&str],
        input: Option<&str>,
        within: Duration,
    ) -> Result<Output, InstanceError> {
        let output = self.output(program, arguments, input, within).await?;
        if output.status.success() { Ok(output) } else { Err(self.failed(program, &output)) }
    }

    pub(super) fn failed(&self, program: &'static str, output: &Output) -> InstanceError {
        let says = last_words(&output.stderr, &self.secrets);
        let class = if unreachable(&says) { Class::Transient } else { Class::Permanent };
        InstanceError::Program { program, how: how(output.status), says, class }
    }
}

/// The processes of a program, by the number of its first one. Dropped, they are ended.
struct Group(Option<u32>);

impl Group {
    fn end(&mut self) {
        if let Some(first) = self.0.take().and_then(|first| Pid::from_raw(i32::try_from(first).ok()?)) {
            // Nobody is left, as a rule.
            let _ = kill_process_group(first, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

async fn to_end(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        from.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn late(program: &'static str, within: Duration) -> InstanceError {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    InstanceError::Program {
        program,
        how: format!("did not end within {within_ms} ms"),
        says: "it was killed".to_owned(),
        class: Class::Transient,
    }
}

/// Whether a client program failed before it had begun: it could not connect (libpq's words).
pub(super) fn unreachable(says: &str) -> bool {
    says.lines().last().is_some_and(|line| {
        line.contains("error: connection to server at") || line.contains("Is the server running on that host")
    })
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The end of what a program said, without `secrets`.
pub(super) fn last_words(bytes: &[u8], secrets: &[&str]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
        // As it stands in a statement.
        text = text.replace(&secret.replace('\'', "''"), "***");
    }
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(SAYS_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `pg_basebackup` whose first process somebody killed.
    #[tokio::test]
    async fn a_program_that_is_killed_is_not_waited_for_by_what_it_has_started() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("evenkeel-program-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (program, left) = (folder.join("pg_basebackup"), folder.join("left"));
        let text =
            format!("#!/bin/sh\n/bin/sleep 60 &\necho $! > {}\necho begun\nkill -9 $$\n", left.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let run = Run { bin: &folder, user: None, folder: &folder, secrets: Vec::new() };
        let began = std::time::Instant::now();
        let output = run.output("pg_basebackup", &[], None, Duration::from_secs(30)).await.unwrap();
        let started: u32 = std::fs::read_to_string(&left).unwrap().trim().parse().unwrap();
        let took = began.elapsed();
        // It was killed; when the kernel has carried that out is another matter.
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{started}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        while runs() && began.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            (how(output.status), output.stdout),
            ("was ended by signal 9".to_owned(), b"begun\n".to_vec())
        );
        assert!(took < Duration::from_secs(10) && !runs(), "{took:?}");
    }

    #[test]
    fn last_words_are_the_last_and_hold_no_secret() {
        let text = format!("{}ERROR: PASSWORD 'it''s secret' is bad\n", "ü".repeat(2_000));
        let words = last_words(text.as_bytes(), &["it's secret"]);
        assert!(words.len() <= SAYS_MAX && words.ends_with("ERROR: PASSWORD '***' is bad"), "{words}");
    }

    #[test]
    fn a_version_that_acknowledges_too_early_after_a_start_is_refused() {
        assert_eq!(version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some((15, 20)));
        assert_eq!(version("postgres (PostgreSQL) 18beta1\n"), None);
        assert!(new_enough(15, 12).is_err());
        assert!(new_enough(15, 13).is_ok());
        assert!(new_enough(18, 0).is_ok());
    }

    #[test]
    fn a_program_that_never_reached_the_other_side_is_told_from_one_that_broke_off() {
        assert!(unreachable(
            "pg_rewind: error: connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?"
        ));
        assert!(!unreachable(
            "pg_rewind: error: could not fetch remote file \"x\": server closed the connection"
        ));
    }
}
