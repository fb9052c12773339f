//! Coordination of the agents: one small map with the semantics of etcd v3, so that one machine and many hosts run
//! the same control code.
//!
//! Promise: every change has a place in one order (the revision); a [`Txn`] happens as a whole or not at all; what
//! was acknowledged survives a power loss; keys under a lease go when their holder is silent for its time to live; a
//! [`Watch`] shows every change in order, or says that it cannot ([`StoreError::is_compacted`]). An error says
//! whether the request may have been carried out ([`Class`]).
//!
//! Three implementations. One pure state machine (`kv`) stands behind two of them: [`serve`] keeps it in a file and
//! offers it over TCP to [`Store::connect`]; [`Store::simulated`] keeps it in memory behind a link that loses and
//! delays on command. [`Store::etcd`] is a part of an etcd cluster, which lives on while most of its members do.
//! [`conformance`] is what every implementation must pass.
//!
//! Deliberately absent: consensus (etcd's work), values larger than a few hundred KiB, reads of old revisions, ranges
//! other than prefixes, encryption (the embedded store is for one machine; to etcd there is plain HTTP only as yet).

mod api;
mod client;
pub mod conformance;
mod disk;
mod error;
mod etcd;
mod host;
mod kv;
mod opening;
mod server;
mod simulated;
mod token;
mod wire;

pub use api::{ClientOptions, Store, Watch};
pub use error::{Class, Refusal, StoreError};
pub use etcd::{Endpoint, EtcdLogin, EtcdOptions, EtcdTls};
pub use kv::{
    Compare, Entry, Event, HISTORY_BYTES_MAX, HISTORY_EVENTS, KEY_BYTES_MAX, LEASE_KEYS_MAX, LEASES_MAX,
    LeaseId, Op, Revision, STORE_BYTES_MAX, TTL_MAX_MS, TTL_MIN_MS, TXN_BYTES_MAX, TXN_OPS_MAX, Txn,
    TxnReply,
};
pub use server::{ServeOptions, serve};
pub use simulated::{Faults, SimulatedStore};
pub use token::Token;
