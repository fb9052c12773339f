//! What the availability model says of an application in a number of zones, before anything is chosen for it.
//!
//! The groups (databases) and the zones do not depend on which machines are bought, so their chain is solved once for
//! each number of zones. What remains for a choice of replicas is a sum over the sets of living zones.

use model::{App, Layout};

use crate::PlanError;
use crate::cache;
use crate::chance::{
    Answer, Application, Assumptions, ChanceError, Common, Exactness, Fleet, Group, Level, Outage, Stateful,
    series,
};
use crate::database::Spread;

/// What takes the whole application down at once, by the names of the priors and for people.
pub(crate) const SHARED: &[(&str, &str)] = &[
    ("deploy_failures", "bad deploys"),
    ("region_outage", "loss of the region"),
    ("human_error", "human error"),
];

/// One number of zones.
pub(crate) struct Odds {
    /// Without fleets.
    bare: Application,
    stateful: Stateful,
    /// One machine of a service; where everything shares the machine of its zone none of its own.
    pub(crate) machine: Outage,
    /// Share of time of the causes that take everything down.
    shared: f64,
}

impl Odds {
    /// Solves the groups of `app` as they are spread.
    ///
    /// # Errors
    /// [`PlanError::Model`] when an assumption cannot be computed with.
    pub(crate) fn new(app: &App, assumptions: &Assumptions, spread: Spread) -> Result<Odds, PlanError> {
        let (level, zones) = (Level::Mid, spread.zones);
        let failing = assumptions.outage("machine_failure", level)?;
        let (machine, host) = match spread.layout {
            Layout::Apart => (failing, None),
            // What a node of a database does alone comes on top, so that its losses with its machine are counted twice: never too few.
            Layout::Together => (Outage { per_year: 0.0, hours: 0.0 }, Some(failing)),
        };
        let shared = SHARED.iter().map(|(kind, name)| {
            Ok(Common { name: (*name).to_owned(), outage: assumptions.outage(kind, level)? })
        });
        let groups = app.databases.iter().map(|database| Group::assumed(database, assumptions, level));
        let mut groups: Vec<Group> = groups.collect::<Result<_, ChanceError>>()?;
        groups.extend(cache::groups(app, assumptions, level)?);
        let bare = Application {
            zones: u8::try_from(zones).unwrap_or(u8::MAX),
            zone: assumptions.outage("zone_outage", level)?,
            host,
            groups,
            fleets: Vec::new(),
            pools: Vec::new(),
            shared: shared.collect::<Result<_, ChanceError>>()?,
        };
        let stateful = Stateful::quick(&bare)?;
        let down: Vec<f64> = bare.shared.iter().map(|common| common.outage.unavailability()).collect();
        Ok(Odds { stateful, machine, shared: series(&down), bare })
    }

    /// Share of time in which exactly these zones live (bit `i` = zone `i`; with one machine a zone as [`Stateful`] has it) and every
    /// group serves.
    pub(crate) fn up(&self) -> &[f64] {
        &self.stateful.up
    }

    /// The same by the set of zones in which something can run: with one machine a zone, those whose machine lives, too.
    pub(crate) fn up_by_zones(&self) -> Vec<f64> {
        let mut all = vec![0.0; 1 << self.bare.zones];
        for (set, up) in self.stateful.up.iter().enumerate() {
            all[self.bare.reached(set)] += up;
        }
        all
    }

    /// How exact the part of the groups is.
    pub(crate) fn exactness(&self) -> Exactness {
        self.stateful.exactness
    }

    /// The whole, when too few replicas are up for `fleets` of the time in which the groups serve.
    pub(crate) fn total(&self, fleets: f64) -> f64 {
        series(&[self.shared, self.stateful.unavailability() + fleets])
    }

    /// The inverse of [`Odds::total`]: how much the fleets may take when the whole may take `total`. Negative: the rest
    /// alone takes more.
    pub(crate) fn room(&self, total: f64) -> f64 {
        (total - self.shared) / (1.0 - self.shared) - self.stateful.unavailability()
    }

    /// As if zones never failed, with one set of them: for measuring what it costs to think so.
    pub(crate) fn flattened(&self) -> Odds {
        let stateful = Stateful { up: vec![1.0], ..self.stateful.clone() };
        Odds { stateful, bare: self.bare.clone(), ..*self }
    }

    /// The application with `fleets`.
    pub(crate) fn with(&self, fleets: Vec<Fleet>) -> Application {
        Application { fleets, ..self.bare.clone() }
    }

    /// How available it is with `fleets`, by cause.
    ///
    /// # Errors
    /// [`PlanError::Model`] for more than the model computes with.
    pub(crate) fn answer(&self, whole: &Application) -> Result<Answer, PlanError> {
        Ok(whole.given(&self.stateful)?)
    }
}
