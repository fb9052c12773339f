//! `evenkeel drill primary`: strikes the primary of a database under load and says what was lost, and for how long
//! nobody could write.

use std::sync::Arc;

use anyhow::Context;
use drill::Progress;
use drill::database::{DatabaseDrill, Load, Options, Target, Trust, run_database};
use engine::local::LocalZones;
use identity::Authority;
use model::{DatabaseName, Fault, Plan, Status, Verdict};
use store::Store;
use tokio::sync::watch;
use world::Stop;

use crate::cli::DrillArgs;
use crate::exit::hinted;
use crate::wire::hosts::Hosts;
use crate::wire::mirror::Mirror;
use crate::wire::primary::PrimaryFault;
use crate::wire::remote::RemoteFault;
use crate::wire::site::Site;
use crate::wire::{database, identity as secrets};

/// Load before the fault, in milliseconds.
const CALM_MS: u64 = 3_000;
/// Load after healing, in milliseconds.
const SETTLE_MS: u64 = 3_000;
/// Of the rate that was asked for, so much are single writes whose acknowledgements are counted; the rest is sessions
/// that read what they wrote, transfers, and transactions over lists.
const WRITES_SHARE: f64 = 0.5;

/// What a drill of a database works on.
pub struct Scene<'a> {
    pub args: &'a DrillArgs,
    pub site: &'a Site,
    pub fault: Fault,
    pub picture: &'a Mirror,
    pub store: Store,
    pub status: watch::Receiver<Arc<Status>>,
    pub stop: Stop,
}

/// How the application reaches the database `name` of the plan.
fn target(picture: &Mirror, plan: &Plan, name: &DatabaseName, site: &Site) -> anyhow::Result<Target> {
    let slot = database::planned(picture).find(|(_, planned)| planned.database.name == *name);
    let (slot, _) = slot.with_context(|| format!("there is no database `{name}`"))?;
    let addresses = picture.zones.values().map(|address| database::front_address(*address, slot));
    Ok(Target {
        addresses: addresses.collect(),
        user: plan.app.to_string(),
        password: Some(secrets::application_password(&site.identity_dir(), name)?),
        database: plan.app.to_string(),
        trust: trust(site)?,
    })
}

/// Over hosts connections are secured; on one machine they leave it never.
fn trust(site: &Site) -> anyhow::Result<Option<Trust>> {
    if Hosts::read(site)?.is_none() {
        return Ok(None);
    }
    let dir = site.identity_dir();
    let authority = Authority::open(&dir).context("cannot read this run's authority")?;
    let trust = Trust::new(authority.ca_pem().as_bytes()).map_err(anyhow::Error::msg);
    trust.with_context(|| format!("cannot go by the authority in `{}`", dir.display())).map(Some)
}

/// The database that keeps the application's orders and the way to it, if one of its services is given its address.
///
/// # Errors
/// When the database's secret cannot be read.
pub fn orders(picture: &Mirror, site: &Site) -> anyhow::Result<Option<(DatabaseName, Target)>> {
    let Some(plan) = database::plan(picture) else { return Ok(None) };
    let used = |name: &DatabaseName| {
        let mut texts = plan.services.iter().flat_map(|planned| planned.service.environment.values());
        texts.any(|text| text.urls().any(|url| url == name))
    };
    let mut names = plan.databases.iter().map(|planned| &planned.database.name);
    let name = names.find(|name| used(name));
    name.map(|name| Ok((name.clone(), target(picture, plan, name, site)?))).transpose()
}

/// Runs it.
///
/// # Errors
/// When there is no such database, or no verdict.
pub async fn run(scene: Scene<'_>, progress: impl FnMut(Progress) + Send) -> anyhow::Result<Verdict> {
    let Scene { args, site, fault, picture, store, status, stop } = scene;
    let plan = database::plan(picture).context("nothing is planned")?;
    let names: Vec<&DatabaseName> = plan.databases.iter().map(|planned| &planned.database.name).collect();
    let wanted = |name: &&DatabaseName| args.target.as_ref().is_none_or(|text| text == name.as_str());
    let Some(name) = names.iter().copied().find(wanted).cloned() else {
        let list: Vec<String> = names.iter().map(ToString::to_string).collect();
        let hint = match list.is_empty() {
            true => "the file has no `databases:`".to_owned(),
            false => format!("there are: {}", list.join(", ")),
        };
        let asked = args.target.clone().unwrap_or_default();
        return Err(hinted(format!("there is no database `{asked}`"), hint));
    };
    let planned = plan.databases.iter().find(|planned| planned.database.name == name);
    let rpo_ms = planned.and_then(|planned| planned.mode.rpo_ms()).unwrap_or(0);
    let target = target(picture, plan, &name, site)?;
    let rate = f64::from(args.rate);
    let workload = Options {
        registers: Load { clients: 8, rate_per_s: rate * WRITES_SHARE },
        sessions: Load { clients: 4, rate_per_s: rate * (1.0 - WRITES_SHARE) / 2.0 },
        bank: Load { clients: 2, rate_per_s: rate * (1.0 - WRITES_SHARE) / 4.0 },
        lists: Load { clients: 4, rate_per_s: rate * (1.0 - WRITES_SHARE) / 4.0 },
        // Applications are in all zones. Were all clients at one front, the cut of its zone would measure how long a
        // client waits for an answer: the deadline of 5 s and another for a connection, 6.0 s in all.
        spread: true,
        seed: args.seed,
        ..Options::new(target)
    };
    let drill = DatabaseDrill {
        workload,
        calm_ms: CALM_MS,
        event_ms: args.duration * 1_000,
        settle_ms: SETTLE_MS,
        objectives: plan.objectives.clone(),
        rpo_ms,
        status: Some((name.clone(), status.clone())),
        stop,
    };
    let (verdict, _) = if Hosts::read(site)?.is_some() {
        let fault = RemoteFault::new(fault, name, store, status, args.duration * 1_000);
        run_database(drill, fault, progress).await?
    } else {
        let zones =
            LocalZones::load(site.root()).context("drills break emulated zones, and there are none here")?;
        run_database(drill, PrimaryFault::new(fault, name, zones, status), progress).await?
    };
    Ok(verdict)
}
