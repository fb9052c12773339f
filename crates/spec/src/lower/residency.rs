use std::collections::BTreeSet;

use super::Lower;
use crate::check::{Checked, Item, Typed, listed};
use crate::codes;
use crate::finding::quoted;
use crate::region::KnownRegion;

/// The codes of `placement.residency`, with where they stand.
pub(super) fn allowed(placement: &Checked) -> impl Iterator<Item = (&Item, &str)> {
    let given = placement.list("residency").unwrap_or_default().iter();
    given.filter_map(|item| match &item.typed {
        Typed::Text(code) => Some((item, code.as_str())),
        _ => None,
    })
}

impl Lower<'_, '_> {
    /// Says which codes stand for no region, and which regions of the file (`given`) its residency leaves out. A geographic
    /// name stays when one of its regions of the file's providers (`ours`) does: the plan takes that.
    pub(super) fn residency(
        &mut self,
        root: &Checked,
        given: &[&Item],
        ours: &[&KnownRegion],
        known: &[KnownRegion],
    ) {
        let codes: Vec<(&Item, &str)> = root.table("placement").into_iter().flat_map(allowed).collect();
        let unknown = |code: &str| !known.iter().any(|region| region.is_in(code));
        let mut whole = !codes.is_empty();
        for (item, code) in codes.iter().filter(|(_, code)| unknown(code)) {
            let message = format!("no provider has a region in {}", quoted(code));
            self.found.error(&codes::RESIDENCY, item.span, message).hint(there_are(known));
            whole = false;
        }
        let inside = |region: &&KnownRegion| codes.iter().any(|(_, code)| region.is_in(code));
        for item in given.iter().filter(|_| whole) {
            let Typed::Text(name) = &item.typed else { continue };
            let named: Vec<&KnownRegion> = ours.iter().copied().filter(|region| region.is(name)).collect();
            if named.is_empty() || named.iter().any(inside) {
                continue;
            }
            let laws: BTreeSet<&str> = named.iter().map(|region| region.residency.as_str()).collect();
            let laws: Vec<&str> = laws.into_iter().collect();
            let allows: Vec<&str> = codes.iter().map(|(_, code)| *code).collect();
            let message = format!(
                "{} is under the law of {}, and `residency` allows {} alone",
                quoted(name),
                listed(&laws, "and"),
                listed(&allows, "and")
            );
            let add = laws.first().map_or("", |law| law);
            let mut there = ours.iter().copied().filter(inside);
            let other = there.find_map(|region| region.place.as_deref());
            let hint = match other {
                Some(other) => {
                    format!("name a region there, such as `{other}`, or add `{add}` to `residency`")
                }
                None => format!("add `{add}` to `residency`"),
            };
            self.found.error(&codes::RESIDENCY, item.span, message).hint(hint);
        }
    }
}

/// Every code that stands for a region.
fn there_are(known: &[KnownRegion]) -> String {
    let laws: BTreeSet<&str> = known.iter().map(|region| region.residency.as_str()).collect();
    let countries: BTreeSet<&str> = known.iter().map(|region| region.country.as_str()).collect();
    let others: Vec<&str> = countries.difference(&laws).copied().collect();
    let laws: Vec<&str> = laws.into_iter().collect();
    let also = match others.is_empty() {
        true => String::new(),
        false => format!("; by country also {}", listed(&others, "and")),
    };
    format!("there are {}{also}", listed(&laws, "and"))
}
