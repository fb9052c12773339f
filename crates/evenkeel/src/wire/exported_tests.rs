use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{seen_from, write};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("evenkeel-exported-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let all =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = all.collect();
        names.sort();
        names
    }

    #[track_caller]
    fn refuses(&self, files: &[(&str, &str)], why: &str) {
        let before: Vec<_> = self.names().iter().map(|name| fs::read(self.0.join(name)).unwrap()).collect();
        let error = write(&self.0, &files_of(files)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        let after: Vec<_> = self.names().iter().map(|name| fs::read(self.0.join(name)).unwrap()).collect();
        assert_eq!(before, after, "something was written all the same");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files_of(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_folder_with_somebody_elses_files_is_left_as_it_is() {
    let folder = Folder::new("foreign");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("main.tf"), "mine").unwrap();
    folder.refuses(&[("main.tf.json", "{}")], "holds `main.tf`, and no earlier export");
}

#[test]
fn an_earlier_export_is_renewed_and_what_was_added_beside_it_stays() {
    let folder = Folder::new("renewed");
    write(&folder.0, &files_of(&[("main.tf.json", "1"), ("old.tf.json", "1"), ("upload.sh", "1")])).unwrap();
    fs::write(folder.0.join("terraform.tfstate"), "state").unwrap();
    fs::write(folder.0.join("dns.tf"), "mine").unwrap();
    write(&folder.0, &files_of(&[("main.tf.json", "2"), ("upload.sh", "1")])).unwrap();
    assert_eq!(folder.names(), ["dns.tf", "exported.json", "main.tf.json", "terraform.tfstate", "upload.sh"]);
    assert_eq!(fs::read_to_string(folder.0.join("main.tf.json")).unwrap(), "2");
    assert_eq!(fs::read_to_string(folder.0.join("dns.tf")).unwrap(), "mine");
}

#[test]
fn a_file_that_was_changed_by_hand_is_neither_replaced_nor_removed() {
    let folder = Folder::new("changed");
    write(&folder.0, &files_of(&[("main.tf.json", "1"), ("old.tf.json", "1")])).unwrap();
    fs::write(folder.0.join("old.tf.json"), "mine").unwrap();
    folder.refuses(&[("main.tf.json", "2")], "was changed since");
    folder.refuses(&[("main.tf.json", "2"), ("old.tf.json", "2")], "was changed since");
    // What is to be written is there already: nothing is lost.
    write(&folder.0, &files_of(&[("main.tf.json", "2"), ("old.tf.json", "mine")])).unwrap();
    fs::write(folder.0.join("new.tf.json"), "mine").unwrap();
    folder.refuses(&[("main.tf.json", "3"), ("new.tf.json", "3")], "is not evenkeel's");
}

#[test]
fn a_list_that_leads_out_of_the_folder_is_not_followed() {
    let folder = Folder::new("out");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("exported.json"), "{\"format_version\":1,\"files\":{\"../x\":\"0\"}}").unwrap();
    folder.refuses(&[("main.tf.json", "2")], "is no file of ours");
}

#[test]
fn the_state_folder_is_found_from_the_folder_of_the_files() {
    let folder = Folder::new("seen");
    let at = |name: &str| folder.0.join(name);
    fs::create_dir_all(at("real/cloud")).unwrap();
    std::os::unix::fs::symlink(at("real/cloud"), at("link")).unwrap();
    for (from, to, way) in [
        ("cloud", ".evenkeel", "../.evenkeel"),
        ("cloud/aws", ".evenkeel", "../../.evenkeel"),
        ("cloud", "cloud/state", "state"),
        ("cloud", "other/../.evenkeel", "../.evenkeel"),
        ("cloud", "cloud", "."),
        // A shell in the link is in what it leads to.
        ("link", ".evenkeel", "../../.evenkeel"),
    ] {
        assert_eq!(seen_from(&at(from), &at(to)).unwrap(), Path::new(way), "{to} from {from}");
    }
    // Folders without anything in common.
    assert_eq!(seen_from(&at("cloud"), Path::new("/nowhere/state")).unwrap(), Path::new("/nowhere/state"));
}
