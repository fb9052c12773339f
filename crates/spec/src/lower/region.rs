use std::collections::BTreeSet;

use super::{Lower, service_table};
use crate::check::{Checked, Item, Typed, listed};
use crate::codes;
use crate::finding::quoted;
use crate::region::KnownRegion;
use crate::suggest;

/// Names beyond this many are left to `evenkeel catalog list`.
const NEAR_MAX: usize = 8;

impl Lower<'_, '_> {
    /// Says which regions of the file none of its providers has, or are outside of its residency. Without providers any of
    /// them will do: `--provider` may name one.
    pub(super) fn regions_are_sold(&mut self, root: &Checked) {
        let given = named(root);
        let resides = root.table("placement").is_some_and(|placement| placement.list("residency").is_some());
        let known = if given.is_empty() && !resides { Vec::new() } else { (self.regions)() };
        if known.is_empty() {
            return;
        }
        let providers = root.table("placement").and_then(|placement| placement.list("providers"));
        let word = |item: &Item| if let Typed::Word(word) = item.typed { Some(word) } else { None };
        let providers: Vec<&str> = providers.unwrap_or_default().iter().filter_map(word).collect();
        let allowed =
            |region: &&KnownRegion| providers.is_empty() || providers.contains(&region.provider.as_str());
        let ours: Vec<&KnownRegion> = known.iter().filter(allowed).collect();
        self.residency(root, &given, &ours, &known);
        for item in given {
            let Typed::Text(name) = &item.typed else { continue };
            if ours.iter().any(|region| region.is(name)) {
                continue;
            }
            let others: Vec<&KnownRegion> = known.iter().filter(|region| region.is(name)).collect();
            let (message, hint) = match others.is_empty() {
                true => (unknown(name, &providers), near(name, &ours)),
                false => elsewhere(name, &providers, &others, &ours),
            };
            self.found.error(&codes::REGION, item.span, message).hint(hint);
        }
    }
}

/// Where the file names regions: its places, and where backups are copied to.
fn named(root: &Checked) -> Vec<&Item> {
    let placement = root.table("placement").and_then(|placement| placement.list("regions"));
    let databases = root.map("databases").iter().filter_map(service_table);
    let copies = databases.filter_map(|database| database.table("backup")?.item("copy_to"));
    placement.unwrap_or_default().iter().chain(copies).collect()
}

/// `aws` has, `aws` and `gcp` have.
fn have<'p>(providers: impl Iterator<Item = &'p str>) -> String {
    let names: BTreeSet<&str> = providers.collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("{} {}", listed(&names, "and"), if names.len() == 1 { "has" } else { "have" })
}

fn unknown(name: &str, providers: &[&str]) -> String {
    match providers.is_empty() {
        true => format!("no provider has a region {}", quoted(name)),
        false => format!("{} no region {}", have(providers.iter().copied()), quoted(name)),
    }
}

/// Names that are a few letters away, or else those that begin alike.
fn near(name: &str, ours: &[&KnownRegion]) -> String {
    let names = || ours.iter().flat_map(|region| region.names());
    if let Some(near) = suggest::nearest(name, names()) {
        return format!("did you mean `{near}`? `evenkeel catalog list` has all");
    }
    // `eu-` of `eu-nowhere-9`. Places come first: they are fewer, and stand for every region there.
    let begins =
        |other: &&str| name.split_once('-').is_some_and(|(first, _)| other.split('-').next() == Some(first));
    let places: BTreeSet<&str> =
        ours.iter().filter_map(|region| region.place.as_deref()).filter(begins).collect();
    let ids: BTreeSet<&str> = ours.iter().map(|region| region.id.as_str()).filter(begins).collect();
    let all: Vec<&str> = if places.is_empty() { ids } else { places }.into_iter().take(NEAR_MAX).collect();
    match all.is_empty() {
        true => "`evenkeel catalog list` has every region, and the places that stand for them".to_owned(),
        false => format!("near are {}; `evenkeel catalog list` has all", listed(&all, "and")),
    }
}

/// A region that is there, and that none of the file's providers has.
fn elsewhere(
    name: &str,
    providers: &[&str],
    others: &[&KnownRegion],
    ours: &[&KnownRegion],
) -> (String, String) {
    let message = format!(
        "{} no region {}; {} it",
        have(providers.iter().copied()),
        quoted(name),
        have(others.iter().map(|region| region.provider.as_str()))
    );
    let at = |place: &str| ours.iter().any(|region| region.place.as_deref() == Some(place));
    let same = others.iter().filter_map(|region| region.place.as_deref()).find(|place| at(place));
    let add = others.first().map_or("", |region| region.provider.as_str());
    let hint = match same {
        Some(place) => {
            let have = have(providers.iter().copied());
            format!("write `{place}`, where {have} one too, or add `{add}` to `providers`")
        }
        None => format!("add `{add}` to `providers`; `evenkeel catalog list` has all regions"),
    };
    (message, hint)
}
