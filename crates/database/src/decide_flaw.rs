//! Wrong beliefs, one at a time. Each is a mistake that somebody could make in [`crate::decide`]; the simulation must
//! notice every one of them by its general invariants, or it proves nothing.

/// One hazard let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// The product.
    #[default]
    None,
    /// A term is promised without syncing it: after a crash the node follows the old primary again.
    PromiseUnsynced,
    /// A node without a log takes part in elections: one that is being copied counts.
    CountEmpty,
    /// A smaller quorum is written before the server goes by it.
    ShrinkRecordFirst,
    /// A larger quorum is given to the server before it is written.
    GrowServerFirst,
    /// A smaller quorum is written before it holds what the larger one acknowledged.
    ShrinkUnsettled,
    /// A quorum counts as in force as soon as it is in the settings.
    SyncUnconfirmed,
    /// The longest log wins, whatever its term.
    LengthAlone,
    /// A log counts as one of the newest reign it ever followed.
    LineageAlone,
    /// The server is promoted before it has the new quorum.
    PromoteBeforeSync,
    /// Clients are let in before the new quorum holds anything.
    ServeUnsettled,
    /// Clients are let in while the new reign does not serve yet.
    OpenEarly,
    /// The old quorum is forgotten when a winner is chosen.
    ForgetOldQuorum,
    /// Any one report is enough to elect.
    ElectByOne,
    /// Reports for an older term count.
    OldReports,
    /// An end is reported while the log can still grow.
    ReportReceiving,
    /// An old primary reports its end without ending first.
    ReportUnfenced,
    /// A standby follows whoever is primary, whatever is in its own log.
    FollowBlindly,
    /// A log under a timeline number that another reign used too is rewound instead of copied.
    RewindForeign,
    /// Traces of a reign that never served stay.
    KeepOrphan,
    /// Half a record, received before a reign was joined, counts as that reign's.
    CountTorn,
    /// The record is written whatever became of it meanwhile.
    BlindWrite,
    /// A witness can be primary.
    ElectWitness,
    /// A standby is crowned for what a witness has, and promotes without it.
    PromoteUnfetched,
    /// A witness that began anew counts for what came before.
    FetchAnyhow,
    /// A standby fetches from a witness whatever is in its own log.
    FetchForeign,
    /// A failover that the old primary's own keeper begins does not count as one.
    UncountedFailover,
    /// A failover is never forgiven.
    NeverForgive,
    /// A node that becomes a witness, or is one no more, goes by what its file says of its other log.
    KeepOtherLog,
    /// The slots of a node that has left the plan stay when those of its term are dropped.
    KeepSlots,
    /// Lease mode: the lease counts from when its answer came.
    LeaseFromAnswer,
    /// Lease mode: only the keeper ends a server whose lease is over, and a keeper may be frozen.
    LeaseUnwatched,
    /// Lease mode: a lease is taken for over that was renewed unseen.
    TakeOverBlind,
    /// Lease mode: a lease is taken for over as soon as its owner's time is.
    TakeOverEarly,
    /// A quorum takes the place of one that the record may have already. (Seen where a database changes its mode; without that in
    /// one of some 80,000 schedules with late writes.)
    ExchangeUnseen,
    /// Lease mode: a standby takes over however far it is behind.
    TakeOverAnybody,
}

/// Those of quorum mode, and of what both have in common.
pub const FLAWS: &[Flaw] = &[
    Flaw::PromiseUnsynced,
    Flaw::CountEmpty,
    Flaw::ShrinkRecordFirst,
    Flaw::GrowServerFirst,
    Flaw::ShrinkUnsettled,
    Flaw::SyncUnconfirmed,
    Flaw::LengthAlone,
    Flaw::LineageAlone,
    Flaw::PromoteBeforeSync,
    Flaw::ServeUnsettled,
    Flaw::OpenEarly,
    Flaw::ForgetOldQuorum,
    Flaw::ElectByOne,
    Flaw::OldReports,
    Flaw::ReportReceiving,
    Flaw::ReportUnfenced,
    Flaw::FollowBlindly,
    Flaw::RewindForeign,
    Flaw::KeepOrphan,
    Flaw::CountTorn,
    Flaw::BlindWrite,
    Flaw::ElectWitness,
    Flaw::PromoteUnfetched,
    Flaw::FetchAnyhow,
    Flaw::FetchForeign,
    Flaw::UncountedFailover,
    Flaw::NeverForgive,
];

/// Those that are about lease mode.
pub const LEASE_FLAWS: &[Flaw] = &[
    Flaw::LeaseFromAnswer,
    Flaw::LeaseUnwatched,
    Flaw::TakeOverBlind,
    Flaw::TakeOverEarly,
    Flaw::TakeOverAnybody,
    Flaw::ExchangeUnseen,
];
