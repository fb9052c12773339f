use std::fs;
use std::time::Duration;

use model::AppName;

use super::*;
use crate::Authority;
use crate::rig::{Folder, chmod, day, mode, names, refused};

fn authority(folder: &Folder) -> Authority {
    let dir = folder.0.join("authority");
    Authority::create(&dir, &AppName::new("shop").unwrap(), day(0)).unwrap()
}

fn spec() -> NodeSpec {
    NodeSpec::new("db-1", Usage::Both).at(&["127.0.0.1".parse().unwrap()])
}

#[test]
fn a_node_reads_back_what_was_written_and_its_key_is_for_its_owner_alone() {
    let folder = Folder::new();
    let node = authority(&folder).issue(&spec(), day(0)).unwrap();
    let dir = folder.0.join("node");
    node.write(&dir, None).unwrap();
    assert_eq!(names(&dir), ["ca.pem", "cert.pem", "key.pem"]);
    assert_eq!([mode(&dir), mode(&dir.join("key.pem")), mode(&dir.join("cert.pem"))], [0o700, 0o600, 0o644]);
    let read = Node::read(&dir, None).unwrap();
    assert_eq!(
        (read.cert_pem(), read.key_pem(), read.ca_pem()),
        (node.cert_pem(), node.key_pem(), node.ca_pem())
    );
    assert_eq!(format!("{node:?}"), "Node { name: \"db-1\", .. }");
}

#[test]
fn renewal_is_due_after_two_thirds_and_an_expired_certificate_says_so() {
    let folder = Folder::new();
    let node = authority(&folder).issue(&spec(), day(0)).unwrap();
    let due = |days| renew_due(node.cert_pem(), day(days));
    assert!(!due(0).unwrap());
    assert!(!due(59).unwrap());
    assert!(due(60).unwrap());
    assert!(due(90).unwrap());
    refused(due(91), "was valid until 2026-08-30 12:00 UTC");
    refused(due(-1), "is valid from 2026-06-01 11:00 UTC");
    refused(renew_due("-----BEGIN CERTIFICATE-----\nAAAA\n", day(0)), "not a certificate");
}

#[test]
fn a_node_whose_clock_is_half_an_hour_behind_accepts_what_was_just_issued() {
    let folder = Folder::new();
    let node = authority(&folder).issue(&spec(), day(1)).unwrap();
    assert!(!renew_due(node.cert_pem(), day(1) - Duration::from_secs(1800)).unwrap());
    assert!(renew_due(node.cert_pem(), day(1) - Duration::from_secs(3660)).is_err());
}

#[test]
fn a_crash_between_key_and_certificate_of_a_renewal_is_noticed() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let (old, new) = (authority.issue(&spec(), day(0)).unwrap(), authority.issue(&spec(), day(60)).unwrap());
    let dir = folder.0.join("node");
    old.write(&dir, None).unwrap();
    fs::write(dir.join("key.pem"), new.key_pem()).unwrap();
    refused(Node::read(&dir, None), "do not belong together");
    new.write(&dir, None).unwrap();
    Node::read(&dir, None).unwrap();
}

#[test]
fn a_half_written_missing_or_readable_file_of_a_node_is_refused() {
    let folder = Folder::new();
    let node = authority(&folder).issue(&spec(), day(0)).unwrap();
    let dir = folder.0.join("node");
    for name in [CERT_FILE, KEY_FILE, CA_FILE] {
        node.write(&dir, None).unwrap();
        let whole = fs::read(dir.join(name)).unwrap();
        fs::write(dir.join(name), &whole[..whole.len() / 2]).unwrap();
        refused(Node::read(&dir, None), "is damaged");
        fs::remove_file(dir.join(name)).unwrap();
        refused(Node::read(&dir, None), "is missing");
    }
    node.write(&dir, None).unwrap();
    chmod(&dir.join(KEY_FILE), 0o640);
    refused(Node::read(&dir, None), "others may read it (mode 640)");
    chmod(&dir, 0o777);
    refused(node.write(&dir, None), "others may write to it");
}

#[test]
fn a_link_planted_by_the_folders_owner_is_replaced_and_not_written_through() {
    let folder = Folder::new();
    let node = authority(&folder).issue(&spec(), day(0)).unwrap();
    let (dir, victim) = (folder.0.join("node"), folder.0.join("victim"));
    fs::write(&victim, "theirs").unwrap();
    fs::create_dir(&dir).unwrap();
    chmod(&dir, 0o700);
    std::os::unix::fs::symlink(&victim, dir.join(KEY_FILE)).unwrap();
    node.write(&dir, None).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
    assert!(!fs::symlink_metadata(dir.join(KEY_FILE)).unwrap().is_symlink());
}

#[test]
fn what_no_client_could_check_is_not_issued() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let check = |change: &dyn Fn(&mut NodeSpec), text: &str| {
        let mut spec = spec();
        change(&mut spec);
        refused(authority.issue(&spec, day(0)), text);
    };
    check(&|s| s.addresses.clear(), "it needs an address or a host name");
    check(&|s| s.addresses.push("0.0.0.0".parse().unwrap()), "nobody connects to that address");
    check(&|s| s.days = 0, "a life of 0 days: it must be from 1 to 397");
    check(&|s| s.days = 398, "from 1 to 397");
    for name in ["", "a b", "a'b", "ü", "a\nb", &"x".repeat(65)] {
        check(&|s| name.clone_into(&mut s.name), "cannot name a certificate");
    }
    for host in ["", "*.shop", "a..b", "-a", "A", "10.0.0.1", "a.", "ü", &"a.".repeat(127)] {
        check(&|s| s.hosts.push(host.to_owned()), "is no host name");
    }
    let mut client = NodeSpec::new("replicator", Usage::Client);
    client.hosts.push("db-1.internal".to_owned());
    authority.issue(&client, day(0)).unwrap();
}
