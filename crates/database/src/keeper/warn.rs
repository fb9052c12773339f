//! The alarms of a node as a person reads them: in its status, and once in its log.

use std::collections::BTreeMap;

use model::{Mode, Moment, Nodes, Warning, WarningKind};
use tracing::{info, warn};

use super::options::KeeperOptions;
use crate::{Alarms, FORGIVE_MS, Judgement, View, awaited};

/// What is told now, and since when.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    alarms: Alarms,
    since: BTreeMap<WarningKind, u64>,
}

impl Warnings {
    /// The warnings of this moment, the oldest first; each is logged when it comes and when it goes.
    pub fn look(
        &mut self,
        view: &View,
        judgement: &Judgement,
        options: &KeeperOptions,
        (now, unix_ms): (Moment, u64),
    ) -> Vec<Warning> {
        let kinds = self.alarms.judge(view, judgement, now);
        self.since.retain(|kind, _| {
            let stays = kinds.contains(kind);
            if !stays {
                info!(database = %options.name(), kind = ?kind, "warning over");
            }
            stays
        });
        let mut warnings = Vec::new();
        for kind in kinds {
            let fresh = !self.since.contains_key(&kind);
            let since_ms = *self.since.entry(kind).or_insert(unix_ms);
            let warning = worded(kind, view, judgement, options, since_ms);
            if fresh {
                let Warning { what, means, hint, .. } = &warning;
                warn!(database = %options.name(), kind = ?kind, what, means, hint, "warning");
            }
            warnings.push(warning);
        }
        warnings.sort_by_key(|warning| (warning.since_ms, warning.kind));
        warnings
    }

    /// See [`Alarms::only_here`]; said of writes that go on.
    pub fn only_here(&self, view: &View) -> Option<u64> {
        self.alarms.only_here(view).filter(|_| self.since.contains_key(&WarningKind::Unprotected))
    }
}

/// The units of `nodes`: "`db-2` or `db-3`".
fn units(nodes: Nodes, options: &KeeperOptions) -> String {
    let unit =
        |node| options.places.get(&node).map_or(format!("node {node}"), |place| format!("`{}`", place.unit));
    nodes.iter().map(unit).collect::<Vec<_>>().join(" or ")
}

fn worded(
    kind: WarningKind,
    view: &View,
    judgement: &Judgement,
    options: &KeeperOptions,
    since_ms: u64,
) -> Warning {
    let name = options.name();
    let (me, others) =
        (units(Nodes::NONE.with(view.me), options), units(view.nodes.without(view.me), options));
    let (what, means, hint) = match kind {
        WarningKind::NoPrimary => {
            let record = view.record.as_ref().map(|kept| &kept.value);
            let awaited = record.map_or(Nodes::NONE, |record| awaited(record, judgement.agree));
            let hint = match awaited.is_empty() {
                true => "its nodes go on trying; `evenkeel logs` says what fails".to_owned(),
                false => format!(
                    "bring back {}: without it nobody knows that all acknowledged writes are here",
                    units(awaited, options)
                ),
            };
            let means = "writes are refused; nothing acknowledged is lost".to_owned();
            ("there is no primary".to_owned(), means, hint)
        }
        WarningKind::NoStandby => (
            "no standby is left".to_owned(),
            "writes wait for one; nothing acknowledged is lost".to_owned(),
            format!(
                "bring back {others} (`evenkeel status` and `evenkeel logs` say why they are away); with \
                 `when_alone: degrade` writes would go on"
            ),
        ),
        WarningKind::Unprotected => {
            let why = if view.mode == Mode::Quorum { "`when_alone: degrade`" } else { "lease mode" };
            (
                format!("no standby is left, and writes go on ({why})"),
                format!(
                    "what is acknowledged now is on the disk of {me} alone, and lost with it; nobody can take over"
                ),
                format!("bring back {others}; as soon as one has caught up, writes are on two disks again"),
            )
        }
        WarningKind::Restless => (
            "so many failovers in a row that no more are made unasked".to_owned(),
            format!(
                "when the primary fails once more, writes stop until a failover is forgiven, {} s after the last one \
                 at the earliest",
                FORGIVE_MS / 1_000
            ),
            format!(
                "find out why the primaries failed (`evenkeel logs`); `evenkeel failover {name}` goes on at once and \
                 forgives all of them"
            ),
        ),
    };
    Warning { kind, database: name.clone(), since_ms, what, means, hint }
}
