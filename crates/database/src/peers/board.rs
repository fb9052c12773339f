//! What is known of every peer, shared by the tasks that find it out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Moment, NodeId, Term};
use tokio::sync::watch;
use world::{Clock, Stop, Stopper};

use super::decide::{Answer, Door};
use super::opening::Said;
use crate::Peer;

/// A keeper that was not heard for this long has its server asked, in milliseconds: two beats may be late.
pub(super) const SILENT_MS: u64 = 300;

/// Held by every task. Its lock is never held over an await.
#[derive(Debug)]
pub(super) struct Board {
    pub me: NodeId,
    pub clock: Clock,
    seen: Mutex<BTreeMap<NodeId, Seen>>,
    /// Whether the connection to each peer that this node dialled is there.
    links: BTreeMap<NodeId, watch::Sender<bool>>,
    said: watch::Sender<Option<Term>>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    heard: Option<Moment>,
    server_heard: Option<Moment>,
    suspects: Option<Term>,
    keeper: Door,
    server: Door,
    /// What was last told of them both.
    refused: bool,
    /// The connection its beats come on; requested when a newer one takes its place.
    ear: Option<Stopper>,
    /// Counts those connections.
    ears: u64,
}

impl Seen {
    fn refused(&self, now: Moment) -> bool {
        self.keeper.refuses(now) && self.server.refuses(now)
    }
}

/// The two ports of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Keeper,
    Server,
}

/// One connection's leave to be heard.
pub(super) struct Ear {
    peer: NodeId,
    number: u64,
    /// Requested when the peer has opened a newer one.
    pub over: Stop,
}

impl Board {
    pub fn new(me: NodeId, others: impl Iterator<Item = NodeId>, clock: Clock) -> Board {
        let links: BTreeMap<_, _> = others.map(|node| (node, watch::Sender::new(false))).collect();
        let seen = links.keys().map(|node| (*node, Seen::default())).collect();
        let (said, news) = (watch::Sender::new(None), watch::Sender::new(0));
        Board { me, clock, seen: Mutex::new(seen), links, said, news }
    }

    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub fn say(&self, suspects: Option<Term>) {
        self.said.send_if_modified(|said| std::mem::replace(said, suspects) != suspects);
    }

    pub fn said(&self) -> watch::Receiver<Option<Term>> {
        self.said.subscribe()
    }

    pub fn knows(&self, node: NodeId) -> bool {
        self.links.contains_key(&node)
    }

    pub fn seen(&self) -> BTreeMap<NodeId, Peer> {
        let now = self.clock.now();
        let peer = |seen: &Seen| Peer {
            heard: seen.heard,
            server_heard: seen.server_heard,
            refused: seen.refused(now),
            suspects: seen.suspects,
        };
        self.lock().iter().map(|(node, seen)| (*node, peer(seen))).collect()
    }

    /// `peer` has shown on a new connection that it holds the key, and said something. An older one is over.
    pub fn heard_first(&self, peer: NodeId, said: Said) -> Ear {
        let (stopper, over) = Stop::pair();
        let number = self.change(peer, true, |seen, _| {
            seen.ears += 1;
            if let Some(older) = seen.ear.replace(stopper) {
                older.request();
            }
            seen.ears
        });
        let ear = Ear { peer, number: number.unwrap_or_default(), over };
        self.heard(&ear, said);
        ear
    }

    /// Counts a beat; `false`: its connection is over.
    pub fn heard(&self, ear: &Ear, Said(suspects): Said) -> bool {
        let heard = |seen: &mut Seen, now| {
            if seen.ears != ear.number || seen.ear.is_none() {
                return false;
            }
            seen.heard = Some(now);
            seen.suspects = suspects;
            seen.keeper.heard();
            true
        };
        self.change(ear.peer, false, heard).unwrap_or(false)
    }

    /// The connection of `ear` ended by itself.
    pub fn unheard(&self, ear: &Ear) {
        let mut lost = false;
        self.change(ear.peer, false, |seen, _| {
            lost = seen.ears == ear.number && seen.ear.take().is_some();
        });
        if lost {
            self.tell();
        }
    }

    /// A port of `peer` answered.
    pub fn answered(&self, peer: NodeId, port: Port, answer: Answer) {
        self.change(peer, false, |seen, now| seen.door(port).answered(answer, now));
    }

    /// The server of `peer` lives.
    pub fn server_heard(&self, peer: NodeId) {
        self.change(peer, false, |seen, now| seen.server_heard = Some(now));
    }

    /// Both ports of `peer` are to be asked quickly from now on.
    pub fn hurry(&self, peer: NodeId) {
        self.change(peer, false, |seen, now| {
            seen.keeper.hurry(now);
            seen.server.hurry(now);
        });
    }

    /// When to ask a port again that was last asked at `began`.
    pub fn next(&self, peer: NodeId, port: Port, began: Moment) -> Moment {
        self.change(peer, false, |seen, now| seen.door(port).next(began, now)).unwrap_or(began)
    }

    /// When the server of `peer` is to be asked, if its keeper is not heard until then.
    pub fn server_wanted(&self, peer: NodeId) -> Moment {
        let heard = self.lock().get(&peer).and_then(|seen| seen.heard);
        match heard {
            Some(heard) if self.is_linked(peer) => heard.plus(SILENT_MS),
            _ => self.clock.now(),
        }
    }

    /// The connection to `peer` came or went.
    pub fn linked(&self, peer: NodeId, linked: bool) {
        if let Some(link) = self.links.get(&peer) {
            link.send_replace(linked);
        }
        self.tell();
    }

    /// Told when the connection to `peer` comes or goes.
    pub fn link(&self, peer: NodeId) -> Option<watch::Receiver<bool>> {
        self.links.get(&peer).map(watch::Sender::subscribe)
    }

    fn is_linked(&self, peer: NodeId) -> bool {
        self.links.get(&peer).is_some_and(|link| *link.borrow())
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    /// Changes what is known of `peer`, and tells when that is `news` or comes to news.
    fn change<T>(&self, peer: NodeId, news: bool, change: impl FnOnce(&mut Seen, Moment) -> T) -> Option<T> {
        let mut all = self.lock();
        // Read under the lock, so that no moment comes before one that was kept earlier.
        let now = self.clock.now();
        let seen = all.get_mut(&peer)?;
        let before = (seen.refused, seen.suspects);
        let result = change(seen, now);
        seen.refused = seen.refused(now);
        let news = news || before != (seen.refused, seen.suspects);
        drop(all);
        if news {
            self.tell();
        }
        Some(result)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Seen>> {
        // Nothing panics while it is held; were it so, each value would still be whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn door(&mut self, port: Port) -> &mut Door {
        match port {
            Port::Keeper => &mut self.keeper,
            Port::Server => &mut self.server,
        }
    }
}
