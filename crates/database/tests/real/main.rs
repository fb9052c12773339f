//! One instance and several against the real PostgreSQL. Each test is a belief that the safety of the database part
//! rests on: were PostgreSQL to behave otherwise, acknowledged writes could be lost.

// Said once more for the lints, which let tests unwrap.
#[cfg(test)]
mod beliefs;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod ended;
#[cfg(test)]
mod life;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod witness;
