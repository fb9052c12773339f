//! The log without data: what a witness keeps, by PostgreSQL's own `pg_receivewal`.
//!
//! It syncs what it receives before it says so (`--synchronous`), and is known to the primary by the name and the slot of
//! a standby. After a start it receives the last segment again from its beginning and writes the same bytes once more.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::ProcessId;
use model::Lsn;
use rustix::process::Signal;
use tokio::time::Instant;

use super::decide_log::{HISTORY_BYTES_MAX, Received, SEGMENT_BYTES as SEGMENT, history, segment};
use super::server::log_bytes;
use super::settings::{self, Upstream};
use super::wal::{self, PAGE};
use super::{Class, Instance, InstanceError, REPLICATION, Running, files, proc};

/// The password of replication, for as long as there is a receiver.
const PASSFILE: &str = "passfile.receive";
/// Killed, it is gone unless it waits for its disk.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// PostgreSQL's own receiver of log.
const RECEIVER: &str = "pg_receivewal";
/// A slot is dropped or made by then: some syncs of a busy disk.
const SLOT_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Each segment with its timeline and its file.
type Segments = BTreeMap<u64, (u32, PathBuf)>;

impl Instance {
    /// The folder of received files.
    #[must_use]
    pub fn shelf(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// Receives from `source` until it is ended or the connection is: it does not try again by itself, since it would wait
    /// five seconds.
    ///
    /// # Errors
    /// [`InstanceError::StillRuns`] while an earlier one is there; [`InstanceError::File`].
    pub fn receive(&self, source: &Upstream) -> Result<Running, InstanceError> {
        let shelf = self.shelf();
        self.must_be_stopped(&shelf)?;
        files::folder(&shelf, 0o700, self.options().user).map_err(InstanceError::file("create", &shelf))?;
        self.remove_stub()?;
        let to = self.way_to(source)?;
        let log = self.dir.join("log");
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .map_err(InstanceError::file("open", &log))?;
        let mut command = Command::new(self.options().bin.join(RECEIVER));
        command.arg("-D").arg(&shelf).args([
            "--synchronous",
            "--no-loop",
            "--no-password",
            "-s",
            "1",
            "-d",
            &to,
        ]);
        if let Some(slot) = &source.slot {
            command.args(["-S", slot.as_str()]);
        }
        command
            .env_clear()
            .env("PATH", &self.options().bin)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", &self.dir)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(output))
            .process_group(0);
        if let Some((uid, gid)) = self.options().user {
            command.uid(uid).gid(gid);
        }
        let cannot = InstanceError::file("run", self.options().bin.join(RECEIVER));
        let said_before = log_bytes(&log);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(cause) => return Err(cannot(cause)),
        };
        let process = ProcessId::of(child.id()).ok_or(InstanceError::Program {
            program: RECEIVER,
            how: "ended at once".to_owned(),
            says: String::new(),
            class: Class::Transient,
        })?;
        Ok(Running::new(process, Some(Arc::new(Mutex::new(child))), (log, said_before)))
    }

    /// How the receiver's program reaches `source`.
    fn way_to(&self, source: &Upstream) -> Result<String, InstanceError> {
        let secret = &self.options().secrets.replication;
        let line = settings::passline(source.address, "replication", REPLICATION, secret.expose());
        self.write_private(PASSFILE, line.as_bytes())?;
        // A server gets its certificates with its settings; a receiver has no server.
        self.write_tls()?;
        let to = settings::connection(&self.facts(), source.address, REPLICATION, PASSFILE);
        Ok(format!("{to} application_name={}", source.name))
    }

    /// Has the slot at `source` begin anew, where log is kept from: a receiver that asked for log that was gone may have
    /// taken it back there, and without files it begins where the slot does. PostgreSQL calls such a slot reserved.
    ///
    /// # Errors
    /// [`InstanceError::Program`], also while an earlier receiver's connection has it; [`InstanceError::File`].
    pub async fn renew_slot(&self, source: &Upstream) -> Result<(), InstanceError> {
        let Some(slot) = &source.slot else { return Ok(()) };
        let to = self.way_to(source)?;
        let call = ["--no-password", "-d", to.as_str(), "-S", slot.as_str()];
        let dropped = self
            .program()
            .output(RECEIVER, &[&call[..], &["--drop-slot"]].concat(), None, SLOT_WITHIN)
            .await?;
        let none =
            || String::from_utf8_lossy(&dropped.stderr).contains(&format!("\"{slot}\" does not exist"));
        if !dropped.status.success() && !none() {
            return Err(self.program().failed(RECEIVER, &dropped));
        }
        // The primary's keeper makes what is missing, and is often quicker: that slot begins now, too.
        let create = [&call[..], &["--create-slot", "--if-not-exists"]].concat();
        self.program().run(RECEIVER, &create, None, SLOT_WITHIN).await?;
        Ok(())
    }

    /// The receiver that already runs: an earlier keeper's.
    #[must_use]
    pub fn adopt_receiver(&self) -> Option<Running> {
        let process = proc::workers(&self.shelf()).all.first().copied()?;
        let log = self.dir.join("log");
        let said_before = log_bytes(&log);
        Some(Running::new(process, None, (log, said_before)))
    }

    /// Ends whatever receives, also what an earlier keeper had started, and returns when it is gone: nothing is
    /// acknowledged from then on.
    ///
    /// # Errors
    /// [`InstanceError::Late`] (unknown) when it waits for its disk.
    pub async fn stop_receiving(&self) -> Result<(), InstanceError> {
        let until = Instant::now() + ENDED_WITHIN;
        loop {
            let left = proc::workers(&self.shelf()).all;
            if left.is_empty() {
                return Ok(());
            }
            left.iter().for_each(|process| process.signal(Signal::KILL));
            if Instant::now() >= until {
                let within_ms = super::server::millis(ENDED_WITHIN);
                return Err(InstanceError::Late { what: "end a receiver", within_ms, class: Class::Unknown });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What was received; exact once nothing is received any more. `None`: no whole record.
    ///
    /// A receiver that goes on in a newer timeline writes the segment in which that begins once more, from its beginning,
    /// into a file of that timeline. Killed in the middle of it, the older file is the one that has what was acknowledged.
    ///
    /// # Errors
    /// [`InstanceError::File`]: what cannot be read is no end.
    pub fn received(&self) -> Result<Option<Received>, InstanceError> {
        let segments = self.segments(u32::MAX)?;
        let Some((last, (timeline, _))) = segments.last_key_value() else { return Ok(None) };
        let newest = end_of(&segments)?;
        let older = self.segments(timeline.saturating_sub(1))?;
        if older.last_key_value().is_none_or(|(number, _)| number != last) {
            return Ok(newest);
        }
        let older = end_of(&older)?;
        // As far as each other: the newer one was begun, up to where it leaves the older, and nothing of it is here yet.
        Ok(if older.map(|log| log.end) >= newest.map(|log| log.end) { older } else { newest })
    }

    /// Where the whole segments begin that go up to the newest one; `None`: there are none.
    ///
    /// # Errors
    /// [`InstanceError::File`].
    pub fn shelf_begins(&self) -> Result<Option<Lsn>, InstanceError> {
        Ok(whole(&self.segments(u32::MAX)?).last().map(|first| Lsn(first * SEGMENT)))
    }

    /// The files that hold what lies behind `from`, of timelines up to `timeline`: the histories first, then of each
    /// segment the newest. The history of a timeline that the log has not reached belongs to a reign that may have come to
    /// nothing, so it is not among them.
    ///
    /// # Errors
    /// [`InstanceError::File`].
    pub fn shelved(&self, from: Lsn, timeline: u32) -> Result<Vec<PathBuf>, InstanceError> {
        let shelf = self.shelf();
        let mut files = Vec::new();
        for entry in fs::read_dir(&shelf).map_err(InstanceError::file("read", &shelf))? {
            let path = entry.map_err(InstanceError::file("read", &shelf))?.path();
            if history(&file_name(&path)).is_some_and(|number| number <= timeline) {
                files.push(path);
            }
        }
        files.sort();
        let behind = |number: &u64| *number >= from.0 / SEGMENT;
        let segments = self.segments(timeline)?.into_iter().filter(|(number, _)| behind(number));
        files.extend(segments.map(|(_, (_, path))| path));
        Ok(files)
    }

    /// Throws away all that was received, and makes the folder anew.
    ///
    /// # Errors
    /// [`InstanceError::StillRuns`]; [`InstanceError::File`].
    pub async fn clear_shelf(&self) -> Result<(), InstanceError> {
        let shelf = self.shelf();
        self.must_be_stopped(&shelf)?;
        let path = shelf.clone();
        let removed = files::aside(move || files::remove_tree(&path)).await;
        removed.map_err(InstanceError::file("remove", &shelf))?;
        files::folder(&shelf, 0o700, self.options().user).map_err(InstanceError::file("create", &shelf))?;
        files::sync_folder(&self.dir).map_err(InstanceError::file("sync", &self.dir))
    }

    /// The first timeline that a standby, which receives nothing now, has only begun to receive: less of it than of the one before,
    /// or nothing but its history. A start would read its files first, and not see the rest of the older ones.
    ///
    /// # Errors
    /// As [`Instance::control`]; [`InstanceError::File`].
    pub async fn begun_timeline(&self) -> Result<Option<u32>, InstanceError> {
        let folder = self.data().join("pg_wal");
        let Some(timeline) = files::aside(move || hiding(&folder)).await? else { return Ok(None) };
        // After a rewind the older files may hold what it has taken back: then the control file names the newer timeline.
        let control = self.control().await?;
        Ok(Some(timeline).filter(|timeline| *timeline > control.timeline.max(control.min_recovery_timeline)))
    }

    /// Removes what a stopped server has of `timeline` and later ones.
    ///
    /// # Errors
    /// [`InstanceError::StillRuns`]; [`InstanceError::File`].
    pub fn drop_timelines(&self, timeline: u32) -> Result<(), InstanceError> {
        self.must_be_stopped(self.data())?;
        let folder = self.data().join("pg_wal");
        for entry in fs::read_dir(&folder).map_err(InstanceError::file("clean", &folder))? {
            let path = entry.map_err(InstanceError::file("clean", &folder))?.path();
            // A segment, a partial one or a history: all begin with the timeline's number, eight digits of hex.
            let name = file_name(&path);
            let number = name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            if path.is_file() && number.is_some_and(|number| number >= timeline) {
                files::remove(&path).map_err(InstanceError::file("remove", &path))?;
            }
        }
        files::sync_folder(&folder).map_err(InstanceError::file("sync", &folder))
    }

    /// Whether a server that follows nobody can never be whole: the data was taken from a primary that had come further than
    /// the log here reaches.
    ///
    /// # Errors
    /// As [`Instance::control`]; [`InstanceError::File`].
    pub async fn lacks_log(&self) -> Result<bool, InstanceError> {
        let needs = self.control().await?.min_recovery_end;
        let folder = self.data().join("pg_wal");
        let (end, _) = files::aside(move || end_of_files(&folder)).await?;
        Ok(end.is_none_or(|end| end < needs))
    }

    /// Removes the oldest segments but for those of the last `keep_bytes`.
    ///
    /// # Errors
    /// [`InstanceError::File`].
    pub fn trim_shelf(&self, keep_bytes: u64) -> Result<(), InstanceError> {
        let shelf = self.shelf();
        let segments = self.segments(u32::MAX)?;
        let Some(last) = segments.last_key_value().map(|(number, _)| *number) else { return Ok(()) };
        let first = last.saturating_sub((keep_bytes / SEGMENT).max(2));
        if segments.first_key_value().is_none_or(|(number, _)| *number >= first) {
            return Ok(());
        }
        for entry in fs::read_dir(&shelf).map_err(InstanceError::file("read", &shelf))? {
            let path = entry.map_err(InstanceError::file("read", &shelf))?.path();
            if segment(&file_name(&path)).is_some_and(|(_, number)| number < first) {
                files::remove(&path).map_err(InstanceError::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Puts the file `name` of a witness where the stopped server replays it from, without what lies behind `upto`: that
    /// nobody has told of. Whole or not at all, and synced.
    ///
    /// # Errors
    /// [`InstanceError::StillRuns`]; [`InstanceError::Garbled`] when `name` is none of a log's; [`InstanceError::File`],
    /// also when `source` ends too early.
    pub fn lay_in(&self, name: &str, source: &mut dyn Read, upto: Lsn) -> Result<(), InstanceError> {
        self.must_be_stopped(self.data())?;
        let bytes = match segment(name) {
            Some((_, number)) => Some(upto.0.saturating_sub(number * SEGMENT).min(SEGMENT)),
            None if history(name).is_some() => None,
            None => {
                let why = format!("`{name}` is no file of a log");
                return Err(InstanceError::Garbled { what: "a witness", why });
            }
        };
        let folder = self.data().join("pg_wal");
        let draft = folder.join("evenkeel.fetched");
        files::remove(&draft).map_err(InstanceError::file("remove", &draft))?;
        let mut write = || -> std::io::Result<()> {
            // One that is new follows no link.
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            if let Some((uid, gid)) = self.options().user {
                std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
            }
            let copied = std::io::copy(&mut source.take(bytes.unwrap_or(HISTORY_BYTES_MAX)), &mut file)?;
            if let Some(bytes) = bytes {
                if copied != bytes {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                // What lies behind is zero, as in a segment that was never written.
                file.set_len(SEGMENT)?;
            }
            file.sync_all()?;
            fs::rename(&draft, folder.join(name.strip_suffix(".partial").unwrap_or(name)))?;
            files::sync_folder(&folder)
        };
        write().map_err(InstanceError::file("write", folder.join(name)))
    }

    /// Each segment with its newest timeline up to `newest`, and its file.
    fn segments(&self, newest: u32) -> Result<Segments, InstanceError> {
        segments_in(&self.shelf(), newest)
    }

    /// A receiver that was killed while it made a new file leaves one that is too short, and no other takes it. Nothing
    /// was received into it yet.
    fn remove_stub(&self) -> Result<(), InstanceError> {
        for (_, path) in self.segments(u32::MAX)?.values() {
            let bytes = fs::metadata(path).map_err(InstanceError::file("read", path))?.len();
            if bytes < SEGMENT && path.extension().is_some_and(|end| end == "partial") {
                files::remove(path).map_err(InstanceError::file("remove", path))?;
            }
        }
        Ok(())
    }
}

fn segments_in(folder: &Path, newest: u32) -> Result<Segments, InstanceError> {
    let mut segments = Segments::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(segments),
        entries => entries.map_err(InstanceError::file("read", folder))?,
    };
    for entry in entries {
        let path = entry.map_err(InstanceError::file("read", folder))?.path();
        let Some((timeline, number)) = segment(&file_name(&path)) else { continue };
        let newer = segments.get(&number).is_none_or(|(known, _)| *known <= timeline);
        if timeline <= newest && newer {
            segments.insert(number, (timeline, path));
        }
    }
    Ok(segments)
}

/// Where the last whole record ends that the files of `folder` hold. `None`: none ends there; then the files are nothing
/// but the middle of one, or no log at all, as the second says.
///
/// # Errors
/// [`InstanceError::File`].
pub fn end_of_files(folder: &Path) -> Result<(Option<Lsn>, bool), InstanceError> {
    let segments = segments_in(folder, u32::MAX)?;
    let end = end_of(&segments)?.map(|log| log.end);
    let Some((number, (_, path))) = segments.first_key_value() else { return Ok((end, false)) };
    let page = read_page(path, 0).map_err(InstanceError::file("read", path))?;
    Ok((end, page.is_some_and(|page| wal::goes_on(&page, Lsn(number * SEGMENT)))))
}

/// The first timeline of which `folder` has files and so little log that it has more of the timelines before; `None`: there is
/// none. Whoever reads the log takes the newest file of a segment, and would not see the rest.
fn hiding(folder: &Path) -> Result<Option<u32>, InstanceError> {
    let all = segments_in(folder, u32::MAX)?;
    let Some(newest) = all.values().map(|(timeline, _)| *timeline).max() else { return Ok(None) };
    let older = segments_in(folder, newest.saturating_sub(1))?;
    let end = |segments| end_of(segments).map(|log| log.map(|log| log.end));
    if !older.is_empty() && end(&older)? > end(&all)? {
        return Ok(Some(newest));
    }
    for entry in fs::read_dir(folder).map_err(InstanceError::file("read", folder))? {
        let path = entry.map_err(InstanceError::file("read", folder))?.path();
        if history(&file_name(&path)).is_some_and(|timeline| timeline > newest) {
            return Ok(Some(newest + 1));
        }
    }
    Ok(None)
}

/// The numbers of the segments without a gap up to the last one, newest first.
fn whole(segments: &Segments) -> Vec<u64> {
    let Some(last) = segments.last_key_value().map(|(number, _)| *number) else { return Vec::new() };
    (0..=last).rev().take_while(|number| segments.contains_key(number)).collect()
}

fn end_of(segments: &Segments) -> Result<Option<Received>, InstanceError> {
    let Some((_, (timeline, _))) = segments.last_key_value() else { return Ok(None) };
    let whole = whole(segments);
    let mut read = |at: Lsn| {
        let Some((_, path)) = segments.get(&(at.0 / SEGMENT)) else { return Ok(None) };
        read_page(path, at.0 % SEGMENT).map_err(InstanceError::file("read", path))
    };
    // The last record may have begun in any segment before.
    for number in whole.iter().skip(usize::from(whole.len() > 1)) {
        if let Some(end) = wal::end_of(Lsn(number * SEGMENT), &mut read)? {
            let from = Lsn(whole.last().map_or(0, |first| first * SEGMENT));
            return Ok(Some(Received { from, end, timeline: *timeline }));
        }
    }
    Ok(None)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_page(path: &Path, at: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut page = Vec::new();
    file.take(PAGE).read_to_end(&mut page)?;
    Ok((page.len() as u64 == PAGE).then_some(page))
}
