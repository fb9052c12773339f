use std::fs;

use super::*;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ek-place-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

#[test]
fn data_in_a_users_own_folder_is_for_that_user_alone_and_roots_can_be_passed_through() {
    let root = folder("own");
    make(&root.join("zones/a/databases")).unwrap();
    make(&root.join("zones/a/databases")).unwrap();
    let mode = fs::metadata(root.join("zones/a")).unwrap().mode() & 0o777;
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(mode, if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 });
}

#[test]
fn roots_data_lies_where_another_user_can_pass_and_a_new_state_folder_does_not_find_the_old_ones() {
    if !rustix::process::geteuid().is_root() {
        crate::say::talk("SKIPPED: not root, so PostgreSQL need not drop to another user");
        return;
    }
    let state = folder("state");
    let site = Site::at(&state).unwrap();
    site.create().unwrap();
    let zone = ZoneName::new("a").unwrap();
    let first = of(&site, &zone).unwrap();
    assert!(first.starts_with(ROOT) && first.ends_with("a"), "{}", first.display());
    assert_eq!(of(&site, &zone).unwrap(), first, "a run finds its data again");
    make(&first).unwrap();
    let modes: Vec<u32> =
        first.ancestors().take(3).map(|path| fs::metadata(path).unwrap().mode() & 0o777).collect();
    let run = outside(&site).unwrap().unwrap();
    fs::remove_dir_all(&run).unwrap();
    fs::remove_dir_all(&state).unwrap();
    site.create().unwrap();
    let second = of(&site, &zone).unwrap();
    fs::remove_dir_all(&state).unwrap();
    assert_eq!(modes, [0o711; 3]);
    assert_ne!(first, second);
}

#[test]
fn a_name_that_leads_elsewhere_is_refused_and_nothing_is_deleted_there() {
    let state = folder("damaged");
    let site = Site::at(&state).unwrap();
    site.create().unwrap();
    assert_eq!(outside(&site).unwrap(), None);
    for bad in ["", "..", "../../home", "a/b", "abc\n"] {
        fs::write(site.data_id(), bad).unwrap();
        assert!(outside(&site).is_err(), "{bad:?}");
    }
    fs::remove_dir_all(&state).unwrap();
}
