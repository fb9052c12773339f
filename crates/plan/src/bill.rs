//! The bill of a plan, line by line: what, how many, at which price, read where and when, and what nothing here starts.

use model::{App, Buys, Money, PlanLine};

use crate::Terms;
use crate::applied::{Kind, not_applied};
use crate::catalog::{Machine, Price, RegionOffer, Source, Unit};
use crate::database;
use crate::search::{Candidate, DISK_GB, Market, Paid, Use, machine_month, shared_disk_gb, ways_out};

/// Everything that one machine a zone holds, as it stands on the bill: `web, api and db`.
pub(crate) fn everything(app: &App) -> String {
    let parts = all_parts(app);
    let mut names: Vec<&str> = parts.iter().map(String::as_str).collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last.to_owned() } else { format!("{} and {last}", names.join(", ")) }
}

/// Everything that one machine a zone holds.
pub(crate) fn all_parts(app: &App) -> Vec<String> {
    let services = app.services.iter().map(|service| service.name.to_string());
    let databases = app.databases.iter().filter(|database| database.own_nodes() > 0);
    let caches = app.caches.iter().map(|cache| cache.name.to_string());
    services.chain(databases.map(|database| database.name.to_string())).chain(caches).collect()
}

/// What a candidate is billed for, on the terms that its prices were raised by.
struct Bill<'b, 'a> {
    app: &'b App,
    chosen: &'b Candidate<'a>,
    terms: &'b Terms,
    lines: Vec<PlanLine>,
    /// Of these what is paid at prices that nobody read.
    assumed: Money,
}

/// Every line.
pub(crate) fn lines(app: &App, chosen: &Candidate<'_>, terms: &Terms) -> Vec<PlanLine> {
    bill(app, chosen, terms).lines
}

/// How much of it hangs on prices that nobody read, a sentence; `None`: nothing does.
pub(crate) fn assumed(app: &App, chosen: &Candidate<'_>, terms: &Terms) -> Option<String> {
    let bill = bill(app, chosen, terms);
    let whole: Money = bill.lines.iter().map(|line| line.usd_month).sum();
    (bill.assumed > Money(0)).then(|| {
        format!(
            "{} of the {whole} USD/month are at prices that were assumed and not read; the bill says which",
            bill.assumed
        )
    })
}

fn bill<'b, 'a>(app: &'b App, chosen: &'b Candidate<'a>, terms: &'b Terms) -> Bill<'b, 'a> {
    let mut bill = Bill { app, chosen, terms, lines: Vec::new(), assumed: Money(0) };
    bill.machines();
    if let Market::Cloud(offer) = chosen.market {
        bill.managed(offer);
        bill.disks(offer);
        bill.network(offer);
    }
    bill
}

impl Bill<'_, '_> {
    /// A line of a kind, with its words and what these stand for.
    fn add(
        &mut self,
        kind: Kind,
        (item, buys): (String, Buys),
        (quantity, unit_usd): (f64, f64),
        price: Option<&Price>,
    ) {
        let (source, date) = match price {
            Some(price) => read(price, self.terms),
            None => ("this machine is not billed".to_owned(), String::new()),
        };
        let usd_month = Money::from_usd(quantity * unit_usd);
        let not_applied = not_applied(kind, self.app, self.chosen);
        if price.is_some_and(|price| price.source.assumed) {
            self.assumed = self.assumed + usd_month;
        }
        self.lines.push(PlanLine { item, buys, quantity, unit_usd, usd_month, source, date, not_applied });
    }

    fn machines(&mut self) {
        let (app, chosen) = (self.app, self.chosen);
        if let Some(kind) = chosen.shared() {
            let item = format!("{} for {}", kind.price.item, everything(app));
            let buys = Buys::Machines { kind: kind.name.to_string(), parts: all_parts(app) };
            let amount = (f64::from(chosen.machines), machine_month(kind));
            return self.add(Kind::Shared, (item, buys), amount, Some(&kind.price));
        }
        for (at, (choice, service)) in chosen.choices.iter().zip(&app.services).enumerate() {
            let part = service.name.to_string();
            match choice.machine {
                Some(kind) => {
                    let item = format!("{} for {part}", kind.price.item);
                    let amount = (f64::from(choice.machines), machine_month(kind));
                    self.add(Kind::Service(at), (item, machines_for(kind, part)), amount, Some(&kind.price));
                }
                None => {
                    let item = format!("replica of {part} on this machine");
                    let amount = (f64::from(choice.size.replicas), 0.0);
                    self.add(Kind::Here, (item, Buys::Here { part }), amount, None);
                }
            }
        }
        let databases = chosen.databases.iter().zip(&app.databases).enumerate();
        for (at, (&holding, database)) in databases.filter(|(_, (_, database))| database.own_nodes() > 0) {
            let (nodes, part) = (f64::from(database.nodes()), database.name.to_string());
            match holding {
                Some(kind) => {
                    let item = format!("{} for {part}", kind.price.item);
                    let amount = (nodes, machine_month(kind));
                    self.add(Kind::Database(at), (item, machines_for(kind, part)), amount, Some(&kind.price));
                }
                None => {
                    let item = format!("node of {part} on this machine");
                    self.add(Kind::Here, (item, Buys::Here { part }), (nodes, 0.0), None);
                }
            }
        }
        self.caches();
    }

    fn caches(&mut self) {
        let (app, chosen) = (self.app, self.chosen);
        for (&holding, cache) in chosen.caches.iter().zip(&app.caches) {
            let (nodes, part) = (f64::from(cache.nodes()), cache.name.to_string());
            match holding {
                Some(kind) => {
                    let told = (format!("{} for {part}", kind.price.item), machines_for(kind, part));
                    self.add(Kind::Cache, told, (nodes, machine_month(kind)), Some(&kind.price));
                }
                None => {
                    let item = format!("node of {part} on this machine");
                    self.add(Kind::Cache, (item, Buys::Here { part }), (nodes, 0.0), None);
                }
            }
        }
    }

    /// Databases that the provider runs.
    fn managed(&mut self, offer: &RegionOffer) {
        let app = self.app;
        for database in app.databases.iter().filter(|database| database.own_nodes() == 0) {
            for (unit, amount) in database::managed_amounts(database) {
                let Some((usd, price)) = database::managed_price(offer, unit) else { continue };
                let part = database.name.to_string();
                let item = format!("{} for {part}", managed_item(unit, price));
                self.add(Kind::Managed, (item, Buys::Managed { part }), (amount, usd), Some(price));
            }
        }
    }

    fn disks(&mut self, offer: &RegionOffer) {
        let Some(disk) = offer.unit(Unit::DiskGbMonth) else { return };
        let (app, chosen) = (self.app, self.chosen);
        if chosen.shared().is_some() {
            let item = format!("GB of {} for {}", disk.item, everything(app));
            let gb = shared_disk_gb(app, chosen.zones);
            let buys = Buys::Disks { parts: all_parts(app) };
            return self.add(Kind::Disks, (item, buys), (gb, disk.usd), Some(disk));
        }
        for (choice, service) in chosen.choices.iter().zip(&app.services) {
            let item = format!("GB of {} for {}", disk.item, service.name);
            let buys = Buys::Disks { parts: vec![service.name.to_string()] };
            self.add(Kind::Disks, (item, buys), (DISK_GB * f64::from(choice.machines), disk.usd), Some(disk));
        }
        for database in app.databases.iter().filter(|database| database.own_nodes() > 0) {
            let item = format!("GB of {} for {}", disk.item, database.name);
            let gb = database::disk_gb(database) * f64::from(database.nodes());
            let buys = Buys::Disks { parts: vec![database.name.to_string()] };
            self.add(Kind::Disks, (item, buys), (gb, disk.usd), Some(disk));
        }
        for cache in &app.caches {
            let item = format!("GB of {} for {}", disk.item, cache.name);
            let buys = Buys::Disks { parts: vec![cache.name.to_string()] };
            self.add(Kind::Cache, (item, buys), (DISK_GB * f64::from(cache.nodes()), disk.usd), Some(disk));
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
                Paid::Unit(_) | Paid::Between(_) | Paid::BetweenCache(_) => Kind::Traffic,
            };
            let told = (one.paid.item(self.app, price), one.paid.buys(price));
            self.add(kind, told, (one.quantity, usd), Some(price));
        }
    }
}

/// What is counted of a provider's database, as it stands on the bill.
pub(crate) fn managed_item(unit: Unit, price: &Price) -> String {
    match unit {
        Unit::DatabaseGibMonth => format!("GiB of {}", price.item),
        Unit::DatabaseDiskGbMonth => format!("GB of {}", price.item),
        _ => price.item.to_string(),
    }
}

/// Machines of one service, database or cache.
fn machines_for(kind: &Machine, part: String) -> Buys {
    Buys::Machines { kind: kind.name.to_string(), parts: vec![part] }
}

/// Where and when a price was read, and what the terms made of it.
fn read(price: &Price, terms: &Terms) -> (String, String) {
    let Source { document, date, .. } = &*price.source;
    let raised = terms.raised(&price.source).map(|how| format!(" ({how})")).unwrap_or_default();
    (format!("{document}{raised}"), date.clone())
}
