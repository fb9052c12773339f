//! Whether a PostgreSQL database keeps what it acknowledges, while it is being broken: workload clients that leave a
//! history, and checkers that can go red.
//!
//! Promise: an acknowledged write that is gone, one that surely failed and is there, transactions that saw what their
//! isolation level forbids, money that appears, a session that reads behind its own write, and an acknowledgement that
//! waited for no standby are found, counted and explained. What nobody can know is called unknown and held against
//! nobody: a verdict of red is a proof.
//!
//! | workload | table | what it proves |
//! |---|---|---|
//! | registers | `drill_register` | acknowledged ids survive, failed ones do not; availability and latency |
//! | lists | `drill_list` | transactions are isolated as asked (G0, G1a, G1b, G1c, G-single, G2), in each session's order |
//! | bank | `drill_bank` | every read of all accounts has the same sum |
//! | sessions | `drill_session` | read your writes and monotonic reads, whichever replica answers |
//!
//! Deliberately absent: the faults; real-time order between sessions (a database that is serializable need not be
//! strict, and replicas never are); prepared statements (the simple protocol passes through every pooler, so what is
//! found is the database's and not the pooler's).
//!
//! Entry points: [`Workload::prepare`] makes the tables, [`Workload::start`] with [`Options`] gives a [`Handle`],
//! [`Handle::stop`] the [`History`], [`read_final`] the [`FinalState`], and [`judge`] the [`Judgement`];
//! [`run_database`] does all of that around a fault. [`rebuild`] reads a history back from its journal when the drill
//! itself died. [`read_orders`] counts the orders of an application that keeps them in such a database.

mod clients;
mod course;
mod decide_availability;
mod decide_bank;
mod decide_course;
mod decide_graph;
mod decide_history;
mod decide_judgement;
mod decide_lists;
mod decide_loss;
mod decide_outcome;
mod decide_register;
mod decide_sessions;
mod error;
mod journal;
mod orders;
mod session;
mod tls;
mod workload;

pub use clients::Glance;
pub use course::{DatabaseDrill, run_database};
pub use decide_availability::{AvailabilityReport, GAP_FACTOR, Gap};
pub use decide_bank::BankReport;
pub use decide_history::{
    Action, FinalState, History, Isolation, LISTED_MAX, Listed, Operation, Outcome, Step, Via,
};
pub use decide_judgement::{Judgement, judge};
pub use decide_lists::{Anomaly, AnomalyKind, ListReport};
pub use decide_loss::judge_but;
pub use decide_outcome::{Saw, Stage, Warned, conclude};
pub use decide_register::{DirectReport, RegisterReport};
pub use decide_sessions::SessionReport;
pub use error::{Class, WorkloadError};
pub use journal::rebuild;
pub use orders::read_orders;
pub use session::Target;
pub use tls::Trust;
pub use workload::{Handle, Load, Options, Workload, read_final};
