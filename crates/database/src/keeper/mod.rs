//! The keeper of one data node: looks, asks the rules, does what they say, tells what is.
//!
//! One loop a node. Each round observes the local server, the shared record and the peers, asks [`crate::choose`], and
//! carries out the one effect it names; the outcome is whatever the next round observes. Long work (a copy, a rewind, a
//! checkpoint) runs beside the loop. A keeper that crashes anywhere starts again from its own file, the store and the server
//! that still runs.

mod carry;
mod complaint;
mod disk;
mod error;
mod file;
mod lease;
mod local;
mod note;
mod options;
mod replies;
mod run;
mod shared;
mod slots;
mod status;
mod stranding;
mod vigil;
mod warn;
mod watchdog;
mod witness;

pub use error::KeeperError;
pub use note::Note;
pub use options::{KeeperOptions, NodePlace, node_of};
pub use run::{KeeperHandle, start};
pub use shared::Keys;
pub use status::{KeeperStatus, ServerState, Standing};
pub use watchdog::{WATCHDOG, watchdog_main};
