//! The data front of one zone: the address at which applications reach a database, wherever its primary is.
//!
//! Promise: a new connection gets to the primary that the newest [`DataSnapshot`] names. While there is none, or it
//! does not answer, the connection is held and not failed, [`Limits::hold_ms`] at the most. A connection to a primary
//! that was replaced is ended at once on both sides, since a frozen one would never end it. When the agent is gone, the
//! last snapshot stays in force for ever; an older one never replaces a newer one, nor an older term a newer one.
//!
//! How it looks at bytes: hardly. What the client says goes to the primary and back as it is, so that TLS, GSSAPI and
//! cancel requests pass from end to end. Only the length of a client's first message is read, to tell when a primary that
//! has not answered yet may be exchanged for another (`greet.rs`), and a client that cannot be served is told so in its
//! own language (`answer.rs`).
//!
//! Deliberately absent: pooling, splitting reads from writes, and telling sessions apart by what they do (the router);
//! who the primary is (the keeper); and any knowledge of the store.
//!
//! Entry points: [`DataFront::start`], [`DataFront::report`], [`DataFront::stop`]; [`decide::Standing`] is the rule by
//! which a snapshot opens, holds and ends.

mod answer;
mod control;
pub mod decide;
mod front;
mod greet;
mod limits;
mod open;
mod relay;
mod snapshot;
mod worker;

pub use front::DataFront;
pub use limits::Limits;
pub use snapshot::{DataReport, DataSnapshot, Served};
