//! The state in a redb file. One commit is one sync; a commit that fails is the last one.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition,
};

use crate::kv::{Kept, Write};
use crate::{Entry, LeaseId, StoreError};

/// Key to created, modified and lease (0: none), eight bytes each, least significant first, and then the value.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
/// Lease to its time to live in milliseconds.
const LEASES: TableDefinition<'_, u64, u64> = TableDefinition::new("leases");
/// The numbers named below.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const NEXT_LEASE: &str = "next_lease";
const FORMAT: &str = "format";
/// Raised when an older program could no longer read the file.
const FORMAT_NOW: u64 = 1;

/// The state is in memory anyway, so the pages of the file need little: 512 KiB.
const CACHE_BYTES: usize = 512 * 1024;
/// Bytes before the value of an entry.
const HEAD_BYTES: usize = 24;

/// The open file.
pub(crate) struct Disk {
    database: Database,
    path: PathBuf,
}

impl Disk {
    /// Opens the file at `path`, or makes it, and reads what it keeps.
    pub(crate) fn open(path: &Path) -> Result<(Disk, Kept), StoreError> {
        match fs::metadata(path) {
            Ok(about) if about.is_file() && about.len() == 0 => {
                // We never leave one behind, so something else emptied it: starting afresh would hide the loss.
                Err(StoreError::Foreign { path: path.to_owned(), why: "it is empty".to_owned() })
            }
            Ok(about) if !about.is_file() => {
                Err(StoreError::Foreign { path: path.to_owned(), why: "it is not a file".to_owned() })
            }
            Ok(_) => Disk::with_backend(file_at(path, false)?, path),
            Err(error) if error.kind() == ErrorKind::NotFound => Disk::create(path),
            Err(error) => Err(open_error(path, &error)),
        }
    }

    /// Makes the file under another name and renames it when it is whole, so that a loss of power on the first start
    /// leaves no file that is neither empty nor a store.
    fn create(path: &Path) -> Result<(Disk, Kept), StoreError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let draft = path.with_file_name(name);
        let bad = |error: io::Error| open_error(path, &error);
        let backend = file_at(&draft, true)?;
        if backend.len().map_err(bad)? > 0 {
            // What an earlier start left unfinished holds nothing. Only who holds the lock may take it away.
            Disk::discard_draft(backend, &draft, path)?;
            return Disk::create(path);
        }
        let opened = Disk::with_backend(backend, path)?;
        // A link, not a rename: it fails when another server has been faster.
        match fs::hard_link(&draft, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let _ = fs::remove_file(&draft);
                return Err(StoreError::InUse { path: path.to_owned() });
            }
            Err(error) => return Err(bad(error)),
        }
        fs::remove_file(&draft).map_err(bad)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(bad)?;
        Ok(opened)
    }

    fn discard_draft(backend: FileBackend, draft: &Path, path: &Path) -> Result<(), StoreError> {
        let whole = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        match backend.try_lock_range(whole.0, whole.1) {
            Ok(true) => fs::remove_file(draft).map_err(|error| open_error(path, &error)),
            Ok(false) => Err(StoreError::InUse { path: path.to_owned() }),
            Err(error) => Err(StoreError::Open { path: path.to_owned(), why: error.to_string() }),
        }
    }

    /// As [`Disk::open`], on anything that keeps bytes; `path` is for messages.
    pub(crate) fn with_backend(
        backend: impl StorageBackend,
        path: &Path,
    ) -> Result<(Disk, Kept), StoreError> {
        // redb checks the whole file first, but a file that was damaged on purpose may still make it panic.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create_with_backend(backend)
                .map_err(|error| database_error(path, error))?;
            let disk = Disk { database, path: path.to_owned() };
            let kept = disk.load()?;
            Ok((disk, kept))
        }));
        opened.unwrap_or_else(|panic| Err(damaged(path, text_of(panic.as_ref()))))
    }

    fn load(&self) -> Result<Kept, StoreError> {
        let bad = |error: redb::Error| damaged(&self.path, error.to_string());
        let reading = self.database.begin_read().map_err(|error| bad(error.into()))?;
        let tables: Vec<String> = {
            use redb::TableHandle;
            reading
                .list_tables()
                .map_err(|error| bad(error.into()))?
                .map(|table| table.name().to_owned())
                .collect()
        };
        if tables.is_empty() {
            drop(reading);
            self.found()?;
            return Ok(Kept::default());
        }
        if !tables.iter().any(|name| name == "meta") {
            let why = "it is a redb file of another program".to_owned();
            return Err(StoreError::Foreign { path: self.path.clone(), why });
        }
        let kept = self.read(&reading).map_err(bad)?;
        kept.map_err(|why| why.into_error(&self.path))
    }

    fn read(&self, reading: &redb::ReadTransaction) -> Result<Result<Kept, Wrong>, redb::Error> {
        let meta = reading.open_table(META)?;
        let number = |name| meta.get(name).map(|value| value.map(|value| value.value()));
        match number(FORMAT)? {
            Some(FORMAT_NOW) => {}
            Some(other) => return Ok(Err(Wrong::Format(other))),
            None => return Ok(Err(Wrong::Missing(FORMAT))),
        }
        let Some(revision) = number(REVISION)? else { return Ok(Err(Wrong::Missing(REVISION))) };
        let Some(next_lease) = number(NEXT_LEASE)? else { return Ok(Err(Wrong::Missing(NEXT_LEASE))) };
        let mut kept = Kept { revision, next_lease, entries: Vec::new(), leases: Vec::new() };
        for row in reading.open_table(ENTRIES)?.iter()? {
            let (key, row) = row?;
            let Some(entry) = decode(key.value(), row.value()) else {
                return Ok(Err(Wrong::Row(key.value().to_owned())));
            };
            kept.entries.push(entry);
        }
        for row in reading.open_table(LEASES)?.iter()? {
            let (id, ttl_ms) = row?;
            kept.leases.push((LeaseId(id.value()), ttl_ms.value()));
        }
        Ok(Ok(kept))
    }

    /// Writes the empty state into a new file.
    fn found(&self) -> Result<(), StoreError> {
        let kept = Kept::default();
        self.write(|tables| {
            tables.meta.insert(FORMAT, FORMAT_NOW)?;
            tables.meta.insert(REVISION, kept.revision)?;
            tables.meta.insert(NEXT_LEASE, kept.next_lease)?;
            Ok(())
        })
    }

    /// Makes `writes` durable, all or none. After an error nothing may be acknowledged any more: whether they are on
    /// the disk is not known, and a second sync that succeeds would say nothing about the first.
    pub(crate) fn commit(&self, writes: &[Write], revision: u64, next_lease: u64) -> Result<(), StoreError> {
        self.write(|tables| {
            for write in writes {
                match write {
                    Write::Put(entry) => {
                        drop(tables.entries.insert(entry.key.as_str(), encode(entry).as_slice())?)
                    }
                    Write::Delete(key) => drop(tables.entries.remove(key.as_str())?),
                    Write::Lease { id, ttl_ms } => drop(tables.leases.insert(id.0, ttl_ms)?),
                    Write::LeaseGone(id) => drop(tables.leases.remove(id.0)?),
                }
            }
            tables.meta.insert(REVISION, revision)?;
            tables.meta.insert(NEXT_LEASE, next_lease)?;
            Ok(())
        })
    }

    fn write(&self, fill: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>) -> Result<(), StoreError> {
        let bad = |error: redb::Error| StoreError::Disk { path: self.path.clone(), why: error.to_string() };
        let writing = self.database.begin_write().map_err(|error| bad(error.into()))?;
        // Durability is `Immediate` unless changed: the commit returns after the sync.
        Tables::open(&writing).and_then(|mut tables| fill(&mut tables)).map_err(bad)?;
        writing.commit().map_err(|error| bad(error.into()))
    }
}

struct Tables<'a> {
    entries: redb::Table<'a, &'static str, &'static [u8]>,
    leases: redb::Table<'a, u64, u64>,
    meta: redb::Table<'a, &'static str, u64>,
}

impl<'a> Tables<'a> {
    fn open(writing: &'a redb::WriteTransaction) -> Result<Tables<'a>, redb::Error> {
        Ok(Tables {
            entries: writing.open_table(ENTRIES)?,
            leases: writing.open_table(LEASES)?,
            meta: writing.open_table(META)?,
        })
    }
}

/// What is wrong with a file that redb itself finds whole.
enum Wrong {
    Format(u64),
    Missing(&'static str),
    Row(String),
}

impl Wrong {
    fn into_error(self, path: &Path) -> StoreError {
        match self {
            Wrong::Format(found) => {
                let why = format!("it has format {found}; this version reads format {FORMAT_NOW}");
                StoreError::Foreign { path: path.to_owned(), why }
            }
            Wrong::Missing(name) => damaged(path, format!("it has no `{name}`")),
            Wrong::Row(key) => damaged(path, format!("the entry of `{key}` is too short")),
        }
    }
}

fn encode(entry: &Arc<Entry>) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEAD_BYTES + entry.value.len());
    for number in [entry.created, entry.modified, entry.lease.map_or(0, |lease| lease.0)] {
        row.extend_from_slice(&number.to_le_bytes());
    }
    row.extend_from_slice(&entry.value);
    row
}

fn decode(key: &str, row: &[u8]) -> Option<Entry> {
    let (head, value) = row.split_at_checked(HEAD_BYTES)?;
    let mut numbers =
        head.chunks_exact(8).filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    let (created, modified, lease) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let lease = (lease != 0).then_some(LeaseId(lease));
    Some(Entry { key: key.to_owned(), value: value.to_vec(), created, modified, lease })
}

/// The values may hold what others must not read, hence the mode.
fn file_at(path: &Path, create: bool) -> Result<FileBackend, StoreError> {
    let opened =
        OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path);
    let file = opened.map_err(|error| open_error(path, &error))?;
    FileBackend::new(file).map_err(|error| database_error(path, error))
}

fn open_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Open { path: path.to_owned(), why: error.to_string() }
}

fn damaged(path: &Path, why: String) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), why }
}

fn database_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    let why = error.to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse { path }
        }
        DatabaseError::UpgradeRequired(_) => StoreError::Foreign { path, why },
        DatabaseError::Storage(StorageError::Io(cause)) if cause.kind() == ErrorKind::InvalidData => {
            StoreError::Foreign { path, why: "it does not begin as one".to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(cause)) if cause.kind() == ErrorKind::UnexpectedEof => {
            StoreError::Damaged { path, why: "it ends too early".to_owned() }
        }
        DatabaseError::Storage(StorageError::Corrupted(_)) | DatabaseError::RepairAborted => {
            StoreError::Damaged { path, why }
        }
        _ => StoreError::Open { path, why },
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "reading it failed".to_owned())
}
