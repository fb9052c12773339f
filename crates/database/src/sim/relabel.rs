//! The same world with other numbers for its nodes.
//!
//! Everything that names a node is taken apart here, so that a new field is not forgotten.

use super::disk::Disk;
use super::world::{Flight, Keeper, Move, Node, Plan, Run, World};
use crate::{Action, Upstream};
use model::{Lease, NodeId, Nodes, Quorum, Record, Reign, ReignPhase as Phase};

/// New numbers: that of `NodeId(1)` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels(pub(super) Vec<u8>);

impl Labels {
    /// Every way of giving the nodes after the first other numbers, to `witnesses` those of witnesses; the one that changes
    /// nothing first.
    pub(super) fn of_standbys(nodes: u8, witnesses: Nodes) -> Vec<Labels> {
        let mut all = vec![vec![1]];
        for _ in 2..=nodes {
            let longer = |part: &Vec<u8>| {
                let part = part.clone();
                let free = (2..=nodes).filter(|number| !part.contains(number)).collect::<Vec<_>>();
                free.into_iter().map(move |number| [&part[..], &[number]].concat())
            };
            all = all.iter().flat_map(longer).collect();
        }
        all.into_iter().map(Labels).filter(|labels| labels.ids(witnesses) == witnesses).collect()
    }

    /// The way back.
    pub(super) fn back(&self) -> Labels {
        let place = |number: u8| self.0.iter().position(|other| *other == number).unwrap_or(0) as u8 + 1;
        Labels((1..=self.0.len() as u8).map(place).collect())
    }

    pub(super) fn id(&self, id: NodeId) -> NodeId {
        NodeId(self.0[usize::from(id.0) - 1])
    }

    pub(super) fn ids(&self, ids: Nodes) -> Nodes {
        ids.iter().map(|id| self.id(id)).collect()
    }

    fn upstream(&self, Upstream { node, term }: Upstream) -> Upstream {
        Upstream { node: self.id(node), term }
    }

    fn plan(&self, Plan { nodes, witnesses }: Plan) -> Plan {
        Plan { nodes: self.ids(nodes), witnesses: self.ids(witnesses) }
    }

    fn quorum(&self, Quorum { primary, term, members, need }: Quorum) -> Quorum {
        Quorum { primary: self.id(primary), term, members: self.ids(members), need }
    }

    pub(super) fn record(&self, record: &Record) -> Record {
        let Record { term, phase, quorums, history, unrest } = record;
        let phase = match *phase {
            Phase::Electing { preferred } => Phase::Electing { preferred: preferred.map(|id| self.id(id)) },
            Phase::Promoting { primary } => Phase::Promoting { primary: self.id(primary) },
            Phase::Serving { primary, handover } => {
                Phase::Serving { primary: self.id(primary), handover: handover.map(|id| self.id(id)) }
            }
        };
        let reign = |reign: &Reign| {
            let Reign { term, node, base, fork, served } = *reign;
            Reign { term, node: self.id(node), base, fork, served }
        };
        Record {
            term: *term,
            phase,
            quorums: quorums.iter().map(|quorum| self.quorum(*quorum)).collect(),
            history: history.iter().map(reign).collect(),
            unrest: unrest.iter().map(|(id, points)| (self.id(*id), *points)).collect(),
        }
    }

    fn action(&self, action: &Action) -> Action {
        match action {
            Action::Write { record, revision, unchanged } => Action::Write {
                record: Box::new(self.record(record)),
                revision: *revision,
                unchanged: unchanged.iter().map(|(id, revision)| (self.id(*id), *revision)).collect(),
            },
            Action::TakeOver { record, revision, lease } => {
                Action::TakeOver { record: Box::new(self.record(record)), revision: *revision, lease: *lease }
            }
            Action::Renew { lease: Lease { term, node, flush }, record } => Action::Renew {
                lease: Lease { term: *term, node: self.id(*node), flush: *flush },
                record: *record,
            },
            Action::Fetch { node, term, upto } => {
                Action::Fetch { node: self.id(*node), term: *term, upto: *upto }
            }
            Action::Anew(from) => Action::Anew(self.upstream(*from)),
            Action::Point(upstream) => Action::Point(upstream.map(|from| self.upstream(from))),
            Action::Clone(from) => Action::Clone(self.upstream(*from)),
            Action::Rewind(from) => Action::Rewind(self.upstream(*from)),
            Action::SetSync(quorum) => Action::SetSync(self.quorum(*quorum)),
            Action::Init
            | Action::Persist(_)
            | Action::Report { .. }
            | Action::Fence
            | Action::Start
            | Action::Forget(_)
            | Action::ConfirmSync
            | Action::Promote
            | Action::Open
            | Action::Close
            | Action::Checkpoint => action.clone(),
        }
    }

    /// What happens, to the same nodes.
    pub(super) fn change(&self, change: Move) -> Move {
        match change {
            Move::Act(id) => Move::Act(self.id(id)),
            Move::Suspect(id) => Move::Suspect(self.id(id)),
            Move::Want(id) => Move::Want(self.id(id)),
            Move::CallOff(id) => Move::CallOff(self.id(id)),
            Move::Hurry(id) => Move::Hurry(self.id(id)),
            Move::Miss(id) => Move::Miss(self.id(id)),
            Move::Look(id) => Move::Look(self.id(id)),
            Move::LookBack(id) => Move::LookBack(self.id(id)),
            Move::Do(id) => Move::Do(self.id(id)),
            Move::Drop(id) => Move::Drop(self.id(id)),
            Move::Send(id) => Move::Send(self.id(id)),
            Move::Land(id) => Move::Land(self.id(id)),
            Move::Feed(id) => Move::Feed(self.id(id)),
            Move::Tear(id) => Move::Tear(self.id(id)),
            Move::Quit(id) => Move::Quit(self.id(id)),
            Move::Hear(id, other) => Move::Hear(self.id(id), self.id(other)),
            Move::Write(id) => Move::Write(self.id(id)),
            Move::Kill(id) => Move::Kill(self.id(id)),
            Move::Break(id) => Move::Break(self.id(id)),
            Move::Rest(id) => Move::Rest(self.id(id)),
            Move::Lose(id) => Move::Lose(self.id(id)),
            Move::Plan(plan) => Move::Plan(self.plan(plan)),
            Move::Reread(id) => Move::Reread(self.id(id)),
        }
    }

    pub(super) fn node(&self, node: &Node) -> Node {
        let Node { durable, keeper, disk, run, plan } = node;
        let Keeper { pending, stale, seen, unfetched, based, flight } = keeper;
        let flies = |Flight { action, stale }: &Flight| Flight { action: self.action(action), stale: *stale };
        Node {
            durable: *durable,
            keeper: Keeper {
                pending: pending.as_ref().map(|action| self.action(action)),
                stale: *stale,
                seen: seen.as_ref().map(|record| self.record(record)),
                unfetched: *unfetched,
                based: based.as_ref().map(|record| self.record(record)),
                flight: flight.as_ref().map(flies),
            },
            disk: self.disk(disk),
            run: run.as_ref().map(|run| self.run(run)),
            plan: self.plan(*plan),
        }
    }

    fn disk(&self, disk: &Disk) -> Disk {
        let Disk { state, fresh, log, timelines, files, upstream, sync, open, slots, lent, from } =
            disk.clone();
        let lent = lent.into_iter().map(|(id, term)| (self.id(id), term)).collect();
        let upstream = upstream.map(|from| self.upstream(from));
        let sync = sync.map(|quorum| self.quorum(quorum));
        Disk { state, fresh, log, timelines, files, upstream, sync, open, slots, lent, from }
    }

    fn run(&self, run: &Run) -> Run {
        let Run { primary, receiving, stale_sync, waiting, told, underway, checkpointed, from, torn } =
            run.clone();
        Run {
            primary,
            receiving: receiving.map(|from| self.upstream(from)),
            stale_sync: stale_sync.into_iter().map(|sync| sync.map(|quorum| self.quorum(quorum))).collect(),
            waiting,
            told: told.into_iter().map(|(id, told)| (self.id(id), told)).collect(),
            underway: underway.into_iter().map(|(id, told)| (self.id(id), told)).collect(),
            checkpointed,
            from,
            torn,
        }
    }

    /// `world` with the new numbers.
    pub(super) fn world(&self, world: &World) -> World {
        let World { record, past, missing, docs, nodes, witnesses, acked, ackers, .. } = world;
        let World { plan, turned, left, .. } = world;
        let World { budget, alone, mode, unrest_max, unasked, flaw, fault, .. } = world;
        let back = self.back();
        let old = (1..=nodes.len() as u8).map(|id| usize::from(back.id(NodeId(id)).0) - 1);
        World {
            record: record.as_ref().map(|record| self.record(record)),
            past: past.as_ref().map(|record| self.record(record)),
            missing: self.ids(*missing),
            docs: docs.iter().map(|(id, doc)| (self.id(*id), *doc)).collect(),
            nodes: old.map(|place| self.node(&nodes[place])).collect(),
            witnesses: self.ids(*witnesses),
            plan: self.plan(*plan),
            turned: self.ids(*turned),
            left: left.iter().map(|(id, disk)| (self.id(*id), self.disk(disk))).collect(),
            acked: acked.clone(),
            ackers: ackers.iter().map(|(term, id)| (*term, self.id(*id))).collect(),
            budget: *budget,
            alone: *alone,
            mode: *mode,
            unrest_max: *unrest_max,
            unasked: *unasked,
            flaw: *flaw,
            fault: *fault,
        }
    }
}
