//! etcd's JSON: what is asked and what is answered. Pure. Its form is that of protocol buffers in JSON: bytes in
//! base64, 64-bit numbers as strings, and what is zero left out (etcd 3.4, `api_grpc_gateway.md` and `rpc.proto`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{Compare, Entry, Event, LeaseId, Op, Revision, Txn};

/// The part of etcd's keys that is ours, with the `/` at its end.
#[derive(Clone, Debug)]
pub(super) struct Part(String);

impl Part {
    pub(super) fn new(prefix: &str) -> Part {
        Part(format!("{prefix}/"))
    }

    fn key(&self, key: &str) -> String {
        STANDARD.encode(format!("{}{key}", self.0))
    }

    /// The first key behind all that start with `prefix`: its last byte, counted up. Such a byte is never 255, as
    /// ours are UTF-8 and not empty.
    fn end(&self, prefix: &str) -> String {
        let mut bytes = format!("{}{prefix}", self.0).into_bytes();
        if let Some(last) = bytes.last_mut() {
            *last += 1;
        }
        STANDARD.encode(bytes)
    }

    /// Our name of a key of etcd's; `None`: not ours. A foreign hand can put any bytes there.
    fn ours(&self, key: &str) -> Result<Option<String>, String> {
        let bytes = bytes(key)?;
        let own = bytes.strip_prefix(self.0.as_bytes()).filter(|own| !own.is_empty());
        Ok(own.and_then(|own| String::from_utf8(own.to_vec()).ok()))
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("bytes that are no base64: {error}"))
}

/// The linearizable read of one key.
pub(super) fn get(part: &Part, key: &str) -> String {
    json!({ "key": part.key(key) }).to_string()
}

/// One page of what starts with `prefix`, from `after` on when there was a page before, as of `revision` (0: now).
pub(super) fn page(part: &Part, prefix: &str, after: Option<&str>, limit: u32, revision: Revision) -> String {
    let key = match after {
        // The next key of all: one zero byte longer.
        Some(after) => part.key(&format!("{after}\0")),
        None => part.key(prefix),
    };
    json!({
        "key": key,
        "range_end": part.end(prefix),
        "limit": limit.to_string(),
        "revision": revision.to_string(),
    })
    .to_string()
}

/// A read that costs next to nothing and yet needs the agreement of most members: its answer's header tells the
/// newest revision. With a `revision` it fails when that is compacted or to come.
pub(super) fn probe(part: &Part, revision: Revision) -> String {
    json!({ "key": part.key(""), "count_only": true, "revision": revision.to_string() }).to_string()
}

pub(super) fn txn(part: &Part, txn: &Txn) -> String {
    let compare = |Compare::Modified { key, revision }: &Compare| {
        json!({
            "key": part.key(key),
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": revision.to_string(),
        })
    };
    let op = |op: &Op| match op {
        Op::Put { key, value, lease } => json!({ "request_put": {
            "key": part.key(key),
            "value": STANDARD.encode(value),
            "lease": lease.map_or(0, |lease| lease.0).to_string(),
        } }),
        Op::Delete { key } => json!({ "request_delete_range": { "key": part.key(key) } }),
    };
    let compare: Vec<Value> = txn.compare.iter().map(compare).collect();
    let success: Vec<Value> = txn.then.iter().map(op).collect();
    json!({ "compare": compare, "success": success }).to_string()
}

/// etcd counts in seconds.
pub(super) fn grant(lease: LeaseId, ttl_ms: u64) -> String {
    json!({ "ID": lease.0.to_string(), "TTL": ttl_ms.div_ceil(1_000).to_string() }).to_string()
}

/// To keep alive and to revoke.
pub(super) fn lease(lease: LeaseId) -> String {
    json!({ "ID": lease.0.to_string() }).to_string()
}

pub(super) fn authenticate(user: &str, password: &str) -> String {
    json!({ "name": user, "password": password }).to_string()
}

/// Answers come in pieces (`fragment`), as one larger than 4 MiB ends the stream on etcd's side of the gateway.
pub(super) fn watch(part: &Part, prefix: &str, start: Revision) -> String {
    json!({ "create_request": {
        "key": part.key(prefix),
        "range_end": part.end(prefix),
        "start_revision": start.to_string(),
        "fragment": true,
    } })
    .to_string()
}

/// A number of 64 bits, as a string or plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Int(pub(super) u64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Int, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Int;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number that is not negative, or a string of one")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Int, E> {
                Ok(Int(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Int, E> {
                text.parse().map(Int).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_any(Either)
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    pub(super) cluster_id: Int,
    #[serde(default)]
    pub(super) revision: Int,
}

/// An answer names the cluster it is of.
pub(super) trait Answer: DeserializeOwned + Send {
    fn header(&self) -> &Header;

    /// Whether what etcd never leaves out is there.
    fn is_whole(&self) -> bool {
        self.header().cluster_id.0 != 0 && self.header().revision.0 != 0
    }
}

macro_rules! answers {
    ($($name:ident),*) => { $(impl Answer for $name {
        fn header(&self) -> &Header {
            &self.header
        }
    })* };
}

answers!(RangeAnswer, TxnAnswer, GrantAnswer, RevokeAnswer, LoginAnswer, StatusAnswer);

#[derive(Debug, Deserialize)]
pub(super) struct RangeAnswer {
    pub(super) header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
    #[serde(default)]
    pub(super) more: bool,
}

impl RangeAnswer {
    /// Our entries. What others have put into our part is left out when it has no name of ours.
    pub(super) fn entries(self, part: &Part) -> Result<Vec<Entry>, String> {
        let entries = self.kvs.into_iter().filter_map(|kv| kv.entry(part).transpose());
        entries.collect()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnAnswer {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct GrantAnswer {
    pub(super) header: Header,
    #[serde(rename = "ID")]
    pub(super) id: Int,
    #[serde(rename = "TTL")]
    pub(super) ttl_s: Int,
}

#[derive(Debug, Deserialize)]
pub(super) struct RevokeAnswer {
    header: Header,
}

#[derive(Debug, Deserialize)]
pub(super) struct LoginAnswer {
    header: Header,
    pub(super) token: String,
}

/// What a member says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct StatusAnswer {
    header: Header,
    #[serde(rename = "dbSize", default)]
    file_bytes: Int,
    /// Alarms, such as `memberID:10276657743932975437 alarm:NOSPACE`, among others.
    #[serde(default)]
    errors: Vec<String>,
}

impl StatusAnswer {
    /// What a person must know of it, with the way out.
    pub(super) fn complaint(&self) -> Option<String> {
        let alarm =
            self.errors.iter().find_map(|error| error.split_once("alarm:").map(|(_, alarm)| alarm.trim()));
        // It goes to a terminal.
        let plain =
            |alarm: &str| alarm.len() <= 32 && alarm.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match alarm.map(|alarm| if plain(alarm) { alarm } else { "that has no name" }) {
            Some("NOSPACE") => Some(format!(
                "etcd takes no write: its file has reached its quota. No lost primary or zone is followed by another\nhint: \
                 {EMPTY_IT}"
            )),
            Some(alarm) => Some(format!(
                "etcd has raised the alarm {alarm}\nhint: `etcdctl endpoint status` tells the member, etcd's documentation on disaster \
                 recovery the way out"
            )),
            None if self.file_bytes.0 >= FILE_BYTES_MAX => Some(format!(
                "etcd's file has grown to {}; at its quota, {} unless its members were told another, it takes no write\nhint: {EMPTY_IT}",
                model::Bytes(self.file_bytes.0),
                model::Bytes(QUOTA_BYTES)
            )),
            None => None,
        }
    }
}

/// A stream's only message here.
#[derive(Debug, Deserialize)]
pub(super) struct KeepAliveAnswer {
    result: KeptAlive,
}

#[derive(Debug, Deserialize)]
struct KeptAlive {
    header: Header,
    #[serde(rename = "TTL", default)]
    ttl_s: Int,
}

impl Answer for KeepAliveAnswer {
    fn header(&self) -> &Header {
        &self.result.header
    }
}

impl KeepAliveAnswer {
    /// A lease that is gone has no time left.
    pub(super) fn alive(&self) -> bool {
        self.result.ttl_s.0 > 0
    }
}

#[derive(Debug, Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    create_revision: Int,
    #[serde(default)]
    mod_revision: Int,
    #[serde(default)]
    lease: Int,
}

impl KeyValue {
    fn entry(self, part: &Part) -> Result<Option<Entry>, String> {
        let Some(key) = part.ours(&self.key)? else { return Ok(None) };
        if self.create_revision.0 == 0 || self.create_revision.0 > self.mod_revision.0 {
            return Err(format!("`{key}` has impossible revisions"));
        }
        Ok(Some(Entry {
            key,
            value: bytes(&self.value)?,
            created: self.create_revision.0,
            modified: self.mod_revision.0,
            lease: Some(LeaseId(self.lease.0)).filter(|lease| lease.0 != 0),
        }))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchLine {
    #[serde(default)]
    result: Option<WatchAnswer>,
    #[serde(default)]
    error: Option<StreamFault>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchAnswer {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) created: bool,
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default)]
    pub(super) compact_revision: Int,
    #[serde(default)]
    pub(super) cancel_reason: String,
    /// More of the same follows.
    #[serde(default)]
    pub(super) fragment: bool,
    #[serde(default)]
    events: Vec<WatchEvent>,
}

#[derive(Debug, Deserialize)]
struct WatchEvent {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    kv: KeyValue,
}

impl WatchAnswer {
    pub(super) fn events(&mut self, part: &Part) -> Result<Vec<Event>, String> {
        let events = std::mem::take(&mut self.events).into_iter();
        events.filter_map(|event| event.read(part).transpose()).collect()
    }
}

impl WatchEvent {
    fn read(self, part: &Part) -> Result<Option<Event>, String> {
        match self.kind.as_deref() {
            None | Some("PUT") => Ok(self.kv.entry(part)?.map(Event::Put)),
            Some("DELETE") if self.kv.mod_revision.0 == 0 => Err("a delete without a revision".to_owned()),
            Some("DELETE") => {
                let key = part.ours(&self.kv.key)?;
                Ok(key.map(|key| Event::Delete { key, revision: self.kv.mod_revision.0 }))
            }
            Some(other) => Err(format!("an event of kind `{other}`")),
        }
    }
}

/// etcd's own bound on its file where its members were told none.
const QUOTA_BYTES: u64 = 2 << 30;
/// What we keep is a few hundred kilobytes: a file of half its quota was never compacted.
const FILE_BYTES_MAX: u64 = QUOTA_BYTES / 2;
/// The way out of a file that is full, or soon will be.
const EMPTY_IT: &str = "start its members with `--auto-compaction-retention 10m`, then `etcdctl compact`, `defrag` and `alarm disarm`";

/// gRPC's code and etcd's words.
#[derive(Debug, Deserialize)]
struct UnaryFault {
    code: u32,
    message: String,
}

#[derive(Debug, Deserialize)]
struct StreamFault {
    /// Newer gateways call it `code`.
    #[serde(alias = "code")]
    grpc_code: u32,
    message: String,
}

/// Why etcd did not do as asked, as far as it matters to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoLease,
    LeaseExists,
    /// The revision is compacted.
    Compacted,
    /// The revision is to come.
    Future,
    /// The answer is longer than the gateway takes.
    TooLong,
    Busy,
    /// Our login has run out; nothing was carried out.
    NoLogin,
    /// This member did not carry it out; another may.
    NotHere(String),
    /// Not carried out, for a reason that may go.
    NotNow(String),
    /// Not carried out, and will not be.
    Never(String),
    /// It may have been carried out.
    Unclear(String),
}

/// Reads an answer; not a panic, whatever it is.
pub(super) fn read<A: Answer>(status: u16, body: &[u8]) -> Result<A, Fault> {
    if status != 200 {
        return Err(match serde_json::from_slice::<UnaryFault>(body) {
            Ok(fault) => judge(fault.code, &fault.message),
            Err(_) => Fault::Unclear(format!("status {status}, which is not how etcd answers")),
        });
    }
    match serde_json::from_slice::<A>(body) {
        Ok(answer) if answer.is_whole() => Ok(answer),
        Ok(_) => Err(Fault::Unclear("an answer without a revision".to_owned())),
        Err(error) => {
            let stream = serde_json::from_slice::<WatchLine>(body).ok().and_then(|line| line.error);
            Err(match stream {
                Some(fault) => judge(fault.grpc_code, &fault.message),
                None => Fault::Unclear(format!("an answer that makes no sense: {error}")),
            })
        }
    }
}

/// Reads one line of a watch.
pub(super) fn read_line(line: &[u8]) -> Result<WatchAnswer, Fault> {
    match serde_json::from_slice(line) {
        Ok(WatchLine { error: Some(fault), .. }) => Err(judge(fault.grpc_code, &fault.message)),
        Ok(WatchLine { result: Some(answer), .. }) => Ok(answer),
        Ok(_) => Err(Fault::Unclear("an empty line".to_owned())),
        Err(error) => Err(Fault::Unclear(format!("a line that makes no sense: {error}"))),
    }
}

/// What etcd's words mean (`rpctypes/error.go` of 3.4). Only those of which it is sure that nothing was carried out
/// say so: a proposal that was handed to raft may yet be, whatever became of its answer.
pub(super) fn judge(code: u32, message: &str) -> Fault {
    const NO_LEASE: &str = "requested lease not found";
    let says = |words: &str| message.contains(words);
    let text = || message.to_owned();
    match code {
        5 if says(NO_LEASE) => Fault::NoLease,
        9 if says("lease already exists") => Fault::LeaseExists,
        11 if says("has been compacted") => Fault::Compacted,
        11 if says("is a future revision") => Fault::Future,
        8 if says("larger than max") => Fault::TooLong,
        8 if says("too many requests") => Fault::Busy,
        8 if says("database space exceeded") => {
            Fault::NotNow(format!("{message}: its file has reached its quota\nhint: {EMPTY_IT}"))
        }
        16 => Fault::NoLogin,
        // The login is of before the last change of users.
        3 if says("revision in header is old") => Fault::NoLogin,
        // Refused before it is written to the log: by a member without a leader, by one that only learns, and on
        // the way in.
        _ if says("raft proposal dropped") => Fault::NotHere(text()),
        14 if says("no leader") || says("not supported for learner") => Fault::NotHere(text()),
        12 => Fault::Never(text()),
        3 | 7 => Fault::Never(text()),
        9 if says("authentication is not enabled") => Fault::Never(text()),
        _ => Fault::Unclear(text()),
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
