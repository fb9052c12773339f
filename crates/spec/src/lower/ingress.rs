use std::collections::{BTreeMap, BTreeSet};

use model::Ingress;

use super::{Lower, port_unknown, service_table, uses_port};
use crate::check::{Checked, Named, Typed};
use crate::codes;
use crate::finding::quoted;
use crate::table::INGRESS_ENTRY;

/// Where requests come in when the file does not say.
const DEFAULT_PORT: u16 = 8080;

/// Services that the file's `ingress` names, whether they exist or not.
pub(super) fn targets(root: &Checked) -> BTreeSet<&str> {
    entries(root).filter_map(|table| table.text("to")).collect()
}

/// The service that gets requests when the file does not say.
pub(super) fn first_with_port(services: &[Named]) -> Option<&str> {
    // Where an image listens is not known, but most do.
    let found = services.iter().find(|named| {
        service_table(named).is_some_and(|service| service.given("image").is_some() || uses_port(service))
    });
    found.map(|named| named.name.as_str())
}

fn entries(root: &Checked) -> impl Iterator<Item = &Checked> {
    root.list("ingress").unwrap_or_default().iter().filter_map(|item| match &item.typed {
        Typed::Table(table) => Some(table),
        _ => None,
    })
}

impl<'c> Lower<'c, '_> {
    pub(super) fn ingress(&mut self, root: &'c Checked) -> Vec<Ingress> {
        if root.given("ingress").is_none() {
            return self.default_ingress(root);
        }
        let mut all = Vec::new();
        let mut seen = BTreeMap::new();
        for table in entries(root) {
            let to = self.service_ref(table, "to");
            if to.is_some() {
                self.can_answer(table);
            }
            let Some(item) = table.item("listen") else { continue };
            let Typed::Listen { port, any_address } = item.typed else { continue };
            if !item.given {
                self.used_defaults("ingress[]", &INGRESS_ENTRY, table);
            }
            let host = table.text("host").map(str::to_ascii_lowercase);
            if table.given("host").is_none() || host.is_some() {
                self.collision(table, port, any_address, host.as_deref(), &mut seen);
            }
            if let Some(to) = to {
                all.push(Ingress { port, any_address, host, to });
            }
        }
        all
    }

    fn default_ingress(&mut self, root: &'c Checked) -> Vec<Ingress> {
        let name = first_with_port(root.map("services"));
        let Some(to) = name.and_then(|name| model::ServiceName::new(name).ok()) else {
            self.defaults.push("`ingress`: none (no service uses `${port}`)".to_owned());
            return Vec::new();
        };
        self.defaults.push(format!(
            "`ingress`: `:{DEFAULT_PORT}` to `{to}` (the first service that can be reached, on each zone's own address)"
        ));
        vec![Ingress { port: DEFAULT_PORT, any_address: false, host: None, to }]
    }

    /// The service behind `to` must listen somewhere; where an image listens is not known.
    fn can_answer(&mut self, table: &Checked) {
        let Some(item) = table.item("to") else { return };
        let Typed::Text(name) = &item.typed else { return };
        let service = self.root.map("services").iter().find(|named| named.name == *name);
        let Some(service) = service.and_then(service_table) else { return };
        if service.given("command").is_some() && !uses_port(service) && !port_unknown(service) {
            let message = format!("{} cannot get requests: it uses `${{port}}` nowhere", quoted(name));
            self.found
                .error(&codes::NO_PORT, item.span, message)
                .hint("tell it its port: `command: [\"bin/shop\", \"--port\", \"${port}\"]`");
        }
    }

    /// Each port and host once, and one way of listening for each port.
    fn collision(
        &mut self,
        table: &Checked,
        port: u16,
        any_address: bool,
        host: Option<&str>,
        seen: &mut BTreeMap<u16, (bool, BTreeSet<Option<String>>)>,
    ) {
        let (first_any, hosts) = seen.entry(port).or_insert_with(|| (any_address, BTreeSet::new()));
        let at = table.item("listen").filter(|item| item.given).map_or(table.at, |item| item.span);
        if *first_any != any_address {
            let message = format!("port {port} is listened on in two ways, `:{port}` and `0.0.0.0:{port}`");
            self.found
                .error(&codes::SAME_INGRESS, at, message)
                .hint("write the same address in all entries of one port");
        }
        if !hosts.insert(host.map(str::to_owned)) {
            let (message, hint) = match host {
                Some(host) => {
                    (format!("port {port} already has an entry for {}", quoted(host)), "remove one of them")
                }
                None => (
                    format!("port {port} already has an entry without `host`"),
                    "name the `host` of each entry but one",
                ),
            };
            let at = table.item("host").map_or(at, |item| item.span);
            self.found.error(&codes::SAME_INGRESS, at, message).hint(hint);
        }
    }
}
