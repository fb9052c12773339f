//! `evenkeel status`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use model::Status;
use store::Store;
use world::Clock;

use crate::cli::StatusArgs;
use crate::say;
use crate::wire::console::Pace;
use crate::wire::hosts;
use crate::wire::mirror::Mirror;
use crate::wire::picture;
use crate::wire::site::Site;

use super::{block_on, table};

/// Time between two pictures of `--watch`.
const WATCH_MS: u64 = 500;

/// Prints the picture once, or again and again.
pub fn run(args: &StatusArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    block_on(async {
        let store = hosts::connect(site)?;
        let mut look = Look::new(store);
        loop {
            let mut status = look.once().await.with_context(|| hosts::silent(site))?;
            status.store = look.store.complaint().await;
            let text = if json {
                format!("{}\n", to_json(&status))
            } else {
                let screen = args.watch && std::io::stdout().is_terminal();
                let text = table::render(&status, &console_links(&look.mirror, site), screen);
                // Home, then erase what is below: no flicker.
                if screen { format!("\x1b[H\x1b[J{text}") } else { text }
            };
            if !say::data(text)? || !args.watch {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(WATCH_MS)).await;
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Looks at a running system again and again.
pub struct Look {
    store: Store,
    clock: Clock,
    pace: Pace,
    /// The last picture.
    pub mirror: Mirror,
}

impl Look {
    pub fn new(store: Store) -> Look {
        Look { store, clock: Clock::real(), pace: Pace::default(), mirror: Mirror::default() }
    }

    /// The picture now.
    pub async fn once(&mut self) -> anyhow::Result<Status> {
        self.mirror = Mirror::once(&self.store).await?;
        let rps = self.pace.rps(picture::totals(&self.mirror).0, self.clock.now());
        Ok(picture::build(&self.mirror, rps, self.clock.unix_ms()))
    }
}

/// Where the consoles of living agents are, with their token: whoever may read the state folder may look.
pub fn console_links(mirror: &Mirror, site: &Site) -> Vec<String> {
    let Ok(token) = std::fs::read_to_string(site.console_token()) else { return Vec::new() };
    let consoles = mirror.agents.values().filter_map(|agent| agent.console);
    consoles.map(|address| format!("http://{address}/?token={}", token.trim())).collect()
}

/// The picture as one JSON object (DESIGN: `status --json`).
pub fn to_json(status: &Status) -> serde_json::Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("kind".to_owned(), "status".into());
        object.insert("format_version".to_owned(), 1.into());
    }
    value
}
