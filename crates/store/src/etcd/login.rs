//! etcd's own authentication: a name and a password are exchanged for a token, by a task of its own, as etcd takes its
//! time to check a password (bcrypt: a tenth of a second), which is not to count as a member's silence.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};
use world::Stop;

use super::gateway::{self, Fault, LoginAnswer};
use super::http::Post;
use super::members::{Members, Trouble};
use super::options::EtcdLogin;

/// A member may take this long to check a password, in milliseconds.
const CHECK_MS: u64 = 2_000;
/// Between two rounds of logging in, in milliseconds: when no member answered, and when the login was refused.
const AGAIN_MS: (u64, u64) = (50, 2_000);

/// What requests are sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    NotNeeded,
    Out,
    In(HeaderValue),
    Refused(String),
}

/// Our standing with etcd.
pub(super) struct Login {
    login: Option<EtcdLogin>,
    standing: watch::Sender<Standing>,
}

impl Login {
    pub(super) fn new(login: Option<EtcdLogin>) -> Login {
        let standing = if login.is_some() { Standing::Out } else { Standing::NotNeeded };
        Login { login, standing: watch::Sender::new(standing) }
    }

    /// The token to send a request with. Without the one it needs a request is not sent at all: etcd would say that
    /// it may not be done, which is not what its caller has to know.
    pub(super) fn token(&self) -> Result<Option<HeaderValue>, Trouble> {
        match &*self.standing.borrow() {
            Standing::In(token) => Ok(Some(token.clone())),
            Standing::NotNeeded => Ok(None),
            Standing::Out | Standing::Refused(_) => Err(Trouble::Fault(Fault::NoLogin)),
        }
    }

    /// Waits until requests can be sent.
    pub(super) async fn ready_by(&self, end: Instant) -> Result<(), Trouble> {
        let mut standing = self.standing.subscribe();
        let settled = timeout_at(end, standing.wait_for(|now| *now != Standing::Out)).await;
        match settled.as_ref().ok().and_then(|found| found.as_ref().ok()).map(|found| (*found).clone()) {
            Some(Standing::Refused(why)) => Err(Trouble::Fault(Fault::Never(why))),
            Some(_) => Ok(()),
            None => Err(Trouble::NotSent("no login in time".to_owned())),
        }
    }

    /// etcd no longer takes the token a request was sent with. Another request may have told so before.
    pub(super) fn expired(&self, token: Option<&HeaderValue>) {
        self.standing.send_if_modified(|now| {
            let current = matches!(now, Standing::In(held) if Some(&*held) == token);
            if current {
                *now = Standing::Out;
            }
            current
        });
    }
}

/// Logs in when need be, until stopped.
pub(super) async fn stay(members: Arc<Members>, stop: Stop) {
    let Some(login) = members.login.login.clone() else { return };
    let body = Bytes::from(gateway::authenticate(&login.user, &login.password));
    let mut standing = members.login.standing.subscribe();
    loop {
        let work = async {
            // The sender lives as long as `members`.
            let _ = standing.wait_for(|now| matches!(now, Standing::Out | Standing::Refused(_))).await;
            let next = log_in(&members, &body).await;
            let wait_ms = match &next {
                Standing::Refused(_) => AGAIN_MS.1,
                _ => AGAIN_MS.0,
            };
            members.login.standing.send_if_modified(|now| {
                let changed = *now != next;
                match &next {
                    Standing::Refused(why) if changed => {
                        warn!(user = login.user, why, "etcd refuses our login")
                    }
                    Standing::In(_) => info!(user = login.user, "logged in to etcd"),
                    _ => {}
                }
                *now = next;
                changed
            });
            sleep(Duration::from_millis(wait_ms)).await;
        };
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = work => {}
        }
    }
}

/// One round over the members.
async fn log_in(members: &Members, body: &Bytes) -> Standing {
    for index in members.order() {
        let post = Post { path: "/v3/auth/authenticate", body: body.clone(), token: None };
        let sent = AtomicBool::new(false);
        let answer = members.post::<LoginAnswer>(index, post, &sent);
        match timeout(Duration::from_millis(CHECK_MS), answer).await {
            Ok(Ok(answer)) => match HeaderValue::from_str(&answer.token) {
                Ok(mut token) => {
                    token.set_sensitive(true);
                    return Standing::In(token);
                }
                Err(_) => debug!(member = %members.name(index), "a token that makes no sense"),
            },
            // A wrong password is an invalid argument; a cluster without authentication needs no login, but whoever
            // has one relies on it.
            Ok(Err(Trouble::Fault(Fault::Never(why)))) => return Standing::Refused(why),
            Ok(Err(trouble)) => debug!(member = %members.name(index), %trouble, "cannot log in"),
            Err(_) => debug!(member = %members.name(index), "no answer to a login"),
        }
    }
    Standing::Out
}
