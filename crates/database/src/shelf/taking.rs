//! The side of a node with data.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::info;

use super::channel::{self, Channel};
use super::{Answer, Ask, FileNote, IDLE_MS, Lack, ShelfError, decide};
use crate::instance::{LogFile, SEGMENT_BYTES, end_of_files, log_file};

/// Most bytes of the list of files: some 80 for each, and a log of a hundred thousand segments is 1.6 TB.
const LIST_MAX: usize = 8 << 20;
/// The end of a file's name until it is whole.
const DRAFT: &str = ".draft";

/// Takes what `lack` says into a folder below `into`, or goes on with what is there of it: the folder, and the names of the
/// files in the order in which they are to be laid in. Until then nothing but that folder has changed.
///
/// # Errors
/// [`ShelfError`].
pub async fn take(lack: &Lack, key: &[u8], into: &Path) -> Result<(PathBuf, Vec<String>), ShelfError> {
    let at = lack.at;
    let broken = |cause: io::Error| ShelfError::Broken { at, cause };
    let limit = Duration::from_millis(IDLE_MS);
    let open = async {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        channel::dial(stream, key, lack.me, lack.node).await
    };
    let opened = timeout(limit, open).await.unwrap_or_else(|late| Err(late.into()));
    let mut channel = opened.map_err(broken)?.ok_or(ShelfError::Stranger { at })?;
    let ask = Ask { term: lack.term, from: lack.from, upto: lack.upto };
    channel.say(&ask).await.map_err(broken)?;
    let files = match channel.hear(LIST_MAX).await.map_err(broken)? {
        Answer::Files(files) => files,
        Answer::Refused(why) => return Err(ShelfError::Refused { at, why }),
    };
    if let Some(why) = decide::unfit(&files, lack.from, lack.upto) {
        return Err(ShelfError::Unfit { at, why });
    }
    let folder = folder(lack, into).await?;
    for (index, file) in files.iter().enumerate() {
        one(&mut channel, lack, (index, file), &folder).await?;
    }
    let names: Vec<String> = files.into_iter().map(|file| file.name).collect();
    checked(lack, folder.clone()).await?;
    info!(%at, from = %lack.from, upto = %lack.upto, files = names.len(), "what a witness had is here");
    Ok((folder, names))
}

fn disk(what: &'static str, path: &Path) -> impl Fn(io::Error) -> ShelfError {
    move |cause| ShelfError::Disk { what, path: path.to_owned(), cause }
}

/// The folder for just this: of what was begun for another term or end nothing is used.
async fn folder(lack: &Lack, into: &Path) -> Result<PathBuf, ShelfError> {
    let name = format!("{}-{}-{:x}-{:x}", lack.node, lack.term, lack.from.0, lack.upto.0);
    let folder = into.join(&name);
    if !folder.exists() && into.exists() {
        fs::remove_dir_all(into).await.map_err(disk("removed", into))?;
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&folder).await.map_err(disk("written", &folder))?;
    Ok(folder)
}

/// Takes one file, unless it is here already.
async fn one(
    channel: &mut Channel<TcpStream>,
    lack: &Lack,
    (index, file): (usize, &FileNote),
    folder: &Path,
) -> Result<(), ShelfError> {
    let broken = |cause: io::Error| ShelfError::Broken { at: lack.at, cause };
    let path = folder.join(&file.name);
    if path.exists() {
        return Ok(());
    }
    let draft = folder.join(format!("{}{DRAFT}", file.name));
    channel.say(&index).await.map_err(broken)?;
    let written = disk("written", &draft);
    let mut to = File::create(&draft).await.map_err(&written)?;
    let mut left = file.bytes;
    while left > 0 {
        let part = channel.next().await.map_err(broken)?;
        let Some(rest) = left.checked_sub(part.len() as u64).filter(|_| !part.is_empty()) else {
            let why = format!("of `{}` come more than {} bytes", file.name, file.bytes);
            return Err(ShelfError::Unfit { at: lack.at, why });
        };
        to.write_all(&part).await.map_err(&written)?;
        left = rest;
    }
    if let Some(LogFile::Segment { .. }) = log_file(&file.name) {
        // What lies behind the end is zero, as in a segment that was never written.
        to.set_len(SEGMENT_BYTES).await.map_err(&written)?;
    }
    to.sync_all().await.map_err(&written)?;
    fs::rename(&draft, &path).await.map_err(&written)
}

/// The records of what was taken must reach as far as was told. Where they are all parts of one that began before, nothing
/// can be said.
async fn checked(lack: &Lack, folder: PathBuf) -> Result<(), ShelfError> {
    let looked = tokio::task::spawn_blocking(move || {
        let end = end_of_files(&folder);
        (folder, end)
    });
    let at = lack.at;
    let (folder, end) =
        looked.await.map_err(|error| ShelfError::Broken { at, cause: io::Error::other(error) })?;
    let why = match end {
        Ok((None, true)) => return Ok(()),
        Ok((Some(end), _)) if end == lack.upto => return Ok(()),
        Ok((Some(end), _)) => format!("its records end at {end}, not at {}", lack.upto),
        Ok((None, false)) => "it holds no records".to_owned(),
        Err(error) => format!("it cannot be read: {error}"),
    };
    // It would be found whole, and be no better, at the next try.
    fs::remove_dir_all(&folder).await.map_err(disk("removed", &folder))?;
    Err(ShelfError::Unfit { at, why })
}
