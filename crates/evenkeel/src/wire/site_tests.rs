use std::os::unix::fs::PermissionsExt;

use super::super::fixture::zone;
use super::super::{sign, signed_by};
use super::*;

/// A state folder of its own, removed at the end; the space in its name is on purpose.
struct Folder(Site);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("evenkeel site {name} {}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let site = Site::at(&path).unwrap();
        site.create().unwrap();
        Folder(site)
    }

    /// How many files there are, folders not counted.
    fn files(&self) -> usize {
        let found = std::fs::read_dir(self.0.root()).unwrap();
        found.filter(|found| found.as_ref().unwrap().path().is_file()).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.root());
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn record() -> RunRecord {
    let zones = vec![ZoneAddress { zone: zone("a"), address: "127.0.1.1".parse().unwrap() }];
    let (store, base) = ("127.0.0.1:1".parse().unwrap(), PathBuf::from("/srv/my shop"));
    RunRecord { pid: 1, isolate: false, zones, store, base }
}

#[test]
fn others_on_the_machine_cannot_read_tokens_or_what_units_print() {
    let folder = Folder::new("private");
    for folder in [folder.0.root(), &folder.0.store_dir(), &folder.0.zones_dir()] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    folder.0.write_run(&record()).unwrap();
    assert_eq!(mode(&folder.0.root().join("run.json")), 0o600);
}

#[test]
fn a_record_is_read_as_it_was_written_until_it_is_removed() {
    let folder = Folder::new("record");
    assert_eq!(folder.0.read_run().unwrap(), None);
    folder.0.write_run(&record()).unwrap();
    folder.0.write_run(&RunRecord { pid: 2, ..record() }).unwrap();
    assert_eq!(folder.0.read_run().unwrap(), Some(RunRecord { pid: 2, ..record() }));
    assert_eq!(folder.files(), 1, "nothing half written is left");
    folder.0.remove_run();
    folder.0.remove_run();
    assert_eq!(folder.0.read_run().unwrap(), None);
}

#[test]
fn a_file_of_the_user_with_a_like_name_is_not_overwritten() {
    let folder = Folder::new("endings");
    let (one, other) = (folder.0.root().join("plan.json"), folder.0.root().join("plan.new"));
    std::fs::write(&other, "of the user").unwrap();
    write_whole(&one, b"plan").unwrap();
    assert!(write_whole(&folder.0.root().join("no/such"), b"").is_err());
    assert!(write_whole(&folder.0.root().join("no/"), b"").is_err(), "a folder was asked for");
    assert_eq!(folder.files(), 2, "nothing half written is left");
    assert_eq!(
        (std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap()),
        (b"plan".to_vec(), b"of the user".to_vec())
    );
}

#[test]
fn only_the_holder_of_the_lock_runs_here() {
    let folder = Folder::new("lock");
    assert!(!folder.0.is_running().unwrap(), "looking makes no lock");
    assert!(!folder.0.lock_path().exists());
    let held = folder.0.hold().unwrap().unwrap();
    assert!(folder.0.is_running().unwrap() && folder.0.hold().unwrap().is_none());
    assert_eq!(folder.0.supervisor(), None, "it has not signed yet");
    sign(&held).unwrap();
    assert_eq!(folder.0.supervisor(), ProcessId::own());
    drop(held);
    assert!(!folder.0.is_running().unwrap());
}

#[test]
fn a_process_that_merely_got_the_number_of_a_dead_one_is_not_signalled() {
    let folder = Folder::new("signed");
    let own = ProcessId::own().unwrap();
    let path = folder.0.lock_path();
    for (text, named) in [
        (serde_json::to_string(&own).unwrap(), true),
        (serde_json::to_string(&ProcessId { started: own.started + 1, ..own }).unwrap(), false),
        (format!("{}", own.pid), false),
        (String::new(), false),
        ("{\"pid\":".to_owned(), false),
    ] {
        std::fs::write(&path, &text).unwrap();
        assert_eq!(signed_by(&path).is_some(), named, "{text}");
    }
    // A longer text of an earlier holder leaves nothing behind.
    std::fs::write(&path, "x".repeat(500)).unwrap();
    sign(&folder.0.hold().unwrap().unwrap()).unwrap();
    assert_eq!(signed_by(&path), Some(own));
}

#[test]
fn nothing_running_and_not_stopped_are_told_apart() {
    let folder = Folder::new("connect");
    let told = || folder.0.connect().map(|_| ()).unwrap_err().to_string();
    assert!(told().starts_with("nothing runs from"), "{}", told());
    folder.0.write_run(&record()).unwrap();
    assert!(told().contains("nobody looks after it"), "{}", told());
    let _held = folder.0.hold().unwrap();
    assert_eq!(told(), "cannot read the store's token");
}

#[test]
fn a_folder_that_somebody_else_can_fill_is_refused_before_anything_in_it_is_read() {
    let root = std::env::temp_dir().join(format!("ek-site-guard-{}", std::process::id()));
    let site = Site::at(&root).unwrap();
    site.create().unwrap();
    assert!(site.hold().unwrap().is_some(), "our own folder is taken");
    let about = std::fs::metadata(&root).unwrap();
    let owner = about.uid();
    assert!(site.guard_as(&about, owner + 1, None).is_err(), "another user's");
    assert!(site.guard_as(&about, owner + 1, Some(owner)).is_ok(), "that of whoever called `sudo`");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let outcome = (site.create().is_err(), site.hold().is_err());
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!(outcome, (true, true));
}
