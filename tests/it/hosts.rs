//! A drill over hosts: each a network namespace with an agent of its own, and the drill outside of all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use engine::local::{LocalOptions, LocalZones};
use identity::Authority;
use model::{AppName, ZoneName};
use rustix::process::Signal;
use serde_json::Value;

use crate::database::{postgres, whole};
use crate::etcd::{Running, etcd};
use crate::site::{Site, last_json, program, unit};
use crate::turn;

const HOSTS: [&str; 3] = ["a", "b", "c"];
const FILE: &str = "name: shop
placement: { zones: 3 }
services:
  web:
    command: [\"@shop@\", \"--address\", \"${address}\", \"--port\", \"${port}\"]
    environment: { DATABASE_URL: \"${db.url}\" }
    # Asks the database, which takes nobody in without TLS.
    healthcheck: { http: /readyz, interval: 3s, timeout: 2s, retries: 20, start_timeout: 90s }
    replicas: 3
databases:
  db: { engine: postgres:15, standbys: 2 }
";

/// Whether hosts can be made of namespaces; otherwise says so, and fails where everything is required.
fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: only root makes network namespaces");
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test} needs root");
    }
    root
}

/// Networks that end with the test.
struct Hosts(LocalZones);

impl Hosts {
    fn make(folder: &Path) -> Hosts {
        let zones = HOSTS.map(|name| ZoneName::new(name).unwrap());
        // Another network than those of other tests, which may run on this machine now.
        let options =
            LocalOptions { network: [10, 91], ..LocalOptions::new(folder.join("net"), zones.to_vec(), true) };
        Hosts(LocalZones::create(&options).unwrap())
    }

    /// `command` as a program of a host; `None`: of the store's.
    fn within(&self, host: Option<&str>, command: &Command) -> Command {
        let zone = host.map(|host| ZoneName::new(host).unwrap());
        let mut words = self.0.prefix(zone.as_ref()).unwrap().into_iter();
        let mut whole = Command::new(words.next().unwrap());
        whole.args(words).arg(command.get_program()).args(command.get_args());
        whole.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
        whole
    }

    /// Tables of a cut that are in force in a host.
    fn cuts(&self, host: &str) -> String {
        let mut list = Command::new("nft");
        list.args(["list", "tables"]);
        let output = self.within(Some(host), &list).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let removed = self.0.remove();
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn started(mut command: Command, log: &Path) -> Running {
    let log = fs::File::create(log).unwrap();
    Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

fn start_etcd(hosts: &Hosts, folder: &Path) -> (Running, String) {
    let (client, peer) =
        (format!("{}:2379", hosts.0.store_address()), format!("{}:2380", hosts.0.store_address()));
    let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "one", "--log-outputs", "stderr", "--pre-vote"]);
    command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &format!("one={peer_url}")]);
    let running = started(hosts.within(None, &command), &folder.join("etcd.log"));
    (running, format!("etcd://{client}/shop"))
}

/// What docs/hosts.md says of connections: none without TLS, and with channel binding the password proves the server.
fn binds(site: &Site, hosts: &Hosts) {
    let secrets = fs::read(site.state().join("identity/secrets.json")).unwrap();
    let secrets: Value = serde_json::from_slice(&secrets).unwrap();
    let password = secrets["secrets"]["db.application"].as_str().unwrap();
    let entry = site.status()["databases"][0]["entries"][0].as_str().unwrap().to_owned();
    let ask = |mode: &str| {
        let url = format!("postgres://shop@{entry}/shop?sslmode={mode}");
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let mut psql = hosts.within(Some("b"), Command::new("psql").args(["-XtA", "-c", sql, &url]));
        if mode == "require" {
            psql.env("PGCHANNELBINDING", "require");
        }
        psql.env("PGPASSWORD", password).output().unwrap()
    };
    let secured = ask("require");
    assert_eq!(secured.stdout, b"t\n", "{}", String::from_utf8_lossy(&secured.stderr));
    let plain = ask("disable");
    assert!(!plain.status.success() && plain.stdout.is_empty(), "a session without TLS");
    // An authority of the same name that is another one.
    let other = site.state().join("other");
    Authority::create(&other, &AppName::new("shop").unwrap(), SystemTime::now()).unwrap();
    let by = |folder: &Path| {
        ask(&format!("require&sslmode=verify-ca&sslrootcert={}", folder.join("ca.pem").display()))
    };
    let known = by(&site.state().join("identity"));
    assert_eq!(known.stdout, b"t\n", "{}", String::from_utf8_lossy(&known.stderr));
    let unknown = by(&other);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("certificate verify failed"), "{unknown:?}");
}

fn term(status: &Value) -> u64 {
    status["databases"][0]["term"].as_u64().unwrap()
}

#[test]
fn a_drill_over_hosts_kills_freezes_and_cuts_off_a_primary_and_mends_it() {
    const TEST: &str = "a drill over hosts";
    if !root(TEST) || !postgres(TEST) || !etcd(TEST) {
        return;
    }
    let _ = program("shop");
    let site = Site::new("hosts", FILE);
    let folder = site.file().parent().unwrap().to_owned();
    // PostgreSQL's user passes through to its data.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
    let hosts = Hosts::make(&folder);
    let (_etcd, store) = start_etcd(&hosts, &folder);
    let ready = Instant::now();
    loop {
        let up = site.run(&["up", "--store", &store]);
        if up.status.success() {
            break;
        }
        let told = String::from_utf8_lossy(&up.stderr);
        assert!(ready.elapsed() < Duration::from_secs(30), "handed out to nobody: {told}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let starting = turn::starting();
    let agents = HOSTS.map(|host| {
        let dir = folder.join(format!("host-{host}"));
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
        let mut command = site.command(&["agent", "--zone", host, "--store", &store]);
        command.arg("--databases").arg(dir.join("databases")).arg("--dir").arg(dir.join("zone"));
        started(hosts.within(Some(host), &command), &folder.join(format!("{host}.log")))
    });
    site.until("a whole database", Duration::from_secs(90), whole);
    let reached = |status: &Value| {
        ["web-1", "web-2", "web-3"]
            .iter()
            .all(|name| unit(status, name).is_some_and(|web| web["healthy"] == true))
    };
    site.until("applications that reach it", Duration::from_secs(60), reached);
    drop(starting);

    binds(&site, &hosts);

    let refused = site.run(&["drill", "zone", "b"]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("only the primary of a database can be drilled"), "{refused}");

    for how in ["kill", "freeze", "cut"] {
        let words = ["--json", "drill", "primary", "--fault", how, "--duration", "6", "--rate", "60"];
        let before = site.status();
        let target = &before["databases"][0]["primary"];
        let verdict = last_json(&site.expect(0, &words));
        assert_eq!((&verdict["fault"], &verdict["target"]), (&format!("primary/{how}").into(), target));
        assert_eq!((&verdict["lost_writes"], &verdict["stale_reads"]), (&0.into(), &0.into()), "{verdict:#}");
        assert!(verdict["acked_writes"].as_u64().is_some_and(|acked| acked > 50), "{verdict:#}");
        assert!(verdict["rto_ms"].as_f64().is_some_and(|rto| rto > 0.0), "{verdict:#}");
        let after = site.until("a whole database again", Duration::from_secs(90), whole);
        assert!(term(&after) > term(&before), "{how}: nothing was broken");
    }
    for host in HOSTS {
        assert!(!hosts.cuts(host).contains("evenkeel"), "host {host} is still cut off");
    }
    agents.iter().for_each(|agent| agent.ask(Signal::TERM));
    drop(agents);
}
