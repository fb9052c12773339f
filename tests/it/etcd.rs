//! A zone's agent whose store is a real etcd that speaks TLS and asks for a certificate.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use identity::{Authority, NodeSpec, Usage};
use model::AppName;
use rustix::process::{Pid, Signal, kill_process};

use crate::database::{postgres, whole};
use crate::site::Site;
use crate::turn;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FILE: &str = "name: shop
placement: { zones: 1 }
services:
  idle: { command: [sleep, infinity] }
databases:
  db: { engine: postgres:15, standbys: 2 }
";

/// Whether etcd is here; otherwise says so, and fails where everything is required.
pub fn etcd(test: &str) -> bool {
    let there = Path::new("/usr/bin/etcd").exists();
    if !there {
        eprintln!("SKIPPED {test}: Debian's `etcd-server` is not here");
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test} needs etcd");
    }
    there
}

/// `ca.pem`, `cert.pem` and `key.pem` of an authority of its own, for 127.0.0.1, as member and as client.
fn certify(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let now = SystemTime::now();
    let authority = Authority::create(&dir.join("authority"), &AppName::new("etcd").unwrap(), now).unwrap();
    let member = authority.issue(&NodeSpec::new("member", Usage::Both).at(&[LOCAL]), now).unwrap();
    for (name, text) in
        [("ca.pem", member.ca_pem()), ("cert.pem", member.cert_pem()), ("key.pem", member.key_pem())]
    {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Ended with the test, whatever it does: in order, as an agent ends what it has started.
pub struct Running(pub Child);

impl Running {
    pub fn ask(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The number of one that has ended may be somebody else's.
        if matches!(self.0.try_wait(), Ok(None)) {
            self.ask(Signal::TERM);
        }
        // An agent stops its servers in order, which may take 35 s.
        let end = Instant::now() + Duration::from_secs(60);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A member alone, which believes clients with a certificate of `tls`'s authority, and is up.
fn start_etcd(folder: &Path, tls: &Path) -> (Running, SocketAddr) {
    let held = [(); 2].map(|()| TcpListener::bind((LOCAL, 0)).unwrap());
    let [client, peer] = [&held[0], &held[1]].map(|held| held.local_addr().unwrap());
    drop(held);
    let (client_url, peer_url) = (format!("https://{client}"), format!("http://{peer}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "one", "--log-outputs", "stderr", "--client-cert-auth"]);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &format!("one={peer_url}")]);
    for (word, file) in
        [("--trusted-ca-file", "ca.pem"), ("--cert-file", "cert.pem"), ("--key-file", "key.pem")]
    {
        command.arg(word).arg(tls.join(file));
    }
    let log = fs::File::create(folder.join("etcd.log")).unwrap();
    let running = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    // It listens before it has a leader and answers.
    let says = || fs::read_to_string(folder.join("etcd.log")).unwrap_or_default();
    for _ in 0..300 {
        if says().contains("serving client ") {
            return (running, client);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("etcd does not come up: {}", says());
}

#[test]
fn an_agent_and_its_database_run_on_an_etcd_that_speaks_tls() {
    const TEST: &str = "an agent on an etcd with TLS";
    if !postgres(TEST) || !etcd(TEST) {
        return;
    }
    let site = Site::new("etcd-tls", FILE);
    let folder = site.file().parent().unwrap().to_owned();
    // PostgreSQL's user passes through to its data.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
    let (tls, foreign) = (folder.join("tls"), folder.join("foreign"));
    certify(&tls);
    certify(&foreign);
    let (_etcd, at) = start_etcd(&folder, &tls);
    let store = format!("etcds://{at}/shop");
    let with = |dir: &Path| dir.to_str().unwrap().to_owned();

    let refused = site.run(&["up", "--store", &store, "--store-tls", &with(&foreign)]);
    assert!(!refused.status.success(), "an authority that nobody vouches for was believed");
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("certificate"), "{refused}");

    site.expect(0, &["up", "--store", &store, "--store-tls", &with(&tls)]);
    let databases = folder.join("databases");
    let mut command = site.command(&["agent", "--zone", "a", "--store", &store, "--trusted-network"]);
    command.arg("--store-tls").arg(&tls).arg("--databases").arg(&databases);
    command.args(["--address", "127.0.0.1"]).arg("--dir").arg(folder.join("zone"));
    let log = fs::File::create(folder.join("agent.log")).unwrap();
    let starting = turn::starting();
    let mut agent = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let before = site.until("a whole database", Duration::from_secs(90), whole);
    drop(starting);

    site.expect(0, &["failover", "db"]);
    let moved = site.until("a whole database again", Duration::from_secs(60), whole);
    assert_ne!(before["databases"][0]["primary"], moved["databases"][0]["primary"]);

    agent.ask(Signal::TERM);
    assert!(agent.0.wait().unwrap().success(), "the agent did not end in order");
}
