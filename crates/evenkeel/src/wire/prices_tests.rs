use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("evenkeel-prices-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const UPDATE: &str = "[sources]\nid,kind,date,licence,document\nmine,read,2026-12-01,-,our list\n\
    [machines gcp mine]\ntype,vcpu,mem_gib,us-east4\nn2-standard-2,2,8,0.1\n";

#[test]
fn a_wrong_update_leaves_the_old_prices() {
    let folder = Folder::new("update");
    let site = Site::at(&folder.0.join("state")).unwrap();
    assert_eq!(catalog(&site).unwrap(), Catalog::shipped());
    let file = folder.0.join("mine.csv");
    fs::write(&file, UPDATE).unwrap();
    let updated = update(&site, &file).unwrap();
    assert_eq!(updated.updated.as_deref(), Some("2026-12-01"));
    assert_eq!(catalog(&site).unwrap(), updated);
    for (wrong, said) in [
        (UPDATE.replace(",0.1\n", ",-0.1\n").into_bytes(), "line 6: `-0.1` is no price above 0"),
        (UPDATE.as_bytes()[..UPDATE.len() - 20].to_vec(), "line 6"),
        (Vec::new(), "line 1: the file has no section"),
        (vec![0xff, 0xfe], "is no UTF-8 text"),
    ] {
        fs::write(&file, wrong).unwrap();
        let error = format!("{:#}", update(&site, &file).unwrap_err());
        assert!(error.contains(said), "{error}");
        assert_eq!(catalog(&site).unwrap(), updated);
    }
    assert!(update(&site, &folder.0).is_err());
    assert!(update(&site, &folder.0.join("nothing")).is_err());
    // What an older version took may be refused by a newer one: that is said, and not passed over.
    fs::write(site.catalog_path(), "[old]\n").unwrap();
    assert!(format!("{:#}", catalog(&site).unwrap_err()).contains("line 1: `[old]` begins no section"));
}

#[test]
fn the_day_is_that_of_the_calendar() {
    for (seconds, day) in [
        (0, "1970-01-01"),
        (951_782_399, "2000-02-28"),
        (951_782_400, "2000-02-29"),
        (1_735_689_599, "2024-12-31"),
        (1_795_910_400, "2026-11-29"),
        (4_107_542_400, "2100-03-01"),
    ] {
        assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), day);
    }
}
