//! `standbys: auto` and `run_by: auto`: how many standbys a database has, and whether a provider runs it, where the file leaves that to
//! the plan.
//!
//! Each way to have them is a file of its own with a space of its own, and each is searched to its end. The plan is the cheapest of
//! those that miss fewest objectives, and its proof shows of every other way that nothing in it is cheaper. Everything else that is
//! said of a plan is said of the file with these numbers in it.

use std::borrow::Cow;

use model::{App, Database, Managed};

use crate::compose::{self, limits, nearest};
use crate::database::{self, Spread};
use crate::ground::Ground;
use crate::missed;
use crate::proof::{Counted, Other};
use crate::search::{Candidate, Effort, Space};
use crate::search_space::STANDBYS;
use crate::size::Survive;
use crate::{Options, PlanError, Terms};

/// Databases of one file whose standbys a plan may count: each more makes four times the ways.
pub(crate) const AUTO_MAX: usize = 3;

/// A file with every standby counted.
pub(crate) struct Settled<'a> {
    pub(crate) app: Cow<'a, App>,
    pub(crate) beside: Beside,
}

/// What was looked at beside the plan to count them. Empty where the file says how many there are.
#[derive(Clone, Default)]
pub(crate) struct Beside {
    /// How many standbys each of these databases has.
    pub(crate) counted: Vec<Counted>,
    /// Every other way to count them, with why nothing in it is cheaper.
    pub(crate) others: Vec<Other>,
    pub(crate) effort: Effort,
    /// What the plan says about it, a sentence a database.
    pub(crate) why: Vec<String>,
}

/// One way to count the standbys of every database, and the cheapest there.
struct Way<'a> {
    ground: &'a Ground<'a>,
    space: Space<'a>,
    /// Objectives that databases miss where they miss fewest; most where one of them cannot be had.
    misses: usize,
    best: Option<Candidate<'a>>,
}

/// Every file that `app` may stand for: those with the fewest nodes first. One, `app` itself, when it leaves nothing open.
pub(crate) fn ways(app: &App) -> Vec<Cow<'_, App>> {
    if !app.databases.iter().any(database::is_open) {
        return vec![Cow::Borrowed(app)];
    }
    let mut all = vec![app.clone()];
    for (place, database) in app.databases.iter().enumerate().filter(|(_, one)| database::is_open(one)) {
        let with = |known: &App| {
            let each = choices(database).into_iter().map(|choice| {
                let mut app = known.clone();
                app.databases[place] = choice;
                app
            });
            each.collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all.sort_by_key(|app| app.databases.iter().map(|database| u32::from(database.nodes())).sum::<u32>());
    all.into_iter().map(Cow::Owned).collect()
}

/// Everything that one database may be.
pub(crate) fn choices(database: &Database) -> Vec<Database> {
    if !database::is_open(database) {
        return vec![database.clone()];
    }
    let own = |standbys: u8| Database { standbys, auto: false, managed: Managed::No, ..database.clone() };
    let mut all: Vec<Database> = match database.auto {
        true => STANDBYS.map(own).to_vec(),
        false => vec![own(database.standbys)],
    };
    if database.managed == Managed::Auto {
        // The provider's copy.
        all.push(Database { managed: Managed::Yes, witness: false, ..own(1) });
    }
    all
}

/// Counts the standbys that `app` leaves open.
///
/// # Errors
/// As [`crate::plan`].
pub(crate) fn settle<'a>(app: &'a App, options: &Options, terms: &Terms) -> Result<Settled<'a>, PlanError> {
    let mut apps = ways(app);
    if apps.len() == 1 {
        return Ok(Settled { app: apps.remove(0), beside: Beside::default() });
    }
    let first = Ground::new(app, options, terms)?;
    let grounds = apps.iter().map(|app| first.asking(app, terms)).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for ground in &grounds {
        let space = ground.space()?;
        let misses = misses(&space);
        let best = space.cheapest(limits(ground), &mut Effort::default()).best;
        all.push(Way { ground, space, misses, best });
    }
    let fewest = all.iter().map(|way| way.misses).min().unwrap_or(0);
    let chosen = chosen(&all, fewest);
    let why = why(app, &all, fewest, chosen);
    let best = all[chosen].best.clone();
    let (mut others, mut effort) = (Vec::new(), Effort::default());
    for (index, way) in all.iter_mut().enumerate().filter(|(index, _)| *index != chosen) {
        way.space.must_miss_no_more_than(fewest);
        let mut own = Effort::default();
        let found = way.space.cheaper_than(best.clone(), limits(way.ground), &mut own);
        effort = effort.joined(own);
        others.push(Other { standbys: counted(app, &apps[index]), topologies: found.topologies });
    }
    let beside = Beside { counted: counted(app, &apps[chosen]), others, effort, why };
    let settled = apps[chosen].clone();
    Ok(Settled { app: settled, beside })
}

/// The cheapest of those that miss fewest, of equally cheap ones the one with the fewest nodes; where none keeps everything, the one that comes nearest.
fn chosen(all: &[Way<'_>], fewest: usize) -> usize {
    let fit = || all.iter().enumerate().filter(|(_, way)| way.misses == fewest);
    let cheapest = fit().filter_map(|(at, way)| Some((at, way.best.as_ref()?)));
    let by_cost = |a: &(usize, &Candidate<'_>), b: &(usize, &Candidate<'_>)| {
        a.1.cost.cmp(&b.1.cost).then(a.0.cmp(&b.0))
    };
    if let Some((at, _)) = cheapest.min_by(by_cost) {
        return at;
    }
    let safest = fit().filter_map(|(at, way)| {
        let nearest = nearest(&way.space, limits(way.ground), &mut Effort::aside())?;
        Some((at, nearest.down))
    });
    let safest = safest.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    safest.map_or(0, |(at, _)| at)
}

/// How many standbys those databases of `app` have in `way` that it leaves open.
pub(crate) fn counted(app: &App, way: &App) -> Vec<Counted> {
    let both = app.databases.iter().zip(&way.databases).filter(|(open, _)| database::is_open(open));
    let one = |(_, database): (&Database, &Database)| Counted {
        database: database.name.to_string(),
        standbys: database.standbys,
        managed: database.managed == Managed::Yes,
    };
    both.map(one).collect()
}

/// A sentence for each database, with what other numbers of its standbys would mean while the others stay.
fn why(app: &App, all: &[Way<'_>], fewest: usize, chosen: usize) -> Vec<String> {
    let own = &all[chosen].ground.app.databases;
    let open = app.databases.iter().enumerate().filter(|(_, database)| database::is_open(database));
    let sentence = |(place, database): (usize, &Database)| {
        let alone = |way: &&Way<'_>| {
            let theirs = &way.ground.app.databases;
            let is = |database: &Database| (database.standbys, database.managed);
            let differs = |at: usize| is(&theirs[at]) != is(&own[at]);
            (0..own.len()).all(|at| differs(at) == (at == place))
        };
        let others: Vec<String> = all
            .iter()
            .filter(alone)
            .map(|way| {
                let (theirs, meant) = (&way.ground.app.databases[place], meant(way, fewest));
                match (theirs.managed, theirs.standbys) {
                    (Managed::Yes, _) => format!("run by the provider {meant}"),
                    (_, standbys) if database.managed == Managed::Auto => {
                        format!("as evenkeel's own with {} {meant}", spelt(standbys, theirs.witness))
                    }
                    (_, 0) => format!("with none {meant}"),
                    (_, standbys) => format!("with {standbys} {meant}"),
                }
            })
            .collect();
        let counted = match own[place].managed {
            Managed::Yes => "the provider's".to_owned(),
            _ if database.managed == Managed::Auto => {
                format!("evenkeel's own with {}", spelt(own[place].standbys, own[place].witness))
            }
            _ => spelt(own[place].standbys, false),
        };
        let asked = match (database.auto, database.managed) {
            (true, Managed::Auto) => "`standbys: auto, run_by: auto`",
            (false, _) => "`run_by: auto`",
            (true, _) => "`standbys: auto`",
        };
        format!("{asked} of `{}` is {counted} here: {}", database.name, others.join("; "))
    };
    open.map(sentence).collect()
}

/// How many standbys, for people.
fn spelt(standbys: u8, witness: bool) -> String {
    match (standbys, witness) {
        (0, _) => "no standby".to_owned(),
        (1, true) => "1 standby and a witness".to_owned(),
        (1, false) => "1 standby".to_owned(),
        (standbys, _) => format!("{standbys} standbys"),
    }
}

/// What another way would mean.
fn meant(way: &Way<'_>, fewest: usize) -> String {
    let app = way.ground.app;
    if !way.space.holds_stores() {
        return "it is had nowhere: nobody runs it, or no machine holds it".to_owned();
    }
    if way.misses > fewest {
        return format!("`{}` is missed", first_missed(way).unwrap_or_else(|| "survive: [zone]".to_owned()));
    }
    match &way.best {
        Some(best) if compose::is_local(best) => "everything is kept, too".to_owned(),
        Some(best) => format!("the cheapest costs {} USD/month", compose::bill(app, best)),
        None => "nothing is available enough".to_owned(),
    }
}

/// What the databases of a way miss first, as it stands in the file.
fn first_missed(way: &Way<'_>) -> Option<String> {
    let spread = way.best.as_ref().map(Candidate::spread).or_else(|| way.space.fitting())?;
    sentences(way, spread).into_iter().find_map(|sentence| {
        let (asked, _) = sentence.strip_prefix('`')?.split_once('`')?;
        Some(asked.to_owned())
    })
}

fn sentences(way: &Way<'_>, spread: Spread) -> Vec<String> {
    let (app, survive) = (way.ground.app, limits(way.ground).survive);
    let mut all = missed::by_zones(app, survive == Survive::Zone, spread.zones);
    all.extend(missed::by_losses(app, spread, &way.ground.assumptions));
    all
}

/// The fewest objectives that databases miss there; none is worse than one that cannot be had.
fn misses(space: &Space<'_>) -> usize {
    if space.holds_stores() { space.fewest_misses() } else { usize::MAX }
}

/// Shows the space of every way of `app` that misses fewest, beside a plan whose ground and space are known.
///
/// # Errors
/// As [`crate::plan`].
pub(crate) fn each(
    (ground, known): (&Ground<'_>, &Space<'_>),
    app: &App,
    mut see: impl FnMut(&Ground<'_>, &Space<'_>),
) -> Result<(), PlanError> {
    let apps = ways(app);
    let grounds = apps.iter().map(|app| ground.asking(app, &ground.terms)).collect::<Result<Vec<_>, _>>()?;
    let mut spaces = Vec::new();
    for own in &grounds {
        spaces.push(match known.asking(own.app, &own.request) {
            Some(space) => space,
            None => own.space()?,
        });
    }
    let fewest = spaces.iter().map(misses).min();
    let all = grounds.iter().zip(&spaces).filter(|(_, space)| Some(misses(space)) == fewest);
    all.for_each(|(own, space)| see(own, space));
    Ok(())
}

#[cfg(test)]
#[path = "standbys_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "managed_tests.rs"]
mod managed_tests;
