//! The access log: one JSON object a line, gathered by each thread and written by a thread of its own. A disk that
//! stalls costs lines, which are counted, never a request. What clients send decides how fast it grows, so its size is
//! bounded: one old file is kept beside it, `access.log.1`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use model::Moment;

use crate::metrics::Totals;

/// A batch goes to the writer when it is this large, in bytes; a thread holds about 200 lines.
const BATCH_BYTES: usize = 48 * 1024;
/// Or this old.
const BATCH_MS: u64 = 200;
/// Batches that may wait for the writer, of all threads together: 3 MiB.
const BATCHES_MAX: usize = 64;
/// The file is turned when it is larger, in bytes; with the old one beside it, half a million usual lines are kept.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Unix time in milliseconds.
    pub unix_ms: u64,
    /// The client's address.
    pub peer: &'a str,
    /// The service; empty when no route was found.
    pub service: &'a str,
    /// The unit that answered; empty for an answer of the front itself.
    pub unit: &'a str,
    /// The method.
    pub method: &'a [u8],
    /// The target.
    pub target: &'a [u8],
    /// The host.
    pub host: &'a [u8],
    /// The request id.
    pub id: &'a [u8],
    /// Status of the answer; 0: the connection ended without one.
    pub status: u16,
    /// From the whole head to the end of the answer, in microseconds.
    pub took_us: u64,
    /// Bytes of the answer's body, framing included.
    pub bytes: u64,
    /// Attempts made.
    pub attempts: u32,
    /// Why the front answered itself; empty otherwise.
    pub why: &'a str,
}

/// A full batch on its way to the writer.
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

/// One thread's end of the log.
pub struct Log {
    to: Option<SyncSender<Batch>>,
    totals: Arc<Totals>,
    text: Vec<u8>,
    lines: u64,
    since: Moment,
}

impl Log {
    /// Whether lines are wanted at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// Adds one line; never waits.
    pub fn add(&mut self, line: &Line<'_>, now: Moment) {
        if self.to.is_none() {
            return;
        }
        if self.text.is_empty() {
            self.since = now;
        }
        format(line, &mut self.text);
        self.lines += 1;
        if self.text.len() >= BATCH_BYTES {
            self.hand_over();
        }
    }

    /// Hands over what is old; called by the thread's tick.
    pub fn tick(&mut self, now: Moment) {
        if !self.text.is_empty() && now.ms_since(self.since) >= BATCH_MS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let batch = Batch { text: std::mem::take(&mut self.text), lines: std::mem::take(&mut self.lines) };
        let lines = batch.lines;
        if self.to.as_ref().is_some_and(|to| to.try_send(batch).is_err()) {
            self.totals.log_dropped.fetch_add(lines, Relaxed);
        }
        self.text.reserve(BATCH_BYTES + 4096);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.hand_over();
        }
    }
}

/// The writer and the ends of its threads; the writer ends when the last end is dropped.
pub(crate) fn open(
    path: Option<PathBuf>,
    threads: usize,
    totals: &Arc<Totals>,
) -> std::io::Result<(Vec<Log>, Option<JoinHandle<()>>)> {
    let Some(path) = path else { return Ok(none(threads, totals)) };
    let (to, from) = sync_channel(BATCHES_MAX);
    let ends = (0..threads).map(|_| end(Some(to.clone()), totals)).collect();
    let totals = Arc::clone(totals);
    let writer = std::thread::Builder::new()
        .name("front-log".to_owned())
        .spawn(move || write(&path, &from, &totals, FILE_BYTES_MAX))?;
    Ok((ends, Some(writer)))
}

/// Ends of no log.
pub(crate) fn none(threads: usize, totals: &Arc<Totals>) -> (Vec<Log>, Option<JoinHandle<()>>) {
    ((0..threads).map(|_| end(None, totals)).collect(), None)
}

fn end(to: Option<SyncSender<Batch>>, totals: &Arc<Totals>) -> Log {
    Log { to, totals: Arc::clone(totals), text: Vec::new(), lines: 0, since: Moment(0) }
}

fn write(path: &Path, from: &Receiver<Batch>, totals: &Totals, max: u64) {
    let mut file: Option<File> = None;
    for batch in from {
        if file.as_ref().is_some_and(|file| is_larger(file, max)) {
            file = None;
            turn(path);
        }
        if file.is_none() {
            // Opened late and again after an error: a full disk or a moved folder may be well again.
            file = open_file(path)
                .map_err(|error| tracing::warn!(error = &error as &dyn std::error::Error, "no access log"))
                .ok();
        }
        let written = file.as_mut().is_some_and(|file| file.write_all(&batch.text).is_ok());
        if !written {
            file = None;
            totals.log_dropped.fetch_add(batch.lines, Relaxed);
        }
    }
}

/// For this user alone: targets hold what clients would not show to others.
fn open_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// What is no file, such as `/dev/stdout`, is never turned.
fn is_larger(file: &File, max: u64) -> bool {
    file.metadata().is_ok_and(|about| about.is_file() && about.len() > max)
}

/// The full file takes the place of the old one. Where that cannot be, it is emptied: a full disk would cost more.
fn turn(path: &Path) {
    let mut old = path.as_os_str().to_owned();
    old.push(".1");
    if let Err(error) = std::fs::rename(path, old) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the access log is emptied");
        let _ = OpenOptions::new().write(true).truncate(true).open(path);
    }
}

fn format(line: &Line<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"at_ms\":{},\"status\":{}", line.unix_ms, line.status);
    let _ = write!(out, ",\"took_us\":{},\"bytes\":{}", line.took_us, line.bytes);
    let _ = write!(out, ",\"attempts\":{}", line.attempts);
    for (name, value) in [
        ("peer", line.peer.as_bytes()),
        ("service", line.service.as_bytes()),
        ("unit", line.unit.as_bytes()),
        ("method", line.method),
        ("target", line.target),
        ("host", line.host),
        ("id", line.id),
        ("why", line.why.as_bytes()),
    ] {
        if !value.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape(value, out);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b"}\n");
}

/// JSON text from bytes a client chose; anything but plain ASCII is written as `\u00xx`.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(target: &'a [u8]) -> Line<'a> {
        Line {
            unix_ms: 1,
            peer: "127.0.0.1",
            service: "web",
            unit: "web-1",
            method: b"GET",
            target,
            host: b"a",
            id: b"x",
            status: 200,
            took_us: 5,
            bytes: 7,
            attempts: 1,
            why: "",
        }
    }

    #[test]
    fn a_line_is_json_whatever_the_client_sent() {
        let mut out = Vec::new();
        format(&line(b"/\"\\\n\xff\",\"status\":1"), &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["target"], "/\"\\\n\u{ff}\",\"status\":1");
        assert_eq!(value["status"], 200);
        assert!(value.get("why").is_none());
    }

    #[test]
    fn a_disk_that_stalls_costs_lines_and_no_time() {
        let totals = Arc::new(Totals::default());
        let (to, from) = sync_channel(2);
        let mut log =
            Log { to: Some(to), totals: Arc::clone(&totals), text: Vec::new(), lines: 0, since: Moment(0) };
        let target = vec![b'a'; 1000];
        for _ in 0..500 {
            log.add(&line(&target), Moment(1));
        }
        drop(log);
        let written: u64 = from.iter().map(|batch| batch.lines).sum();
        assert!(written > 0 && written < 500);
        assert_eq!(written + totals.log_dropped.load(Relaxed), 500, "every line is written or counted");
    }

    #[test]
    fn a_client_that_asks_without_end_does_not_fill_the_disk_and_others_do_not_read_along() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("ek-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, old) = (folder.join("access.log"), folder.join("access.log.1"));
        let totals = Totals::default();
        let (to, from) = sync_channel(64);
        for round in 0..50 {
            to.send(Batch { text: format!("{round:0>99}\n").into_bytes(), lines: 1 }).unwrap();
        }
        drop(to);
        write(&path, &from, &totals, 1_000);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 1_100, "{} bytes", text.len());
        assert!(text.ends_with("49\n"), "the newest lines are kept");
        assert_eq!(std::fs::metadata(&old).unwrap().len(), 1_100);
        for file in [&path, &old] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(totals.log_dropped.load(Relaxed), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
