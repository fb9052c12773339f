//! What is paid beside machines.

/// A thing with a price per unit. `*_month`: USD a month; `*_hour`: USD an hour; `*_gb`: USD for a GB (10^9 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// A public address in use.
    AddressMonth,
    /// A load balancer.
    BalancerMonth,
    /// What a balancer costs by use, for a capacity unit all month.
    BalancerUnitMonth,
    /// What a balancer costs by traffic.
    BalancerGb,
    /// Memory of a managed cache where no node types are listed, a GiB.
    CacheGibHour,
    /// Disk of one node of a managed database.
    DatabaseDiskGbMonth,
    /// Memory of one node of a managed database, a GiB.
    DatabaseGibMonth,
    /// A vCPU of one node of a managed database.
    DatabaseVcpuHour,
    /// General-purpose network disk.
    DiskGbMonth,
    /// Network disk for databases, without its operations.
    DiskFastGbMonth,
    /// Traffic through a NAT gateway.
    NatGb,
    /// Each machine behind a NAT gateway, where that is paid instead of the gateway while it is less.
    NatMachineMonth,
    /// A NAT gateway.
    NatMonth,
    /// Copy of a disk.
    SnapshotGbMonth,
    /// To the internet, the first of a month.
    TrafficInternetGb,
    /// To the internet beyond 10 TB a month.
    TrafficInternetGb10tb,
    /// To the internet beyond 50 TB a month.
    TrafficInternetGb50tb,
    /// To the internet beyond 150 TB a month.
    TrafficInternetGb150tb,
    /// To the nearest region of the provider, where that has a price of its own.
    TrafficNearGb,
    /// To another region of the provider.
    TrafficRegionGb,
    /// Into a zone from another one of the region.
    TrafficZoneInGb,
    /// Out of a zone to another one of the region.
    TrafficZoneOutGb,
}

/// Names in the files.
const NAMES: &[(&str, Unit)] = &[
    ("address_month", Unit::AddressMonth),
    ("balancer_month", Unit::BalancerMonth),
    ("balancer_unit_month", Unit::BalancerUnitMonth),
    ("balancer_gb", Unit::BalancerGb),
    ("cache_gib_hour", Unit::CacheGibHour),
    ("database_disk_gb_month", Unit::DatabaseDiskGbMonth),
    ("database_gib_month", Unit::DatabaseGibMonth),
    ("database_vcpu_hour", Unit::DatabaseVcpuHour),
    ("disk_gb_month", Unit::DiskGbMonth),
    ("disk_fast_gb_month", Unit::DiskFastGbMonth),
    ("nat_gb", Unit::NatGb),
    ("nat_machine_month", Unit::NatMachineMonth),
    ("nat_month", Unit::NatMonth),
    ("snapshot_gb_month", Unit::SnapshotGbMonth),
    ("traffic_internet_gb", Unit::TrafficInternetGb),
    ("traffic_internet_gb_10tb", Unit::TrafficInternetGb10tb),
    ("traffic_internet_gb_50tb", Unit::TrafficInternetGb50tb),
    ("traffic_internet_gb_150tb", Unit::TrafficInternetGb150tb),
    ("traffic_near_gb", Unit::TrafficNearGb),
    ("traffic_region_gb", Unit::TrafficRegionGb),
    ("traffic_zone_in_gb", Unit::TrafficZoneInGb),
    ("traffic_zone_out_gb", Unit::TrafficZoneOutGb),
];

impl Unit {
    /// The unit with this name in the files.
    #[must_use]
    pub fn named(name: &str) -> Option<Unit> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
    }

    /// Its name in the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }
}
