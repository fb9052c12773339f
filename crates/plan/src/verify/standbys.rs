//! How many standbys databases have whose `standbys` are `auto`: every way to count them is listed anew, and the certificate must
//! show of each that nothing in it is cheaper.

use std::collections::BTreeSet;

use model::App;

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
    let open = app.databases.iter().filter(|database| database.auto);
    open.fold(vec![Vec::new()], |all, database| {
        let each = |known: &Vec<Counted>| {
            let one = |standbys: u8| Counted { database: database.name.to_string(), standbys };
            STANDBYS.map(|standbys| known.iter().cloned().chain([one(standbys)]).collect::<Vec<_>>())
        };
        all.iter().flat_map(each).collect()
    })
}

fn with(app: &App, counted: &[Counted]) -> App {
    let mut app = app.clone();
    for one in counted {
        let named = |database: &&mut model::Database| database.name.as_str() == one.database;
        if let Some(database) = app.databases.iter_mut().find(named) {
            (database.standbys, database.auto) = (one.standbys, false);
        }
    }
    app
}

/// A way, for people.
pub(super) fn spelt(counted: &[Counted]) -> String {
    match counted {
        [] => "the file with the standbys that it says".to_owned(),
        all => {
            let each = all.iter().map(|one| format!("`{}` with {} standbys", one.database, one.standbys));
            each.collect::<Vec<_>>().join(" and ")
        }
    }
}
