//! The constants of the space of plans (`docs/reference/plan-space.md`): definitions, not conclusions, so the search and the
//! verifier share them.

/// Spare replicas of a service that are tried beyond its reserve. A fifth one buys less than a second a year.
pub(crate) const SPARE_MAX: u32 = 4;

/// How many standbys a database may have where the file leaves it to the plan: no node beside the primary, one that follows behind, a
/// majority after the loss of one node, and after that of any two. A third standby is one more copy that no loss more is survived by.
pub(crate) const STANDBYS: [u8; 4] = [0, 1, 2, 4];

/// Most vCPUs of one node of a database that a provider runs: no provider has instances for PostgreSQL that are much larger.
pub(crate) const MANAGED_VCPUS_MAX: f64 = 64.0;

/// vCPUs of a node of a cache: it carries out commands on one thread.
pub(crate) const CACHE_CPUS: f64 = 1.0;

/// Share of a node's memory that is for keys; ElastiCache keeps the rest back, too (`reserved-memory-percent`, 25).
pub(crate) const CACHE_FILL: f64 = 0.75;

/// Most shards of all caches of a file.
pub(crate) const CACHE_SHARDS_MAX: u32 = 40;

/// Most services of a file whose services and databases may share one machine a zone.
pub(crate) const TOGETHER_SERVICES_MAX: usize = model::Sharing::SERVICES_MAX;

/// Most zones with one machine each.
pub(crate) const TOGETHER_ZONES_MAX: u32 = model::Sharing::ZONES_MAX as u32;

/// CoreMark iterations per second of a vCPU on which one CPU of the file was measured: an Intel Ice Lake thread
/// (`catalog/performance.csv`, icelake, mid).
pub(crate) const REFERENCE_COREMARK: f64 = 17_065.0;

/// Requests one CPU answers in a second when the file does not say. Low on purpose for a page that asks a
/// database; the first drill shows what is true.
pub(crate) const RPS_PER_CPU: f64 = 100.0;
