//! Drills against fronts that are tasks of this process, so that every kind of wrong can be planted.

#[cfg(test)]
mod client;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod verdicts;
