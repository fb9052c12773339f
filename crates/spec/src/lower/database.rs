use std::collections::BTreeSet;

use model::{Database, DatabaseName, Duration, Managed, Mode, Piece, Template, WhenAlone};

use super::{Lower, service_table};
use crate::check::{Checked, Named, Typed};
use crate::codes;
use crate::finding::{quoted, short};
use crate::table::DATABASE;

/// The major version of PostgreSQL that is run.
const POSTGRES: u16 = 15;

/// What is about nodes that evenkeel runs.
const NODES: [&str; 3] = ["standbys", "witness", "when_alone"];

/// The default of `standbys`.
const USUAL_STANDBYS: i64 = 2;

impl<'c> Lower<'c, '_> {
    /// The databases without a mistake; a finding was made for each that is missing.
    pub(super) fn databases(&mut self, root: &'c Checked) -> Vec<Database> {
        root.map("databases").iter().filter_map(|named| self.database(root, named)).collect()
    }

    fn database(&mut self, root: &'c Checked, named: &'c Named) -> Option<Database> {
        let table = service_table(named)?;
        self.name_taken(root, named);
        let theirs = table.item("run_by").is_some_and(|item| matches!(item.typed, Typed::Word("provider")));
        let but: &[&str] = if theirs { &NODES } else { &[] };
        self.used_defaults_but(&format!("databases.{}", short(&named.name)), &DATABASE, table, but);
        let postgres = self.postgres(table);
        let Some(Typed::Bytes(storage)) = table.item("storage").map(|item| &item.typed) else { return None };
        let when_alone = match table.item("when_alone")?.typed {
            Typed::Word("degrade") => WhenAlone::Degrade,
            _ => WhenAlone::Block,
        };
        // How many is the planner's to say then; as many as with nothing said, where somebody looks before it did.
        let auto = matches!(table.item("standbys")?.typed, Typed::Word(_));
        let standbys = if auto { USUAL_STANDBYS } else { table.integer("standbys")? };
        let managed = match table.item("run_by")?.typed {
            Typed::Word("provider") => Managed::Yes,
            Typed::Word("auto") => Managed::Auto,
            _ => Managed::No,
        };
        let database = Database {
            name: DatabaseName::new(&named.name).ok()?,
            postgres: postgres?,
            storage: *storage,
            standbys: u8::try_from(standbys).ok()?,
            auto,
            witness: matches!(table.item("witness").map(|item| &item.typed), Some(Typed::Bool(true))),
            managed,
            writes: table.rate("writes"),
            when_alone,
        };
        if !self.witness_fits(table, named, &database) || !self.managed_fits(root, table, named, &database) {
            return None;
        }
        self.few_nodes(table, named, &database);
        Some(database)
    }

    /// A witness is the third vote beside two copies. One copy has nobody to take over, and three vote by themselves.
    fn witness_fits(&mut self, table: &Checked, named: &Named, database: &Database) -> bool {
        if !database.witness || (database.standbys == 1 && !database.auto) {
            return true;
        }
        let name = short(&named.name);
        let at = table.given("witness").unwrap_or(named.at);
        let written = if table.given("standbys").is_some() { "" } else { " (left out)" };
        let standbys = if database.auto { "auto".to_owned() } else { database.standbys.to_string() };
        let message =
            format!("`witness: true` of `{name}` goes with `standbys: 1`, and it is {standbys}{written}");
        self.found.error(&codes::WITNESS, at, message).hint(
            "write `standbys: 1` for two copies and the witness, or remove `witness`: `standbys: 2` are three copies",
        );
        false
    }

    fn postgres(&mut self, table: &Checked) -> Option<u16> {
        let version = table.text("engine")?.strip_prefix("postgres:")?.parse().ok()?;
        if version != POSTGRES {
            let at = table.item("engine").map_or(table.at, |item| item.span);
            let message = format!("PostgreSQL {version} is not run by this version, only {POSTGRES}");
            self.found
                .error(&codes::ENGINE_VERSION, at, message)
                .hint(format!("write `postgres:{POSTGRES}`"));
            return None;
        }
        Some(version)
    }

    fn name_taken(&mut self, root: &Checked, named: &Named) {
        let has = |field: &str| root.map(field).iter().any(|other| other.name == named.name);
        let why = if has("services") {
            format!("a service has it, and both would have a {}", quoted(&format!("{}-1", named.name)))
        } else if has("caches") {
            "a cache has it, and `${NAME.url}` can mean only one of them".to_owned()
        } else if named.name == "secret" {
            "`${secret.url}` is a secret of the name `url`".to_owned()
        } else {
            return;
        };
        let message = format!("{} cannot be the name of a database: {why}", quoted(&named.name));
        let hint = format!("name it {}", quoted(&format!("{}-db", named.name)));
        self.found.error(&codes::NAME_TAKEN, named.at, message).hint(hint);
    }

    /// A provider's has one copy, which each write waits for: nothing else is there to be said of its nodes.
    fn managed_fits(&mut self, root: &Checked, table: &Checked, named: &Named, database: &Database) -> bool {
        if database.managed != Managed::Yes {
            return true;
        }
        let name = short(&named.name);
        let said = NODES.into_iter().find_map(|field| {
            let at = table.given(field)?;
            Some((field, at))
        });
        if let Some((field, at)) = said {
            let message = format!(
                "`{field}` of `{name}` is about nodes of evenkeel's own, and `run_by: provider` has none"
            );
            self.found.error(&codes::MANAGED, at, message).hint(
                "remove it: a provider's database has one copy in another zone; or write `run_by: auto`",
            );
            return false;
        }
        let at = table.given("run_by").unwrap_or(named.at);
        let placement = root.table("placement");
        let one_zone =
            placement.is_some_and(|one| one.given("zones").is_some() && one.integer("zones") == Some(1));
        if one_zone {
            let message =
                format!("`{name}` has its copy in another zone (`run_by: provider`), and `zones` is 1");
            let hint = "write `placement: { zones: 2 }` or more, or `run_by: evenkeel`";
            self.found.error(&codes::MANAGED, at, message).hint(hint);
            return false;
        }
        self.found.note(
            &codes::NOT_RUN,
            at,
            format!("`{name}` is planned and priced, not run by this version"),
        );
        self.not_run.insert(format!(
            "database `{name}` is the provider's (`run_by: provider`), which this version plans and does not run"
        ));
        true
    }

    /// What fewer than three nodes mean for who runs them.
    fn few_nodes(&mut self, table: &Checked, named: &Named, database: &Database) {
        if database.managed == Managed::Yes {
            return;
        }
        let name = short(&named.name);
        let at = |field: &str| table.given(field).unwrap_or(named.at);
        if database.mode() != Mode::Quorum
            && database.when_alone == WhenAlone::Block
            && table.given("when_alone").is_some()
        {
            let message = match database.mode() {
                Mode::Lease => {
                    format!(
                        "`{name}` has one standby, for which no write waits, so none waits without it either"
                    )
                }
                _ => format!("`{name}` has no standby, so it is always alone, and takes writes all the same"),
            };
            self.found
                .warning(&codes::NEVER_BLOCKS, at("when_alone"), message)
                .hint("write `standbys: 2`, or remove `when_alone`");
        }
        if database.mode() == Mode::Lease {
            let span = |ms: Option<u64>| Duration(ms.unwrap_or(0));
            let (lost, over) = (span(Mode::Lease.rpo_ms()), span(Mode::Lease.rto_ms()));
            let message = format!(
                "`{name}` has one standby: up to {lost} of acknowledged writes are lost with its primary, and the \
                 standby takes over within {over}"
            );
            self.found.warning(&codes::ONE_STANDBY, at("standbys"), message).hint(format!(
                "`witness: true` beside it, or `standbys: 2`, loses nothing and takes over in about {}; `standbys: 0` runs one node",
                span(Mode::Quorum.rto_ms())
            ));
        }
    }

    /// The template with the addresses of databases of this file as holes; those of caches stay in the text.
    pub(super) fn resolved(&self, template: &Template) -> Template {
        let databases = self.root.map("databases");
        let known: BTreeSet<&str> = databases.iter().map(|named| named.name.as_str()).collect();
        let mut pieces: Vec<Piece> = Vec::with_capacity(template.pieces.len());
        for piece in &template.pieces {
            let text = match piece {
                Piece::Url(name) if !known.contains(name.as_str()) => format!("${{{name}.url}}"),
                Piece::Text(text) => text.clone(),
                other => {
                    pieces.push(other.clone());
                    continue;
                }
            };
            match pieces.last_mut() {
                Some(Piece::Text(before)) => before.push_str(&text),
                _ => pieces.push(Piece::Text(text)),
            }
        }
        Template { pieces }
    }
}
