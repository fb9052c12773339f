use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::fixture::{database as planned, plan};
use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ek-identity-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn day(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + number * 86_400)
}

fn with_databases(names: &[&str]) -> Plan {
    Plan { databases: names.iter().map(|name| planned(name)).collect(), ..plan(1) }
}

#[test]
fn a_plan_that_grows_keeps_the_passwords_of_what_runs() {
    let folder = Folder::new("grows");
    let dir = folder.0.join("identity");
    let (db, other) = (DatabaseName::new("db").unwrap(), DatabaseName::new("other").unwrap());
    make(&dir, &with_databases(&["db"]), day(0)).unwrap();
    let before = database(&dir, &db).unwrap();
    let missing = database(&dir, &other).unwrap_err();
    assert!(missing.to_string().contains("there is no secret `other.replication`"), "{missing}");
    make(&dir, &with_databases(&["db", "other"]), day(1)).unwrap();
    let after = database(&dir, &db).unwrap();
    assert_eq!((&before.secrets, &before.peers_key), (&after.secrets, &after.peers_key));
    let second = database(&dir, &other).unwrap();
    assert_ne!(second.peers_key, after.peers_key, "no two databases share one");
    assert!(after.peers_key.len() >= 32);
    let application = application_password(&dir, &db).unwrap();
    assert_eq!(after.secrets.application, instance::Secret::new(application).unwrap());
}

#[test]
fn the_longest_name_of_a_database_has_secrets_too() {
    let folder = Folder::new("long");
    let name = "d".repeat(60);
    make(&folder.0.join("identity"), &with_databases(&[&name]), day(0)).unwrap();
}

#[test]
fn a_certificate_is_kept_until_it_is_old_or_of_somewhere_else() {
    let folder = Folder::new("node");
    let (dir, into) = (folder.0.join("identity"), folder.0.join("node"));
    let zone = ZoneName::new("a").unwrap();
    make(&dir, &plan(1), day(0)).unwrap();
    let issue = |last: u8, at: SystemTime| {
        node(&dir, (&zone, Ipv4Addr::new(127, 0, last, 1).into()), &into, at).unwrap()
    };
    let (files, issued) = issue(1, day(0));
    assert!(issued && files.cert.exists() && files.key.exists() && files.ca.exists());
    assert!(!issue(1, day(30)).1, "it is good for two thirds of 90 days");
    assert!(issue(1, day(70)).1);
    assert!(!issue(1, day(71)).1);
    assert!(issue(2, day(71)).1, "clients compare the address");
    std::fs::write(&files.key, "").unwrap();
    assert!(issue(2, day(71)).1, "a key that was cut short is replaced");
    std::fs::remove_dir_all(&dir).unwrap();
    make(&dir, &plan(1), day(71)).unwrap();
    assert!(issue(2, day(71)).1, "another authority has issued it");
}
