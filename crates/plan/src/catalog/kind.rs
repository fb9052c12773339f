//! Machine types: size, CPU, speed, and whether one should build on them. What a name says is read from it here.

use std::sync::Arc;

/// Instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// Also called amd64.
    X86_64,
    /// Also called aarch64.
    Arm64,
}

impl Architecture {
    /// `x86-64` or `arm64`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86-64",
            Architecture::Arm64 => "arm64",
        }
    }

    pub(super) fn named(name: &str) -> Option<Architecture> {
        [Architecture::X86_64, Architecture::Arm64].into_iter().find(|known| known.name() == name)
    }
}

/// What kind of machine a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Its vCPUs are its own all day.
    General,
    /// Full speed against credits, or for a part of the day only.
    Burstable,
    /// A part of a core, or a core that others use, too.
    Shared,
    /// GPU, FPGA or another accelerator.
    Accelerated,
    /// A whole server.
    Metal,
    /// For high-performance computing, of very large memory, or not known.
    Special,
}

/// Names in the files.
const CLASSES: &[(&str, Class)] = &[
    ("general", Class::General),
    ("burstable", Class::Burstable),
    ("shared", Class::Shared),
    ("gpu", Class::Accelerated),
    ("metal", Class::Metal),
    ("special", Class::Special),
];

impl Class {
    pub(super) fn named(name: &str) -> Option<Class> {
        CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
    }

    /// Its name in the files.
    #[must_use]
    pub fn name(self) -> &'static str {
        CLASSES.iter().find(|(_, class)| *class == self).map_or("", |(name, _)| name)
    }
}

/// CoreMark iterations per second of a whole machine with a thread on every vCPU; `low <= mid <= high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Performance {
    /// What one may count on. 0 for shared and burstable types: they promise less than they show.
    pub low: f64,
    /// In the middle of machines with the same CPU.
    pub mid: f64,
    /// What one may hope for.
    pub high: f64,
    /// This very type was measured; then the three are one figure, except that `low` of a burstable one is 0.
    pub measured: bool,
}

/// One kind of machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineType {
    /// The provider's name.
    pub name: Arc<str>,
    /// Virtual CPUs. Not a measure of speed: one is a core or a thread of it, of a CPU of any year.
    pub vcpu: u32,
    /// Memory in GiB.
    pub mem_gib: f64,
    /// Instruction set.
    pub architecture: Architecture,
    /// Whether one should build on it.
    pub class: Class,
    /// The family, `m6i`.
    pub family: Arc<str>,
    /// The CPUs that the provider may give, by their names in `cpus.csv`: `icelake`, or `rome+milan`.
    pub cpu: Arc<str>,
    /// How fast it is.
    pub performance: Performance,
}

/// The family in a type's name. AWS: what stands before the first dot (`m6i.large`), without the `cache.` of its cache nodes. Google:
/// before the first hyphen (`n2-standard-4`). Alibaba: after `ecs.`, up to the first dot or hyphen (`ecs.c7.large`,
/// `ecs.t5-lc1m2.small`). The providers' documents are the sources in `families.csv`.
pub(super) fn family<'n>(provider: &str, name: &'n str) -> Option<&'n str> {
    let first = |text: &'n str, ends: &[char]| text.split(ends).next().filter(|family| !family.is_empty());
    match provider {
        "aws" => first(name.strip_prefix("cache.").unwrap_or(name), &['.']),
        "alicloud" => first(name.strip_prefix("ecs.")?, &['.', '-']),
        _ => first(name, &['-']),
    }
}

/// The class of a type: that of its family, but `metal` in the size is a whole server (`m5.metal`, `c3-highcpu-192-metal`), and
/// Google's `e2-micro`, `e2-small`, `e2-medium` share a core (<https://cloud.google.com/compute/docs/general-purpose-machines#sharedcore>).
pub(super) fn class(provider: &str, name: &str, family: Class) -> Class {
    let size = name.rsplit(['.', '-']).next().unwrap_or_default();
    let metal = name.split(['.', '-']).any(|part| part == "metal");
    match (provider, family) {
        (_, Class::General) if metal => Class::Metal,
        ("gcp", Class::General) if ["micro", "small", "medium"].contains(&size) => Class::Shared,
        _ => family,
    }
}

/// How fast a type is: what was measured, else its vCPUs times the band of one.
pub(super) fn performance(class: Class, vcpu: u32, measured: Option<f64>, band: [f64; 3]) -> Performance {
    let [low, mid, high] = match measured {
        Some(figure) => [figure; 3],
        None => band.map(|one| one * f64::from(vcpu)),
    };
    let low = if matches!(class, Class::Burstable | Class::Shared) { 0.0 } else { low };
    Performance { low, mid, high, measured: measured.is_some() }
}
