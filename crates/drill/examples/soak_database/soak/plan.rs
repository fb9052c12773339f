//! Which fault comes when: fixed by the seed, so that a soak that was interrupted goes on where it stopped.

use std::time::Duration;

use anyhow::{Result, bail};
use world::Chance;

use super::ground::Where;
use super::lab::slow::Slowness;

/// A late packet is late by this, in milliseconds: from, to. With it and a lost packet on top, servers are silent for longer
/// than keepers bear, and for less.
const HOLD_MS: (f64, f64) = (50.0, 400.0);
/// Give or take so much of it.
const JITTER: f64 = 0.25;
/// At most this share of the packets is lost.
const LOST_MOST: f64 = 0.02;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// kill -9 of the primary's first process.
    PrimaryKill,
    /// The same while the store's leader stands still, as when a zone holds both.
    PrimaryKillStoreFreeze,
    /// SIGSTOP of all processes of the primary; its keeper lives.
    PrimaryFreeze,
    /// kill -9 of one session's process on the primary.
    BackendKill,
    /// The keeper of any node is gone at once; its server runs on.
    KeeperCrash,
    /// kill -9 of a standby's first process.
    StandbyKill,
    /// A switch that somebody asks for.
    Switchover,
    /// Keeper, front and all processes of the primary are gone at once.
    NodeKill,
    /// Keeper and server of the primary stand still, and wake up as if nothing had been: the server first.
    NodeFreeze,
    /// The store's leader stands still (etcd), or the store is away (embedded).
    StoreFreeze,
    /// The primary is killed while one standby stands still. Unavailable until it wakes is legal.
    PrimaryKillStandbyFreeze,
    /// The next primary is killed as soon as it serves, while the first one comes back.
    PrimaryKillInRejoin,
    /// Both standbys stand still, then all three servers are killed, and the primary's node stays away until another
    /// serves: whatever the primary had acknowledged by itself is lost.
    StandbysFreezeAllKill,
    /// Everything on the primary's host is gone at once, its member of the store too. The host comes back later.
    HostKill,
    /// Everything on the primary's host stands still.
    HostFreeze,
    /// No packet comes to the primary's host or leaves it.
    HostCut,
    /// No packet comes to it: what it says is heard.
    HostCutIn,
    /// No packet leaves it: it hears, and nobody hears it.
    HostCutOut,
    /// Servers and keepers do not hear those on the primary's host, nor it them; the store and fronts do.
    DataCut,
    /// Primary and one standby do not hear each other; everybody else hears both.
    StandbyCut,
    /// Everything on the primary's host is gone while another host stands still: one copy is left. Which of the two comes
    /// back first is by chance.
    HostKillStandbyFreeze,
    /// The primary's host and another are cut off, from each other too: nowhere are two copies.
    TwoHostsCut,
    /// Every packet to the primary's host and from it comes late, and some never.
    HostDelay,
    /// kill -9 of the agent of the primary's host, and of nothing else: what it runs goes on. It is started again later.
    AgentKill,
    /// No byte is left on the primary's disk, for a while. It refuses to write or is followed by another.
    PrimaryDiskFull,
    /// The same of a standby: writes go on without it.
    StandbyDiskFull,
    /// A standby loses its disk, and while it is copied the copy, its source or its keeper is killed.
    KillInCopy,
    /// The same while an old primary with records of its own is rewound.
    KillInRewind,
    /// The whole store is away: all its members stand still or, on loopback, die and come back. No write may fail, no
    /// term may begin.
    StoreAway,
}

/// All of them, by the names of `--kinds` and of the journal.
pub const KINDS: &[(Kind, &str)] = &[
    (Kind::PrimaryKill, "primary-kill"),
    (Kind::PrimaryKillStoreFreeze, "primary-kill+store-freeze"),
    (Kind::PrimaryFreeze, "primary-freeze"),
    (Kind::BackendKill, "backend-kill"),
    (Kind::KeeperCrash, "keeper-crash"),
    (Kind::StandbyKill, "standby-kill"),
    (Kind::Switchover, "switchover"),
    (Kind::NodeKill, "node-kill"),
    (Kind::NodeFreeze, "node-freeze"),
    (Kind::StoreFreeze, "store-freeze"),
    (Kind::PrimaryKillStandbyFreeze, "primary-kill+standby-freeze"),
    (Kind::PrimaryKillInRejoin, "primary-kill-in-rejoin"),
    (Kind::StandbysFreezeAllKill, "standbys-freeze+all-kill"),
    (Kind::PrimaryDiskFull, "primary-disk-full"),
    (Kind::StandbyDiskFull, "standby-disk-full"),
    (Kind::KillInCopy, "kill-in-copy"),
    (Kind::KillInRewind, "kill-in-rewind"),
    (Kind::StoreAway, "store-away"),
];

/// Those that need hosts.
pub const HOST_KINDS: &[(Kind, &str)] = &[
    (Kind::HostKill, "host-kill"),
    (Kind::HostFreeze, "host-freeze"),
    (Kind::HostCut, "host-cut"),
    (Kind::HostCutIn, "host-cut-in"),
    (Kind::HostCutOut, "host-cut-out"),
    (Kind::DataCut, "data-cut"),
    (Kind::StandbyCut, "standby-cut"),
    (Kind::HostDelay, "host-delay"),
    (Kind::HostKillStandbyFreeze, "host-kill+standby-freeze"),
    (Kind::TwoHostsCut, "two-hosts-cut"),
    (Kind::AgentKill, "agent-kill"),
];

/// Of those on loopback, the ones that hosts know too.
const EVERYWHERE: &[Kind] = &[Kind::PrimaryKill, Kind::Switchover, Kind::StoreAway];

/// Those that need two standbys, or break a disk, are not among them.
const BESIDE_A_WITNESS: &[Kind] = &[
    Kind::PrimaryKill,
    Kind::PrimaryFreeze,
    Kind::BackendKill,
    Kind::KeeperCrash,
    Kind::StandbyKill,
    Kind::Switchover,
    Kind::NodeKill,
    Kind::NodeFreeze,
    Kind::PrimaryKillStandbyFreeze,
];

/// The same on hosts.
const HOSTS_WITH_A_WITNESS: &[Kind] = &[
    Kind::PrimaryKill,
    Kind::Switchover,
    Kind::StoreAway,
    Kind::HostKill,
    Kind::HostFreeze,
    Kind::HostCut,
    Kind::HostCutIn,
    Kind::HostCutOut,
    Kind::DataCut,
    Kind::StandbyCut,
    Kind::AgentKill,
];

/// Under a lease the store is needed to write, and no machine stands still for more than 2 s and then goes on
/// (`docs/decisions/0007-lease-mode.md`): what breaks that is not among them, nor what needs three copies.
const UNDER_A_LEASE: &[Kind] = &[
    Kind::PrimaryKill,
    Kind::Switchover,
    Kind::HostKill,
    Kind::HostCut,
    Kind::HostCutIn,
    Kind::HostCutOut,
    Kind::DataCut,
    Kind::AgentKill,
];

impl Kind {
    /// All that can be made there.
    pub fn all(place: Where) -> Vec<Kind> {
        match place {
            Where::Loopback => KINDS.iter().map(|(kind, _)| *kind).collect(),
            Where::Witness => BESIDE_A_WITNESS.to_vec(),
            Where::HostsWitness => HOSTS_WITH_A_WITNESS.to_vec(),
            Where::Lease => UNDER_A_LEASE.to_vec(),
            Where::Hosts => {
                EVERYWHERE.iter().copied().chain(HOST_KINDS.iter().map(|(kind, _)| *kind)).collect()
            }
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS.iter().chain(HOST_KINDS).find(|(kind, _)| *kind == self).map_or("?", |(_, name)| name)
    }

    /// The kind of that name.
    pub fn of(name: &str) -> Result<Kind> {
        let Some((kind, _)) = KINDS.iter().chain(HOST_KINDS).find(|(_, known)| *known == name) else {
            let all: Vec<&str> = KINDS.iter().chain(HOST_KINDS).map(|(_, name)| *name).collect();
            bail!("`{name}` is no kind of fault\nhint: there are {}", all.join(", "));
        };
        Ok(*kind)
    }

    /// Whether nodes need a small disk of their own for it, which only root can make.
    pub fn needs_disks(self) -> bool {
        matches!(self, Kind::PrimaryDiskFull | Kind::StandbyDiskFull)
    }

    /// Whether packets must be held for it, which takes root and a kernel with `macvtap`.
    pub fn needs_delays(self) -> bool {
        self == Kind::HostDelay
    }

    /// How long what is frozen or away stays so, in milliseconds: from, to.
    fn away_ms(self) -> (f64, f64) {
        match self {
            Kind::PrimaryFreeze | Kind::NodeFreeze => (200.0, 20_000.0),
            Kind::HostFreeze => (200.0, 60_000.0),
            Kind::HostKill => (1_000.0, 6_000.0),
            Kind::HostCut | Kind::HostCutIn | Kind::HostCutOut | Kind::DataCut | Kind::StandbyCut => {
                (500.0, 10_000.0)
            }
            Kind::HostDelay => (2_000.0, 20_000.0),
            Kind::HostKillStandbyFreeze | Kind::TwoHostsCut => (1_000.0, 10_000.0),
            Kind::KeeperCrash => (100.0, 3_000.0),
            Kind::AgentKill => (300.0, 10_000.0),
            Kind::NodeKill => (1_000.0, 6_000.0),
            Kind::StoreFreeze | Kind::PrimaryKillStandbyFreeze | Kind::PrimaryKillStoreFreeze => {
                (1_000.0, 5_000.0)
            }
            Kind::StandbysFreezeAllKill | Kind::KillInRewind => (300.0, 1_000.0),
            Kind::PrimaryDiskFull | Kind::StandbyDiskFull => (3_000.0, 8_000.0),
            // Longer than keepers wait for anything; `--long` makes it as long as promised.
            Kind::StoreAway => (6_000.0, 6_000.0),
            _ => (0.0, 0.0),
        }
    }
}

/// One fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its place in the seed's sequence.
    pub index: u64,
    /// What.
    pub kind: Kind,
    /// How long, where something comes back by our hand, in milliseconds.
    pub away_ms: u64,
    /// Chooses among those it can hit.
    pub pick: u64,
}

impl Fault {
    /// The fault at `index` of the sequence of `seed` over `kinds`: in every run of as many faults as there are kinds
    /// each comes once, in an order of its own. Times are spread evenly over their magnitudes.
    pub fn at(seed: u64, index: u64, kinds: &[Kind]) -> Fault {
        let count = kinds.len().max(1) as u64;
        let mut order = kinds.to_vec();
        Chance::from_seed(seed.wrapping_mul(0x9E37).wrapping_add(index / count)).shuffle(&mut order);
        let kind = order.get((index % count) as usize).copied().unwrap_or(Kind::PrimaryKill);
        let mut chance = Chance::from_seed(seed ^ index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (from, to) = kind.away_ms();
        let away = if from > 0.0 { from * (to / from).powf(chance.unit()) } else { 0.0 };
        Fault { index, kind, away_ms: away as u64, pick: chance.next_u64() }
    }

    /// How late packets are, where they are: spread evenly over the magnitudes from 50 to 400 ms, each way.
    pub fn slowness(&self) -> Option<Slowness> {
        self.kind.needs_delays().then(|| {
            let mut chance = Chance::from_seed(self.pick);
            let (from, to) = HOLD_MS;
            let hold = Duration::from_micros((1_000.0 * from * (to / from).powf(chance.unit())) as u64);
            Slowness { hold, jitter: JITTER, lost: LOST_MOST * chance.unit(), seed: chance.next_u64() }
        })
    }

    /// On hosts: whether the store's leader is moved to the host that is hit, first.
    pub fn takes_leader(&self) -> bool {
        let elsewhere = matches!(self.kind, Kind::Switchover | Kind::StoreAway | Kind::AgentKill);
        self.pick.is_multiple_of(2) && !elsewhere
    }

    /// Whether of two things that are broken the first comes back first.
    pub fn first_comes_first(&self) -> bool {
        (self.pick >> 1).is_multiple_of(2)
    }

    /// One of `all`.
    pub fn choose<T: Copy>(&self, all: &[T]) -> Option<T> {
        all.get((self.pick % all.len().max(1) as u64) as usize).copied()
    }
}
