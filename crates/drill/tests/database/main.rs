//! The checker against real PostgreSQL servers: clean while nothing is wrong, red for every kind of wrong there is.

#[cfg(test)]
mod drilled;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod sound;
