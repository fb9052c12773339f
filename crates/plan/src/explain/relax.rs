//! What would do when nothing fits: of each objective the least that it would have to give, with everything else as the file
//! has it.
//!
//! An answer is a change as `--what-if` makes it, and the verdict on it is the planner's own: the cheapest plan of the changed
//! file, by the same search. What an objective may become is a ladder of values that people write ([`super::ladder`]), from the
//! loosest to the tightest. A looser value never keeps less, so the tightest rung that fits is found by halving.

use model::{App, Money};
use serde::Serialize;

use super::ladder::{Asked, Objective, Rung};
use crate::compose::{self, bill};
use crate::ground::Ground;
use crate::search::{Effort, Market, Space};
use crate::size::Survive;
use crate::standbys::{settle, ways};
use crate::{Options, PlanError, Terms, missed};

/// Work for all answers to one question: topologies times services of each search, about a second and a half.
const WORK_MAX: usize = 100_000;

/// Searches of it, whatever they take: so many at least, so that what is told is worth it, and no more than are of use.
const SEARCHES: (usize, usize) = (24, 200);

/// Objectives whose values are made tight beside each other. Of more than that it is told what one plan would take.
const TIGHT_MAX: usize = 8;

/// Rounds in which the values of several objectives are made tight, each beside the others.
const ROUNDS_MAX: u32 = 4;

/// What would do for a file that nothing fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Relaxed {
    /// Each objective that would do alone; or, when none does, those that do together, in one way or two. Empty: something fits.
    pub ways: Vec<Relaxation>,
    /// Not everything was tried, as the file is large: there may be more ways.
    pub cut: bool,
}

/// What would have to give for a plan to fit, and what that plan is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relaxation {
    /// One change when it does alone; else the changes that do together, none of which can be left out.
    pub changes: Vec<Given>,
    /// What the cheapest plan costs then, US dollars a month; 0 on this machine.
    pub usd_month: f64,
    /// Its unavailability, in 0..1.
    pub unavailability: f64,
    /// Less would not do, and nothing is cheaper then; else that was not tried, or not to the end.
    pub exact: bool,
}

/// What one objective would have to become.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Given {
    /// Its key in the file: `availability`, `budget`, `survive`, `rto.zone`; also `scale.max`, `standbys`, `zones` and `machines`, which
    /// are no objectives and bound what may be planned.
    pub objective: String,
    /// The service or database whose it is; `None`: it is of the whole.
    pub of: Option<String>,
    /// What the file says, or what it means by saying nothing.
    pub asked: String,
    /// What the file would have to say; `None`: nothing, the key goes.
    pub becomes: Option<String>,
    /// The same as a change for `--what-if`.
    pub what_if: String,
}

/// The cheapest plan of a changed file.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) usd_month: Money,
    pub(super) down: f64,
    /// Of each service, in the order of the file.
    pub(super) replicas: Vec<u32>,
    /// Nothing is cheaper.
    exact: bool,
}

/// Whether a changed file has a plan.
enum Verdict {
    Fits(Fit),
    /// It has none, or with `sure: false` none was found before the search was cut short.
    Not {
        sure: bool,
    },
}

/// What would do for `app`.
///
/// # Errors
/// As [`crate::plan`].
pub fn relaxed(app: &App, options: &Options, terms: &Terms) -> Result<Relaxed, PlanError> {
    let settled = settle(app, options, terms)?.app;
    let ground = Ground::new(&settled, options, terms)?;
    let space = ground.space()?;
    let asked = Asked { app: app.clone(), terms: terms.clone() };
    match Trials::new(&ground, &space).verdict(&asked)? {
        Verdict::Fits(_) => Ok(Relaxed::default()),
        Verdict::Not { .. } => missing(&ground, &space, app),
    }
}

/// As [`relaxed`], for an `app` that is known to be missed. `ground` and `space` are those of its plan, with every standby counted.
pub(super) fn missing(ground: &Ground<'_>, space: &Space<'_>, app: &App) -> Result<Relaxed, PlanError> {
    let asked = Asked { app: app.clone(), terms: ground.terms.clone() };
    let limits = compose::limits(ground);
    let objectives = Objective::all(space, limits, &asked);
    let too_small: Vec<usize> =
        (0..ground.app.services.len()).filter(|&service| space.is_too_small(service, limits)).collect();
    // Where two services are too small, more of one of them does nothing.
    let in_vain = |objective: &Objective| {
        let own = |service: usize| *objective == Objective::ScaleMax(service);
        matches!(objective, Objective::ScaleMax(_)) && too_small.iter().any(|&service| !own(service))
    };
    let mut trials = Trials::new(ground, space);
    let mut ways = Vec::new();
    for objective in objectives.iter().filter(|objective| !in_vain(objective)) {
        if let Some(found) = trials.tightest(objective, &asked)? {
            ways.push(Relaxation::of(vec![objective.given(&asked, &found.rung)], &found.fit, found.sure));
        }
    }
    let mut cut = trials.cut;
    if ways.is_empty() {
        let mut trials = Trials::new(ground, space);
        ways = trials.together(&objectives, &asked)?;
        cut |= trials.cut;
    }
    Ok(Relaxed { ways, cut })
}

/// The tightest value of an objective that fits.
struct Found {
    rung: Rung,
    fit: Fit,
    /// A tighter one was shown not to.
    sure: bool,
}

struct Trials<'g> {
    ground: &'g Ground<'g>,
    /// Of the file as it is.
    space: &'g Space<'g>,
    left: usize,
    /// A search was not made, as none was left.
    cut: bool,
}

impl<'g> Trials<'g> {
    fn new(ground: &'g Ground<'g>, space: &'g Space<'g>) -> Trials<'g> {
        let each = space.topologies().count() * ground.app.services.len();
        let (least, most) = SEARCHES;
        Trials { ground, space, left: (WORK_MAX / each.max(1)).clamp(least, most), cut: false }
    }

    /// Whether a plan keeps everything that `asked` asks for, as [`crate::certified_on`] would say.
    fn verdict(&mut self, asked: &Asked) -> Result<Verdict, PlanError> {
        let Some(left) = self.left.checked_sub(1) else {
            self.cut = true;
            return Ok(Verdict::Not { sure: false });
        };
        self.left = left;
        let (mut least, mut sure): (Option<Fit>, bool) = (None, true);
        for app in ways(&asked.app) {
            match self.of(&app, &asked.terms)? {
                Verdict::Fits(fit) if least.as_ref().is_none_or(|least| fit.usd_month < least.usd_month) => {
                    least = Some(fit);
                }
                Verdict::Fits(_) => {}
                Verdict::Not { sure: shown } => sure &= shown,
            }
        }
        Ok(match least {
            Some(fit) => Verdict::Fits(Fit { exact: fit.exact && sure, ..fit }),
            None => Verdict::Not { sure },
        })
    }

    /// The same of a file with every standby counted.
    fn of(&self, app: &App, terms: &Terms) -> Result<Verdict, PlanError> {
        let ground = self.ground.asking(app, terms)?;
        let space = match self.space.asking(app, &ground.request) {
            Some(space) => space,
            None => ground.space()?,
        };
        let (limits, budget) = (compose::limits(&ground), app.objectives.budget);
        let is_billed = !space.markets.iter().any(|market| matches!(market, Market::Local));
        let mut effort = Effort::aside().up_to(budget.filter(|_| is_billed));
        let found = space.cheapest(limits, &mut effort).best;
        let whole = effort.open.is_none_or(|open| is_billed && budget.is_some_and(|budget| open > budget));
        let Some(best) = found else { return Ok(Verdict::Not { sure: whole }) };
        let mut missed = missed::by_zones(app, limits.survive == Survive::Zone, best.zones);
        missed.extend(missed::by_losses(app, best.spread(), &ground.assumptions));
        let usd_month = bill(app, &best);
        if !missed.is_empty() || budget.is_some_and(|budget| usd_month > budget) {
            return Ok(Verdict::Not { sure: whole });
        }
        let exact = effort.open.is_none_or(|open| open >= best.cost);
        let replicas = best.choices.iter().map(|choice| choice.size.replicas).collect();
        Ok(Verdict::Fits(Fit { usd_month, down: best.down, replicas, exact }))
    }

    /// As [`Trials::verdict`] with one more change. A value that no file can have fits nothing.
    fn with(&mut self, asked: &Asked, rung: &Rung) -> Result<Verdict, PlanError> {
        match asked.with(&rung.what_if) {
            Some(changed) => self.verdict(&changed),
            None => Ok(Verdict::Not { sure: true }),
        }
    }

    /// The tightest value of `objective` that fits, with everything else as it is.
    fn tightest(&mut self, objective: &Objective, asked: &Asked) -> Result<Option<Found>, PlanError> {
        let mut sure = true;
        for run in objective.runs(asked) {
            let fit = match run.first().map(|loosest| self.with(asked, loosest)).transpose()? {
                Some(Verdict::Fits(fit)) => fit,
                Some(Verdict::Not { sure: shown }) => {
                    sure &= shown;
                    continue;
                }
                None => continue,
            };
            return self.climb(objective, asked, run, fit, sure).map(Some);
        }
        Ok(None)
    }

    /// Halves `run`, whose loosest rung has the plan `fit`; `sure`: what is tighter than all of it was shown not to fit.
    fn climb(
        &mut self,
        objective: &Objective,
        asked: &Asked,
        mut run: Vec<Rung>,
        mut fit: Fit,
        mut sure: bool,
    ) -> Result<Found, PlanError> {
        let (mut low, mut high) = (objective.reached(&run, 0, &fit), run.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            match self.with(asked, &run[middle])? {
                Verdict::Fits(found) => {
                    low = objective.reached(&run, middle, &found);
                    fit = found;
                }
                Verdict::Not { sure: shown } => (high, sure) = (middle, shown),
            }
        }
        let rung = objective.settled(run.swap_remove(low), fit.usd_month);
        Ok(Found { rung, fit, sure })
    }

    /// When no objective does alone: those that do together, with as few as possible when each is kept in turn, in the order of
    /// the objectives and in the opposite one.
    fn together(&mut self, objectives: &[Objective], asked: &Asked) -> Result<Vec<Relaxation>, PlanError> {
        let needed = self.needed(objectives, asked)?;
        let places: Vec<usize> = (0..objectives.len()).collect();
        let mut sets: Vec<(Vec<usize>, Fit)> = Vec::new();
        for order in [places.clone(), places.into_iter().rev().collect()] {
            let Some((mut set, fit)) = self.irreducible(objectives, asked, order, &needed)? else { continue };
            set.sort_unstable();
            if !sets.iter().any(|(known, _)| *known == set) {
                sets.push((set, fit));
            }
        }
        let mut ways = Vec::new();
        for (set, fit) in sets {
            let tight = match set.len() <= TIGHT_MAX {
                true => self.tightened(objectives, asked, &set)?,
                false => None,
            };
            ways.push(tight.unwrap_or_else(|| {
                let kept = set.iter().filter_map(|&place| {
                    let rung = objectives[place].kept(asked, &fit)?;
                    Some(objectives[place].given(asked, &rung))
                });
                Relaxation::of(kept.collect(), &fit, false)
            }));
        }
        Ok(ways)
    }

    /// Those that have to give whatever else does: `scale.max` where it is too small for every plan.
    fn needed(&self, objectives: &[Objective], asked: &Asked) -> Result<Vec<usize>, PlanError> {
        let is_scale = |objective: &&Objective| matches!(objective, Objective::ScaleMax(_));
        let others = objectives.iter().filter(|objective| !is_scale(objective));
        let others: Vec<Rung> = others.filter_map(|objective| objective.loosest(asked)).collect();
        let Some(base) = asked.with_all(&others) else { return Ok(Vec::new()) };
        let ground = self.ground.asking(&base.app, &base.terms)?;
        let (space, limits) = (ground.space()?, compose::limits(&ground));
        let is_needed = |objective: &Objective| match objective {
            Objective::ScaleMax(service) => space.is_too_small(*service, limits),
            _ => false,
        };
        Ok((0..objectives.len()).filter(|&place| is_needed(&objectives[place])).collect())
    }

    /// Objectives that do when all of them are given up and do not when one of them is kept, with the cheapest plan then; those are
    /// kept that come first in `order` and are not `needed`. `None`: not even all of them do.
    fn irreducible(
        &mut self,
        objectives: &[Objective],
        asked: &Asked,
        order: Vec<usize>,
        needed: &[usize],
    ) -> Result<Option<(Vec<usize>, Fit)>, PlanError> {
        let mut do_together = |set: &[usize]| -> Result<Option<Fit>, PlanError> {
            let loosest: Vec<Rung> =
                set.iter().filter_map(|&place| objectives[place].loosest(asked)).collect();
            let Some(changed) = asked.with_all(&loosest) else { return Ok(None) };
            Ok(match self.verdict(&changed)? {
                Verdict::Fits(fit) => Some(fit),
                Verdict::Not { .. } => None,
            })
        };
        let mut given_up = order.clone();
        let Some(mut fit) = do_together(&given_up)? else { return Ok(None) };
        for place in order.into_iter().filter(|place| !needed.contains(place)) {
            let without: Vec<usize> = given_up.iter().copied().filter(|&other| other != place).collect();
            if let Some(cheapest) = do_together(&without)? {
                (given_up, fit) = (without, cheapest);
            }
        }
        Ok(Some((given_up, fit)))
    }

    /// The tightest values of `set`, one after the other while the rest of it is given up; the budget last, so that it is the price.
    /// Then again, for as long as that changes anything: with a reserve more may be up than without, so what one of them gives may
    /// let another keep more.
    fn tightened(
        &mut self,
        objectives: &[Objective],
        asked: &Asked,
        set: &[usize],
    ) -> Result<Option<Relaxation>, PlanError> {
        let mut rungs: Vec<(usize, Rung)> =
            set.iter().filter_map(|&place| Some((place, objectives[place].loosest(asked)?))).collect();
        rungs.sort_by_key(|(place, _)| (objectives[*place] == Objective::Budget, *place));
        let (mut sure, mut last) = (true, None);
        for _ in 0..ROUNDS_MAX {
            let before = rungs.clone();
            for &(place, _) in &before {
                let others = rungs.iter().filter(|(other, _)| *other != place);
                let Some(base) = asked.with_all(others.map(|(_, rung)| rung)) else { return Ok(None) };
                if let Verdict::Fits(fit) = self.verdict(&base)? {
                    rungs.retain(|(other, _)| *other != place);
                    last = Some(fit);
                    continue;
                }
                let Some(found) = self.tightest(&objectives[place], &base)? else { return Ok(None) };
                rungs.iter_mut().filter(|(other, _)| *other == place).for_each(|(_, rung)| {
                    rung.clone_from(&found.rung);
                });
                (sure, last) = (sure && found.sure, Some(found.fit));
            }
            if rungs == before {
                break;
            }
        }
        rungs.sort_by_key(|(place, _)| *place);
        let given = rungs.iter().map(|(place, rung)| objectives[*place].given(asked, rung)).collect();
        Ok(last.map(|fit| Relaxation::of(given, &fit, sure)))
    }
}

impl Relaxation {
    fn of(changes: Vec<Given>, fit: &Fit, sure: bool) -> Relaxation {
        let (usd_month, unavailability) = (fit.usd_month.usd(), fit.down);
        Relaxation { changes, usd_month, unavailability, exact: sure && fit.exact }
    }
}

#[cfg(test)]
#[path = "relax_tests.rs"]
mod tests;
