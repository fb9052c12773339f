//! A watch on etcd: one stream of one member, opened again elsewhere where it was when that member is lost.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::gateway::{self, Fault, RangeAnswer, WatchAnswer};
use super::http::{self, HttpError, Lines, Post, Sender};
use super::members::{Members, Trouble, Watching};
use super::{Etcd, Failed, RANGE, WATCH};
use crate::{Class, Event, Refusal, Revision, StoreError};

/// A watch moves from a suspected member to a sound one after this long, in milliseconds: one late answer is no
/// reason to.
const MOVE_MS: u64 = 150;
/// Bytes of keys and values of one transaction that is held until it is whole; etcd's bound on a request is 1.5 MiB
/// unless its operator raised it.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The stream behind a [`crate::Watch`].
pub(crate) struct Follower {
    etcd: Arc<Etcd>,
    prefix: String,
    stream: Option<Stream>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

struct Stream {
    index: usize,
    /// The request was posted on it; it ends with it.
    _sender: Sender,
    _watching: Watching,
    body: Incoming,
    lines: Lines,
    /// Changes of a revision of which more may come.
    held: Vec<Event>,
}

impl Follower {
    pub(crate) fn new(etcd: Arc<Etcd>, prefix: &str) -> Follower {
        Follower { etcd, prefix: prefix.to_owned(), stream: None }
    }

    /// Opens the stream, or waits up to `wait_ms` for changes from revision `from` on; the answer tells where to go on.
    /// Cancel-safe.
    pub(crate) async fn step(
        &mut self,
        from: Revision,
        wait_ms: u64,
    ) -> Result<(Vec<Event>, Revision), StoreError> {
        let members = &self.etcd.members;
        let Some(stream) = &mut self.stream else {
            let (stream, next) = self.open(from).await?;
            self.stream = Some(stream);
            return Ok((Vec::new(), next));
        };
        let index = stream.index;
        let read = tokio::select! {
            biased;
            read = stream.next(members, from) => read,
            () = members.forsaken(index, Duration::from_millis(MOVE_MS)) => {
                Err(Trouble::Lost("it does not answer other requests".to_owned()))
            }
            () = sleep(Duration::from_millis(wait_ms)) => return Ok((Vec::new(), from)),
        };
        match read {
            Ok(events) => {
                let next = events.last().map_or(from, |last| last.revision() + 1);
                Ok((events, next))
            }
            Err(trouble) => {
                self.stream = None;
                Err(self.failed(index, trouble))
            }
        }
    }

    /// A watch is a read.
    fn failed(&self, index: usize, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Fault(Fault::Compacted) => StoreError::Refused(Refusal::Garbled),
            trouble => Failed::plain(self.etcd.failed(index, trouble, Class::Transient)),
        }
    }

    async fn open(&self, from: Revision) -> Result<(Stream, Revision), StoreError> {
        let members = &self.etcd.members;
        let end = Instant::now() + members.timeout;
        let start_by = end - members.patience();
        members.login.ready_by(start_by).await.map_err(|trouble| self.failed(0, trouble))?;
        let Some(index) = members.sound_by(start_by).await else {
            return Err(members.unreachable());
        };
        let watching = Watching::new(members.clone(), index);
        let opened = timeout_at(end, self.open_at(index, watching, from)).await;
        let opened = opened.unwrap_or_else(|_| Err(Trouble::Lost("it does not open a watch".to_owned())));
        match opened {
            Ok(Opened::Stream(stream, next)) => Ok((*stream, next)),
            Ok(Opened::TooLate { oldest }) => Err(StoreError::Refused(Refusal::Compacted { oldest })),
            Err(trouble) => {
                if !matches!(trouble, Trouble::Fault(Fault::Never(_) | Fault::NoLogin)) {
                    members.suspect(index, &trouble.to_string());
                }
                Err(self.failed(index, trouble))
            }
        }
    }

    async fn open_at(&self, index: usize, watching: Watching, from: Revision) -> Result<Opened, Trouble> {
        let members = &self.etcd.members;
        let (start, next, too_late) = self.start(index, from).await?;
        let body = Bytes::from(gateway::watch(&members.part, &self.prefix, start));
        let post = Post { path: WATCH, body, token: members.login.token()? };
        let member = members.all.get(index).ok_or_else(|| Trouble::NotSent("no such member".to_owned()))?;
        let mut sender = http::dial(&member.way).await.map_err(Trouble::NotSent)?;
        let response = http::open(&member.way.endpoint, &mut sender, &post).await.map_err(trouble)?;
        let status = response.status().as_u16();
        if status != 200 {
            let body = http::whole(response.into_body()).await.map_err(trouble)?;
            let read: Result<RangeAnswer, Fault> = gateway::read(status, &body);
            return Err(Trouble::Fault(read.err().unwrap_or(Fault::Unclear(format!("status {status}")))));
        }
        let mut stream = Stream {
            index,
            _sender: sender,
            _watching: watching,
            body: response.into_body(),
            lines: Lines::default(),
            held: Vec::new(),
        };
        loop {
            let answer = stream.answer().await?;
            if answer.canceled {
                return match answer.compact_revision.0 {
                    0 => Err(Trouble::Fault(canceled(&answer))),
                    compacted => Ok(Opened::TooLate { oldest: compacted + 1 }),
                };
            }
            members.same_cluster(answer.header.cluster_id.0).map_err(Trouble::Foreign)?;
            if answer.created && !too_late {
                return Ok(Opened::Stream(Box::new(stream), next));
            }
        }
    }

    /// Where etcd's watch has to start for changes from `from` on, where ours goes on, and whether that is compacted.
    ///
    /// A watch of etcd 3.4 that starts at the very revision that was compacted is let through, though deletes of that
    /// revision are gone. So where history is needed it starts one earlier, and what comes of that is left out.
    async fn start(&self, index: usize, from: Revision) -> Result<(Revision, Revision, bool), Trouble> {
        let before = if from == 0 { 0 } else { (from - 1).max(1) };
        let body = Bytes::from(gateway::probe(&self.etcd.members.part, before));
        let sent = AtomicBool::new(false);
        match self.etcd.members.ask::<RangeAnswer>(index, RANGE, &body, &sent).await {
            Ok(answer) => {
                let newest = answer.header.revision.0;
                Ok(match from {
                    0 => (newest + 1, newest + 1, false),
                    _ if from > newest => (from, from, false),
                    _ => (before, from, false),
                })
            }
            Err(Trouble::Fault(Fault::Future)) => Ok((from, from, false)),
            Err(Trouble::Fault(Fault::Compacted)) => Ok((before, from, true)),
            Err(trouble) => Err(trouble),
        }
    }
}

enum Opened {
    Stream(Box<Stream>, Revision),
    /// What was asked for is compacted.
    TooLate {
        oldest: Revision,
    },
}

impl Stream {
    /// The next changes from revision `from` on: whole transactions, never empty. Cancel-safe.
    async fn next(&mut self, members: &Members, from: Revision) -> Result<Vec<Event>, Trouble> {
        loop {
            let mut answer = self.answer().await?;
            if answer.canceled {
                // Opened again it is told what it has to know: that it is too late, too.
                debug!(compacted = answer.compact_revision.0, why = answer.cancel_reason, "watch canceled");
                return Err(Trouble::Fault(canceled(&answer)));
            }
            let events = answer.events(&members.part).map_err(Trouble::Lost)?;
            let events = self.whole(events, answer.fragment)?;
            let events: Vec<Event> = events.into_iter().filter(|event| event.revision() >= from).collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Adds what has come to what is held and takes out what is whole: in a fragment, all but its last revision.
    fn whole(&mut self, events: Vec<Event>, fragment: bool) -> Result<Vec<Event>, Trouble> {
        self.held.extend(events);
        let ordered = self.held.is_sorted_by_key(Event::revision);
        if !ordered {
            return Err(Trouble::Lost("changes out of order".to_owned()));
        }
        if !fragment {
            return Ok(std::mem::take(&mut self.held));
        }
        let last = self.held.last().map_or(0, Event::revision);
        let begins = self.held.partition_point(|event| event.revision() < last);
        let rest = self.held.split_off(begins);
        let whole = std::mem::replace(&mut self.held, rest);
        let bytes = |event: &Event| match event {
            Event::Put(entry) => entry.key.len() + entry.value.len(),
            Event::Delete { key, .. } => key.len(),
        };
        if self.held.iter().map(bytes).sum::<usize>() > HELD_BYTES_MAX {
            return Err(Trouble::Lost("a transaction without end".to_owned()));
        }
        Ok(whole)
    }

    async fn answer(&mut self) -> Result<WatchAnswer, Trouble> {
        loop {
            if let Some(line) = self.lines.next().map_err(trouble)? {
                return gateway::read_line(&line).map_err(Trouble::Fault);
            }
            match http::piece(&mut self.body).await.map_err(Trouble::Lost)? {
                Some(piece) => self.lines.push(&piece),
                None => return Err(Trouble::Lost("the member ended the watch".to_owned())),
            }
        }
    }
}

/// Why etcd ended a watch. Compaction is found out when it is opened again.
fn canceled(answer: &WatchAnswer) -> Fault {
    let why = answer.cancel_reason.as_str();
    match () {
        () if why.contains("permission denied") => Fault::Never(why.to_owned()),
        () if why.contains("invalid auth token") => Fault::NoLogin,
        () => Fault::Unclear(format!("the watch was canceled: {why}")),
    }
}

fn trouble(error: HttpError) -> Trouble {
    match error {
        HttpError::NotSent(why) => Trouble::NotSent(why),
        HttpError::Sent(why) => Trouble::Lost(why),
        HttpError::TooLong => Trouble::Lost("a line without end".to_owned()),
    }
}
