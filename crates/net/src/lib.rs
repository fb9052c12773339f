//! What the parts with a request path share: listeners, endpoints, idle connections, choice and health.
//!
//! Promise: a dead or frozen endpoint is out of the way within about two probe timeouts, a slow but living one
//! never is, and nothing here takes a lock while a request passes.
//!
//! Deliberately absent: protocols (each part has its own `path`) and the choice of which endpoints exist (that
//! arrives in a snapshot).
//!
//! Entry points: [`listener::open`], [`Endpoint`], [`decide_pick::choose`], [`decide_health::Guard`],
//! [`health::Watcher`], [`IdlePool`], [`Drain`].

mod clock;
pub mod decide_health;
pub mod decide_pick;
mod drain;
mod endpoint;
pub mod health;
pub mod listener;
mod pool;
mod probe;

pub use clock::{Origin, Random};
pub use drain::Drain;
pub use endpoint::{Endpoint, Use, Wait};
pub use pool::{Idle, IdlePool};
