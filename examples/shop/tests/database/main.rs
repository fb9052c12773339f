//! The real binary with its orders in real PostgreSQL servers.

#[cfg(test)]
mod keeps;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod rig;
