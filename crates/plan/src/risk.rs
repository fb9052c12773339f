//! How likely the recovery objectives are missed: outages longer than `rto`, losses of more than `rpo`.

use model::{App, Database, Duration, Mode, PerScope, Risk, Scope};

use crate::PlanError;
use crate::chance::{
    Application, Assumptions, Behind, Counting, Level, Loss, Outages, Trigger, all_copies_lost_per_year, lost,
};

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

/// The risk of every objective of `app` that the model knows about: of a node, a zone and, of outages, the region.
///
/// # Errors
/// [`PlanError::Model`] when the chain of outages is more than is computed.
pub(crate) fn risks(
    app: &App,
    whole: &Application,
    assumptions: &Assumptions,
) -> Result<Vec<Risk>, PlanError> {
    let objectives = &app.objectives;
    let mut risks = Vec::new();
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
    }
    for (scope, word, _) in SCOPES {
        let Some(asked) = of(&objectives.rpo, scope).filter(|_| !app.databases.is_empty()) else { continue };
        let losses: Result<Vec<Loss>, PlanError> =
            app.databases.iter().map(|database| loss(database, scope, assumptions)).collect();
        let lost = lost(&losses?, asked.0 as f64 / 1e3)?;
        let objective = format!("rpo: {{ {word}: {asked} }}");
        risks.push(Risk { objective, per_year: lost.per_year, in_a_year: lost.in_a_year, bound: true });
    }
    Ok(risks)
}

/// What a database loses with one node or one zone.
///
/// A node takes its disk with it as often as disks are lost, and a zone comes back with its disks. What a lease has
/// acknowledged and its standby does not have is lost whenever the primary is: the bound of the lease.
fn loss(database: &Database, scope: Scope, assumptions: &Assumptions) -> Result<Loss, PlanError> {
    let name = database.name.to_string();
    let level = Level::Mid;
    let disk = assumptions.outage("disk_loss", level)?;
    let (per_year, behind) = match (database.mode(), scope) {
        (Mode::Lease, Scope::Node) => (assumptions.at("database_node.per_year", level)?, lease()),
        (Mode::Lease, _) => (assumptions.at("zone_outage.per_year", level)?, lease()),
        (Mode::Single, Scope::Node) => (disk.per_year, Behind::Everything),
        (Mode::Quorum, Scope::Node) => {
            (all_copies_lost_per_year(database.copies(), disk)?, Behind::Everything)
        }
        (Mode::Single | Mode::Quorum, _) => (0.0, Behind::Nothing),
    };
    Ok(Loss { name, per_year, behind })
}

fn lease() -> Behind {
    Mode::Lease.rpo_ms().map_or(Behind::Everything, |ms| Behind::AtMost { seconds: ms as f64 / 1e3 })
}
