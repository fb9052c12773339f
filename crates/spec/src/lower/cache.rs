use model::{Cache, CacheLoss, CacheName};

use super::{Lower, service_table};
use crate::check::{Checked, Named, Typed};
use crate::codes;
use crate::finding::{quoted, short};
use crate::table::CACHE;

impl<'c> Lower<'c, '_> {
    /// The caches without a mistake; a finding was made for each that is missing.
    pub(super) fn caches(&mut self, root: &'c Checked) -> Vec<Cache> {
        root.map("caches").iter().filter_map(|named| self.cache(root, named)).collect()
    }

    fn cache(&mut self, root: &'c Checked, named: &'c Named) -> Option<Cache> {
        let table = service_table(named)?;
        self.cache_name_taken(root, named);
        self.used_defaults(&format!("caches.{}", short(&named.name)), &CACHE, table);
        let Some(Typed::Bytes(memory)) = table.item("memory").map(|item| &item.typed) else { return None };
        let loss = match table.item("loss")?.typed {
            Typed::Word("tolerated") => CacheLoss::Tolerated,
            _ => CacheLoss::Outage,
        };
        Some(Cache {
            name: CacheName::new(&named.name).ok()?,
            engine: table.text("engine")?.to_owned(),
            memory: *memory,
            shards: u8::try_from(table.integer("shards")?).ok()?,
            replicas: u8::try_from(table.integer("replicas")?).ok()?,
            loss,
        })
    }

    /// A cache beside a database of its name is told of there.
    fn cache_name_taken(&mut self, root: &Checked, named: &Named) {
        let why = if root.map("services").iter().any(|other| other.name == named.name) {
            "a service has it, and a plan could not tell them apart"
        } else if named.name == "secret" {
            "`${secret.url}` is a secret of the name `url`"
        } else {
            return;
        };
        let message = format!("{} cannot be the name of a cache: {why}", quoted(&named.name));
        let hint = format!("name it {}", quoted(&format!("{}-cache", named.name)));
        self.found.error(&codes::NAME_TAKEN, named.at, message).hint(hint);
    }
}
