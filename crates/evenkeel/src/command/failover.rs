//! `evenkeel failover`: hands a database over to another node, and waits for what comes of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use model::{PlannedDatabase, Record, keys};
use serde_json::json;
use store::{Compare, Event, Op, Store, Txn};

use crate::cli::FailoverArgs;
use crate::exit::hinted;
use crate::say;
use crate::wire::handover::{self, News, Order, Refused};
use crate::wire::hosts;
use crate::wire::mirror::Mirror;
use crate::wire::picture_data::unit_of;
use crate::wire::site::Site;

use super::block_on;

/// The primary calls a handover off after 5 s, and an election takes about one. Whoever waits longer would not learn
/// more than `status` says.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for the handover and tells how it went; 0 when the node that was to serve does.
pub fn run(args: &FailoverArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    block_on(async {
        let store = hosts::connect(site)?;
        let mirror = Mirror::once(&store).await.with_context(|| hosts::silent(site))?;
        let planned = handover::database(&mirror, &args.database).map_err(explained)?;
        let docs = mirror.databases.get(&planned.database.name).cloned().unwrap_or_default();
        let order = handover::order(planned, &docs, args.to.as_deref()).map_err(explained)?;
        let revision = docs.record.map_or(0, |(_, revision)| revision);
        hand_over(args, &store, planned, &order, revision, json).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn explained(refused: Refused) -> anyhow::Error {
    hinted(refused.why, refused.hint)
}

fn name(planned: &PlannedDatabase, node: model::NodeId) -> String {
    unit_of(planned, node).map_or_else(|| format!("node {node}"), |unit| unit.to_string())
}

async fn hand_over(
    args: &FailoverArgs,
    store: &Store,
    planned: &PlannedDatabase,
    order: &Order,
    revision: store::Revision,
    json: bool,
) -> anyhow::Result<()> {
    let key = format!("{}{}/record", keys::DATABASES, planned.database.name);
    let (from, to) = (name(planned, order.from), name(planned, order.to));
    let put = Op::Put { key: key.clone(), value: serde_json::to_vec(&order.record)?, lease: None };
    let compare = vec![Compare::Modified { key: key.clone(), revision }];
    let began = Instant::now();
    let reply =
        store.txn(Txn { compare, then: vec![put] }).await.context("the handover was not asked for")?;
    if !reply.done {
        let text = format!("`{}` has changed in this moment; nothing was asked for", planned.database.name);
        return Err(hinted(text, "look at it with `evenkeel status`, then try again"));
    }
    say::talk(format_args!("term {}: `{from}` hands over to `{to}`", order.term));
    let outcome = tokio::time::timeout(PATIENCE, follow(store, &key, planned, order, reply.revision)).await;
    let Ok(outcome) = outcome else {
        let text = format!("`{}` does not serve after {} s", planned.database.name, PATIENCE.as_secs());
        return Err(hinted(
            text,
            "its nodes go on trying; `evenkeel status` shows what is missing, `evenkeel logs` why",
        ));
    };
    let (node, term) = match outcome? {
        News::Done(node, term) => (node, term),
        News::Under(_) | News::CalledOff => {
            let text =
                format!("`{from}` called the handover off: `{to}` did not catch up and answer in time");
            return Err(hinted(text, "it serves on; look at the standby with `evenkeel status`"));
        }
    };
    let ms = began.elapsed().as_secs_f64() * 1_000.0;
    let now = name(planned, node);
    if node != order.to && args.to.is_some() {
        let text = format!("`{now}` took over in term {term}, not `{to}`: it had what `{to}` lacked");
        let hint = format!("nothing is lost; try again once `evenkeel status` shows `{to}` well");
        return Err(hinted(text, hint));
    }
    if json {
        let told = json!({
            "kind": "failover", "format_version": 1, "database": planned.database.name,
            "from": from, "to": now, "term": term, "ms": (ms * 10.0).round() / 10.0,
        });
        say::data(format_args!("{told}\n"))?;
    } else {
        say::data(format_args!(
            "`{now}` serves `{}` in term {term}, after {ms:.0} ms\n",
            planned.database.name
        ))?;
    }
    Ok(())
}

/// Waits for the end of the handover, and tells each step once.
async fn follow(
    store: &Store,
    key: &str,
    planned: &PlannedDatabase,
    order: &Order,
    revision: store::Revision,
) -> anyhow::Result<News> {
    let mut watch = store.watch(key, revision + 1).await.context("the record cannot be followed")?;
    let mut last = String::new();
    loop {
        for event in watch.next().await.context("the record cannot be followed")? {
            let Event::Put(entry) = event else { continue };
            if entry.key != key {
                continue;
            }
            let record: Record = serde_json::from_slice(&entry.value).context("the record cannot be read")?;
            match handover::news(planned, order, &record) {
                News::Under(line) if line == last => {}
                News::Under(line) => {
                    say::talk(&line);
                    last = line;
                }
                done => return Ok(done),
            }
        }
    }
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
