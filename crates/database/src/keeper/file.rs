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
        let bytes = serde_json::to_vec(&Own { format: FORMAT, ..own.clone() }).map_err(io::Error::other)?;
        let draft = self.path.with_extension("new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
