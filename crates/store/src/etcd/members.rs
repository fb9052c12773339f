//! The members of etcd and what is known of their health. A member that keeps a request waiting is suspected and
//! asked by a task of its own until it answers again; meanwhile requests go to the others. So a frozen member costs
//! those requests that were with it, and a change of etcd's leader those that were under way: what comes later waits,
//! unsent, for the first member that has found the new leader.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};
use world::{Spawner, Stop};

use super::gateway::{self, Answer, Fault, Part, RangeAnswer};
use super::http::{HttpError, Pool, Post, Way};
use super::login::Login;
use super::options::EtcdOptions;
use crate::StoreError;

/// A member with a watch of ours is asked this often whether it lives, in milliseconds: its silence is no news.
const PROBE_MS: u64 = 250;
/// Between two questions to a suspected member, in milliseconds: first and longest.
const SUSPECT_MS: (u64, u64) = (30, 120);
/// A question to a suspected member waits this long for its answer, in milliseconds; one that thaws answers it.
const PATIENCE_MS: u64 = 1_000;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Not a byte of the request was sent.
    NotSent(String),
    /// It was sent and may have been carried out.
    Lost(String),
    /// As [`Trouble::Lost`]: the answer is of another cluster than the answers before it.
    Foreign(String),
    /// etcd said no.
    Fault(Fault),
}

pub(super) struct Member {
    pub(super) way: Way,
    pool: Pool,
    /// Watches of ours it serves.
    watches: AtomicUsize,
}

pub(super) struct Members {
    pub(super) all: Vec<Member>,
    pub(super) part: Part,
    pub(super) timeout: Duration,
    /// Which members are sound.
    health: watch::Sender<Vec<bool>>,
    /// Counts suspicions: when one member is suspected, the others are asked too.
    alarm: watch::Sender<u64>,
    /// What last went wrong, and where.
    trouble: Mutex<(usize, String)>,
    /// The first one seen; 0: none yet. Members of two clusters are not one store.
    cluster: Mutex<u64>,
    pub(super) login: Login,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Members {
    pub(super) fn new(options: EtcdOptions, spawner: Spawner) -> Members {
        let EtcdOptions { endpoints, prefix, login, secure: _, tls, timeout_ms } = options;
        let member = |endpoint| Member {
            way: Way { endpoint, tls: tls.clone(), spawner: spawner.clone() },
            pool: Pool::default(),
            watches: AtomicUsize::new(0),
        };
        let all: Vec<Member> = endpoints.into_iter().map(member).collect();
        Members {
            part: Part::new(&prefix),
            timeout: Duration::from_millis(timeout_ms),
            // Until shown otherwise.
            health: watch::Sender::new(vec![true; all.len()]),
            alarm: watch::Sender::new(0),
            trouble: Mutex::new((0, "not tried yet".to_owned())),
            cluster: Mutex::new(0),
            login: Login::new(login),
            all,
        }
    }

    /// A member that keeps a request waiting this long is suspected.
    pub(super) fn patience(&self) -> Duration {
        self.timeout / 3
    }

    /// Every member, the sound ones first, each kind in the order they were named.
    pub(super) fn order(&self) -> Vec<usize> {
        let health = self.health.borrow();
        let (mut sound, suspect): (Vec<usize>, Vec<usize>) =
            (0..self.all.len()).partition(|index| health.get(*index) == Some(&true));
        sound.extend(suspect);
        sound
    }

    /// The first sound member, waited for until `end`.
    pub(super) async fn sound_by(&self, end: Instant) -> Option<usize> {
        let mut health = self.health.subscribe();
        // The sender lives as long as `self`.
        let found = timeout_at(end, health.wait_for(|health| health.contains(&true))).await.ok()?.ok()?;
        found.iter().position(|sound| *sound)
    }

    /// Comes back when `index` has been suspected for `lasting` while another member was sound.
    pub(super) async fn forsaken(&self, index: usize, lasting: Duration) {
        let bad = |health: &Vec<bool>| health.get(index) == Some(&false) && health.contains(&true);
        let mut health = self.health.subscribe();
        loop {
            // The sender lives as long as `self`.
            let _ = health.wait_for(bad).await;
            if timeout(lasting, health.wait_for(|health| !bad(health))).await.is_err() {
                return;
            }
        }
    }

    /// Passes `index` over until it answers again.
    pub(super) fn suspect(&self, index: usize, why: &str) {
        *lock(&self.trouble) = (index, why.to_owned());
        if !self.mark(index, false) {
            return;
        }
        if let Some(member) = self.all.get(index) {
            info!(member = %member.way.endpoint, why, "etcd's member is passed over");
            member.pool.clear();
        }
        self.alarm.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn mark(&self, index: usize, sound: bool) -> bool {
        self.health.send_if_modified(|health| {
            health.get_mut(index).is_some_and(|now| std::mem::replace(now, sound) != sound)
        })
    }

    fn is_sound(&self, index: usize) -> bool {
        self.health.borrow().get(index) == Some(&true)
    }

    pub(super) fn name(&self, index: usize) -> String {
        self.all.get(index).map_or_else(String::new, |member| member.way.endpoint.to_string())
    }

    /// No member could be sent the request.
    pub(super) fn unreachable(&self) -> StoreError {
        let (index, why) = lock(&self.trouble).clone();
        StoreError::Unreachable { address: self.name(index), why }
    }

    /// Asks `index` once, for as long as the caller waits, and learns from what happens. An answer of another
    /// cluster counts as none.
    pub(super) async fn ask<A: Answer>(
        &self,
        index: usize,
        path: &'static str,
        body: &Bytes,
        sent: &AtomicBool,
    ) -> Result<A, Trouble> {
        let token = self.login.token()?;
        let answer = self.post(index, Post { path, body: body.clone(), token: token.clone() }, sent).await;
        if answer.as_ref().err() == Some(&Trouble::Fault(Fault::NoLogin)) {
            self.login.expired(token.as_ref());
        }
        answer
    }

    pub(super) async fn post<A: Answer>(
        &self,
        index: usize,
        post: Post,
        sent: &AtomicBool,
    ) -> Result<A, Trouble> {
        let Some(member) = self.all.get(index) else {
            return Err(Trouble::NotSent("no such member".to_owned()));
        };
        let answered = member.pool.post(&member.way, &post, sent).await;
        let (status, body) = answered.map_err(|error| match error {
            HttpError::NotSent(why) => Trouble::NotSent(why),
            HttpError::Sent(why) => Trouble::Lost(why),
            HttpError::TooLong => Trouble::Fault(Fault::TooLong),
        })?;
        let answer: A = gateway::read(status, &body).map_err(Trouble::Fault)?;
        self.same_cluster(answer.header().cluster_id.0).map_err(Trouble::Foreign)?;
        Ok(answer)
    }

    pub(super) fn same_cluster(&self, cluster: u64) -> Result<(), String> {
        let mut first = lock(&self.cluster);
        if *first == 0 {
            *first = cluster;
        }
        if *first == cluster {
            return Ok(());
        }
        Err(format!("it is of cluster {cluster:x}, the others are of {:x}", *first))
    }

    /// One question to `index` and what follows from it for its health.
    async fn probe(&self, index: usize) {
        let body = Bytes::from(gateway::probe(&self.part, 0));
        let sent = AtomicBool::new(false);
        let mut ask = std::pin::pin!(self.ask::<RangeAnswer>(index, super::RANGE, &body, &sent));
        let answer = match timeout(self.patience(), ask.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.suspect(index, "it does not answer");
                match timeout(Duration::from_millis(PATIENCE_MS), ask).await {
                    Ok(answer) => answer,
                    Err(_) => return,
                }
            }
        };
        match answer {
            Ok(_) | Err(Trouble::Fault(Fault::Busy | Fault::NotNow(_))) => {
                if self.mark(index, true) {
                    info!(member = %self.name(index), "etcd's member answers again");
                }
            }
            // A login that is refused is for the caller to know.
            Err(Trouble::Fault(Fault::Never(why))) => {
                debug!(member = %self.name(index), why, "etcd refuses a read");
                self.mark(index, true);
            }
            Err(Trouble::Fault(Fault::NoLogin)) => {}
            Err(trouble) => {
                if let Trouble::Foreign(why) = &trouble
                    && self.is_sound(index)
                {
                    warn!(member = %self.name(index), why, "etcd's members are not one cluster");
                }
                self.suspect(index, &trouble.to_string());
            }
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::NotSent(why) | Trouble::Lost(why) | Trouble::Foreign(why) => f.write_str(why),
            Trouble::Fault(Fault::NotHere(why) | Fault::NotNow(why)) => f.write_str(why),
            Trouble::Fault(Fault::Never(why) | Fault::Unclear(why)) => f.write_str(why),
            Trouble::Fault(fault) => write!(f, "{fault:?}"),
        }
    }
}

/// Looks after one member: asks it while it is suspected, when another one is, and while a watch hangs on it.
pub(super) async fn look_after(members: Arc<Members>, index: usize, stop: Stop) {
    let mut alarm = members.alarm.subscribe();
    let mut suspect_ms = SUSPECT_MS.0;
    loop {
        let suspect = !members.is_sound(index);
        let wait_ms = if suspect { suspect_ms } else { PROBE_MS };
        suspect_ms = if suspect { (suspect_ms * 2).min(SUSPECT_MS.1) } else { SUSPECT_MS.0 };
        let alarmed = tokio::select! {
            biased;
            () = stop.requested() => return,
            changed = alarm.changed(), if !suspect => changed.is_ok(),
            () = sleep(Duration::from_millis(wait_ms)) => false,
        };
        let watched = members.all.get(index).is_some_and(|member| member.watches.load(Ordering::Relaxed) > 0);
        if !(suspect || alarmed || watched || !members.is_sound(index)) {
            continue;
        }
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = members.probe(index) => {}
        }
    }
}

/// Counts a watch at its member for as long as it lives.
pub(super) struct Watching {
    members: Arc<Members>,
    index: usize,
}

impl Watching {
    pub(super) fn new(members: Arc<Members>, index: usize) -> Watching {
        if let Some(member) = members.all.get(index) {
            member.watches.fetch_add(1, Ordering::Relaxed);
        }
        Watching { members, index }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(member) = self.members.all.get(self.index) {
            member.watches.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
