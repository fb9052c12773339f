//! The witness's side.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{NodeId, Nodes};
use net::listener::AcceptErrors;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use world::Spawner;

use super::channel::{self, Channel, FRAME_MAX};
use super::{Answer, Ask, FileNote, Offer, decide};
use crate::instance::{Instance, LogFile, log_file};

/// An address that could not be had is tried again after this long, in milliseconds.
const LISTEN_AGAIN_MS: u64 = 250;
/// Connections at once that have not shown yet that they hold the key: more than there are nodes. One more shows the oldest out, so
/// that strangers who only sit there keep nobody away.
const CONNECTIONS_MAX: usize = 32;
/// Who dials must show within this time that it holds the key, in milliseconds.
const HELLO_MS: u64 = 2_000;
/// Most bytes of what is asked for.
const ASK_MAX: usize = 256;

/// What a giver is made of.
#[derive(Clone)]
pub struct Giver {
    /// The witness.
    pub me: NodeId,
    /// Who may ask.
    pub known: Nodes,
    /// The keepers' key.
    pub key: Vec<u8>,
    /// Where the log is.
    pub instance: Arc<Instance>,
    /// What is given now. Taken back before anything of the log changes; what was read before that is the log that was told.
    pub offer: watch::Receiver<Option<Offer>>,
}

/// Gives the log of a witness to who may have it, at `listen`, until the owner of `tasks` asks to stop.
pub async fn serve(listen: SocketAddr, giver: Giver, tasks: Spawner) {
    let stop = tasks.stop();
    tokio::select! {
        biased;
        () = stop.requested() => {}
        never = accept(listen, giver, &tasks) => match never {},
    }
}

async fn bound(listen: SocketAddr) -> TcpListener {
    let mut warned = false;
    loop {
        let bound = net::listener::open(listen, 1)
            .and_then(|mut all| all.pop().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        match bound.and_then(TcpListener::from_std) {
            Ok(listener) => return listener,
            Err(error) if !std::mem::replace(&mut warned, true) => {
                warn!(address = %listen, %error, "a witness cannot listen for those that lack its log; trying again");
            }
            Err(_) => {}
        }
        sleep(Duration::from_millis(LISTEN_AGAIN_MS)).await;
    }
}

async fn accept(listen: SocketAddr, giver: Giver, tasks: &Spawner) -> Infallible {
    let listener = bound(listen).await;
    let mut errors = AcceptErrors::default();
    let mut open: VecDeque<oneshot::Sender<()>> = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        let (stream, at) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a witness cannot accept a connection");
                sleep(errors.pause(&error)).await;
                continue;
            }
        };
        errors.accepted();
        open.retain(|one| !one.is_closed());
        if open.len() >= CONNECTIONS_MAX {
            open.pop_front();
        }
        let (leave, left) = oneshot::channel();
        open.push_back(leave);
        let (giver, stop) = (giver.clone(), tasks.stop());
        tasks.spawn(format!("shelf/give/{at}"), async move {
            let opened = tokio::select! {
                biased;
                () = stop.requested() => return,
                _ = left => return debug!(%at, "shown out: too many connections"),
                opened = open_one(stream, &giver) => opened,
            };
            // From here on it is one of ours: no stranger shows it out, and it counts as none.
            let given = async {
                let (peer, channel) = opened?;
                give(peer, channel, &giver).await
            };
            tokio::select! {
                biased;
                () = stop.requested() => {}
                given = given => if let Err(error) = given {
                    debug!(%at, %error, "a connection for a witness's log ended");
                },
            }
        });
    }
}

/// Who dialled, once it has shown that it holds the key.
async fn open_one(stream: TcpStream, giver: &Giver) -> io::Result<(NodeId, Channel<TcpStream>)> {
    let opening = channel::listen(stream, &giver.key, giver.me, |node| giver.known.has(node));
    let opened = timeout(Duration::from_millis(HELLO_MS), opening).await??;
    opened.ok_or_else(|| io::Error::other("it does not hold the key, or wants another node"))
}

async fn give(peer: NodeId, mut channel: Channel<TcpStream>, giver: &Giver) -> io::Result<()> {
    let Ask { term, from, upto } = channel.hear(ASK_MAX).await?;
    let offer = *giver.offer.borrow();
    let refused = decide::refusal(offer.as_ref(), term, from, upto);
    let (Some(offer), None) = (offer, &refused) else {
        let why = refused.unwrap_or_default();
        info!(%peer, why, "a node that lacks log was refused");
        return channel.say(&Answer::Refused(why)).await;
    };
    let files = files(giver, &offer, &Ask { term, from, upto })?;
    info!(%peer, %from, %upto, files = files.len(), "a node takes what it lacks of the log");
    channel.say(&Answer::Files(files.iter().map(|(note, _)| note.clone()).collect())).await?;
    loop {
        let index: usize = channel.hear(ASK_MAX).await?;
        let (note, path) = files.get(index).ok_or_else(|| io::Error::other("there is no such file"))?;
        send(&mut channel, giver, &offer, (note, path)).await?;
    }
}

fn files(giver: &Giver, offer: &Offer, ask: &Ask) -> io::Result<Vec<(FileNote, PathBuf)>> {
    let wanted = decide::segments(ask.from, ask.upto);
    let mut files = Vec::new();
    for path in giver.instance.shelved(ask.from, offer.log.timeline).map_err(io::Error::other)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = match log_file(&name) {
            Some(LogFile::Segment { number, .. }) if wanted.contains(&number) => {
                decide::bytes_of(number, ask.upto)
            }
            Some(LogFile::History { .. }) => std::fs::metadata(&path)?.len(),
            _ => continue,
        };
        let name = name.strip_suffix(".partial").unwrap_or(&name).to_owned();
        files.push((FileNote { name, bytes }, path));
    }
    Ok(files)
}

async fn send(
    channel: &mut Channel<TcpStream>,
    giver: &Giver,
    offer: &Offer,
    (note, path): (&FileNote, &PathBuf),
) -> io::Result<()> {
    let mut file = File::open(path).await?.take(note.bytes);
    let mut left = note.bytes;
    let mut part = vec![0; FRAME_MAX];
    while left > 0 {
        let read = file.read(&mut part).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Asked after the reading: what was read while the offer stood is the log that it tells of.
        if *giver.offer.borrow() != Some(*offer) {
            return Err(io::Error::other("the log is given no more"));
        }
        channel.send(&part[..read]).await?;
        left -= read as u64;
    }
    Ok(())
}
