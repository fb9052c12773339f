//! What goes on whatever the loop waits for: it is noted that this process runs, and looked whether its disk does.

use std::time::Duration;

use model::Term;
use tokio::time::Instant;
use world::Clock;

use super::disk::Disk;
use super::error::KeeperError;
use crate::peers::Peers;
use crate::{BEAT_MS, Memory};

/// A try that has taken so long: whatever is written now would take as long. A busy disk takes less.
const BUSY: Duration = Duration::from_secs(2);

/// Goes on while the loop waits.
#[derive(Debug)]
pub(super) struct Vigil {
    pub memory: Memory,
    disk: Disk,
    /// The term whose primary this node is, as far as is known.
    pub reigns: Option<Term>,
}

impl Vigil {
    pub fn new(disk: Disk) -> Vigil {
        Vigil { memory: Memory::default(), disk, reigns: None }
    }

    /// For how long the disk has taken nothing; `None`: it is not known to hang.
    pub fn hangs(&self) -> Option<Duration> {
        self.disk.hangs()
    }

    /// Looks at the disk. The term in which this node gives up: as a primary nothing will be committed by it any more.
    pub fn look(&mut self) -> Option<Term> {
        self.disk.look(Instant::now());
        self.reigns.filter(|_| self.disk.hangs().is_some())
    }

    /// Whether the own file may be written. On a disk that answers nothing the whole process would stand still with it, and
    /// never say that it gives up, while its server goes on telling everybody that it lives.
    pub fn may_write(&self) -> Result<(), KeeperError> {
        match self.disk.waits() {
            waits if waits < BUSY => Ok(()),
            waits => Err(KeeperError::NotNow(format!(
                "the disk has taken nothing for {} s: nothing is begun that writes to it",
                waits.as_secs()
            ))),
        }
    }

    /// Waits for `work`. A disk that begins to hang meanwhile is told of to `peers`: what is waited for may be that disk.
    pub async fn attend<T>(&mut self, (clock, peers): (&Clock, &Peers), work: impl Future<Output = T>) -> T {
        self.watch(clock, |term| peers.say(Some(term)), work).await
    }

    async fn watch<T>(&mut self, clock: &Clock, says: impl Fn(Term), work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = clock.sleep_ms(BEAT_MS) => {
                    self.memory.runs(clock.now());
                    if let Some(term) = self.look() {
                        says(term);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Ending what is left of a server waits for its disk, 10 s each time, and a checkpoint for a minute.
    #[tokio::test]
    async fn a_primary_whose_disk_hangs_says_so_whatever_it_waits_for() {
        let (clock, said) = (Clock::real(), RefCell::new(Vec::new()));
        let mut vigil = Vigil::new(Disk::under_way(crate::keeper::disk::HANGS));
        vigil.watch(&clock, |term| said.borrow_mut().push(term), clock.sleep_ms(3 * BEAT_MS)).await;
        assert!(said.borrow().is_empty(), "it is no primary");
        vigil.reigns = Some(7);
        vigil.watch(&clock, |term| said.borrow_mut().push(term), clock.sleep_ms(3 * BEAT_MS)).await;
        assert_eq!(said.borrow().first(), Some(&7));
    }

    #[test]
    fn nothing_is_begun_that_writes_to_a_disk_that_has_not_answered_for_long() {
        let may_write = |seconds| Vigil::new(Disk::under_way(Duration::from_secs(seconds))).may_write();
        assert!(may_write(1).is_ok());
        let refused = may_write(3).unwrap_err().to_string();
        assert_eq!(refused, "the disk has taken nothing for 3 s: nothing is begun that writes to it");
    }
}
