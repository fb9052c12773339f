//! Whose turn it is. Runs share 127.0.1.1 and the rest: as root each has a network of its own, and two go on beside each other, as
//! they mostly wait; else it is one after the other.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs at a time, of which each has a network of its own.
const BESIDE: usize = 2;

/// How many run, and whether one of them has this machine's network.
static RUNNING: Mutex<(usize, bool)> = Mutex::new((0, false));
static ENDED: Condvar = Condvar::new();

/// Nothing is measured while the other run starts databases, keys and all: that takes both processors for seconds, and fronts
/// that are not slow fall silent.
static STARTS: RwLock<()> = RwLock::new(());

/// While it is held nobody starts a run.
pub fn measuring() -> RwLockReadGuard<'static, ()> {
    STARTS.read().unwrap_or_else(PoisonError::into_inner)
}

/// While it is held nobody else measures, nor starts a run.
pub fn starting() -> RwLockWriteGuard<'static, ()> {
    STARTS.write().unwrap_or_else(PoisonError::into_inner)
}

/// A turn, until it is dropped.
pub struct Turn {
    own: Option<Network>,
}

/// A network in which this thread is, and everything that is started from it.
struct Network {
    name: String,
    before: File,
}

impl Turn {
    /// Waits for one. `name` is that of the test.
    pub fn take(name: &str) -> Turn {
        let own = Network::new(&format!("ek-it-{}-{name}", std::process::id()));
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |running: &(usize, bool)| running.1 || running.0 >= if own.is_some() { BESIDE } else { 1 };
        while full(&running) {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        running.0 += 1;
        running.1 = own.is_none();
        Turn { own }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.0 -= 1;
        running.1 &= self.own.is_some();
        ENDED.notify_all();
    }
}

impl Network {
    /// `None`: this user may make none.
    fn new(name: &str) -> Option<Network> {
        let before = File::open("/proc/thread-self/ns/net").ok()?;
        let made = rustix::process::geteuid().is_root() && ip(&["netns", "add", name]);
        // From here on it is removed again, whatever fails.
        let network = made.then(|| Network { name: name.to_owned(), before })?;
        let own = File::open(format!("/run/netns/{name}")).ok()?;
        move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
        ip(&["link", "set", "lo", "up"]).then_some(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = move_into_link_name_space(self.before.as_fd(), Some(LinkNameSpaceType::Network));
        ip(&["netns", "delete", &self.name]);
    }
}

fn ip(words: &[&str]) -> bool {
    let status = Command::new("ip").args(words).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
