//! The long-running processes that `up` and agents start.

use std::process::ExitCode;

use anyhow::Context;
use balance::FrontOptions;
use model::ZoneName;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{AgentArgs, FrontArgs, StoreArgs};
use crate::exit::hinted;
use crate::say;
use crate::wire::{self, agent, hosts, place, site::Site, snapshot::Sabotage};

use super::block_on;

/// Log lines go to standard error, which whoever started the process keeps in a file. `EVENKEEL_LOG` sets the level.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("EVENKEEL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second subscriber in one process would be an error of ours alone; the first goes on.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A full disk would otherwise end whoever logs: the complaint goes to the same file, with a panic.
        .log_internal_errors(false)
        .try_init();
}

/// `evenkeel agent`.
pub fn agent(args: Box<AgentArgs>, site: &Site) -> anyhow::Result<ExitCode> {
    log();
    let zone = ZoneName::new(&args.zone)?;
    let in_site = args.console_token.is_none() || args.dir.is_none() || args.databases.is_none();
    if in_site {
        site.create()?;
    }
    if args.console_token.is_none() && !site.console_token().exists() {
        site.make_console_token()?;
    }
    let identity = args.identity.unwrap_or_else(|| site.identity_dir());
    if !identity.is_dir() {
        let text = format!("there is no folder `{}`, which all hosts share", identity.display());
        return Err(hinted(
            text,
            "`evenkeel up --store ..` makes it; copy it to the state folder of each host",
        ));
    }
    let databases = match args.databases {
        Some(databases) => databases,
        None => place::of(site, &zone)?,
    };
    let address = match args.address {
        Some(address) => address,
        None => hosts::own_address(&args.store)?,
    };
    let options = agent::Options {
        store: args.store,
        token: args.token,
        store_tls: args.store_tls,
        console_token: args.console_token.unwrap_or_else(|| site.console_token()),
        address,
        base: std::path::absolute(&args.base)?,
        dir: std::path::absolute(args.dir.unwrap_or_else(|| site.zone_dir(&zone)))?,
        identity,
        databases: std::path::absolute(databases)?,
        trusted_network: args.trusted_network || args.local.is_some(),
        local: args.local,
        zone,
        sabotage: Sabotage { no_health: args.break_health, unsafe_retries: args.break_retries },
    };
    block_on(agent::run(options))?;
    Ok(ExitCode::SUCCESS)
}

/// `evenkeel front`.
pub fn front(args: &FrontArgs) -> anyhow::Result<ExitCode> {
    log();
    if args.data {
        block_on(wire::front::run_data(&args.socket, args.threads))?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = FrontOptions { threads: args.threads, access_log: args.access_log.clone() };
    block_on(wire::front::run(&args.socket, options))?;
    Ok(ExitCode::SUCCESS)
}

/// `evenkeel store-server`: prints its address as soon as it listens.
pub fn store(args: StoreArgs) -> anyhow::Result<ExitCode> {
    log();
    block_on(async {
        std::fs::create_dir_all(&args.dir)
            .with_context(|| format!("cannot make `{}`", args.dir.display()))?;
        let lock = Site::store_lock(&args.dir);
        let held =
            wire::lock(&lock)?.with_context(|| format!("another store uses `{}`", args.dir.display()))?;
        wire::sign(&held).with_context(|| format!("cannot write `{}`", lock.display()))?;
        let token = store::Token::load(&args.token).context("cannot read the token")?;
        let (stopper, stop) = world::Stop::pair();
        let mut terminate = signal(SignalKind::terminate())?;
        let (bound, address) = tokio::sync::oneshot::channel();
        let mut options = store::ServeOptions::new(args.listen, args.dir.join("store.redb"), token);
        options.bound = Some(bound);
        let serve = async { store::serve(options, stop).await.context("the store ended") };
        let told = async {
            if let Ok(address) = address.await {
                say::data(format_args!("{address}\n"))?;
            }
            let _ = terminate.recv().await;
            stopper.request();
            Ok(())
        };
        // Ends with the store: `told` ends first, when asked to stop.
        tokio::try_join!(serve, told).map(|_| ())
    })?;
    Ok(ExitCode::SUCCESS)
}
