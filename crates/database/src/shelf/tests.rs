//! A taker meets givers that lie, break off, or are somebody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::{Lsn, NodeId};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::channel::{self, Channel, FRAME_MAX};
use super::{Answer, Ask, FileNote, Lack, Offer, ShelfError, decide, take};
use crate::instance::{Received, SEGMENT_BYTES as SEGMENT};

const KEY: &[u8] = &[7; 32];

/// What one of these givers does with the file that is asked for.
#[derive(Clone, Copy)]
enum Gives {
    /// So many bytes, and goes.
    Part(usize),
    /// Zeros, so many.
    Zeros(u64),
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("ek-shelf-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Place(folder)
    }

    fn files(&self) -> BTreeMap<String, u64> {
        let Ok(folders) = std::fs::read_dir(self.0.join("fetched")) else { return BTreeMap::new() };
        let files = folders.flatten().flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
        files.map(|f| (f.file_name().into_string().unwrap(), f.metadata().unwrap().len())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn note(name: &str, bytes: u64) -> FileNote {
    FileNote { name: name.to_owned(), bytes }
}

fn lack(at: SocketAddr) -> Lack {
    let (from, upto) = (Lsn(3 * SEGMENT + 4_000), Lsn(4 * SEGMENT + 5_000));
    Lack { me: NodeId(2), node: NodeId(3), at, term: 9, from, upto }
}

/// Answers one connection after the other; what was asked for.
async fn giver(answer: Answer, gives: Gives) -> (SocketAddr, JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let opened = channel::listen(stream, KEY, NodeId(3), |node| node == NodeId(2)).await;
        let Ok(Some((_, mut channel))) = opened else { return Vec::new() };
        let _: Ask = channel.hear(256).await.unwrap();
        channel.say(&answer).await.unwrap();
        let mut asked = Vec::new();
        while let Ok(index) = channel.hear::<usize>(256).await {
            asked.push(index);
            if !send(&mut channel, gives).await {
                break;
            }
        }
        asked
    });
    (at, task)
}

async fn send(channel: &mut Channel<TcpStream>, gives: Gives) -> bool {
    match gives {
        Gives::Part(bytes) => {
            channel.send(&vec![1; bytes]).await.unwrap();
            false
        }
        Gives::Zeros(mut left) => {
            while left > 0 {
                let part = left.min(FRAME_MAX as u64);
                if channel.send(&vec![0; part as usize]).await.is_err() {
                    return false;
                }
                left -= part;
            }
            true
        }
    }
}

const FIRST: &str = "000000010000000000000003";
const SECOND: &str = "000000010000000000000004";

fn right() -> Vec<FileNote> {
    vec![note("00000001.history", 40), note(FIRST, SEGMENT), note(SECOND, 5_000)]
}

#[test]
fn what_is_offered_must_be_what_is_lacking_and_nothing_else() {
    let lack = lack("127.0.0.1:1".parse().unwrap());
    assert_eq!(decide::unfit(&right(), lack.from, lack.upto), None);
    let with = |at: usize, file: FileNote| {
        let mut files = right();
        files[at] = file;
        decide::unfit(&files, lack.from, lack.upto).unwrap()
    };
    for name in
        ["../postgresql.auto.conf", "/etc/passwd", "a/b", "", "pg_wal", "0000000100000000000000\u{660}3"]
    {
        assert!(with(0, note(name, 1)).ends_with("is no file of a log"), "{name}");
    }
    let long = with(0, note(&"x/".repeat(5_000), 1));
    assert!(long.len() < 100, "{long}");
    assert!(with(0, note("00000002.history", 1 << 21)).contains("more history than there can be"));
    assert!(with(1, note("000000010000000000000003.partial", SEGMENT)).contains("is no whole name"));
    assert!(with(1, note(SECOND, SEGMENT)).contains("is not the segment that comes next"));
    assert!(
        with(1, note("000000010000000100000003", SEGMENT)).contains("is not the segment that comes next")
    );
    // A log goes on in newer timelines alone.
    let mut back = right();
    back[1].name = FIRST.replace("00000001", "00000002");
    assert!(
        decide::unfit(&back, lack.from, lack.upto).unwrap().contains("is not the segment that comes next")
    );
    assert!(with(2, note(SECOND, 5_001)).contains("come 5001 bytes, not 5000"), "it goes on behind the end");
    assert!(with(2, note(SECOND, 4_999)).contains("come 4999 bytes, not 5000"));
    assert_eq!(decide::unfit(&right()[..2], lack.from, lack.upto).unwrap(), "segment 4 is missing");
    let mut twice = right();
    twice.push(note(SECOND, 5_000));
    assert!(
        decide::unfit(&twice, lack.from, lack.upto).unwrap().contains("is not the segment that comes next")
    );
}

#[test]
fn a_witness_gives_what_it_told_of_while_it_is_cut_off_in_that_term() {
    let log = Received { from: Lsn(SEGMENT), end: Lsn(5 * SEGMENT), timeline: 1 };
    let offer = Offer { term: 9, log };
    let why = |offer: Option<&Offer>, term, from, upto| decide::refusal(offer, term, Lsn(from), Lsn(upto));
    assert_eq!(why(Some(&offer), 9, 2 * SEGMENT, 5 * SEGMENT), None);
    for (term, from, upto, words) in [
        (8, 2 * SEGMENT, 5 * SEGMENT, "term 9, not in term 8"),
        (10, 2 * SEGMENT, 5 * SEGMENT, "term 9, not in term 10"),
        (9, 2 * SEGMENT, 5 * SEGMENT + 8, "its log ends at"),
        (9, SEGMENT - 8, 5 * SEGMENT, "its log begins at"),
        (9, 5 * SEGMENT, 5 * SEGMENT, "nothing lies between"),
    ] {
        let why = why(Some(&offer), term, from, upto).unwrap();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(why(None, 9, 2 * SEGMENT, 5 * SEGMENT).unwrap(), "it is not cut off");
    // The end of a segment is the end of its last byte, not the beginning of the next.
    assert_eq!(decide::segments(Lsn(2 * SEGMENT), Lsn(5 * SEGMENT)), 2..=4);
    assert_eq!(decide::bytes_of(4, Lsn(5 * SEGMENT)), SEGMENT);
}

#[tokio::test]
async fn a_giver_that_lies_leaves_nothing_behind() {
    let place = Place::new("lies");
    let into = place.0.join("fetched");
    for (files, gives, words) in [
        (vec![note("../../evil", 4)], Gives::Part(4), "is no file of a log"),
        (right(), Gives::Part(41), "come more than 40 bytes"),
        (right()[1..].to_vec(), Gives::Zeros(SEGMENT), "come more than 5000 bytes"),
    ] {
        let (at, task) = giver(Answer::Files(files), gives).await;
        let error = take(&lack(at), KEY, &into).await.unwrap_err();
        assert!(matches!(&error, ShelfError::Unfit { why, .. } if why.contains(words)), "{error}");
        task.abort();
    }
    assert!(!place.0.join("evil").exists() && !place.0.parent().unwrap().join("evil").exists());
}

#[tokio::test]
async fn files_without_records_are_thrown_away() {
    let place = Place::new("zeros");
    let into = place.0.join("fetched");
    let one = Lack { upto: Lsn(4 * SEGMENT), ..lack("127.0.0.1:1".parse().unwrap()) };
    let (at, task) = giver(Answer::Files(vec![note(FIRST, SEGMENT)]), Gives::Zeros(SEGMENT)).await;
    let error = take(&Lack { at, ..one }, KEY, &into).await.unwrap_err();
    assert!(matches!(&error, ShelfError::Unfit { why, .. } if why == "it holds no records"), "{error}");
    assert_eq!(place.files(), BTreeMap::new());
    task.abort();
}

#[tokio::test]
async fn what_broke_off_is_gone_on_with_and_never_taken_for_whole() {
    let place = Place::new("breaks");
    let into = place.0.join("fetched");
    let files = || vec![note(FIRST, SEGMENT), note(SECOND, 5_000)];
    let (at, task) = giver(Answer::Files(files()), Gives::Part(3_000)).await;
    let error = take(&lack(at), KEY, &into).await.unwrap_err();
    assert!(matches!(error, ShelfError::Broken { .. }), "{error}");
    assert_eq!(task.await.unwrap(), [0]);
    assert_eq!(place.files().keys().collect::<Vec<_>>(), [&format!("{FIRST}.draft")]);
    // The first file comes whole, the second never.
    let (at, task) = giver(Answer::Files(files()), Gives::Zeros(SEGMENT)).await;
    take(&lack(at), KEY, &into).await.unwrap_err();
    task.abort();
    assert_eq!(place.files()[FIRST], SEGMENT);
    let (at, task) = giver(Answer::Files(files()), Gives::Part(2_000)).await;
    take(&lack(at), KEY, &into).await.unwrap_err();
    assert_eq!(task.await.unwrap(), [1], "what was there was taken again");
    // Of another term's or another end's nothing is used.
    let (at, task) = giver(Answer::Files(files()), Gives::Part(2_000)).await;
    take(&Lack { term: 10, ..lack(at) }, KEY, &into).await.unwrap_err();
    assert_eq!(task.await.unwrap(), [0]);
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1);
}

#[tokio::test]
async fn who_does_not_hold_the_key_neither_gives_nor_takes() {
    let place = Place::new("strangers");
    let into = place.0.join("fetched");
    let (at, task) = giver(Answer::Files(right()), Gives::Part(40)).await;
    let error = take(&lack(at), &[8; 32], &into).await.unwrap_err();
    assert!(matches!(error, ShelfError::Stranger { .. }), "{error}");
    assert_eq!(task.await.unwrap(), Vec::<usize>::new(), "a stranger was heard");
    // One that this node does not want, or that does not want it.
    let (at, task) = giver(Answer::Files(right()), Gives::Part(40)).await;
    assert!(take(&Lack { node: NodeId(1), ..lack(at) }, KEY, &into).await.is_err());
    task.await.unwrap();
    let (at, task) = giver(Answer::Files(right()), Gives::Part(40)).await;
    assert!(take(&Lack { me: NodeId(5), ..lack(at) }, KEY, &into).await.is_err());
    task.await.unwrap();
    // A witness's reason arrives.
    let (at, task) = giver(Answer::Refused("it is not cut off".to_owned()), Gives::Part(1)).await;
    let error = take(&lack(at), KEY, &into).await.unwrap_err();
    assert!(error.to_string().ends_with("it is not cut off"), "{error}");
    task.abort();
    assert!(!into.exists());
}

/// Passes bytes on, but for one that it changes in what the listener says; what it has seen.
async fn meddler(to: SocketAddr, at_byte: Option<usize>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(to).await.unwrap();
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
        let up = tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
        let (mut seen, mut part) = (Vec::new(), [0; 4_096]);
        while let Ok(read @ 1..) = far_in.read(&mut part).await {
            let begin = seen.len();
            seen.extend_from_slice(&part[..read]);
            if let Some(at) = at_byte.filter(|at| (begin..begin + read).contains(at)) {
                part[at - begin] ^= 1;
            }
            if near_out.write_all(&part[..read]).await.is_err() {
                break;
            }
        }
        up.abort();
        seen
    });
    (at, task)
}

#[tokio::test]
async fn the_wire_shows_no_log_and_a_changed_byte_ends_it() {
    let place = Place::new("wire");
    let into = place.0.join("fetched");
    // Behind the opening of 64 bytes come the list and then the file, in full frames.
    for at_byte in [None, Some(3), Some(40), Some(66), Some(80), Some(90_000)] {
        let (to, task) =
            giver(Answer::Files(vec![note(FIRST, SEGMENT), note(SECOND, 5_000)]), Gives::Zeros(SEGMENT))
                .await;
        let (at, wire) = meddler(to, at_byte).await;
        let error = take(&lack(at), KEY, &into).await.unwrap_err();
        task.abort();
        let whole = place.files().contains_key(FIRST);
        assert_eq!(whole, at_byte.is_none(), "{at_byte:?}: {error}");
        let seen = wire.await.unwrap();
        assert!(!seen.windows(24).any(|part| part == [0; 24] || part == FIRST.as_bytes()), "in clear");
        let _ = std::fs::remove_dir_all(&into);
    }
}
