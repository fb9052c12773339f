//! What an objective may become when it has to give: values that people write, from the loosest to the tightest, all of them
//! looser than what the file asks.

use model::{App, Availability, Duration, Money, Scope};

use super::relax::{Fit, Given};
use crate::catalog::Catalog;
use crate::change::Change;
use crate::search::{Limits, Market, Space};
use crate::{Options, REPLICAS_MAX, Terms, database, size};

/// Digits of a percentage behind the point, at most: a hundredth of a second a year.
const DIGITS_MAX: u32 = 10;

/// What a file and a flag ask for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) app: App,
    pub(super) terms: Terms,
}

/// One value of an objective.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rung {
    /// As in the file; `None`: the key goes.
    becomes: Option<String>,
    /// The change that makes it so.
    pub(super) what_if: String,
    /// Most of what the objective counts in a plan; infinite: any.
    most: f64,
}

/// Standbys, replicas of caches and zones with which nothing is missed that more of them would keep.
const STANDBYS: u8 = 2;
const REPLICAS: u8 = 1;
const ZONES: u8 = 3;

/// What can give: an objective, or a number of the file that keeps plans away.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Objective {
    Availability,
    Budget,
    Survive,
    /// Of the databases: `rto` or `rpo` of a node or a zone.
    Recovery {
        key: &'static str,
        scope: Scope,
    },
    /// Of a service: its place in the file.
    ScaleMax(usize),
    /// Of a database: its place in the file.
    Standbys(usize),
    /// Of a cache: its place in the file.
    Replicas(usize),
    Zones,
    /// `machines`: what may share one.
    Sharing,
}

impl Asked {
    /// The same with one change; `None`: it is none, or cannot be made.
    pub(super) fn with(&self, what_if: &str) -> Option<Asked> {
        let mut changed = self.clone();
        // No rung of a ladder changes a price.
        let mut none = Options { catalog: Catalog::default(), provider: None };
        what_if.parse::<Change>().ok()?.make(&mut changed.app, &mut none, &mut changed.terms).ok()?;
        Some(changed)
    }

    pub(super) fn with_all<'r>(&self, rungs: impl IntoIterator<Item = &'r Rung>) -> Option<Asked> {
        rungs.into_iter().try_fold(self.clone(), |asked, rung| asked.with(&rung.what_if))
    }

    fn reserves_by_default(&self) -> bool {
        !self.terms.unreserved && size::reserves_by_default(&self.app)
    }
}

fn rung(becomes: String, what_if: String) -> Rung {
    Rung { becomes: Some(becomes), what_if, most: f64::INFINITY }
}

/// The rung without the objective.
fn none(what_if: String) -> Rung {
    Rung { becomes: None, what_if, most: f64::INFINITY }
}

fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Node => "node",
        Scope::Zone => "zone",
        Scope::Region => "region",
    }
}

fn listed(scopes: &[Scope]) -> String {
    let words: Vec<&str> = scopes.iter().map(|&scope| word(scope)).collect();
    format!("[{}]", words.join(", "))
}

/// Percentages with two digits that tell how much may be down, such as 99.983%, above which less may be down than `least`.
fn percentages(least: f64) -> Vec<Rung> {
    let mut all = Vec::new();
    for digits in 0..=DIGITS_MAX {
        let scale = 10_u64.pow(digits);
        for down in (10..100).rev() {
            let up = 100 * scale - down;
            let (whole, part) = (up / scale, up % scale);
            let text = match digits {
                0 => format!("{whole}%"),
                _ => {
                    let text = format!("{whole}.{part:0width$}", width = digits as usize);
                    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
                }
            };
            let Ok(Availability { unavailability }) = text.parse() else { continue };
            if unavailability <= least * (1.0 + 1e-9) {
                return all;
            }
            let what_if = format!("availability {text}");
            all.push(Rung { becomes: Some(text), what_if, most: unavailability });
        }
    }
    all
}

impl Objective {
    /// What `space` was asked for and can give. Databases and caches alone miss `rto` and `rpo`, and a `scale.max` that keeps no size away
    /// has nothing to give.
    pub(super) fn all(space: &Space<'_>, limits: Limits, asked: &Asked) -> Vec<Objective> {
        let mut all = vec![Objective::Availability, Objective::Budget, Objective::Survive];
        for scope in [Scope::Node, Scope::Zone] {
            all.extend(["rto", "rpo"].map(|key| Objective::Recovery { key, scope }));
        }
        let held_back = (0..space.app.services.len()).filter(|&service| space.held_back(service, limits));
        all.extend(held_back.map(Objective::ScaleMax));
        all.extend((0..space.app.databases.len()).map(Objective::Standbys));
        let caches = space.app.caches.iter().enumerate().filter(|(_, cache)| cache.is_needed());
        all.extend(caches.map(|(place, _)| Objective::Replicas(place)));
        all.push(Objective::Zones);
        let in_a_cloud = space.markets.iter().any(|market| matches!(market, Market::Cloud(_)));
        all.extend(in_a_cloud.then_some(Objective::Sharing));
        all.retain(|objective| !objective.runs(asked).is_empty());
        all
    }

    /// The ladders of what it may become, the tightest first: within one of them a looser value never keeps less. Empty: it is not
    /// asked for.
    pub(super) fn runs(&self, asked: &Asked) -> Vec<Vec<Rung>> {
        let objectives = &asked.app.objectives;
        let run = match self {
            Objective::Availability => return availabilities(asked),
            Objective::Budget => objectives.budget.map(|_| vec![none("budget none".to_owned())]),
            Objective::Survive => return survivals(asked),
            Objective::Recovery { key, scope } => recoveries(asked, key, *scope),
            Objective::Standbys(database) => {
                let database = &asked.app.databases[*database];
                if database.own_nodes() == 0 {
                    let what_if = format!("run_by {} evenkeel", database.name);
                    return vec![vec![rung("evenkeel".to_owned(), what_if)]];
                }
                let of = format!("standbys {}", database.name);
                return more(&of, database.standbys, STANDBYS);
            }
            Objective::Replicas(cache) => {
                let cache = &asked.app.caches[*cache];
                return more(&format!("replicas {}", cache.name), cache.replicas, REPLICAS);
            }
            Objective::Zones => return more("zones", asked.app.placement.zones, ZONES),
            Objective::Sharing => {
                let is_asked = asked.app.sharing() != model::Sharing::Any;
                is_asked.then(|| vec![rung("any".to_owned(), "machines any".to_owned())])
            }
            Objective::ScaleMax(service) => {
                let service = &asked.app.services[*service];
                let larger = (service.scale.max.saturating_add(1)..=REPLICAS_MAX).rev();
                let rung = |max: u32| Rung {
                    most: f64::from(max),
                    ..rung(max.to_string(), format!("scale.max {} {max}", service.name))
                };
                Some(larger.map(rung).collect())
            }
        };
        run.into_iter().filter(|run: &Vec<Rung>| !run.is_empty()).collect()
    }

    /// The loosest of all.
    pub(super) fn loosest(&self, asked: &Asked) -> Option<Rung> {
        self.runs(asked).pop()?.into_iter().next()
    }

    /// The tightest rung of `run` that the plan found at the rung `at` keeps.
    pub(super) fn reached(&self, run: &[Rung], at: usize, fit: &Fit) -> usize {
        let taken = match self {
            Objective::Availability => fit.down,
            Objective::ScaleMax(service) => f64::from(fit.replicas[*service]),
            Objective::Budget | Objective::Survive | Objective::Recovery { .. } => return at,
            Objective::Standbys(_) | Objective::Replicas(_) => return at,
            Objective::Zones | Objective::Sharing => return at,
        };
        run.partition_point(|rung| taken <= rung.most).saturating_sub(1).max(at)
    }

    /// The tightest rung that a plan keeps that was found with the loosest one.
    pub(super) fn kept(&self, asked: &Asked, fit: &Fit) -> Option<Rung> {
        let mut run = self.runs(asked).pop()?;
        let at = self.reached(&run, 0, fit);
        Some(self.settled(run.swap_remove(at), fit.usd_month))
    }

    /// A budget is what the cheapest plan without one costs, in whole dollars.
    pub(super) fn settled(&self, rung: Rung, usd_month: Money) -> Rung {
        match self {
            Objective::Budget => {
                let usd =
                    usd_month.0.div_euclid(1_000_000) + i64::from(usd_month.0.rem_euclid(1_000_000) > 0);
                self::rung(format!("{usd} USD/month"), format!("budget {usd}"))
            }
            _ => rung,
        }
    }

    /// What is told of it at `rung`; `asked` is what the file says.
    pub(super) fn given(&self, asked: &Asked, rung: &Rung) -> Given {
        let app = &asked.app;
        let objectives = &app.objectives;
        let whole = |key: &str, was: Option<String>| (key.to_owned(), None, was.unwrap_or_default());
        let (objective, of, asked) = match self {
            Objective::Availability => {
                whole("availability", objectives.availability.map(|asked| asked.to_string()))
            }
            Objective::Budget => {
                whole("budget", objectives.budget.map(|budget| format!("{budget} USD/month")))
            }
            Objective::Survive if objectives.survive.is_empty() => {
                let by_default = "[zone], which 99.9% and more mean when it is left out";
                whole("survive", Some(by_default.to_owned()))
            }
            Objective::Survive => whole("survive", Some(listed(&objectives.survive))),
            Objective::Recovery { key, scope } => {
                let was = recovery(app, key, *scope).map(|asked| asked.to_string());
                whole(&format!("{key}.{}", word(*scope)), was)
            }
            Objective::ScaleMax(service) => {
                let service = &app.services[*service];
                ("scale.max".to_owned(), Some(service.name.to_string()), service.scale.max.to_string())
            }
            Objective::Standbys(database) => {
                let database = &app.databases[*database];
                let (key, was) = match database.own_nodes() {
                    0 => ("run_by", "provider".to_owned()),
                    _ => ("standbys", database.standbys.to_string()),
                };
                (key.to_owned(), Some(database.name.to_string()), was)
            }
            Objective::Replicas(cache) => {
                let cache = &app.caches[*cache];
                ("replicas".to_owned(), Some(cache.name.to_string()), cache.replicas.to_string())
            }
            Objective::Zones => whole("zones", Some(app.placement.zones.to_string())),
            Objective::Sharing => {
                let was = match app.placement.machines {
                    Some(model::Sharing::Apart) => "apart",
                    Some(_) => "together",
                    None => "together, which is meant when it is left out",
                };
                whole("machines", Some(was.to_owned()))
            }
        };
        Given { objective, of, asked, becomes: rung.becomes.clone(), what_if: rung.what_if.clone() }
    }
}

/// One more, and one more again, up to `most`: each a ladder of its own, as more of them cost more.
fn more(what: &str, now: u8, most: u8) -> Vec<Vec<Rung>> {
    (now.saturating_add(1)..=most)
        .map(|count| vec![rung(count.to_string(), format!("{what} {count}"))])
        .collect()
}

/// From 99.9% on a reserve for a zone may be kept by default, and no availability below that keeps one: two ladders.
fn availabilities(asked: &Asked) -> Vec<Vec<Rung>> {
    let Some(own) = asked.app.objectives.availability else { return Vec::new() };
    let mut loose = percentages(own.unavailability);
    let reserved =
        |rung: &Rung| asked.with(&rung.what_if).is_some_and(|changed| changed.reserves_by_default());
    let strict = loose.split_off(loose.partition_point(|rung| !reserved(rung)));
    loose.insert(0, none("availability none".to_owned()));
    [strict, loose].into_iter().filter(|run| !run.is_empty()).collect()
}

/// A zone, a node, nothing: what is less than the file asks. Each is a ladder of its own, as a reserve is also what keeps a service
/// up that has no `load` and so no peak that its spare replicas are counted from.
fn survivals(asked: &Asked) -> Vec<Vec<Rung>> {
    let survive = &asked.app.objectives.survive;
    let from = match () {
        () if survive.contains(&Scope::Region) => 0,
        () if survive.contains(&Scope::Zone) || asked.reserves_by_default() => 1,
        () if survive.contains(&Scope::Node) => 2,
        () => 3,
    };
    let all = [("[zone]", "zone"), ("[node]", "node"), ("[]", "nothing")];
    let less = all.iter().skip(from);
    less.map(|(list, words)| vec![rung((*list).to_owned(), format!("survive {words}"))]).collect()
}

/// Whether anything can miss a recovery time: a database, or a cache that is needed.
pub(super) fn has_state(app: &App) -> bool {
    !app.databases.is_empty() || app.caches.iter().any(model::Cache::is_needed)
}

fn recovery(app: &App, key: &str, scope: Scope) -> Option<Duration> {
    let per = if key == "rto" { app.objectives.rto } else { app.objectives.rpo };
    match scope {
        Scope::Node => per.node,
        Scope::Zone => per.zone,
        Scope::Region => None,
    }
}

/// How long a takeover or a repair takes, or how much a lease may lose: nothing else makes a difference. Every outage that is
/// compared with `rto` ends with a repair at the latest; of what is lost there may be no bound.
fn recoveries(asked: &Asked, key: &str, scope: Scope) -> Option<Vec<Rung>> {
    let app = &asked.app;
    let own = recovery(app, key, scope).filter(|_| has_state(app))?;
    let (mut longer, unbounded) = match key {
        "rto" => (database::recoveries(app, scope, &asked.terms.assumptions(app).ok()?), false),
        _ => (database::losses(app), true),
    };
    longer.retain(|value| *value > own);
    longer.sort_unstable();
    longer.dedup();
    let word = word(scope);
    let rungs =
        longer.into_iter().rev().map(|value| rung(value.to_string(), format!("{key} {word} {value}")));
    let unbounded = unbounded.then(|| none(format!("{key} {word} none")));
    Some(unbounded.into_iter().chain(rungs).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_those_that_people_write_each_a_little_tighter() {
        let all = percentages(1.25e-4);
        let texts: Vec<&str> = all.iter().filter_map(|rung| rung.becomes.as_deref()).collect();
        assert_eq!((texts[0], texts[89], texts[90], texts.len()), ("1%", "90%", "90.1%", 357));
        assert_eq!(texts[355..], ["99.986%", "99.987%"]);
        assert!(all.windows(2).all(|pair| pair[0].most > pair[1].most));
        assert!(texts.contains(&"99.9%") && texts.contains(&"99.95%"));
        assert_eq!(percentages(1e-15).len(), 90 * (DIGITS_MAX as usize + 1));
    }
}
