//! The engine with real processes: shell scripts and the helper beside this file, on loopback addresses of its own
//! or in namespaces and cgroups it makes and removes.

// Said once more for the lints, which let tests unwrap.
#[cfg(test)]
mod crash;
#[cfg(test)]
mod local;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod units;
