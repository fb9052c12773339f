//! The keeper's own file: what it has promised, and what its server's settings are made of.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{NodeId, Quorum, Term};
use serde::{Deserialize, Serialize};

use crate::{Durable, Upstream};

/// The newest form this program writes, and the only one it reads.
const FORMAT: u32 = 1;

/// What survives the keeper. Nothing rests on a change before [`KeeperFile::save`] has returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Own {
    format: u32,
    promised: Term,
    lineage: Term,
    reign: Term,
    upstream: Option<(NodeId, Term)>,
    /// The quorum the server was given last.
    pub quorum: Option<Quorum>,
    /// The `need` of quorums that some process of the server may still go by.
    #[serde(default)]
    pub replaced: BTreeSet<u32>,
    /// A copy or a rewind has begun, and it is not written down here yet whose log it brought.
    #[serde(default)]
    pub making: bool,
    /// The server was given its quorum of nobody under a lease: a watchdog must count its time.
    #[serde(default)]
    pub leased: bool,
    /// Applications may connect.
    pub open: bool,
    /// Copied or rewound from the primary of this term and not started since.
    pub fresh: Option<Term>,
    /// The replication slots are of this term; 0: there are none.
    pub slots: Term,
    /// It was written as a witness's. `None`: by a keeper that did not say.
    #[serde(default)]
    witness: Option<bool>,
}

impl Own {
    pub fn durable(&self) -> Durable {
        Durable { promised: self.promised, lineage: self.lineage, reign: self.reign }
    }

    pub fn set_durable(&mut self, durable: Durable) {
        (self.promised, self.lineage, self.reign) = (durable.promised, durable.lineage, durable.reign);
    }

    pub fn upstream(&self) -> Option<Upstream> {
        self.upstream.map(|(node, term)| Upstream { node, term })
    }

    /// Whether what is written here is of a node of the other kind, with data or without.
    pub fn is_other(&self, witness: bool) -> bool {
        self.witness.is_some_and(|before| before != witness)
    }

    /// From now on it is a `witness`'s, or is not. Of a node that was the other, what it has promised stays, and nothing is known of the
    /// log that lies here from before: it lacks what the node has acknowledged since, and counts no more than half a copy.
    pub fn become_kind(&mut self, witness: bool) {
        if self.is_other(witness) {
            let Own { format, promised, lineage, reign, .. } = *self;
            *self = Own { format, promised, lineage, reign, making: true, ..Own::default() };
        }
        self.witness = Some(witness);
    }

    pub fn set_upstream(&mut self, upstream: Option<Upstream>) {
        self.upstream = upstream.map(|upstream| (upstream.node, upstream.term));
    }
}

/// Where [`Own`] is kept.
#[derive(Clone, Debug)]
pub(super) struct KeeperFile {
    path: PathBuf,
}

impl KeeperFile {
    /// The file in the node's folder.
    pub fn new(dir: &Path) -> KeeperFile {
        KeeperFile { path: dir.join("keeper.json") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved last; nothing yet is no error. A damaged file is, and one that is gone where a server was `started`:
    /// what it had promised is not known then, and a log of nobody knows which term would count as of the oldest one.
    pub fn load(&self, started: bool) -> io::Result<Own> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && started => {
                return Err(io::Error::other(
                    "it is gone, and with it what this node has promised and whose log it holds; put it back, or move the \
                     folder `data` (of a witness `wal`) beside it away: the node is copied anew then",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Own::default()),
            bytes => bytes?,
        };
        let own: Own = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if own.format != FORMAT {
            return Err(io::Error::other(format!("its format is {}, not {FORMAT}", own.format)));
        }
        Ok(own)
    }

    /// Writes `own`, whole or not at all, and returns when it is on the disk.
    pub fn save(&self, own: &Own) -> io::Result<()> {
        self.save_by(own, File::sync_all)
    }

    /// As [`KeeperFile::save`], where `sync` brings a file or a folder to the disk.
    fn save_by(&self, own: &Own, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Own { format: FORMAT, ..own.clone() }).map_err(io::Error::other)?;
        let draft = self.path.with_extension("new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&bytes)?;
        sync(&file)?;
        fs::rename(&draft, &self.path)?;
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        sync(&File::open(folder)?)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::os::fd::AsRawFd;

    use super::*;

    fn place(name: &str) -> (PathBuf, KeeperFile) {
        let dir = std::env::temp_dir().join(format!("evenkeel-keeper-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let dir = fs::canonicalize(dir).unwrap();
        let file = KeeperFile::new(&dir);
        (dir, file)
    }

    fn of(promised: Term) -> Own {
        let mut own = Own::default();
        own.set_durable(Durable { promised, ..Durable::default() });
        own
    }

    /// The power may fail at any moment, and then what was not synced may be gone: the content of a file, and under which
    /// name it is. So what is synced must be the whole of the new content before it has the name, and then the name.
    #[test]
    fn a_promise_is_on_the_disk_before_it_has_its_name_and_has_it_before_anything_rests_on_it() {
        let (dir, file) = place("synced");
        file.save(&of(1)).unwrap();
        let is_of = |path: &Path, promised| {
            let read = KeeperFile { path: path.to_owned() }.load(false);
            read.is_ok_and(|own| own.durable().promised == promised)
        };
        let synced = RefCell::new(Vec::new());
        let sync = |what: &File| {
            let path = fs::read_link(format!("/proc/self/fd/{}", what.as_raw_fd())).unwrap();
            // What its name says at this moment, and what is in the file itself.
            let own = (path.is_file() && is_of(&path, 2)).then_some("the new one");
            let named = if is_of(file.path(), 2) { "the new one" } else { "the old one" };
            synced.borrow_mut().push((path, own, named));
            Ok(())
        };
        file.save_by(&of(2), sync).unwrap();
        let draft = (dir.join("keeper.new"), Some("the new one"), "the old one");
        let folder = (dir.clone(), None, "the new one");
        assert_eq!(synced.into_inner(), [draft, folder]);
        // Whichever does not come to the disk, nobody is told that it has.
        for failing in 0..2 {
            let syncs = RefCell::new(0..);
            let sync = |_: &File| match syncs.borrow_mut().next() {
                Some(number) if number == failing => Err(io::Error::other("the disk failed")),
                _ => Ok(()),
            };
            assert!(file.save_by(&of(3), sync).is_err(), "sync {failing}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    /// The kernel is asked: a pipe cannot be synced, and takes all that is written.
    #[test]
    fn what_cannot_be_synced_is_not_saved() {
        let (dir, file) = place("unsynced");
        file.save(&of(1)).unwrap();
        let draft = dir.join("keeper.new");
        rustix::fs::mkfifoat(rustix::fs::CWD, &draft, rustix::fs::Mode::RWXU).unwrap();
        // Who has both ends waits for nobody.
        let _reader = File::options().read(true).write(true).open(&draft).unwrap();
        file.save(&of(2)).unwrap_err();
        assert_eq!(file.load(true).unwrap().durable().promised, 1);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_promise_is_read_back_and_a_damaged_file_is_no_empty_one() {
        let dir = std::env::temp_dir().join(format!("evenkeel-keeper-file-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = KeeperFile::new(&dir);
        assert_eq!(file.load(false).unwrap().durable(), Durable::default());
        let gone = file.load(true).unwrap_err().to_string();
        assert!(gone.starts_with("it is gone, and with it what this node has promised"), "{gone}");
        let mut own = Own::default();
        own.set_durable(Durable { promised: 7, lineage: 6, reign: 5 });
        own.set_upstream(Some(Upstream { node: NodeId(2), term: 7 }));
        file.save(&own).unwrap();
        let back = file.load(true).unwrap();
        assert_eq!((back.durable(), back.upstream()), (own.durable(), own.upstream()));
        fs::write(file.path(), b"{\"format\":1,").unwrap();
        assert!(file.load(true).is_err());
        fs::write(
            file.path(),
            b"{\"format\":9,\"promised\":1,\"lineage\":1,\"reign\":0,\"open\":false,\"slots\":0}",
        )
        .unwrap();
        assert!(file.load(true).unwrap_err().to_string().contains("format is 9"));
        fs::remove_dir_all(&dir).unwrap();
    }

    /// With data, then a witness, then with data again: the data of before ends before what the witness has acknowledged, and the
    /// file says whose log that was. Taken for a log of that term it would win an election and lose it.
    #[test]
    fn a_node_that_becomes_a_witness_or_is_one_no_more_does_not_count_what_it_held_before() {
        let mut own = Own::default();
        own.become_kind(false);
        own.set_durable(Durable { promised: 7, lineage: 6, reign: 5 });
        (own.fresh, own.open, own.slots) = (Some(6), true, 5);
        let same = own.clone();
        own.become_kind(false);
        assert_eq!(own, same, "a keeper that starts again changes nothing");
        for witness in [true, false] {
            assert!(own.is_other(witness));
            own.become_kind(witness);
            assert!(own.making && !own.is_other(witness));
            assert_eq!((own.fresh, own.open, own.slots, own.upstream()), (None, false, 0, None));
            assert_eq!(own.durable(), Durable { promised: 7, lineage: 6, reign: 5 }, "a promise is kept");
            own.making = false;
        }
        // One that was written before this was asked is taken for what it is used as.
        let mut old: Own = serde_json::from_slice(
            b"{\"format\":1,\"promised\":3,\"lineage\":2,\"reign\":0,\"open\":false,\"slots\":0}",
        )
        .unwrap();
        old.become_kind(true);
        assert_eq!((old.making, old.durable().lineage), (false, 2));
    }
}
