//! How likely the recovery objectives are missed, outages longer than `rto`, losses of more than `rpo`, and how often the
//! application goes down and loses data at all.

use model::{App, DataLoss, Database, Duration, Mode, PerScope, Risk, Scope};

use crate::PlanError;
use crate::chance::{
    Application, Assumptions, Behind, Counting, Level, Loss, Outages, Trigger, all_copies_lost_per_year,
    in_a_year, lost,
};

/// Times for which outages are counted, in seconds. Longer ones would take longer to compute than the plan.
const LENGTHS_S: [f64; 4] = [0.0, 10.0, 60.0, 600.0];

/// Everything that is told of risks.
pub(crate) struct Risks {
    pub(crate) missed: Vec<Risk>,
    pub(crate) outages: Vec<model::Outages>,
    pub(crate) losses: Vec<DataLoss>,
}

type Counts = fn(Trigger) -> bool;

/// The scopes with their words and what an outage of them begins with.
const SCOPES: [(Scope, &str, Counts); 2] = [
    (Scope::Node, "node", |trigger| trigger == Trigger::Node),
    (Scope::Zone, "zone", |trigger| trigger == Trigger::Zone),
];

fn of(per: &PerScope, scope: Scope) -> Option<Duration> {
    match scope {
        Scope::Node => per.node,
        Scope::Zone => per.zone,
        Scope::Region => per.region,
    }
}

/// The risk of every objective of `app` that the model knows about, of a node, a zone and, of outages, the region; how often
/// it goes down at all, where a time without service is asked; and how often each database loses data.
///
/// # Errors
/// [`PlanError::Model`] when the chain of outages is more than is computed.
pub(crate) fn risks(app: &App, whole: &Application, assumptions: &Assumptions) -> Result<Risks, PlanError> {
    let objectives = &app.objectives;
    let (mut risks, mut told) = (Vec::new(), Vec::new());
    if objectives.rto != PerScope::default() {
        let outages = Outages::quick(whole)?;
        let bound = matches!(outages.counting, Counting::Apart { .. });
        let mut add = |word: &str, asked: Duration, counts: &dyn Fn(Trigger) -> bool| {
            let longer = outages.longer_after(counts, asked.0 as f64 / 3_600e3)?;
            let objective = format!("rto: {{ {word}: {asked} }}");
            let (per_year, in_a_year) = (longer.per_year, longer.in_a_year);
            risks.push(Risk { objective, per_year, in_a_year, bound });
            Ok::<(), PlanError>(())
        };
        for (scope, word, counts) in SCOPES {
            if let Some(asked) = of(&objectives.rto, scope) {
                add(word, asked, &counts)?;
            }
        }
        let region = whole.shared.iter().position(|common| common.name == "loss of the region");
        if let (Some(asked), Some(region)) = (objectives.rto.region, region) {
            add("region", asked, &|trigger| trigger == Trigger::Shared(region))?;
        }
        for longer_than_s in LENGTHS_S {
            let longer = outages.longer(longer_than_s / 3_600.0)?;
            let (per_year, in_a_year) = (longer.per_year, longer.in_a_year);
            told.push(model::Outages { longer_than_s, per_year, in_a_year, bound });
        }
    }
    for (scope, word, _) in SCOPES {
        let Some(asked) = of(&objectives.rpo, scope).filter(|_| !app.databases.is_empty()) else { continue };
        let losses: Result<Vec<Loss>, PlanError> =
            app.databases.iter().map(|database| loss(database, whole, scope, assumptions)).collect();
        let lost = lost(&losses?, asked.0 as f64 / 1e3)?;
        let objective = format!("rpo: {{ {word}: {asked} }}");
        risks.push(Risk { objective, per_year: lost.per_year, in_a_year: lost.in_a_year, bound: true });
    }
    let losses: Result<Vec<Vec<DataLoss>>, PlanError> =
        app.databases.iter().map(|database| data_losses(database, whole, assumptions)).collect();
    Ok(Risks { missed: risks, outages: told, losses: losses?.concat() })
}

/// Disks that hold copies of `database`: one each, or where one machine of a zone holds all of it, one a zone.
fn disks(database: &Database, whole: &Application) -> u8 {
    let copies = database.copies();
    let on_machines = whole.host.is_some() && database.own_nodes() > 0;
    if on_machines { copies.min(whole.zones) } else { copies }
}

/// How often a primary is lost without its zone.
fn primary_per_year(whole: &Application, assumptions: &Assumptions) -> Result<f64, PlanError> {
    let machine = whole.host.map_or(0.0, |host| host.per_year);
    Ok(assumptions.at("database_node.per_year", Level::Mid)? + machine)
}

/// Every way in which `database` loses what it acknowledged, as far as the model knows of any.
fn data_losses(
    database: &Database,
    whole: &Application,
    assumptions: &Assumptions,
) -> Result<Vec<DataLoss>, PlanError> {
    let level = Level::Mid;
    let way = |what: String, per_year: f64| {
        let (database, in_a_year) = (database.name.clone(), in_a_year(per_year));
        DataLoss { database, what, per_year, in_a_year }
    };
    let (copies, disks) = (database.copies(), disks(database, whole));
    let all = all_copies_lost_per_year(disks, assumptions.outage("disk_loss", level)?)?;
    let mut ways = vec![way(
        match copies {
            1 => "everything, with the disk of its one copy".to_owned(),
            _ if disks == 1 => format!("everything, with the one disk of its {copies} copies"),
            _ if disks < copies => {
                format!("everything, with the {disks} disks of its {copies} copies before one is copied anew")
            }
            _ => format!("everything, with the disks of all {copies} copies before one is copied anew"),
        },
        all,
    )];
    if database.mode() == Mode::Lease {
        let primary = primary_per_year(whole, assumptions)?;
        let zone = assumptions.at("zone_outage.per_year", level)?;
        let last = Duration(Mode::Lease.rpo_ms().unwrap_or(0));
        ways.push(way(
            format!("up to the last {last} of writes, with its primary or the zone of it"),
            primary + zone,
        ));
    }
    Ok(ways)
}

/// What a database loses with one node or one zone.
///
/// A node takes its disk with it as often as disks are lost, and a zone comes back with its disks. What a lease has
/// acknowledged and its standby does not have is lost whenever the primary is: the bound of the lease.
fn loss(
    database: &Database,
    whole: &Application,
    scope: Scope,
    assumptions: &Assumptions,
) -> Result<Loss, PlanError> {
    let name = database.name.to_string();
    let level = Level::Mid;
    let disk = assumptions.outage("disk_loss", level)?;
    let (per_year, behind) = match (database.mode(), scope) {
        (Mode::Lease, Scope::Node) => (primary_per_year(whole, assumptions)?, lease()),
        (Mode::Lease, _) => (assumptions.at("zone_outage.per_year", level)?, lease()),
        (Mode::Single, Scope::Node) => (disk.per_year, Behind::Everything),
        (Mode::Quorum | Mode::Managed, Scope::Node) => {
            (all_copies_lost_per_year(disks(database, whole), disk)?, Behind::Everything)
        }
        (Mode::Single | Mode::Quorum | Mode::Managed, _) => (0.0, Behind::Nothing),
    };
    Ok(Loss { name, per_year, behind })
}

fn lease() -> Behind {
    Mode::Lease.rpo_ms().map_or(Behind::Everything, |ms| Behind::AtMost { seconds: ms as f64 / 1e3 })
}

#[cfg(test)]
#[path = "risk_tests.rs"]
mod tests;
