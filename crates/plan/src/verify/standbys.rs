//! What databases are whose `standbys` or `run_by` are `auto`: every way to have them is listed anew, and the certificate must show of
//! each that nothing in it is cheaper.

use std::collections::BTreeSet;

use model::{App, Managed};

use super::{Refused, refuse};
use crate::proof::{Counted, Proof, Topology};
use crate::search_space::STANDBYS;

/// The file of one way, and what the certificate says of its space.
pub(super) struct Way<'p> {
    pub(super) app: App,
    pub(super) topologies: &'p [Topology],
}

/// Every way, the plan's own first.
pub(super) fn ways<'p>(app: &App, proof: &'p Proof) -> Result<Vec<Way<'p>>, Refused> {
    let others = proof.others.iter().map(|other| (&other.standbys, &other.topologies));
    let told: Vec<(&Vec<Counted>, &Vec<Topology>)> =
        [(&proof.standbys, &proof.topologies)].into_iter().chain(others).collect();
    let all = combinations(app);
    let listed: BTreeSet<&Vec<Counted>> = told.iter().map(|(counted, _)| *counted).collect();
    if listed.len() != told.len() {
        return Err(refuse("the certificate", "it has the same numbers of standbys twice"));
    }
    if let Some(left_out) = all.iter().find(|counted| !listed.contains(counted)) {
        return Err(refuse("the certificate", format!("{} is left out", spelt(left_out))));
    }
    if let Some(foreign) = listed.iter().find(|counted| !all.contains(counted)) {
        return Err(refuse("the certificate", format!("{} is not in the space", spelt(foreign))));
    }
    Ok(told.into_iter().map(|(counted, topologies)| Way { app: with(app, counted), topologies }).collect())
}

/// Numbers of standbys for each database that leaves them open; one, of none, where none does.
fn combinations(app: &App) -> Vec<Vec<Counted>> {
    let open = app
        .databases
        .iter()
        .filter(|one| one.managed == Managed::Auto || (one.managed == Managed::No && one.auto));
    open.fold(vec![Vec::new()], |all, database| {
        let name = || database.name.to_string();
        let numbers = if database.auto { STANDBYS.to_vec() } else { vec![database.standbys] };
        let mut each: Vec<Counted> = numbers
            .into_iter()
            .map(|standbys| Counted { database: name(), standbys, managed: false })
            .collect();
        if database.managed == Managed::Auto {
            each.push(Counted { database: name(), standbys: 1, managed: true });
        }
        let with = |known: &Vec<Counted>| {
            let one = |one: &Counted| known.iter().cloned().chain([one.clone()]).collect::<Vec<_>>();
            each.iter().map(one).collect::<Vec<_>>()
        };
        all.iter().flat_map(with).collect()
    })
}

fn with(app: &App, counted: &[Counted]) -> App {
    let mut app = app.clone();
    for one in counted {
        let named = |database: &&mut model::Database| database.name.as_str() == one.database;
        if let Some(database) = app.databases.iter_mut().find(named) {
            (database.standbys, database.auto) = (one.standbys, false);
            database.witness &= !one.managed;
            database.managed = if one.managed { Managed::Yes } else { Managed::No };
        }
    }
    app
}

/// A way, for people.
pub(super) fn spelt(counted: &[Counted]) -> String {
    match counted {
        [] => "the file with the standbys that it says".to_owned(),
        all => {
            let each = all.iter().map(|one| match one.managed {
                true => format!("`{}` run by the provider", one.database),
                false => format!("`{}` with {} standbys", one.database, one.standbys),
            });
            each.collect::<Vec<_>>().join(" and ")
        }
    }
}
