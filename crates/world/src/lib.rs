//! What a part takes from the machine, through one door: the time ([`Clock`]), chance ([`Chance`]) and tasks that
//! have a name, an owner and an end ([`Tasks`], [`Stop`]).
//!
//! Promise: with [`Clock::manual`] and [`Chance::from_seed`] nothing here depends on the machine, so a run can be
//! repeated exactly. This is the only crate that starts tokio tasks: a task that is started elsewhere is known to
//! nobody and waited for by nobody.
//!
//! Deliberately absent: files, sockets, signals, and tasks that cannot be moved between threads.

mod chance;
mod clock;
mod stop;
mod tasks;

pub use chance::Chance;
pub use clock::{Clock, ManualClock};
pub use stop::{Stop, Stopper};
pub use tasks::{Failure, Limits, Restart, Spawner, Tasks};
