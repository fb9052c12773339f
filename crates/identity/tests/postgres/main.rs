//! What a real PostgreSQL 15 and its own client make of our certificates and verifiers.

// Helpers of a test; an error in them is its failure.
#![allow(clippy::unwrap_used)]

mod cluster;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use cluster::{Cluster, refused, success};
use identity::{Authority, Node, NodeSpec, ScramVerifier, Secret, Usage};
use model::AppName;

const DAY: Duration = Duration::from_secs(86_400);
/// Longest wait for a server to take over a new certificate.
const RELOAD_WAIT: Duration = Duration::from_secs(20);

fn authority(cluster: &Cluster, name: &str) -> Authority {
    let app = AppName::new("shop").unwrap();
    Authority::create(&cluster.folder.join(name), &app, SystemTime::now() - 200 * DAY).unwrap()
}

fn server(authority: &Authority, at: SystemTime) -> Node {
    let spec = NodeSpec::new("db-1", Usage::Both).at(&["127.0.0.1".parse().unwrap()]);
    authority.issue(&spec, at).unwrap()
}

fn ca_file(authority: &Authority) -> PathBuf {
    authority.path().with_file_name("ca.pem")
}

/// Words of a connection that checks the server against the certificate in the file `ca`.
fn verified(user: &str, ca: &Path) -> String {
    format!("host=127.0.0.1 user={user} sslmode=verify-full sslrootcert={}", ca.display())
}

#[test]
fn a_role_made_with_a_verifier_takes_its_password_and_no_other_and_no_log_has_seen_it() {
    let Some(mut cluster) = Cluster::prepare("verifier") else { return };
    let ours = authority(&cluster, "ours");
    cluster.start(&server(&ours, SystemTime::now()));
    let password = Secret::random().unwrap().expose();
    let verifier = ScramVerifier::new(&password).unwrap();
    cluster.admin(&format!("create role app login password '{verifier}'"));
    let app = verified("app", &ca_file(&ours));
    assert_eq!(success(cluster.psql(&app, Some(&password), "select current_user"), "login"), "app");
    refused(cluster.psql(&app, Some("wrong"), "select 1"), "password authentication failed");
    refused(cluster.psql(&app, Some(&verifier.to_string()), "select 1"), "password authentication failed");
    refused(cluster.psql(&app, None, "select 1"), "no password supplied");
    let log = cluster.log_text();
    assert!(log.contains("create role app"), "the log shows statements, so it would show a password");
    assert!(!log.contains(password.as_str()));

    let kept = cluster.admin("select rolpassword from pg_authid where rolname = 'app'");
    assert_eq!(kept, verifier.to_string(), "taken as a verifier, not as a password in clear");
    assert!(ScramVerifier::parse(&kept).unwrap().is_of(&password));
}

#[test]
fn we_and_postgresql_agree_on_passwords_that_people_choose() {
    let Some(mut cluster) = Cluster::prepare("people's passwords") else { return };
    let ours = authority(&cluster, "ours");
    cluster.start(&server(&ours, SystemTime::now()));
    // A soft hyphen is mapped to nothing, a no-break space to a space, an ordinal to its letter; a bell is forbidden.
    let passwords =
        ["pencil", "pässwörd", "I\u{ad}X", "a\u{a0}b", "\u{aa}", "\u{7}bell", "$:+/=", "密码", " "];
    for (number, password) in passwords.iter().enumerate() {
        cluster.admin(&format!("create role theirs_{number} login password '{password}'"));
        let kept =
            cluster.admin(&format!("select rolpassword from pg_authid where rolname = 'theirs_{number}'"));
        let read = ScramVerifier::parse(&kept).unwrap();
        assert!(read.is_of(password), "{password:?} {kept}");
        assert!(!read.is_of("pencil2"));
        let verifier = ScramVerifier::new(password).unwrap();
        cluster.admin(&format!("create role ours_{number} login password '{verifier}'"));
        let words = verified(&format!("ours_{number}"), &ca_file(&ours));
        success(cluster.psql(&words, Some(password), "select 1"), password);
    }
}

#[test]
fn a_client_that_checks_the_server_takes_ours_and_no_stranger_wrong_name_or_expired_one() {
    let Some(mut cluster) = Cluster::prepare("server certificate") else { return };
    let (ours, theirs) = (authority(&cluster, "ours"), authority(&cluster, "theirs"));
    cluster.start(&server(&ours, SystemTime::now()));
    let password = Secret::random().unwrap().expose();
    let verifier = ScramVerifier::new(&password).unwrap();
    cluster.admin(&format!("create role app login password '{verifier}'"));
    let app = verified("app", &ca_file(&ours));
    let login = |words: &str| cluster.psql(words, Some(&password), "select 1");

    let sql = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(success(cluster.psql(&app, Some(&password), sql), "verify-full"), "t|TLSv1.3");
    // Of the same name: only the key tells them apart.
    assert_eq!(ours.name(), theirs.name());
    refused(login(&verified("app", &ca_file(&theirs))), "certificate verify failed");
    let other_name = "server certificate for";
    refused(login(&format!("{app} host=localhost hostaddr=127.0.0.1")), other_name);
    refused(login(&format!("{app} sslmode=disable sslrootcert=''")), "no pg_hba.conf entry");

    // 100 days ago it was issued for 90. The client says only that it cannot be verified; why, it tells the server.
    let deadline = Instant::now() + RELOAD_WAIT;
    exchange(&cluster, &server(&ours, SystemTime::now() - 100 * DAY));
    until(deadline, || !login(&app).status.success());
    refused(login(&app), "certificate verify failed");
    until(deadline, || cluster.log_text().contains("alert certificate expired"));
    // A new one mends it, without a restart.
    exchange(&cluster, &server(&ours, SystemTime::now()));
    until(deadline, || login(&app).status.success());
    // A new authority: who trusts the old one is out, who has the new one is in.
    exchange(&cluster, &server(&theirs, SystemTime::now()));
    until(deadline, || login(&verified("app", &ca_file(&theirs))).status.success());
    refused(login(&app), "certificate verify failed");
}

#[test]
fn a_role_that_needs_a_certificate_takes_ours_of_its_name_and_nothing_else() {
    let Some(mut cluster) = Cluster::prepare("client certificate") else { return };
    let (ours, theirs) = (authority(&cluster, "ours"), authority(&cluster, "theirs"));
    cluster.start(&server(&ours, SystemTime::now()));
    cluster.admin("create role replicator login");
    // The server's files are the server's: read for it, and not taken for our own.
    let own = server(&ours, SystemTime::now());
    own.write(&cluster.node_dir(), cluster.owner).unwrap();
    assert_eq!(Node::read(&cluster.node_dir(), cluster.owner).unwrap().cert_pem(), own.cert_pem());
    if cluster.owner.is_some() {
        let refusal = own.write(&cluster.node_dir(), None).unwrap_err().to_string();
        assert!(refusal.contains("belongs to another user"), "{refusal}");
        assert!(Node::read(&cluster.node_dir(), None).is_err());
    }
    let client = |authority: &Authority, name: &str, usage: Usage, at: SystemTime| {
        let spec = NodeSpec::new(name, usage).at(&["127.0.0.1".parse().unwrap()]);
        let dir = cluster.folder.join("client");
        authority.issue(&spec, at).unwrap().write(&dir, None).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let words = verified("replicator", &ca_file(&ours));
        let words = format!("{words} sslcert={} sslkey={}", cert.display(), key.display());
        cluster.psql(&words, None, "select current_user")
    };
    let now = SystemTime::now();
    for usage in [Usage::Client, Usage::Both] {
        assert_eq!(success(client(&ours, "replicator", usage, now), "client"), "replicator");
    }
    refused(client(&ours, "app", Usage::Client, now), "certificate authentication failed");
    // Which end sees the refusal first is chance: with TLS 1.3 the client learns of it when it reads.
    refused(client(&theirs, "replicator", Usage::Client, now), "");
    refused(client(&ours, "replicator", Usage::Server, now), "");
    refused(client(&ours, "replicator", Usage::Client, now - 100 * DAY), "");
    refused(
        cluster.psql(&verified("replicator", &ca_file(&ours)), None, "select 1"),
        "valid client certificate",
    );
    let log = cluster.log_text();
    assert!(log.contains("certificate verify failed"), "{log}");
}

/// Writes another certificate and has the server look at it.
fn exchange(cluster: &Cluster, node: &Node) {
    node.write(&cluster.node_dir(), cluster.owner).unwrap();
    cluster.admin("select pg_reload_conf()");
}

#[track_caller]
fn until(deadline: Instant, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come about in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}
