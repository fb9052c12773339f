//! The command line: the one definition behind help, completion and man pages.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::wire::coordination::StoreAddress;

/// One file with your app and your objectives; the deployment that meets them; a drill that proves it.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_long_help = crate::exit::CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Folder that holds the state of a run on this machine
    #[arg(long, global = true, value_name = "DIR", default_value = "./.evenkeel")]
    pub state: PathBuf,
    /// Print JSON (one object, or one a line) instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the file and report every mistake at once
    Check(FileArgs),
    /// Explain an error code such as `E0107`
    Explain {
        /// The code
        code: String,
    },
    /// Show the architecture that meets the objectives, what it costs, and why; when none does, what would have to give
    Plan(PlanArgs),
    /// Play years of failures against a plan and against the real rules of its databases; exit with 4 when they contradict
    /// what was computed
    Simulate(SimulateArgs),
    /// Show or update the prices that plans are made with
    #[command(subcommand)]
    Catalog(CatalogAction),
    /// Run the application on this machine, in emulated zones
    Up(UpArgs),
    /// Show zones, units, roles and objectives
    Status(StatusArgs),
    /// Show what units print
    Logs(LogsArgs),
    /// Break something on purpose and measure what the users saw
    Drill(DrillArgs),
    /// Hand a database over to another node, in order and without losing a write
    Failover(FailoverArgs),
    /// Stop everything; data stays
    Down(DownArgs),
    /// Print a machine-readable description, or make files for a cloud
    #[command(subcommand)]
    Export(Export),
    /// Run one zone: what each host runs when there are several
    Agent(Box<AgentArgs>),
    /// Run one front: started by the agent
    #[command(hide = true)]
    Front(FrontArgs),
    /// Run the embedded store: started by `up`
    #[command(hide = true)]
    StoreServer(StoreArgs),
    /// Keep a run on this machine going: started by `up`
    #[command(hide = true)]
    Supervise(UpArgs),
    /// Wait for the word, then become a unit: started by the agent
    #[command(hide = true)]
    UnitShim,
    /// End a database's server when the time of its lease is over: started by the keeper
    #[command(hide = true)]
    KeeperWatchdog(WatchdogArgs),
}

#[derive(Clone, Debug, Args)]
pub struct FileArgs {
    /// The file
    #[arg(value_name = "FILE", default_value = "./evenkeel.yaml")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Write the plan here as JSON
    #[arg(short, long, value_name = "PLAN")]
    pub output: Option<PathBuf>,
    /// Consider this provider only, whatever the file names: `aws`, `gcp`, `alicloud`, or `local` for this machine
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Exit with 2 when the running system differs from the plan
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Plan a changed file beside this one and show the difference: `load x2`, `prices +20%`, `availability 99.99%`, `residency EU`,
    /// `users Paris 70% Oslo 30%` and more, with commas between them; what is no change is answered with the list of all
    #[arg(long, value_name = "CHANGE", conflicts_with_all = ["output", "detailed_exitcode", "verify"])]
    pub what_if: Vec<String>,
    /// Show the difference when the loss of a `zone` or `node` need not be survived, or without the service or database of this
    /// name
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["output", "detailed_exitcode", "verify"])]
    pub without: Vec<String>,
    /// Count what drills have shown: a file with verdicts, as `drill primary --json` prints them, one a line. They replace what is
    /// assumed of a takeover, the more the more there are
    #[arg(long, value_name = "VERDICTS")]
    pub drills: Vec<PathBuf>,
    /// Plan for the bad end of every assumption, and for the upper end of every old or assumed price
    #[arg(long)]
    pub robust: bool,
    /// Also tell how much hangs on each assumption and price, what other availabilities would cost, and what each objective does
    #[arg(long, conflicts_with_all = ["verify", "what_if", "without"])]
    pub why: bool,
    /// Write the plan with its pictures and reasons here, as one page that loads nothing and runs no script
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["verify", "what_if", "without"])]
    pub html: Option<PathBuf>,
    /// Only check that this plan, as `-o` wrote it, is the cheapest for the file; exit with 4 when that is not shown
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["output", "detailed_exitcode"])]
    pub verify: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The file of the application, which is planned first, or a plan as `plan -o` wrote it
    #[arg(value_name = "FILE|PLAN", default_value = "./evenkeel.yaml")]
    pub plan: PathBuf,
    /// Years of the model; the rules are played for a tenth of them, but for a thousand at least. Left out: as many as take
    /// about ten seconds, at most 100000 of the model
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub years: Option<u32>,
    /// Seed of every chance: the same one gives the same years
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Subcommand)]
pub enum CatalogAction {
    /// Show what can be bought, since when its prices stand, and where they were read
    List(CatalogListArgs),
    /// Lay a file of prices over those of this version; a file with a wrong line changes nothing
    Update(CatalogUpdateArgs),
}

#[derive(Debug, Args)]
pub struct CatalogListArgs {
    /// This provider only: `aws`, `gcp` or `alicloud`
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// This region only, by the provider's id or by place (`eu-central`), with each of its machine types
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

#[derive(Debug, Args)]
pub struct CatalogUpdateArgs {
    /// The file: sections of the form that catalog/README.md describes, with their sources
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Return once everything is ready; stop it with `evenkeel down`
    #[arg(long)]
    pub detach: bool,
    /// Give each zone a network namespace of its own (needs root), so that a cut can be drilled
    #[arg(long)]
    pub isolate: bool,
    /// Start nothing here: hand the application to the agents of several hosts, which meet in this etcd
    /// (`etcd://HOST:PORT,HOST:PORT,..[/PREFIX]`, with TLS `etcds://..`). The state folder's `identity` must be copied to theirs
    #[arg(long, value_name = "STORE", conflicts_with_all = ["detach", "isolate"])]
    pub store: Option<StoreAddress>,
    /// File with `USER:PASSWORD` for an etcd that asks for a login
    #[arg(long, value_name = "FILE", requires = "store")]
    pub token: Option<PathBuf>,
    /// Folder with `ca.pem`, the authority of an `etcds://`, and `cert.pem` and `key.pem` if it asks for a certificate
    #[arg(long, value_name = "DIR", requires = "store")]
    pub store_tls: Option<PathBuf>,
    /// Switch off the fronts' health checks, to see a drill go red
    #[arg(long, hide = true)]
    pub break_health: bool,
    /// Let fronts retry requests that may have been carried out, to see a drill go red
    #[arg(long, hide = true)]
    pub break_retries: bool,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Keep the picture up to date until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A unit such as `web-2`, `edge-a` or `db-1` (PostgreSQL's log and its keeper's), or a service or database: all of its
    /// units; left out: everything
    pub unit: Option<String>,
    /// Go on printing what is added
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the newest lines of each unit
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// One replica
    Process,
    /// One zone: agent, front and units
    Zone,
    /// One front
    Front,
    /// The server of a database's primary
    Primary,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// End it without a word
    Kill,
    /// Stop it with its sockets open
    Freeze,
    /// Drop its packets both ways
    Cut,
}

#[derive(Debug, Args)]
pub struct DrillArgs {
    /// What to break
    #[arg(value_enum)]
    pub fault: Target,
    /// Which one, such as `b`, `web-2`, `edge-a` or a database's name; left out: chosen by the seed
    pub target: Option<String>,
    /// How to break it
    #[arg(long = "fault", value_enum, default_value_t = Kind::Kill, value_name = "HOW")]
    pub kind: Kind,
    /// Seed of every choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long to measure after the fault, in seconds
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: u64,
    /// Requests a second over all fronts
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub rate: u32,
    /// Stop and heal when more than this share of the requests fails, in percent; 20 unless said, and not of `primary`
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub abort_percent: Option<u32>,
}

#[derive(Debug, Args)]
pub struct FailoverArgs {
    /// The database, by its name in the file
    #[arg(value_name = "DB")]
    pub database: String,
    /// The zone or node that takes over, such as `b` or `db-2`; left out: the standby that is the least behind
    #[arg(long, value_name = "ZONE|NODE")]
    pub to: Option<String>,
}

#[derive(Debug, Args)]
pub struct DownArgs {
    /// Also remove the data, after printing what
    #[arg(long)]
    pub delete_data: bool,
}

#[derive(Debug, Subcommand)]
pub enum Export {
    /// JSON Schema of the file
    Schema,
    /// Markdown reference of the file
    Reference,
    /// Completion for a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Man page (roff)
    Man,
    /// Terraform files of the planned machines, network, entry and buckets, for AWS, Google Cloud or Alibaba Cloud
    Terraform(CloudArgs),
    /// CloudFormation template of the same, for AWS
    Cloudformation(CloudArgs),
}

#[derive(Debug, Args)]
pub struct CloudArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Plan for this provider only: `aws`, `gcp` or `alicloud`
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Write the files, what became of each line of the bill, and a script for secrets and programs into this folder; left out:
    /// one document on standard output
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// The machines' image has etcd, PostgreSQL and openssl in it: install nothing, and buy no NAT
    #[arg(long)]
    pub prepared_image: bool,
}

#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The zone this agent runs
    #[arg(long)]
    pub zone: String,
    /// The store: the embedded one at `ADDRESS:PORT`, or `etcd://HOST:PORT,HOST:PORT,..[/PREFIX]` (with TLS `etcds://..`),
    /// the own zone's member first
    #[arg(long)]
    pub store: StoreAddress,
    /// File with the embedded store's token, or with `USER:PASSWORD` for an etcd that asks for a login
    #[arg(long, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// Folder with `ca.pem`, the authority of an `etcds://`, and `cert.pem` and `key.pem` if it asks for a certificate
    #[arg(long, value_name = "DIR")]
    pub store_tls: Option<PathBuf>,
    /// Address at which the other hosts reach this one; left out: that on the way to the store
    #[arg(long)]
    pub address: Option<IpAddr>,
    /// Folder from which the programs of the file are looked up
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub base: PathBuf,
    /// Let applications speak to databases without TLS, since the network between hosts encrypts or is nobody else's
    #[arg(long)]
    pub trusted_network: bool,
    /// File with the console's token; left out: `console.token` in the state folder, made when it is missing
    #[arg(long, value_name = "FILE")]
    pub console_token: Option<PathBuf>,
    /// Folder for this zone's state; left out: one in the state folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Folder with the authority and secrets that all hosts share; left out: `identity` in the state folder
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// Folder for the data of this zone's database nodes; left out: one in the state folder, or for root one below
    /// `/var/lib/evenkeel`
    #[arg(long, value_name = "DIR")]
    pub databases: Option<PathBuf>,
    /// State folder of a run on one machine, whose emulated zone this agent enters
    #[arg(long, hide = true)]
    pub local: Option<PathBuf>,
    /// See `up --break-health`
    #[arg(long, hide = true)]
    pub break_health: bool,
    /// See `up --break-retries`
    #[arg(long, hide = true)]
    pub break_retries: bool,
}

#[derive(Debug, Args)]
pub struct FrontArgs {
    /// The agent's socket
    #[arg(long)]
    pub socket: PathBuf,
    /// Carry connections to databases instead of requests to services
    #[arg(long)]
    pub data: bool,
    /// Where the access log goes
    #[arg(long, conflicts_with = "data")]
    pub access_log: Option<PathBuf>,
    /// Worker threads
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

#[derive(Debug, Args)]
pub struct WatchdogArgs {
    /// The server's first process
    pub pid: u32,
    /// When that started, in clock ticks since the machine's start
    pub started: u64,
}

#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Address to listen on
    #[arg(long)]
    pub listen: SocketAddr,
    /// Folder of the data
    #[arg(long)]
    pub dir: PathBuf,
    /// File with the token
    #[arg(long)]
    pub token: PathBuf,
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
