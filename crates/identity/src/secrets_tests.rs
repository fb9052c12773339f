use std::fs;

use super::*;
use crate::Class;
use crate::rig::{Folder, chmod, mode, names, refused};

#[test]
fn a_secret_is_made_once_and_is_the_same_after_a_restart() {
    let folder = Folder::new();
    let dir = folder.0.join("secrets");
    let first = Secrets::open(&dir).unwrap().get_or_create("db/superuser").unwrap();
    let again = Secrets::open(&dir).unwrap();
    assert!(again.get_or_create("db/superuser").unwrap() == first);
    assert!(again.get_or_create("db/replicator").unwrap() != first);
    assert!(again.get("db/app").unwrap().is_none());
    assert_eq!(again.names().unwrap(), ["db/replicator", "db/superuser"]);
    assert_eq!(names(&dir), ["secrets.json", "secrets.lock"]);
    assert_eq!([mode(&dir), mode(&dir.join("secrets.json"))], [0o700, 0o600]);
    assert!(!format!("{again:?}").contains(first.expose().as_str()));
}

/// As a caller does who is told that another one writes.
fn patient(secrets: &Secrets, name: &str) -> Secret {
    loop {
        match secrets.get_or_create(name) {
            Err(busy) if busy.class() == Class::Transient => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

#[test]
fn eight_writers_at_once_lose_no_secret_and_agree_on_each() {
    let folder = Folder::new();
    let start = std::sync::Barrier::new(8);
    let all: Vec<Vec<String>> = std::thread::scope(|scope| {
        let one = || {
            let secrets = Secrets::open(&folder.0).unwrap();
            start.wait();
            (0..12).map(|n| patient(&secrets, &format!("s-{n}")).expose().to_string()).collect()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|own| *own == all[0]));
    assert_eq!(Secrets::open(&folder.0).unwrap().names().unwrap().len(), 12);
}

#[test]
fn a_writer_that_hangs_with_the_lock_is_named_and_reading_goes_on() {
    let folder = Folder::new();
    let secrets = Secrets::open(&folder.0).unwrap();
    let made = secrets.get_or_create("a").unwrap();
    let held = secrets.lock().unwrap();
    let busy = secrets.get_or_create("b").unwrap_err();
    assert_eq!(busy.class(), Class::Transient);
    assert!(busy.to_string().contains("secrets.lock` is being written by another process"), "{busy}");
    assert!(secrets.get_or_create("a").unwrap() == made, "what is there needs no lock");
    drop(held);
    secrets.get_or_create("b").unwrap();
}

#[test]
fn a_half_written_file_is_refused_and_not_begun_anew() {
    let folder = Folder::new();
    let secrets = Secrets::open(&folder.0).unwrap();
    let made = secrets.get_or_create("a").unwrap();
    let path = folder.0.join(FILE);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        refused(secrets.get("a"), "is damaged: line");
        refused(secrets.get_or_create("b"), "is damaged: line");
        assert_eq!(fs::read(&path).unwrap(), &whole[..length], "what is left of it is not touched");
    }
    fs::write(&path, &whole).unwrap();
    assert!(secrets.get("a").unwrap() == Some(made));
}

#[test]
fn a_file_of_a_newer_version_or_with_a_foreign_value_is_refused_without_quoting_it() {
    let folder = Folder::new();
    let secrets = Secrets::open(&folder.0).unwrap();
    let put = |text: &str| {
        fs::write(folder.0.join(FILE), text).unwrap();
        chmod(&folder.0.join(FILE), 0o600);
    };
    put(r#"{"format_version": 2, "secrets": {}}"#);
    refused(secrets.get("a"), "its form is 2, this program knows 1");
    for text in [r#""hunter2""#, r#"["hunter2"]"#, r#"{"format_version": 1, "secrets": {"a": "hunter2"}}"#] {
        put(text);
        let said = secrets.get("a").unwrap_err().to_string();
        assert!(said.contains("is damaged") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn secrets_that_others_could_read_or_put_there_are_not_used() {
    let folder = Folder::new();
    let secrets = Secrets::open(&folder.0).unwrap();
    secrets.get_or_create("a").unwrap();
    chmod(&folder.0.join(FILE), 0o644);
    refused(secrets.get("a"), "others may read it (mode 644)");
    refused(secrets.get_or_create("b"), "others may read it (mode 644)");
    chmod(&folder.0, 0o777);
    refused(Secrets::open(&folder.0), "others may write to it (mode 777)");
}

#[test]
fn a_name_that_could_end_up_in_a_path_or_statement_is_checked() {
    let folder = Folder::new();
    let secrets = Secrets::open(&folder.0).unwrap();
    for name in ["", "A", "a b", "a'b", "ü", "a\n", &"x".repeat(81)] {
        refused(secrets.get_or_create(name), "cannot name a secret");
    }
    assert!(names(&folder.0).is_empty());
}
