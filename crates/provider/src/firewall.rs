//! Who may speak to whom: one list, of which every provider's rules are made. What is not in it is not let through.

/// One side of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The balancer.
    Entry,
    /// Machines on which an agent runs.
    Hosts,
    /// Those of them that hold a member of the store.
    Store,
}

/// TCP from one side to ports of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    pub(crate) from: Side,
    pub(crate) to: Side,
    /// First and last port.
    pub(crate) ports: (u16, u16),
    /// What for, for people: in the rule's description.
    pub(crate) why: &'static str,
}

/// Ports of evenkeel's own processes, which the parts that listen there define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// First and last one of units.
    pub units: (u16, u16),
    /// That of the data front for the first database; the next one has the next.
    pub data_front: u16,
    /// The one below that of the first database's first server.
    pub server: u16,
    /// As `server`, of its keeper.
    pub keeper: u16,
    /// From one database's servers to the next one's.
    pub each: u16,
}

impl Ports {
    /// From the first node of the first of `databases` (their counts of nodes) to the last of the last one.
    fn nodes(self, below: u16, databases: &[u8]) -> (u16, u16) {
        let before = u16::try_from(databases.len()).unwrap_or(u16::MAX).saturating_sub(1);
        let last = databases.last().copied().map_or(1, u16::from);
        (below.saturating_add(1), below.saturating_add(before.saturating_mul(self.each)).saturating_add(last))
    }
}

/// Clients of etcd, and its members among each other (its own defaults, registered with IANA).
pub(crate) const STORE_CLIENT: u16 = 2379;
pub(crate) const STORE_PEER: u16 = 2380;

/// Everything that has to get through between machines; `databases`: how many nodes each has, in the order of the plan.
pub(crate) fn inside(ports: Ports, databases: &[u8]) -> Vec<Flow> {
    let flow = |name, from, to, ports, why| Flow { name, from, to, ports, why };
    let mut flows = vec![
        flow("units", Side::Hosts, Side::Hosts, ports.units, "fronts to replicas in other zones"),
        flow(
            "store",
            Side::Hosts,
            Side::Store,
            (STORE_CLIENT, STORE_CLIENT),
            "agents to the store, with TLS",
        ),
        flow("peers", Side::Store, Side::Store, (STORE_PEER, STORE_PEER), "members of the store, with TLS"),
    ];
    if !databases.is_empty() {
        let more = u16::try_from(databases.len()).unwrap_or(u16::MAX).saturating_sub(1);
        let fronts = (ports.data_front, ports.data_front.saturating_add(more));
        let hosts = |name, ports, why| flow(name, Side::Hosts, Side::Hosts, ports, why);
        let (servers, keepers) = (ports.nodes(ports.server, databases), ports.nodes(ports.keeper, databases));
        flows.push(hosts("data", fronts, "replicas to data fronts in other zones"));
        flows.push(hosts("servers", servers, "data fronts and standbys to database servers, with TLS"));
        flows.push(hosts("keepers", keepers, "keepers of database nodes among each other"));
    }
    flows
}
