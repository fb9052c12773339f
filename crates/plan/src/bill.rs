//! The bill of a plan, line by line: what, how many, at which price, read where and when, and what nothing here starts.

use model::{App, Money, PlanLine};

use crate::Terms;
use crate::applied::{Kind, not_applied};
use crate::catalog::{Price, RegionOffer, Source, Unit};
use crate::database;
use crate::search::{Candidate, DISK_GB, Market, Paid, Use, machine_month, shared_disk_gb, ways_out};

/// Everything that one machine a zone holds, as it stands on the bill: `web, api and db`.
pub(crate) fn everything(app: &App) -> String {
    let services = app.services.iter().map(|service| service.name.as_str());
    let mut names: Vec<&str> =
        services.chain(app.databases.iter().map(|database| database.name.as_str())).collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last.to_owned() } else { format!("{} and {last}", names.join(", ")) }
}

/// What a candidate is billed for, on the terms that its prices were raised by.
struct Bill<'b, 'a> {
    app: &'b App,
    chosen: &'b Candidate<'a>,
    terms: &'b Terms,
    lines: Vec<PlanLine>,
}

/// Every line.
pub(crate) fn lines(app: &App, chosen: &Candidate<'_>, terms: &Terms) -> Vec<PlanLine> {
    let mut bill = Bill { app, chosen, terms, lines: Vec::new() };
    bill.machines();
    if let Market::Cloud(offer) = chosen.market {
        bill.disks(offer);
        bill.network(offer);
    }
    bill.lines
}

impl Bill<'_, '_> {
    fn add(&mut self, kind: Kind, item: String, (quantity, unit_usd): (f64, f64), price: Option<&Price>) {
        let (source, date) = match price {
            Some(price) => read(price, self.terms),
            None => ("this machine is not billed".to_owned(), String::new()),
        };
        let usd_month = Money::from_usd(quantity * unit_usd);
        let not_applied = not_applied(kind, self.app, self.chosen);
        self.lines.push(PlanLine { item, quantity, unit_usd, usd_month, source, date, not_applied });
    }

    fn machines(&mut self) {
        let (app, chosen) = (self.app, self.chosen);
        if let Some(kind) = chosen.shared() {
            let item = format!("{} for {}", kind.price.item, everything(app));
            let amount = (f64::from(chosen.machines), machine_month(kind));
            return self.add(Kind::Shared, item, amount, Some(&kind.price));
        }
        for (at, (choice, service)) in chosen.choices.iter().zip(&app.services).enumerate() {
            match choice.machine {
                Some(kind) => {
                    let item = format!("{} for {}", kind.price.item, service.name);
                    let amount = (f64::from(choice.machines), machine_month(kind));
                    self.add(Kind::Service(at), item, amount, Some(&kind.price));
                }
                None => {
                    let item = format!("replica of {} on this machine", service.name);
                    self.add(Kind::Here, item, (f64::from(choice.size.replicas), 0.0), None);
                }
            }
        }
        for (at, (&holding, database)) in chosen.databases.iter().zip(&app.databases).enumerate() {
            let nodes = f64::from(database.nodes());
            match holding {
                Some(kind) => {
                    let item = format!("{} for {}", kind.price.item, database.name);
                    self.add(Kind::Database(at), item, (nodes, machine_month(kind)), Some(&kind.price));
                }
                None => {
                    let item = format!("node of {} on this machine", database.name);
                    self.add(Kind::Here, item, (nodes, 0.0), None);
                }
            }
        }
    }

    fn disks(&mut self, offer: &RegionOffer) {
        let Some(disk) = offer.unit(Unit::DiskGbMonth) else { return };
        let (app, chosen) = (self.app, self.chosen);
        if chosen.shared().is_some() {
            let item = format!("GB of {} for {}", disk.item, everything(app));
            let gb = shared_disk_gb(app, chosen.zones);
            return self.add(Kind::Disks, item, (gb, disk.usd), Some(disk));
        }
        for (choice, service) in chosen.choices.iter().zip(&app.services) {
            let item = format!("GB of {} for {}", disk.item, service.name);
            self.add(Kind::Disks, item, (DISK_GB * f64::from(choice.machines), disk.usd), Some(disk));
        }
        for database in &app.databases {
            let item = format!("GB of {} for {}", disk.item, database.name);
            let gb = database::disk_gb(database) * f64::from(database.nodes());
            self.add(Kind::Disks, item, (gb, disk.usd), Some(disk));
        }
    }

    /// The entry, ways out, addresses and traffic.
    fn network(&mut self, offer: &RegionOffer) {
        let chosen = self.chosen;
        let of_entry = |one: &&Use| {
            let units = [Unit::BalancerMonth, Unit::BalancerUnitMonth, Unit::BalancerGb];
            units.iter().any(|unit| one.paid == Paid::Unit(*unit))
        };
        let (entry, rest): (Vec<&Use>, Vec<&Use>) = chosen.uses.iter().partition(of_entry);
        let nat = ways_out(chosen.market, chosen.zones, chosen.machines);
        for one in entry.into_iter().chain(&nat).chain(rest) {
            let Some((usd, price)) = one.paid.price(offer) else { continue };
            let kind = match one.paid {
                Paid::Unit(Unit::BalancerMonth) => Kind::Balancer,
                Paid::Unit(Unit::BalancerUnitMonth) => Kind::BalancerUse,
                Paid::Unit(Unit::NatMonth | Unit::NatMachineMonth | Unit::AddressMonth) => Kind::WaysOut,
                Paid::Unit(_) | Paid::Between(_) => Kind::Traffic,
            };
            self.add(kind, one.paid.item(self.app, price), (one.quantity, usd), Some(price));
        }
    }
}

/// Where and when a price was read, and what the terms made of it.
fn read(price: &Price, terms: &Terms) -> (String, String) {
    let Source { document, date, .. } = &*price.source;
    let raised = terms.raised(&price.source).map(|how| format!(" ({how})")).unwrap_or_default();
    (format!("{document}{raised}"), date.clone())
}
