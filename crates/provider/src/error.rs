//! Why nothing is exported.

/// Why no files are made of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The plan is for this machine, or for a cloud this version makes no files for.
    #[error("the plan is for `{provider}`, and files are made for a cloud")]
    NoCloud {
        /// The plan's provider.
        provider: String,
    },
    /// CloudFormation knows one cloud.
    #[error("the plan is for `{provider}`, and CloudFormation is of AWS alone")]
    NotAws {
        /// The plan's provider.
        provider: String,
    },
    /// The plan misses objectives: to build it would be to build what was not asked for.
    #[error("no architecture meets every objective: {}", missed.join("; "))]
    Infeasible {
        /// The plan's own sentences.
        missed: Vec<String>,
    },
    /// A zone of the plan is not the provider's.
    #[error("zone `{zone}` is none of region `{region}`")]
    Zone {
        /// The zone.
        zone: String,
        /// The region.
        region: String,
    },
    /// More than one template can hold, or the address plan has room for.
    #[error("the plan has {count} {what}, and at most {most} are exported")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// The plan names no zone.
    #[error("the plan names no zone")]
    NoZone,
    /// The bill buys no machine at all.
    #[error("the plan buys no machine, so there is nothing to run the application on")]
    NoMachine,
    /// The balancer keeps its own address as where connections go, and the front listens on the machine's alone.
    #[error(
        "the entry on port {port} listens on the machine's own address, and this balancer's connections go to another"
    )]
    OwnAddress {
        /// The port.
        port: u16,
    },
    /// The balancer that would be the entry spans two zones at least.
    #[error(
        "the entry cannot be made: an application load balancer of Alibaba Cloud needs two zones, and the plan has one, so \
         nobody could reach the application"
    )]
    OneZone,
    /// Two entries would be the balancer's on one port.
    #[error("port {port} of the application is also what the balancer listens on for another one")]
    PortTwice {
        /// The port.
        port: u16,
    },
}

impl ExportError {
    /// The way out, for people.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            ExportError::NoCloud { .. } => {
                "write `placement: { providers: [aws, gcp, alicloud] }` in the file, or add `--provider aws`"
            }
            ExportError::NotAws { .. } => "add `--provider aws`, or `evenkeel export terraform`",
            ExportError::Infeasible { .. } => "`evenkeel plan` shows what would meet the objectives",
            ExportError::Zone { .. } | ExportError::NoZone => {
                "`evenkeel catalog list` shows the zones of each region"
            }
            ExportError::TooMany { .. } => "split the application, or ask for less",
            ExportError::NoMachine => "the file needs a service",
            ExportError::OwnAddress { .. } => "write `listen: \"0.0.0.0:PORT\"` in `ingress`",
            ExportError::OneZone => {
                "write `survive: [zone]` in `objectives` to have it planned over two zones or more, in a region that has them \
                 (`evenkeel catalog list --provider alicloud`); or try `--provider aws` or `--provider gcp`"
            }
            ExportError::PortTwice { .. } => "let the entry listen on another port in `ingress`",
        }
    }
}
