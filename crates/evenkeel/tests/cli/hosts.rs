//! What `down` and `logs` leave alone: what runs on other hosts, agents of a host, and folders of others.

use super::*;

#[test]
fn what_runs_on_other_hosts_is_neither_ended_nor_read_here_and_says_where_it_is() {
    let folder = Folder::new("hosts");
    // Nobody listens on port 1.
    folder.file(".evenkeel/hosts.json", r#"{ "store": "etcd://127.0.0.1:1", "token": null }"#);
    folder.run(&["down"]).fails("runs on other hosts", "SIGTERM");
    folder.run(&["logs"]).fails("no unit has printed anything on this machine", "on its host");
    folder.run(&["logs", "web"]).fails("no unit `web` has printed anything on this machine", "on its host");
    for words in [&["status"][..], &["failover", "db"], &["drill", "primary"]] {
        folder.run(words).fails("the store does not answer", "`etcd://127.0.0.1:1`");
    }
    folder.run(&["drill", "primary", "--abort-percent", "5"]).fails("`--abort-percent`", "leave it out");
    folder.file(".evenkeel/zones/a/units/web-1/log", "hello\n");
    let told = folder.run(&["logs"]).code(0);
    assert!(
        told.data.contains("hello") && told.talk.contains("this machine alone"),
        "{} {}",
        told.data,
        told.talk
    );
    folder.file(".evenkeel/lock", "");
    folder.run(&["down", "--delete-data"]).fails("runs on other hosts", "SIGTERM");
    folder.file(".evenkeel/hosts.json", r#"{ "store": "etcd://nope:x:y/", "token": null }"#);
    folder.run(&["status"]).fails("is no address of a store", "writes it anew");
}

/// An agent on a host holds the lock of its zone, and no supervisor is there.
#[test]
fn down_ends_no_agent_of_a_host_and_deletes_none_of_its_data() {
    let folder = Folder::new("agent");
    folder.file(".evenkeel/lock", "");
    folder.file(".evenkeel/zones/a/lock", "");
    folder.file(".evenkeel/zones/a/data", "");
    let lock = fs::File::options().write(true).open(folder.0.join(".evenkeel/zones/a/lock")).unwrap();
    lock.lock().unwrap();
    for words in [&["down"][..], &["down", "--delete-data"]] {
        folder.run(words).fails("the agent of zone `a` runs", "SIGTERM");
    }
    assert!(folder.0.join(".evenkeel/zones/a/data").exists());
    drop(lock);
    folder.run(&["down", "--delete-data"]).code(0);
    assert!(!folder.0.join(".evenkeel").exists());
}

#[test]
fn down_never_removes_what_evenkeel_did_not_make() {
    let folder = Folder::new("foreign");
    let precious = folder.file("mine/store/precious", "data");
    folder.run(&["down", "--delete-data", "--state", "mine"]).fails("nothing was ever started", "--state");
    folder.file("mine/lock", "");
    let beside = folder.file("mine/README", "mine");
    fs::remove_file(&precious).unwrap();
    let told = folder.run(&["down", "--delete-data", "--state", "mine"]).code(0);
    assert!(told.talk.contains("deleting"), "what goes is told: {}", told.talk);
    assert!(beside.exists() && !folder.0.join("mine/lock").exists());
}
