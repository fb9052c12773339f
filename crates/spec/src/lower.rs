//! The checked table -> [`App`]: defaults that depend on other fields, references, and what fields say about each
//! other. Goes on after a mistake, so that all are found at once.

mod assume;
mod cache;
mod database;
mod ingress;
mod region;
mod residency;
mod service;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use model::{App, AppName, Latency, Objectives, PerScope, Placement, Region, Scope, Sharing};

use crate::check::{Checked, Item, Named, Typed, listed};
use crate::codes;
use crate::field::{Presence, Shape};
use crate::finding::{Found, Span, quoted, short};
use crate::parts::Parts;
use crate::region::{Places, Regions};
use crate::suggest;
use crate::table;

/// What lowering gives beside findings.
#[derive(Debug, Default)]
pub(crate) struct Lowered {
    /// `None` when something needed is missing or wrong.
    pub(crate) app: Option<App>,
    /// Why `up` must not start this application, a sentence each.
    pub(crate) not_run: Vec<String>,
    /// Every default that was used, with its reason.
    pub(crate) defaults: Vec<String>,
}

/// What every step needs.
pub(crate) struct Lower<'c, 'f> {
    found: &'f mut Found,
    root: &'c Checked,
    parts: Parts,
    regions: &'f Regions<'f>,
    places: &'f Places<'f>,
    not_run: BTreeSet<String>,
    defaults: Vec<String>,
    /// Services that `ingress` names.
    reached: BTreeSet<&'c str>,
}

/// Where a text with holes stands.
#[derive(Clone, Copy)]
enum Place<'n> {
    /// Of the service of that name; the arguments of a process can be read by everybody.
    Command(&'n str),
    /// Of the service of that name.
    Environment(&'n str),
    /// The command of a job; not run, so only what it names is looked at.
    Job,
}

/// Lowers the whole file.
pub(crate) fn lower(
    root: &Checked,
    parts: Parts,
    (regions, places): (&Regions<'_>, &Places<'_>),
    found: &mut Found,
) -> Lowered {
    let mut lower = Lower {
        found,
        root,
        parts,
        regions,
        places,
        not_run: BTreeSet::new(),
        defaults: Vec::new(),
        reached: BTreeSet::new(),
    };
    let app = lower.app();
    Lowered { app, not_run: lower.not_run.into_iter().collect(), defaults: lower.defaults }
}

impl<'c> Lower<'c, '_> {
    fn app(&mut self) -> Option<App> {
        let root = self.root;
        let name = root.text("name").and_then(|name| AppName::new(name).ok());
        let objectives = root.table("objectives").map(|table| self.objectives(table));
        let placement = root.table("placement").map(|table| self.placement(table));
        let zones = placement.as_ref().map_or(1, |placement| placement.zones);
        self.survive(root, zones);
        self.reached = ingress::targets(root);
        if self.reached.is_empty() && root.given("ingress").is_none() {
            self.reached.extend(ingress::first_with_port(root.map("services")));
        }
        let services: Vec<_> = root.map("services").iter().map(|named| self.service(named, zones)).collect();
        let services: Option<Vec<_>> = services.into_iter().collect();
        let databases = self.databases(root);
        let caches = self.caches(root);
        self.regions_are_sold(root);
        self.jobs(root);
        let ingress = self.ingress(root);
        if self.found.has_errors() {
            return None;
        }
        Some(App {
            name: name?,
            objectives: objectives?,
            placement: placement?,
            services: services.filter(|services| !services.is_empty())?,
            databases,
            caches,
            ingress,
            assume: root.table("assume").map(assume::priors).unwrap_or_default(),
            seen: BTreeMap::new(),
        })
    }

    fn objectives(&mut self, table: &'c Checked) -> Objectives {
        let typed = |name| table.item(name).map(|item| &item.typed);
        let availability = match typed("availability") {
            Some(Typed::Availability(value)) => Some(*value),
            _ => None,
        };
        let budget = match typed("budget") {
            Some(Typed::Money(value)) => Some(*value),
            _ => None,
        };
        let survive = table.list("survive");
        Objectives {
            availability,
            latency: table.table("latency").and_then(|latency| self.latency(latency)),
            survive: survive.unwrap_or_default().iter().filter_map(scope).collect(),
            survive_nothing: survive.is_some_and(<[_]>::is_empty),
            rto: per_scope(table.table("rto")),
            rpo: per_scope(table.table("rpo")),
            budget,
        }
    }

    fn latency(&mut self, table: &'c Checked) -> Option<Latency> {
        let service = self.service_ref(table, "service");
        Some(Latency { service: service?, p99: table.duration("p99")?, load: table.rate("load") })
    }

    fn placement(&mut self, table: &'c Checked) -> Placement {
        let providers: Vec<String> = table
            .list("providers")
            .unwrap_or_default()
            .iter()
            .filter_map(|item| match item.typed {
                Typed::Word(word) => Some(word.to_owned()),
                _ => None,
            })
            .collect();
        let regions = table
            .list("regions")
            .unwrap_or_default()
            .iter()
            .filter_map(|item| match &item.typed {
                Typed::Text(text) => Some(Region(text.clone())),
                _ => None,
            })
            .collect();
        let zones = table.integer("zones").and_then(|zones| u8::try_from(zones).ok()).unwrap_or(1);
        let machines = match table.item("machines").map(|item| &item.typed) {
            Some(Typed::Word("apart")) => Some(Sharing::Apart),
            Some(Typed::Word("together")) => Some(Sharing::Together),
            Some(_) => Some(Sharing::Any),
            None => None,
        };
        let residency = residency::allowed(table).map(|(_, code)| code.to_owned()).collect();
        self.used_defaults("placement", &table::PLACEMENT, table);
        let users = self.users(table);
        Placement { providers, regions, zones, machines, residency, users }
    }

    /// Losing a zone can be survived only where there is another.
    fn survive(&mut self, root: &'c Checked, zones: u8) {
        let Some(objectives) = root.table("objectives") else { return };
        if zones > 1 || root.table("placement").is_none_or(|placement| placement.integer("zones").is_none()) {
            return;
        }
        for item in objectives.list("survive").unwrap_or_default() {
            if scope(item) == Some(Scope::Zone) {
                self.found
                    .error(&codes::SURVIVE, item.span, "losing a zone cannot be survived with `zones: 1`")
                    .hint("write `placement: { zones: 3 }`, or take `zone` out of `survive`");
            }
        }
    }

    /// The name of a service of this file, or a finding.
    fn service_ref(&mut self, table: &'c Checked, field: &str) -> Option<model::ServiceName> {
        let item = table.item(field)?;
        let Typed::Text(name) = &item.typed else { return None };
        let services = self.root.map("services");
        if services.iter().any(|service| service.name == *name) {
            return model::ServiceName::new(name).ok();
        }
        // Without services the missing or wrong table is the mistake, said already.
        if !services.is_empty() {
            let names = || services.iter().map(|service| service.name.as_str());
            let hint = match suggest::nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let all: Vec<&str> = names().take(10).collect();
                    format!("`services` has {}", listed(&all, "and"))
                }
            };
            self.found
                .error(&codes::UNKNOWN_NAME, item.span, format!("there is no service {}", quoted(name)))
                .hint(hint);
        }
        None
    }

    /// Jobs are not run, but what they name is checked.
    fn jobs(&mut self, root: &'c Checked) {
        for job in root.map("jobs") {
            if let Some(Typed::Table(table)) = job.item.as_ref().map(|item| &item.typed) {
                self.service_ref(table, "before");
                for word in table.list("command").unwrap_or_default() {
                    self.holes(word, Place::Job);
                }
            }
        }
    }

    /// What `${NAME.url}` names must exist, and stand where it may; a service that uses what this version does not
    /// provide is not started.
    fn holes(&mut self, item: &Item, place: Place<'_>) {
        let Typed::Template(_, later) = &item.typed else { return };
        let named = |table: &str, name: &str| self.root.map(table).iter().any(|other| other.name == name);
        for variable in later {
            let store = variable.name.strip_suffix(".url").filter(|store| *store != "secret");
            let is_database = store.is_some_and(|store| named("databases", store));
            if let Some(store) = store.filter(|store| !is_database && !named("caches", store)) {
                let stores = self.root.map("databases").iter().chain(self.root.map("caches"));
                let names: Vec<&str> = stores.map(|named| named.name.as_str()).collect();
                if self.no_store(store, &names, variable.span) {
                    continue;
                }
            }
            let hole = format!("`${{{}}}`", variable.name);
            let service = match place {
                Place::Job => continue,
                Place::Command(_) if is_database => {
                    let message = format!(
                        "{hole} holds a password, and every user can read the arguments of a program"
                    );
                    self.found.error(&codes::SECRET_IN_COMMAND, variable.span, message).hint(format!(
                        "give it through the environment: `environment: {{ DATABASE_URL: \"${{{}}}\" }}`",
                        short(&variable.name)
                    ));
                    continue;
                }
                Place::Environment(_) if is_database && self.parts.databases => continue,
                Place::Command(service) | Place::Environment(service) => service,
            };
            let message = format!("{hole} is not run by this version");
            let (here, way_out) = match variable.name.starts_with("secret.") {
                true => (
                    "let the program read it from a file of its own",
                    "let its program read it from a file of its own",
                ),
                false => (
                    "write the address of your own server here",
                    "write the address of your own server into its `command:` or `environment:`",
                ),
            };
            self.found
                .warning(&codes::LATER_VARIABLE, variable.span, message)
                .hint(format!("`check` and `plan` go on, `up` refuses; to run it now, {here}"));
            self.not_run.insert(format!(
                "service `{service}` uses {hole}, which this version does not provide; hint: {way_out}"
            ));
        }
    }

    /// Says that `${store.url}` names nothing. Returns `true` when it did.
    fn no_store(&mut self, store: &str, names: &[&str], span: Span) -> bool {
        let broken = |field: &str| self.root.given(field).is_some() && self.root.item(field).is_none();
        if broken("databases") || broken("caches") {
            return false;
        }
        let hint = match suggest::nearest(store, names.iter().copied()) {
            Some(near) => format!("did you mean `${{{near}.url}}`?"),
            None => "define it under `databases:` or `caches:`".to_owned(),
        };
        let message = format!("there is no database or cache {}", quoted(store));
        self.found.error(&codes::UNKNOWN_NAME, span, message).hint(hint);
        true
    }

    /// One line for the fixed defaults of a table that were used, each with its reason from the table of fields.
    fn used_defaults(&mut self, path: &str, shape: &Shape, table: &Checked) {
        self.used_defaults_but(path, shape, table, &[]);
    }

    /// But for fields of no meaning there.
    fn used_defaults_but(&mut self, path: &str, shape: &Shape, table: &Checked, but: &[&str]) {
        let used: Vec<String> = shape
            .fields
            .iter()
            .filter(|field| table.given(field.name).is_none() && !but.contains(&field.name))
            .filter_map(|field| match field.presence {
                Presence::Fixed("", why) => Some(format!("no {} ({why})", field.name)),
                Presence::Fixed(value, why) => Some(format!("{} {value} ({why})", field.name)),
                _ => None,
            })
            .collect();
        if !used.is_empty() {
            self.defaults.push(format!("`{path}`: {}", used.join(", ")));
        }
    }
}

fn scope(item: &Item) -> Option<Scope> {
    match item.typed {
        Typed::Word("node") => Some(Scope::Node),
        Typed::Word("zone") => Some(Scope::Zone),
        Typed::Word("region") => Some(Scope::Region),
        _ => None,
    }
}

fn per_scope(table: Option<&Checked>) -> PerScope {
    table.map_or_else(PerScope::default, |table| PerScope {
        node: table.duration("node"),
        zone: table.duration("zone"),
        region: table.duration("region"),
    })
}

/// The table of a service, when it is one.
fn service_table(named: &Named) -> Option<&Checked> {
    match &named.item.as_ref()?.typed {
        Typed::Table(table) => Some(table),
        _ => None,
    }
}

/// Texts of the environment of a service.
fn values(service: &Checked) -> impl Iterator<Item = &Item> {
    service.map("environment").iter().filter_map(|named| named.item.as_ref())
}

/// Texts of a service that may hold variables.
fn templates(service: &Checked) -> impl Iterator<Item = &Item> {
    let words = service.list("command").unwrap_or_default().iter();
    words.chain(values(service))
}

/// Whether the service asks for a port, so that it can be reached.
fn uses_port(service: &Checked) -> bool {
    templates(service).any(|item| match &item.typed {
        Typed::Template(template, _) => template.uses(model::Variable::Port),
        _ => false,
    })
}

/// Whether a part of the service that could ask for a port has a mistake, so that nothing can be said.
fn port_unknown(service: &Checked) -> bool {
    let broken = |name: &str| service.given(name).is_some() && service.item(name).is_none();
    broken("command")
        || broken("environment")
        || service.map("environment").iter().any(|named| named.item.is_none())
}
