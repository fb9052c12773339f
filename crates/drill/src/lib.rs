//! Breaks a running application on purpose, measures what its callers saw, and says whether the objectives held.
//!
//! Promise: a verdict that can go red. Every failure counts unless the evidence of that very request says that
//! nobody could have saved it; effects are counted in the application's own journals; whatever was broken is
//! healed, also after the safety limit, an error or a request to stop.
//!
//! Deliberately absent: the faults themselves (`engine::local` makes them, through [`Break`]), and any mercy for
//! the load: the client is an open loop and counts answer times from its schedule.
//!
//! Entry points: [`run`] with [`Options`] and a [`Break`] gives a [`model::Verdict`]; [`run_report`] gives the
//! evidence beside it; [`to_json`] and [`render`] show them; [`exit_code`] is what the command ends with. What a
//! PostgreSQL database keeps of what it acknowledged has clients and checkers of its own: [`database`]. [`simulate`] plays
//! years of failures against the real decide code, in virtual time.

mod breaking;
mod client;
pub mod database;
mod decide_count;
mod decide_judge;
mod decide_measure;
mod decide_record;
mod decide_verdict;
mod entry;
mod error;
mod http;
mod journal;
mod load;
mod options;
mod render;
mod run;
pub mod simulate;

pub use breaking::{Break, BreakError, Injected};
pub use decide_judge::{SLACK_US, unsavable};
pub use decide_measure::Slice;
pub use decide_record::{Blamed, Failure, FaultFacts, Kind, Outcome, Record};
pub use decide_verdict::Effects;
pub use error::DrillError;
pub use journal::{Executions, JOURNAL_NAME};
pub use options::{Options, Paths};
pub use render::{exit_code, render, render_database, to_json};
pub use run::{Failed, Progress, Report, Stage, Unknown, run, run_report};
