//! Two other ways to plan, to be measured against: greedy upgrading, and the product of per-service availabilities.

use std::rc::Rc;

use model::{App, Money};

use super::branch::branch;
use super::frame::{Base, Frame};
use super::{Effort, Limits};
use crate::compose::SLACK;
use crate::ground::Ground;
use crate::odds::Odds;
use crate::{Options, PlanError, Terms};

/// Prices of the cheapest plans that each way finds, US dollars a month; `None`: it finds none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rivals {
    /// Of the search.
    pub optimum: Option<f64>,
    /// Begins with the cheapest choices and buys what spares most downtime for a dollar until it is enough, in every
    /// topology.
    pub greedy: Option<f64>,
    /// The cheapest whose product of per-service availabilities is enough: one loss of a zone counts once for each service.
    pub product: Option<f64>,
}

/// Plans `app` in all three ways, for measurements.
///
/// # Errors
/// As [`crate::plan`].
pub fn rivals(app: &App, options: &Options) -> Result<Rivals, PlanError> {
    // The other two know of no machines that services share.
    let mut app = app.clone();
    app.placement.machines = Some(model::Sharing::Apart);
    let ground = Ground::new(&app, options, &Terms::default())?;
    let space = ground.space()?;
    let down = app.objectives.availability.map(|asked| asked.unavailability * (1.0 + SLACK));
    let limits = Limits { down, survive: ground.request.survive(), forbidden: false };
    let optimum = space.cheapest(limits, &mut Effort::default()).best.map(|best| best.cost);
    let (mut greedily, mut product): (Option<Money>, Option<Money>) = (None, None);
    let drafts = space.topologies().flat_map(|topology| space.drafts(topology, limits));
    for draft in drafts.filter_map(|(_, draft)| draft.ok()) {
        let Ok(frame) = space.frame(draft, limits, &mut Effort::default()) else { continue };
        greedily = greedily.into_iter().chain(greedy(&frame)).min();
        let flat = frame.odds.flattened();
        let found = branch(&flattened(&frame, &flat), None, &mut Effort::default()).best;
        product = product.into_iter().chain(found.map(|best| best.cost)).min();
    }
    let usd = |cost: Option<Money>| cost.map(Money::usd);
    Ok(Rivals { optimum: usd(optimum), greedy: usd(greedily), product: usd(product) })
}

fn greedy(frame: &Frame<'_, '_>) -> Option<Money> {
    let mut picks = vec![0; frame.options.len()];
    let down = |picks: &[usize]| {
        let chosen = picks.iter().zip(&frame.options).map(|(&pick, all)| &all[pick]);
        let fails = chosen.fold(frame.nothing(), |fails, choice| frame.joined(&fails, choice));
        frame.least_down(picks.len(), &fails)
    };
    let mut now = down(&picks);
    while frame.room.is_some_and(|room| now > room) {
        let mut best: Option<(f64, usize, usize, f64)> = None;
        for service in 0..picks.len() {
            let (kept, all) = (picks[service], &frame.options[service]);
            for option in kept + 1..all.len() {
                picks[service] = option;
                let then = down(&picks);
                let more = (all[option].cost.0 - all[kept].cost.0).max(1) as f64;
                let gain = (now - then) / more;
                if then < now && best.is_none_or(|(known, ..)| gain > known) {
                    best = Some((gain, service, option, then));
                }
            }
            picks[service] = kept;
        }
        let (_, service, option, then) = best?;
        (picks[service], now) = (option, then);
    }
    let chosen = picks.iter().zip(&frame.options).map(|(&pick, all)| all[pick].cost);
    Some(frame.base.fixed + chosen.sum())
}

/// The same topology with one set of zones: each service has its own share of downtime, and these are multiplied.
fn flattened<'a, 's>(frame: &Frame<'a, 's>, flat: &'s Odds) -> Frame<'a, 's> {
    let up = frame.odds.up();
    let each = frame.order.iter().copied().zip(&frame.options).map(|(index, options)| {
        let alone = options.iter().cloned().map(|mut choice| {
            let down: f64 = up.iter().zip(choice.fails.iter()).map(|(up, fails)| up * fails).sum();
            choice.fails = Rc::new([down]);
            choice
        });
        (index, alone.collect())
    });
    let base = Base { zones: 0, ..frame.base.clone() };
    Frame::new(base, flat, each.collect(), frame.room)
}
