//! Three keepers with real servers, on loopback addresses.

mod failover;
mod site;
