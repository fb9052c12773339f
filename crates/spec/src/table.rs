//! The table of fields: what DESIGN section 6 lists, once. Reading, JSON Schema and reference page follow it.

mod format;

use crate::field::{Field, Kind, ListOf, MapOf, Shape, Words};
use crate::parts::Part;
use format::{
    COUNTRY, CRON, DATABASE_NAME, HOST, HTTP_PATH, IMAGE, PLACE, POSTGRES, REDIS, REGION, TIMEZONE, VARIABLE,
};

pub(crate) use format::NAME;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Most services of one application; every one is planned, placed and watched on its own.
pub(crate) const SERVICES_MAX: usize = 99;
/// Most replicas of one service.
pub(crate) const REPLICAS_MAX: i64 = 99;
/// Longest argument of a command, in bytes.
const ARGUMENT_MAX: usize = 4_096;
/// Longest value of an environment variable, in bytes; Linux takes 128 KiB.
const ENVIRONMENT_MAX: usize = 32_768;

const LONGEST: Kind = Kind::Duration { min: 0, max: 365 * DAY };
const REPLICAS: Kind = Kind::Integer { min: 1, max: REPLICAS_MAX };
const SIZE: Kind = Kind::Bytes { min: 1, max: GIB };
const LOAD: Kind = Kind::Rate { min: 0.001, max: 1e7 };
const RPS: Kind = Kind::Number { min: 0.001, max: 1e7 };

/// The whole file.
pub(crate) static ROOT: Shape = Shape {
    fields: &[
        Field::required(
            "name",
            Kind::Name,
            "Name of the application; folders and records are named after it.",
        )
        .aliases(&["app", "application", "project", "service"]),
        Field::implied("objectives", &OBJECTIVES, "What the deployment must keep.")
            .aliases(&["slo", "slos", "goals", "targets"]),
        Field::implied("placement", &PLACEMENT, "Where it may run.").aliases(&[
            "where",
            "location",
            "providers",
            "regions",
        ]),
        Field::required("services", Kind::Map(&SERVICES), "The programs of the application, by name.")
            .aliases(&["apps", "processes", "components"])
            .hint("write `services:` and below it one table a service, by its name"),
        Field::optional("databases", Kind::Map(&DATABASES), "Databases, by name.")
            .part(Part::Databases)
            .aliases(&["database", "db", "postgres"]),
        Field::optional("caches", Kind::Map(&CACHES), "Caches, by name.")
            .planned()
            .aliases(&["cache", "redis"]),
        Field::optional("jobs", Kind::Map(&JOBS), "Commands that run once, by name.")
            .not_run()
            .aliases(&["job", "tasks", "release"]),
        Field::optional(
            "volumes",
            Kind::Map(&VOLUMES),
            "Folders that outlive a replica, by name. A service with a volume is pinned to its zone.",
        )
        .not_run(),
        Field::optional("assume", Kind::Table(&ASSUME), "Priors of the plan, where yours are better known."),
        Field::derived(
            "ingress",
            Kind::List(&INGRESS),
            "the first service with a port or image, on port 8080 of each zone",
            "Where requests come in. Each zone has a front that listens there.",
        )
        .aliases(&["routes", "http", "proxy", "domains"]),
        Field::optional("security", Kind::Table(&SECURITY), "Web application firewall and limits.").not_run(),
        Field::optional("alerts", Kind::Table(&ALERTS), "Who is told.")
            .not_run()
            .aliases(&["alerting", "notify"]),
    ],
    foreign: &[
        ("version", "remove it: there is one version of this file"),
        ("networks", "remove it: services reach each other through their zone's front"),
        ("secrets", "secrets are named where they are used: `${secret.NAME}`"),
        ("configs", "give the values through `environment` of the service"),
        ("include", "everything about an application is in one file"),
        ("extends", "everything about an application is in one file"),
        ("drills", "drills are started by hand: `evenkeel drill zone`"),
        ("backup", "it belongs to a database: `databases: { NAME: { backup: ... } }`"),
    ],
    one_of: &[],
};

static OBJECTIVES: Shape = Shape::of(&[
    Field::optional(
        "availability",
        Kind::Availability,
        "Share of the year of 8,766 h in which it must answer.",
    )
    .aliases(&["uptime", "slo", "sla"]),
    Field::optional("latency", Kind::Table(&LATENCY), "How fast one service must answer."),
    Field::optional(
        "survive",
        Kind::List(&SURVIVE),
        "What may be lost at peak load without scaling out; a hard demand. `[]`: nothing; left out: an availability of 99.9% or \
         more over several zones means `[zone]`.",
    )
    .hint("write a list: `survive: [zone]`"),
    Field::optional(
        "rto",
        Kind::Table(&PER_SCOPE),
        "Longest time without service after losing a node, zone or region.",
    )
    .hint("write it per scope: `rto: { zone: 60s }`"),
    Field::optional(
        "rpo",
        Kind::Table(&PER_SCOPE),
        "Newest data that may be lost with a node, zone or region.",
    )
    .hint("write it per scope: `rpo: { zone: 0s }`"),
    Field::optional("budget", Kind::Money, "Most that may be spent; a hard demand.")
        .aliases(&["cost", "price"]),
]);

static LATENCY: Shape = Shape::of(&[
    Field::required("service", Kind::ServiceRef, "The service that is measured."),
    Field::required(
        "p99",
        Kind::Duration { min: 1, max: 10 * MINUTE },
        "99th percentile of the answer time.",
    ),
    Field::optional("load", LOAD, "Load at which it must hold."),
]);

static SURVIVE: ListOf = ListOf {
    item: Field::entry(Kind::Word(&Words {
        words: &["node", "zone", "region"],
        meant: &[("host", "node"), ("machine", "node"), ("az", "zone"), ("zones", "zone"), ("nodes", "node")],
    })),
    min: 0,
    max: 3,
    unique: true,
};

static PER_SCOPE: Shape = Shape::of(&[
    Field::optional("node", LONGEST, "After losing one machine.").aliases(&["host", "machine"]),
    Field::optional("zone", LONGEST, "After losing one zone.").aliases(&["az"]),
    Field::optional("region", LONGEST, "After losing one region."),
]);

pub(crate) static PLACEMENT: Shape = Shape {
    fields: &[
        Field::fixed(
            "providers",
            Kind::List(&PROVIDERS),
            ("", "this machine unless `--provider` names one"),
            "Providers it may run on; none: this machine.",
        )
        .aliases(&["provider", "cloud", "clouds"]),
        Field::fixed(
            "regions",
            Kind::List(&REGIONS),
            ("", "any region will do"),
            "The first is home, the second recovery; none: any.",
        )
        .aliases(&["region"]),
        Field::fixed(
            "zones",
            Kind::Integer { min: 1, max: 9 },
            ("3", "at most; a majority is left when any one is lost"),
            "How many zones to spread over; in a cloud no more than these, and fewer where that is cheaper.",
        )
        .aliases(&["zone", "azs", "availability_zones"]),
        Field::optional(
            "machines",
            Kind::Word(&Words {
                words: &["any", "apart", "together"],
                meant: &[
                    ("cheapest", "any"),
                    ("shared", "together"),
                    ("one", "together"),
                    ("own", "apart"),
                    ("separate", "apart"),
                    ("dedicated", "apart"),
                ],
            }),
            "`together`: one a zone holds all, for up to 4 services in 3 zones; they mean it when they leave this out. `apart`: each its \
             own. `any`: the cheaper.",
        ),
        Field::optional(
            "residency",
            Kind::List(&RESIDENCY),
            "Whose law data may be kept under, as countries or `EU`; the plan leaves out every region elsewhere. Left out: anyone's.",
        ),
        Field::optional(
            "users",
            Kind::List(&USERS),
            "Where the users are; with `latency`, the plan leaves out regions whose way alone takes longer for more than 1% of them.",
        ),
        Field::optional(
            "region_strategy",
            Kind::Word(&Words {
                words: &["active_active", "hot_standby", "warm_standby", "pilot_light", "backup_and_restore"],
                meant: &[
                    ("active-active", "active_active"),
                    ("standby", "warm_standby"),
                    ("backup", "backup_and_restore"),
                ],
            }),
            "What the second region holds ready.",
        )
        .not_run(),
    ],
    foreign: &[(
        "engine",
        "`evenkeel up` runs on this machine, `evenkeel apply` at the providers; nothing is chosen here",
    )],
    one_of: &[],
};

static PROVIDERS: ListOf = ListOf {
    item: Field::entry(Kind::Word(&Words {
        words: &["aws", "gcp", "alicloud"],
        meant: &[
            ("amazon", "aws"),
            ("google", "gcp"),
            ("gce", "gcp"),
            ("alibaba", "alicloud"),
            ("aliyun", "alicloud"),
        ],
    })),
    min: 0,
    max: 3,
    unique: true,
};
static REGIONS: ListOf = ListOf { item: Field::entry(Kind::Text(&REGION)), min: 0, max: 9, unique: true };
static RESIDENCY: ListOf = ListOf { item: Field::entry(Kind::Text(&COUNTRY)), min: 1, max: 50, unique: true };
static USERS: ListOf = ListOf { item: Field::entry(Kind::Table(&USER)), min: 1, max: 50, unique: false };
static USER: Shape = Shape::of(&[
    Field::required(
        "place",
        Kind::Text(&PLACE),
        "A large city, a capital or a country, `Name` or `Name, CC`; or degrees north and east, `50.1 8.7`.",
    ),
    Field::required("share", Kind::Percent, "Share of all users; together they come to 100%."),
]);

static SERVICES: MapOf = MapOf {
    key: &NAME,
    item: Field::optional("*", Kind::Table(&SERVICE), "One service."),
    min: 1,
    max: SERVICES_MAX,
};

static SERVICE: Shape = Shape {
    fields: &[
        Field::optional(
            "command",
            Kind::List(&COMMAND),
            "Program and arguments; no shell is involved. A program with a `/` is looked up from the file's folder.",
        )
        .aliases(&["cmd", "run", "exec", "start", "args"]),
        Field::optional("image", Kind::Text(&IMAGE), "A container image; checked and planned for, not started by this version.")
            .aliases(&["container", "docker"]),
        Field::optional("environment", Kind::Map(&ENVIRONMENT), "Environment variables.")
            .aliases(&["env", "envs", "variables", "vars"])
            .hint("write a table: `environment: { KEY: \"value\" }`"),
        Field::implied(
            "healthcheck",
            &HEALTHCHECK,
            "How a replica is known to be well.",
        )
        .aliases(&["health", "health_check", "probe", "livenessProbe", "readinessProbe"]),
        Field::implied("resources", &RESOURCES, "What one replica may use.")
            .aliases(&["limits", "size", "machine"]),
        Field::optional("replicas", REPLICAS, "Short for `scale: { min: N, max: N }`.")
            .aliases(&["replica", "instances", "count", "copies"]),
        Field::implied("scale", &SCALE, "How many replicas.").aliases(&["scaling", "autoscale", "autoscaling"]),
        Field::optional("load", Kind::Table(&SERVICE_LOAD), "What the plan sizes for.").aliases(&["traffic"]),
        Field::optional("capacity", Kind::Table(&CAPACITY), "What one replica can do; left out: assumed, and said."),
        Field::implied(
            "deploy",
            &DEPLOY,
            "How a new version replaces the old one: rolling, one zone at a time.",
        )
        .aliases(&["deployment", "rollout", "update"]),
    ],
    foreign: &[
        ("ports", "evenkeel chooses the port: use `${port}` in `command`; requests come in through `ingress`"),
        ("expose", "evenkeel chooses the port: use `${port}` in `command`; requests come in through `ingress`"),
        ("port", "evenkeel chooses the port: use `${port}` in `command`; requests come in through `ingress`"),
        ("build", "evenkeel builds nothing: name the built program in `command`, or an image in `image`"),
        ("restart", "remove it: a replica that ends is always started again"),
        ("depends_on", "remove it: a service must start without the others and retry; `jobs` run before a rollout"),
        ("links", "remove it: services reach each other through their zone's front"),
        ("networks", "remove it: services reach each other through their zone's front"),
        ("network_mode", "remove it: services reach each other through their zone's front"),
        ("entrypoint", "put it in front of `command`"),
        ("env_file", "write the variables under `environment`"),
        ("container_name", "remove it: replicas are named after the service, `web-3`"),
        ("hostname", "remove it: replicas are named after the service, `web-3`"),
        ("working_dir", "commands start in the folder of the file; give paths from there"),
        ("user", "remove it: replicas run as the user of the agent"),
        ("logging", "remove it: output is kept and rotated; `evenkeel logs` shows it"),
        ("labels", "remove it: requests are routed by `ingress`"),
        ("volumes", "a replica has its own folder, `${data}`; shared volumes are declared under the top-level `volumes`"),
        ("secrets", "name a secret where it is used: `environment: { KEY: \"${secret.NAME}\" }`"),
        ("configs", "give the values through `environment`"),
        ("stop_grace_period", "it is `deploy: { drain: 30s }` here"),
        ("drain", "it is `deploy: { drain: 30s }` here"),
        ("cpus", "it is `resources: { cpus: 1 }` here"),
        ("cpu", "it is `resources: { cpus: 1 }` here"),
        ("memory", "it is `resources: { memory: 512M }` here"),
        ("mem_limit", "it is `resources: { memory: 512M }` here"),
        ("min", "it is `scale: { min: 3 }` here"),
        ("max", "it is `scale: { max: 18 }` here"),
        ("host", "it belongs to `ingress: [{ host: shop.example.com, to: web }]`"),
        ("domain", "it belongs to `ingress: [{ host: shop.example.com, to: web }]`"),
        ("spot", "the plan decides which machines to rent"),
        ("profiles", "remove it: every service of the file is part of the application"),
        ("privileged", "not possible: replicas get no more rights than the agent"),
        ("pull_policy", "remove it: an image is fetched when its digest is new"),
        ("platform", "remove it: the plan chooses the machines"),
    ],
    one_of: &["command", "image"],
};

static COMMAND: ListOf =
    ListOf { item: Field::entry(Kind::Template { max: ARGUMENT_MAX }), min: 1, max: 256, unique: false };

static ENVIRONMENT: MapOf = MapOf {
    key: &VARIABLE,
    item: Field::optional("*", Kind::Template { max: ENVIRONMENT_MAX }, "The value; it may hold `${...}`."),
    min: 0,
    max: 500,
};

pub(crate) static HEALTHCHECK: Shape = Shape {
    fields: &[
        Field::derived(
            "http",
            Kind::Text(&HTTP_PATH),
            "a TCP connection when the service uses `${port}` (which a process that stands still accepts, too), else that it runs",
            "`GET` this path; any status from 200 to 399 is well.",
        )
        .aliases(&["path", "url", "endpoint", "httpGet"]),
        Field::fixed(
            "interval",
            Kind::Duration { min: 100, max: HOUR },
            ("1s", "a replica that hangs is known in about two seconds"),
            "Time between two probes.",
        )
        .aliases(&["period", "every", "periodSeconds"]),
        Field::fixed(
            "timeout",
            Kind::Duration { min: 10, max: 10 * MINUTE },
            ("500ms", "half of the default interval"),
            "A probe without an answer by then has failed.",
        ),
        Field::fixed(
            "retries",
            Kind::Integer { min: 1, max: 20 },
            ("2", "one slow answer harms nobody"),
            "So many failures in a row make a replica unhealthy.",
        )
        .aliases(&["failures", "threshold", "failureThreshold"]),
        Field::fixed(
            "start_timeout",
            Kind::Duration { min: 100, max: HOUR },
            ("30s", "most programs start in less"),
            "A replica that has not been healthy once by then has failed to start.",
        )
        .aliases(&["start_period", "start_interval", "initialDelaySeconds"]),
    ],
    foreign: &[
        (
            "test",
            "commands are not run as probes: use `http: /healthz`, or leave it out for a TCP connection",
        ),
        ("disable", "remove it: without `http` a TCP connection is enough"),
        ("tcp", "remove it: without `http` a TCP connection is tried when the service uses `${port}`"),
    ],
    one_of: &[],
};

pub(crate) static RESOURCES: Shape = Shape {
    fields: &[
        Field::fixed(
            "cpus",
            Kind::Number { min: 0.01, max: 256.0 },
            ("1", "enough for a small web program"),
            "CPUs one replica may use.",
        )
        .aliases(&["cpu", "vcpus", "cores"]),
        Field::fixed(
            "memory",
            Kind::Bytes { min: 4 * MIB, max: 4 * TIB },
            ("512M", "enough for a small web program"),
            "Memory one replica may use; past it, it is killed.",
        )
        .aliases(&["mem", "ram", "mem_limit"]),
    ],
    foreign: &[
        ("limits", "there is one set of values: `resources: { cpus: 1, memory: 512M }`"),
        ("reservations", "there is one set of values: `resources: { cpus: 1, memory: 512M }`"),
        ("requests", "there is one set of values: `resources: { cpus: 1, memory: 512M }`"),
    ],
    one_of: &[],
};

static SCALE: Shape = Shape::of(&[
    Field::derived(
        "min",
        REPLICAS,
        "2 when `ingress` reaches the service and there is more than one zone, else 1",
        "Fewest replicas.",
    )
    .aliases(&["minimum", "from"]),
    Field::derived("max", REPLICAS, "twice `min`", "Most replicas.").aliases(&["maximum", "to"]),
    Field::optional("target", Kind::Table(&TARGET), "Load one replica is meant to carry; left out: learnt."),
    Field::optional("schedule", Kind::List(&SCHEDULE), "Times with other bounds.").not_run(),
]);

static TARGET: Shape = Shape {
    fields: &[Field::required("rps", RPS, "Requests per second of one replica.")],
    foreign: &[("cpu", "the load is given in requests: `target: { rps: 150 }`")],
    one_of: &[],
};

static SCHEDULE: ListOf =
    ListOf { item: Field::entry(Kind::Table(&SCHEDULE_ENTRY)), min: 1, max: 100, unique: false };
static SCHEDULE_ENTRY: Shape = Shape::of(&[
    Field::required("cron", Kind::Text(&CRON), "When it begins: minute, hour, day, month, weekday."),
    Field::required("for", Kind::Duration { min: MINUTE, max: 31 * DAY }, "How long it holds.")
        .aliases(&["duration"]),
    Field::required("min", REPLICAS, "Fewest replicas in that time."),
    Field::fixed(
        "timezone",
        Kind::Text(&TIMEZONE),
        ("UTC", "it has no summer time"),
        "Time zone of `cron`, as in the IANA database.",
    )
    .aliases(&["tz"]),
]);

static SERVICE_LOAD: Shape = Shape::of(&[
    Field::required("peak", LOAD, "What must be carried.").aliases(&["max"]),
    Field::optional("mean", LOAD, "The average, for traffic costs; left out: a third of the peak.")
        .aliases(&["average", "avg"]),
    Field::optional(
        "response",
        SIZE,
        "Mean size of an answer, for traffic costs; left out: assumed, and said.",
    )
    .aliases(&["response_size", "answer"]),
]);

static CAPACITY: Shape =
    Shape::of(&[
        Field::required("rps_per_cpu", RPS, "Requests per second that one CPU answers.").aliases(&["rps"])
    ]);

pub(crate) static DEPLOY: Shape = Shape {
    fields: &[
        Field::fixed(
            "strategy",
            Kind::Word(&Words {
                words: &["rolling"],
                meant: &[("rolling-update", "rolling"), ("rollingupdate", "rolling")],
            }),
            ("rolling", "the only way"),
            "How; there is one way.",
        ),
        Field::fixed(
            "max_unavailable",
            Kind::Integer { min: 0, max: REPLICAS_MAX - 1 },
            ("0", "a successor is healthy before a replica goes"),
            "How many replicas may be missing during a change.",
        )
        .aliases(&["parallelism"]),
        Field::fixed(
            "drain",
            Kind::Duration { min: 0, max: HOUR },
            ("30s", "most requests are over by then"),
            "How long a replica may take to finish its requests.",
        )
        .aliases(&["grace", "grace_period", "stop_grace_period", "drain_timeout"]),
    ],
    foreign: &[
        ("replicas", "it is `replicas: N` of the service, without `deploy`"),
        ("resources", "it is `resources` of the service, without `deploy`"),
        ("mode", "remove it: replicas are spread over the zones"),
        ("placement", "replicas are spread over the zones; where they may run is the top-level `placement`"),
        ("restart_policy", "remove it: a replica that ends is always started again"),
        ("update_config", "a change is rolling: `deploy: { max_unavailable: 0, drain: 30s }`"),
        ("rollback_config", "remove it: a version that does not become healthy is always taken back"),
        ("labels", "remove it: requests are routed by `ingress`"),
        ("endpoint_mode", "remove it: requests are routed by `ingress`"),
    ],
    one_of: &[],
};

static DATABASES: MapOf = MapOf {
    key: &DATABASE_NAME,
    item: Field::optional("*", Kind::Table(&DATABASE), "One database."),
    min: 0,
    max: 20,
};
pub(crate) static DATABASE: Shape = Shape {
    fields: &[
        Field::required("engine", Kind::Text(&POSTGRES), "Program and major version; `postgres:15` is run.")
            .hint("write `postgres:15`; a database of another kind is yours to run, and its address goes into `environment`"),
        Field::fixed(
            "storage",
            Kind::Bytes { min: GIB, max: 64 * TIB },
            ("10G", "room to begin with"),
            "Room for its data on each node.",
        )
        .aliases(&["disk", "size"]),
        Field::fixed(
            "standbys",
            Kind::Count { min: 0, max: model::Database::STANDBYS_MAX as i64, word: "auto" },
            ("2", "the fewest that lose no acknowledged write and go on after the loss of a node"),
            "Nodes beside the primary, spread over the zones. `auto`: those of the cheapest plan that keeps every objective.",
        )
        .hint(
            "`standbys: 2` goes on after the loss of any node, 4 after any two; more make each write slower",
        )
        .aliases(&["replicas", "standby", "nodes"]),
        Field::optional(
            "witness",
            Kind::Bool,
            "One more node that holds the log alone and never becomes primary: with `standbys: 1`, two copies of the data lose nothing.",
        ),
        Field::fixed(
            "run_by",
            Kind::Word(&Words {
                words: &["evenkeel", "provider", "auto"],
                meant: &[("self", "evenkeel"), ("managed", "provider"), ("cloud", "provider")],
            }),
            ("evenkeel", "what this version starts"),
            "Who runs it; `provider`: planned and priced, not run. `auto`: whoever is cheaper of what keeps every objective.",
        )
        .aliases(&["managed"]),
        Field::optional("writes", Kind::Rate { min: 0.0, max: 1e7 }, "Writing transactions at peak."),
        Field::fixed(
            "when_alone",
            Kind::Word(&Words {
                words: &["block", "degrade"],
                meant: &[("stop", "block"), ("async", "degrade"), ("continue", "degrade")],
            }),
            ("block", "what is acknowledged is never lost"),
            "What a primary without a standby does with writes; `degrade` goes on after 2 to 4 s, on one disk.",
        ),
        Field::optional("reads", Kind::Table(&READS), "Reading from standbys.").not_run(),
        Field::optional("backup", Kind::Table(&BACKUP), "Copies of its data.")
            .not_run()
            .aliases(&["backups"]),
    ],
    foreign: &[
        ("version", "it is part of `engine: postgres:15`"),
        ("image", "evenkeel runs the PostgreSQL of this machine: `engine: postgres:15`"),
        ("port", "evenkeel chooses the port: services get the address as `${NAME.url}`"),
        ("ports", "evenkeel chooses the port: services get the address as `${NAME.url}`"),
        ("user", "evenkeel makes the user: services get it in `${NAME.url}`"),
        ("password", "evenkeel makes the password: services get it in `${NAME.url}`"),
    ],
    one_of: &[],
};
static READS: Shape = Shape::of(&[
    Field::optional("split", Kind::Bool, "Send reads to standbys."),
    Field::optional("max_lag", Kind::Duration { min: 1, max: HOUR }, "Oldest data a read may see."),
]);
static BACKUP: Shape = Shape::of(&[
    Field::optional("full", Kind::Duration { min: HOUR, max: 31 * DAY }, "Time between two full copies.")
        .aliases(&["every", "interval"]),
    Field::optional("keep", Kind::Duration { min: HOUR, max: 3_660 * DAY }, "How long copies are kept.")
        .aliases(&["retention"]),
    Field::optional("copy_to", Kind::Text(&REGION), "A second region for the copies."),
    Field::optional(
        "verify",
        Kind::Word(&Words { words: &["daily", "weekly", "monthly"], meant: &[] }),
        "How often a copy is restored and checked.",
    ),
]);

static CACHES: MapOf =
    MapOf { key: &NAME, item: Field::optional("*", Kind::Table(&CACHE), "One cache."), min: 0, max: 20 };
pub(crate) static CACHE: Shape = Shape::of(&[
    Field::required("engine", Kind::Text(&REDIS), "Program and major version.")
        .hint("write `redis:7` or `valkey:8`"),
    Field::required("memory", Kind::Bytes { min: 16 * MIB, max: 4 * TIB }, "Memory of one shard."),
    Field::fixed(
        "shards",
        Kind::Integer { min: 1, max: model::Cache::SHARDS_MAX as i64 },
        ("1", "one holds all keys"),
        "How many parts the keys are split into.",
    ),
    Field::fixed(
        "replicas",
        Kind::Integer { min: 0, max: model::Cache::REPLICAS_MAX as i64 },
        ("0", "what is in a cache can be made again"),
        "Copies of each shard, in other zones where there are any.",
    )
    .aliases(&["standbys"]),
    Field::fixed(
        "loss",
        Kind::Word(&Words {
            words: &["outage", "tolerated"],
            meant: &[("degraded", "tolerated"), ("ok", "tolerated"), ("down", "outage")],
        }),
        ("outage", "whether the application answers without it is not known"),
        "What its loss is to the application; `tolerated`: it goes on, and its database carries the load.",
    ),
]);

static JOBS: MapOf =
    MapOf { key: &NAME, item: Field::optional("*", Kind::Table(&JOB), "One job."), min: 0, max: 50 };
static JOB: Shape = Shape::of(&[
    Field::required("command", Kind::List(&COMMAND), "Program and arguments."),
    Field::required(
        "before",
        Kind::ServiceRef,
        "The service whose rollout waits for it; failure stops the rollout.",
    ),
]);

static VOLUMES: MapOf =
    MapOf { key: &NAME, item: Field::optional("*", Kind::Any, "One volume."), min: 0, max: 100 };

pub(crate) static ASSUME: Shape = Shape::of(&[
    Field::optional("deploy_failures", Kind::PerYear, "Changes that go wrong."),
    Field::optional("deploy_repair", PRIOR_TIME, "How long until such a change is taken back."),
    Field::optional("zone_outage", Kind::Table(&OUTAGE), "Losing a zone."),
    Field::optional("machine_failure", Kind::Table(&OUTAGE), "Losing a machine of a service."),
    Field::optional(
        "database_node",
        Kind::Table(&OUTAGE),
        "Losing a node of a database, with its machine or alone.",
    ),
    Field::optional(
        "cache_node",
        Kind::Table(&OUTAGE),
        "Losing a node of a cache, with its machine or alone.",
    ),
    Field::optional("region_outage", Kind::Table(&OUTAGE), "Losing the region or its control plane."),
    Field::optional("human_error", Kind::Table(&OUTAGE), "A mistake that takes the application down."),
    Field::optional("disk_loss", Kind::Table(&OUTAGE), "Losing a disk with its data."),
    Field::optional("takeover_quorum", PRIOR_TIME, "Until another node of a quorum serves."),
    Field::optional("takeover_lease", PRIOR_TIME, "Until the standby of a lease serves."),
    Field::optional("takeover_cache", PRIOR_TIME, "Until a replica of a cache serves."),
    Field::optional("response", SIZE, "Size of an answer of services whose `load` does not say."),
    Field::optional("write", SIZE, "Log that one writing transaction of a database sends to each standby."),
    Field::optional(
        "detour",
        Kind::Number { min: 1.0, max: 100.0 },
        "How many times longer a round trip of users takes than light in glass on the great circle.",
    ),
]);
const PRIOR_TIME: Kind = Kind::Duration { min: 1, max: 7 * DAY };
static OUTAGE: Shape = Shape::of(&[
    Field::optional("per_year", Kind::Number { min: 0.0, max: 1_000.0 }, "How often."),
    Field::optional("hours", Kind::Number { min: 0.001, max: 8_766.0 }, "How long, in hours."),
]);

static INGRESS: ListOf =
    ListOf { item: Field::entry(Kind::Table(&INGRESS_ENTRY)), min: 0, max: 200, unique: false };
pub(crate) static INGRESS_ENTRY: Shape = Shape {
    fields: &[
        Field::fixed(
            "listen",
            Kind::Listen,
            (":8080", "the zone's own address, so that zones of one machine do not collide"),
            "`:PORT` for the zone's own address, `0.0.0.0:PORT` for every address of its machine.",
        )
        .aliases(&["bind", "address", "port", "ports"]),
        Field::optional(
            "host",
            Kind::Text(&HOST),
            "`Host` it answers to; left out: every host no other entry of the port names.",
        )
        .aliases(&["domain", "hostname", "server_name"]),
        Field::required("to", Kind::ServiceRef, "The service that answers.")
            .aliases(&["service", "backend", "target", "upstream"]),
        Field::optional(
            "tls",
            Kind::Word(&Words {
                words: &["auto"],
                meant: &[("letsencrypt", "auto"), ("acme", "auto"), ("true", "auto")],
            }),
            "Certificates; `auto` fetches and renews them.",
        )
        .not_run(),
    ],
    foreign: &[("path", "requests are routed by host; paths are the service's own")],
    one_of: &[],
};

static SECURITY: Shape = Shape::of(&[
    Field::optional("waf", Kind::Table(&WAF), "Web application firewall."),
    Field::optional("rate_limit", Kind::Table(&RATE_LIMIT), "Requests one client may send."),
]);
static WAF: Shape = Shape::of(&[
    Field::optional(
        "mode",
        Kind::Word(&Words {
            words: &["block", "detect"],
            meant: &[("log", "detect"), ("monitor", "detect")],
        }),
        "Refuse what it finds, or say so only.",
    ),
    Field::optional(
        "rules",
        Kind::Word(&Words { words: &["owasp-crs"], meant: &[("owasp", "owasp-crs"), ("crs", "owasp-crs")] }),
        "The set of rules.",
    ),
    Field::optional("paranoia", Kind::Integer { min: 1, max: 4 }, "How strict the rules are."),
]);
static RATE_LIMIT: Shape = Shape::of(&[
    Field::required(
        "per",
        Kind::Word(&Words { words: &["ip"], meant: &[("client", "ip"), ("address", "ip")] }),
        "Who is counted as one.",
    ),
    Field::required("rps", RPS, "Requests per second."),
    Field::optional("burst", Kind::Integer { min: 1, max: 1_000_000 }, "Requests at once."),
]);

static ALERTS: Shape = Shape::of(&[Field::required("to", Kind::List(&RECEIVERS), "Who is told.")]);
static RECEIVERS: ListOf =
    ListOf { item: Field::entry(Kind::Table(&RECEIVER)), min: 1, max: 50, unique: false };
static RECEIVER: Shape =
    Shape::of(&[Field::required("webhook", Kind::Template { max: 2_048 }, "Address that gets a `POST`.")
        .aliases(&["url"])]);

/// Calls `visit` with the path and the row of every field: `services.*.scale.min`, `ingress[].to`.
pub(crate) fn each(visit: &mut dyn FnMut(&str, &'static Field)) {
    walk(&ROOT, "", visit);
}

fn walk(shape: &'static Shape, above: &str, visit: &mut dyn FnMut(&str, &'static Field)) {
    for field in shape.fields {
        let dot = if above.is_empty() { "" } else { "." };
        let path = format!("{above}{dot}{}", field.name);
        visit(&path, field);
        below(&field.kind, &path, visit);
    }
}

fn below(kind: &'static Kind, path: &str, visit: &mut dyn FnMut(&str, &'static Field)) {
    match kind {
        Kind::Table(shape) => walk(shape, path, visit),
        Kind::Map(of) => below(&of.item.kind, &format!("{path}.*"), visit),
        Kind::List(of) => below(&of.item.kind, &format!("{path}[]"), visit),
        _ => {}
    }
}
