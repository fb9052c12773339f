//! How likely it is: the availability model.
//!
//! Promise: for an application of zones, groups with a primary (databases, caches), fleets of replicas, spot pools and
//! common causes, its unavailability, exactly or as a bound that is never too low, and which of the two; by cause, in
//! parts that add up to the whole; how often it goes down and for how long, as a distribution; what may be lost.
//! Unavailability is only ever added up, never found as 1 minus something near 1, so that nine digits of a small number
//! are right. Pure: numbers in, numbers out; no clock, no file, no chance but a seed's.
//!
//! The model: zones fail independently and alike; a node or machine is usable while it and its zone are up. A group serves
//! while its primary is usable and enough nodes are; else the first usable node becomes primary after a time of several
//! exponential stages, or a repair is waited for. A fleet serves while `k` of its `n` replicas are usable. Where one machine of
//! each zone holds everything ([`Application::host`]), a zone is of use while its machine is up, too. Repairs do not wait for each
//! other. Everything must serve.
//!
//! Deliberately absent: partial failures (slow, but up), which a model of up and down cannot see; time to copy a lost
//! node anew, unless it is counted into its repair; load that depends on the time of day.
//!
//! Entry points: [`Application::availability`], [`Outages`], [`lost`]; underneath, [`explore`], [`stationary`] and
//! [`after`] for any finite Markov chain.

mod chain;
mod dice;
mod error;
mod gamma;
mod groups;
mod joint;
mod loss;
mod outage;
mod part;
mod playing;
mod priors;
mod simulate;
mod solve;
mod stateful;
mod structure;
mod tier;
mod tournament;
mod transient;
mod unit;
mod whole;

pub use chain::{Chain, Explored, STATES_MAX, explore};
pub use dice::{Dice, Exponential};
pub use error::ChanceError;
pub use groups::{Expanded, Sharing, expand};
pub use loss::{Behind, Loss, Lost, all_copies_lost_per_year, lost};
pub use outage::{Counting, Longer, Outages, Trigger, in_a_year};
pub use part::{Application, Common, Fleet, Group, Machines, Takeover};
pub use playing::{Played, Playing, YEARS_MAX, simulate};
pub use priors::{Assumptions, Level, Prior, Unit};
pub use solve::{eliminate, stationary, sweep};
pub use stateful::{Exactness, Stateful};
pub use structure::{Diagram, Event, Formula};
pub use tier::{Tier, Together, series, together, too_few};
pub use transient::{Bounded, Then, after, earned, reach};
#[cfg(test)]
pub(crate) use unit::HOURS_YEAR;
pub(crate) use unit::Rates;
pub use unit::{Outage, PerHour, Unavailability};
pub use whole::{Answer, Cause};

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod property_tests;
