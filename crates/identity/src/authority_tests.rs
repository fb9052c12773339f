use std::fs;

use super::*;
use crate::rig::{Folder, chmod, day, mode, names, refused};
use crate::{Class, Usage, renew_due};

fn app() -> AppName {
    AppName::new("shop").unwrap()
}

fn spec() -> NodeSpec {
    NodeSpec::new("db-1", Usage::Both).at(&["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()])
}

#[test]
fn a_restarted_authority_is_the_same_and_its_key_is_for_its_owner_alone() {
    let folder = Folder::new();
    let dir = folder.0.join("authority");
    let made = Authority::create(&dir, &app(), day(0)).unwrap();
    assert_eq!(made.name(), "evenkeel shop");
    assert_eq!(made.not_after().to_string(), "2036-05-29 12:00 UTC");
    let opened = Authority::open(&dir).unwrap();
    assert_eq!(opened.ca_pem(), made.ca_pem());
    assert_eq!(names(&dir), ["authority.pem", "ca.pem"], "nothing half-made is left");
    assert_eq!(
        [mode(&dir), mode(&dir.join("authority.pem")), mode(&dir.join("ca.pem"))],
        [0o700, 0o600, 0o644]
    );
    let key = fs::read_to_string(dir.join("authority.pem")).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!fs::read_to_string(dir.join("ca.pem")).unwrap().contains("PRIVATE"));
    assert!(!format!("{opened:?}").contains("-----"), "no key in what is printed");
}

#[test]
fn a_second_up_does_not_replace_the_authority_that_every_node_trusts() {
    let folder = Folder::new();
    let made = Authority::create(&folder.0, &app(), day(0)).unwrap();
    refused(Authority::create(&folder.0, &app(), day(1)), "is there already");
    assert_eq!(Authority::open(&folder.0).unwrap().ca_pem(), made.ca_pem());
    assert_eq!(names(&folder.0), ["authority.pem", "ca.pem"], "the one that lost left nothing");
}

#[test]
fn eight_that_start_at_once_agree_on_one_authority() {
    let folder = Folder::new();
    let dir = folder.0.join("authority");
    let start = std::sync::Barrier::new(8);
    let all: Vec<String> = std::thread::scope(|scope| {
        let one = || {
            start.wait();
            Authority::open_or_create(&dir, &app(), day(0)).unwrap().ca_pem().to_owned()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|ca| *ca == all[0]));
    assert_eq!(names(&dir), ["authority.pem", "ca.pem"]);
}

#[test]
fn a_file_that_was_cut_short_anywhere_is_refused_and_stays() {
    let folder = Folder::new();
    Authority::create(&folder.0, &app(), day(0)).unwrap();
    let path = folder.0.join("authority.pem");
    let whole = fs::read(&path).unwrap();
    // The last line's end and its dashes carry nothing.
    for length in (0..whole.len() - 26).step_by(3) {
        fs::write(&path, &whole[..length]).unwrap();
        refused(Authority::open(&folder.0), "is damaged: it holds no whole");
        refused(Authority::open_or_create(&folder.0, &app(), day(0)), "is damaged");
    }
    fs::write(&path, &whole).unwrap();
    Authority::open(&folder.0).unwrap();
}

#[test]
fn what_a_power_loss_leaves_of_a_write_does_not_stop_the_next_start() {
    let folder = Folder::new();
    fs::write(folder.0.join("authority.pem.00ff.new"), "-----BEGIN PRIV").unwrap();
    let made = Authority::open_or_create(&folder.0, &app(), day(0)).unwrap();
    fs::remove_file(folder.0.join("ca.pem")).unwrap();
    assert_eq!(Authority::open(&folder.0).unwrap().ca_pem(), made.ca_pem());
    assert_eq!(fs::read_to_string(folder.0.join("ca.pem")).unwrap(), made.ca_pem(), "it is there again");
}

#[test]
fn a_key_of_another_authority_pasted_over_ours_is_noticed() {
    let (ours, theirs) = (Folder::new(), Folder::new());
    Authority::create(&ours.0, &app(), day(0)).unwrap();
    Authority::create(&theirs.0, &app(), day(0)).unwrap();
    let read = |folder: &Folder| fs::read_to_string(folder.0.join("authority.pem")).unwrap();
    let mixed = format!("{}{}", &read(&theirs)[..read(&theirs).find("-----BEGIN CERT").unwrap()], {
        let ours = read(&ours);
        ours[ours.find("-----BEGIN CERT").unwrap()..].to_owned()
    });
    fs::write(ours.0.join("authority.pem"), mixed).unwrap();
    refused(Authority::open(&ours.0), "do not belong together");
}

#[test]
fn a_key_that_others_could_read_is_not_used() {
    let folder = Folder::new();
    Authority::create(&folder.0, &app(), day(0)).unwrap();
    for open in [0o640, 0o604, 0o660] {
        chmod(&folder.0.join("authority.pem"), open);
        refused(Authority::open(&folder.0), &format!("others may read it (mode {open:o})"));
    }
    chmod(&folder.0.join("authority.pem"), 0o600);
    Authority::open(&folder.0).unwrap();
}

#[test]
fn a_folder_in_which_others_can_put_a_key_is_not_used() {
    let folder = Folder::new();
    for open in [0o777, 0o1777, 0o770, 0o703] {
        chmod(&folder.0, open);
        refused(Authority::create(&folder.0, &app(), day(0)), "others may write to it");
        refused(Authority::open(&folder.0), "others may write to it");
    }
    assert!(names(&folder.0).is_empty());
}

#[test]
fn a_link_in_place_of_the_key_is_not_followed() {
    let (ours, theirs) = (Folder::new(), Folder::new());
    Authority::create(&theirs.0, &app(), day(0)).unwrap();
    std::os::unix::fs::symlink(theirs.0.join("authority.pem"), ours.0.join("authority.pem")).unwrap();
    refused(Authority::open(&ours.0), "cannot read");
}

#[test]
fn a_machine_that_starts_in_1970_makes_no_authority_that_is_dead_once_the_clock_is_set() {
    let folder = Folder::new();
    refused(
        Authority::create(&folder.0, &app(), SystemTime::UNIX_EPOCH + Duration::from_secs(60)),
        "clock says 1970-01-01 00:01 UTC, which cannot be",
    );
    refused(Authority::create(&folder.0, &app(), day(40_000)), "which cannot be");
    assert!(names(&folder.0).is_empty());
}

#[test]
fn a_clock_set_back_or_forward_issues_nothing_and_says_why() {
    let folder = Folder::new();
    let authority = Authority::create(&folder.0, &app(), day(0)).unwrap();
    let back = authority.issue(&spec(), day(-1)).unwrap_err();
    assert_eq!(
        back.to_string().lines().next().unwrap(),
        "the certificate of `evenkeel shop` is valid from 2026-06-01 11:00 UTC, and this machine's clock says 2026-05-31 12:00 UTC"
    );
    assert_eq!(back.class(), Class::Permanent);
    refused(authority.issue(&spec(), day(3651)), "was valid until 2036-05-29 12:00 UTC");
    authority.issue(&spec(), day(0) - Duration::from_secs(1800)).unwrap();
}

#[test]
fn a_node_does_not_outlive_who_vouches_for_it() {
    let folder = Folder::new();
    let authority = Authority::create(&folder.0, &app(), day(0)).unwrap();
    assert!(
        renew_due(authority.ca_pem(), day(2440)).unwrap(),
        "the authority itself is due for years before"
    );
    assert!(!renew_due(authority.ca_pem(), day(2430)).unwrap());
    let node = authority.issue(&spec(), day(3640)).unwrap();
    refused(renew_due(node.cert_pem(), day(3651)), "was valid until 2036-05-29 12:00 UTC");
}

#[test]
fn no_two_certificates_share_a_serial_or_a_key() {
    let folder = Folder::new();
    let authority = Authority::create(&folder.0, &app(), day(0)).unwrap();
    let (one, two) = (authority.issue(&spec(), day(0)).unwrap(), authority.issue(&spec(), day(0)).unwrap());
    assert_ne!(one.key_pem(), two.key_pem());
    let serial = |pem: &str| pem::certificate(pem.as_bytes()).unwrap()[8..34].to_vec();
    assert_ne!(serial(one.cert_pem()), serial(two.cert_pem()));
}
