//! Runs the units of one zone as child processes, and emulates zones on one machine.
//!
//! Promise: of a unit there are never two copies, and what is not wanted is ended with all it started, whatever
//! moment the agent crashes at: a process is written down durably before it may run ([`shim`], [`record`]), and who
//! comes after adopts it or ends it. A unit that crashes is started again at once for the first times, then with a
//! growing wait; one that is drained ends after the fronts have let go of it.
//!
//! What is decided is in [`decide`], pure; what is done is in `drive`. [`local`] has the zones of one machine:
//! addresses, namespaces, cgroups, and the faults of drills; [`HostCut`] is the one that strikes a host.
//!
//! Deliberately absent: which units a zone has (the `zone` part), the store, images, and limits without cgroups.
//!
//! Entry points: [`Engine::start`] in an agent, [`shim_main`] in the hidden command, [`local::LocalZones::create`] in
//! the supervisor.

pub mod decide;
mod drive;
mod error;
mod host;
mod launch;
pub mod local;
mod log;
mod port;
mod probe;
mod process;
pub mod record;
pub mod shim;
mod wait;

use std::path::Path;

use model::UnitName;

pub use drive::{Engine, EngineOptions};
pub use error::{Class, EngineError};
pub use host::HostCut;
pub use launch::Shim;
pub use port::{PORT_COUNT, PORT_FIRST};
pub use process::{MARKER, ProcessId};
pub use shim::shim_main;

/// What the environment of a unit's processes holds as [`MARKER`]: no other unit of this machine has the same.
pub(crate) fn marker(state: &Path, unit: &UnitName) -> String {
    record::unit_folder(state, unit).display().to_string()
}
