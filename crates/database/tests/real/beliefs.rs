//! When PostgreSQL acknowledges, and when it must not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use database::instance::{Acks, LoweredCommit, Observation, Role, Settings, SlotName, Upstream};

use crate::rig::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_once_the_receivers_are_gone() {
    let Some(place) = Place::new("receivers gone") else { return };
    let (a, b, c) = (place.node("a"), place.node("b"), place.node("c"));
    let acks = any_one(&["b-1", "c-1"]);
    let _a = a.start_primary(acks).await;
    let run_b = b.follow(&a, "b-1").await;
    let run_c = c.follow(&a, "c-1").await;
    let client = a.shop().await;
    order(&client, 1).await.unwrap();

    b.revoke(&run_b).await;
    c.revoke(&run_c).await;
    let (mut insert, _) = pending(&a, 2).await;
    not_acknowledged(&mut insert).await;

    // The standby dies and comes back: its files say that it has no upstream, so it does not call the old primary.
    b.kill().await.unwrap();
    let run_b = b.start().unwrap();
    b.until("it is back and looks for WAL", |seen| seen.replay_waits).await;
    not_acknowledged(&mut insert).await;
    assert_eq!(a.until("it answers", |_| true).await.senders, []);

    // The old primary was frozen meanwhile: it wakes up, and still nobody acknowledges.
    a.freeze();
    assert!(a.observe(Duration::from_millis(200)).await.is_err());
    assert!(a.probe(Duration::from_millis(200)).await.is_err());
    a.thaw();
    not_acknowledged(&mut insert).await;
    let (mut after, _) = pending(&a, 3).await;
    not_acknowledged(&mut after).await;

    // They waited for nothing else: with one receiver back both are acknowledged.
    let role = Role::Standby { upstream: Some(a.upstream("b-1")) };
    b.change(&run_b, &Settings { role, acks: Acks::Never, open: true });
    for insert in [insert, after] {
        tokio::time::timeout(PATIENCE, insert).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_the_new_primary_never_calls_the_old_one() {
    let Some(place) = Place::new("fresh clone") else { return };
    let (a, b, c) = (place.node("a"), place.node("b"), place.empty("c"));
    let _a = a.start_primary(any_one(&["b-1", "c-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    a.shop().await;
    b.revoke(&run_b).await;
    b.change(&run_b, &primary(any_one(&["c-2"]), true));
    b.promote(PATIENCE).await.unwrap();

    // The settings that came with the backup are not used: the old primary stands in none of ours.
    let role = Role::Standby { upstream: Some(b.upstream("c-2")) };
    c.configure(&Settings { role, acks: Acks::Never, open: true }).unwrap();
    c.clone_from(&b.upstream("c-2"), false, PATIENCE).await.unwrap();
    let _c = c.follow(&b, "c-2").await;
    order(&b.client().await, 2).await.unwrap();
    let (mut insert, _) = pending(&a, 1).await;
    not_acknowledged(&mut insert).await;
    assert_eq!(a.until("it answers", |_| true).await.senders, []);
    let receiver = c.until("it receives", |seen| seen.receiver.is_some()).await.receiver.unwrap();
    assert_eq!(receiver.sender_port, Some(b.options().listen.port()));
    assert_eq!((receiver.name.as_deref(), receiver.timeline), (Some("c-2"), Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_the_secret_of_replication_can_borrow_a_standbys_name() {
    let Some(place) = Place::new("borrowed name") else { return };
    let a = place.node("a");
    let _a = a.start_primary(Acks::NotAwaited).await;
    a.sql("postgres", "CREATE ROLE sneak REPLICATION LOGIN PASSWORD 'sneak'");
    a.sql("postgres", "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'");
    let refused = [
        ("sneak", "sneak"),
        ("boss", "boss"),
        ("shop", APPLICATION_PASSWORD),
        ("evenkeel", ""),
        ("evenkeel_rewind", "rewind secret"),
    ];
    for (user, password) in refused {
        let words = format!("user={user} replication=true application_name=b-1");
        let output = a.over_tcp(&words, password, "IDENTIFY_SYSTEM");
        let says = String::from_utf8_lossy(&output.stderr);
        assert!(says.contains("pg_hba.conf rejects replication connection"), "{user}: {says}");
    }
    for user in ["boss", "evenkeel", "evenkeel_replication", "sneak"] {
        let output = a.over_tcp(&format!("user={user} dbname=postgres"), "boss", "SELECT 1");
        let says = String::from_utf8_lossy(&output.stderr);
        assert!(says.contains("pg_hba.conf rejects connection"), "{user}: {says}");
    }
    let words = "user=evenkeel_replication replication=true application_name=b-1";
    assert!(!a.over_tcp(words, "guessed", "IDENTIFY_SYSTEM").status.success());
    // What remains: who holds the secret. Without TLS that is all it takes.
    assert!(a.over_tcp(words, REPLICATION_PASSWORD, "IDENTIFY_SYSTEM").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_wait_looks_like_success() {
    let Some(place) = Place::new("cancelled wait") else { return };
    let a = place.node("a");
    let run_a = a.start_primary(Acks::NotAwaited).await;
    a.shop().await;
    a.change(&run_a, &primary(Acks::Never, true));
    a.until_acks(&Acks::Never).await;
    // From none to some by a reload: nothing shows that the checkpointer has read it but its having passed its loop.
    a.checkpoint(PATIENCE).await.unwrap();
    a.checkpoint(PATIENCE).await.unwrap();

    // The belief: the client of a cancelled commit sees nothing but success.
    let (insert, cancel) = pending(&a, 1).await;
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    assert_eq!(insert.await.unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_makes_a_commit_visible_that_no_standby_has_and_the_fence_hides_it() {
    let Some(place) = Place::new("crash restart") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(any_one(&["b-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    let client = a.shop().await;
    order(&client, 1).await.unwrap();
    b.revoke(&run_b).await;
    let (insert, _) = pending(&a, 2).await;
    assert_eq!(a.orders(), "1", "it waits, and nobody sees it");
    a.kill().await.unwrap();
    assert!(insert.await.unwrap().is_err());

    let run_a = a.start_with(primary(any_one(&["b-1"]), false)).await;
    assert_eq!(a.orders(), "1,2", "the belief: it was never acknowledged, and is there");
    let refused = a.try_client().await.err().unwrap();
    assert!(refused.as_db_error().unwrap().message().contains("pg_hba.conf rejects"), "{refused:?}");

    // Opened on purpose it can be read; fenced again, who is in is put out and stays out.
    a.change(&run_a, &primary(any_one(&["b-1"]), true));
    let mut opened = a.try_client().await;
    while opened.is_err() {
        opened = a.try_client().await;
    }
    assert_eq!(opened.as_ref().unwrap().query("SELECT FROM orders", &[]).await.unwrap().len(), 2);
    a.change(&run_a, &primary(any_one(&["b-1"]), false));
    while a.try_client().await.is_ok() {}
    a.terminate_clients(PATIENCE).await.unwrap();
    a.until("nobody is in", |seen| seen.clients == 0).await;
    let cleans = || a.sql("postgres", "SHOW autovacuum");
    assert_eq!(cleans(), "off", "nothing writes while it is closed");
    a.change(&run_a, &primary(any_one(&["b-1"]), true));
    a.until("it is open again", |_| cleans() == "on").await;
    assert!(opened.unwrap().query("SELECT FROM orders", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_keeps_all_that_was_received() {
    let Some(place) = Place::new("promotion") else { return };
    let (a, b, c) = (place.node("a"), place.node("b"), place.node("c"));
    let _a = a.start_primary(any_one(&["b-1", "c-1"])).await;
    let (run_b, run_c) = (b.follow(&a, "b-1").await, c.follow(&a, "c-1").await);
    let client = a.shop().await;
    let writer = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for id in 0.. {
            match order(&client, id).await {
                Ok(_) => acknowledged.push(id),
                Err(_) => break,
            }
        }
        acknowledged
    });
    // Killed in the middle of it.
    b.until("some orders are there", |_| b.orders().split(',').count() > 50).await;
    a.kill().await.unwrap();
    let acknowledged = writer.await.unwrap();

    let (seen_b, seen_c) = (b.revoke(&run_b).await, c.revoke(&run_c).await);
    let b_is_ahead = seen_b.has_up_to() >= seen_c.has_up_to();
    let (new, run, seen) = if b_is_ahead { (&b, &run_b, seen_b) } else { (&c, &run_c, seen_c) };
    new.change(run, &primary(Acks::NotAwaited, true));
    new.until_acks(&Acks::NotAwaited).await;
    new.promote(PATIENCE).await.unwrap();
    let there = new.orders();
    let there: Vec<u32> = there.split(',').map(|id| id.parse().unwrap()).collect();
    for id in &acknowledged {
        assert!(there.contains(id), "order {id} of {} is lost", acknowledged.len());
    }
    let forks = new.timeline_history(2).unwrap();
    assert_eq!(forks.len(), 1);
    assert_eq!(forks[0].timeline, 1);
    assert!(
        Some(forks[0].at) <= seen.has_up_to() && Some(forks[0].at) >= seen.replayed,
        "{forks:?} {seen:?}"
    );
    let after = new.until("it writes", |seen| !seen.in_recovery).await;
    assert_eq!(after.timeline, 2);
    new.checkpoint(PATIENCE).await.unwrap();
    assert_eq!(new.control().await.unwrap().timeline, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_another_term_does_not_count_and_a_removed_standby_no_longer() {
    let Some(place) = Place::new("names of terms") else { return };
    let (a, b, c) = (place.node("a"), place.node("b"), place.node("c"));
    let run_a = a.start_primary(any_one(&["b-2"])).await;
    let _b = b.follow(&a, "b-1").await;
    let _c = c.follow(&a, "c-2").await;
    let rank = |seen: &Observation, name: &str| {
        seen.senders.iter().find(|sender| sender.name == name).map(|sender| sender.sync_priority)
    };
    let seen = a.until("both stream", |seen| {
        seen.senders.iter().filter(|sender| sender.state == "streaming").count() == 2
    });
    let seen = seen.await;
    assert_eq!((rank(&seen, "b-1"), rank(&seen, "c-2")), (Some(0), Some(0)));
    let client = a.client().await;
    let mut early = tokio::spawn(async move { client.execute("CREATE TABLE early ()", &[]).await });
    not_acknowledged(&mut early).await;

    let both = any_one(&["b-1", "c-2"]);
    a.change(&run_a, &primary(both.clone(), true));
    a.until_acks(&both).await;
    a.until("both count", |seen| rank(seen, "b-1") == Some(1) && rank(seen, "c-2") == Some(1)).await;
    tokio::time::timeout(PATIENCE, early).await.unwrap().unwrap().unwrap();
    a.shop().await;

    // Shrunk to b alone: confirmed, c's acknowledgement is worth nothing.
    let alone = any_one(&["b-1"]);
    a.change(&run_a, &primary(alone.clone(), true));
    a.until_acks(&alone).await;
    b.freeze();
    let (mut insert, _) = pending(&a, 1).await;
    let here = a.until("it answers", |_| true).await.flushed;
    a.until("c has it", |seen| {
        seen.senders.iter().any(|sender| sender.name == "c-2" && sender.flushed >= here)
    })
    .await;
    not_acknowledged(&mut insert).await;
    b.thaw();
    tokio::time::timeout(PATIENCE, insert).await.unwrap().unwrap().unwrap();
    let names = [name("b-1"), name("c-2")];
    assert_eq!(a.terminate_walsenders(&names[1..], PATIENCE).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lowers_the_promise_of_a_commit_is_seen() {
    let Some(place) = Place::new("lowered commits") else { return };
    let a = place.node("a");
    let run_a = a.start_primary(Acks::Never).await;
    // Any role may do it to itself, so it cannot be forbidden, only seen; and with it its own commit does not wait.
    let client = a.client().await;
    client
        .batch_execute("SET synchronous_commit = off; ALTER ROLE shop SET synchronous_commit = off")
        .await
        .unwrap();
    a.sql("postgres", "SET synchronous_commit = local; ALTER DATABASE shop SET synchronous_commit = 'local'");
    let lowered = |database: Option<&str>, role: Option<&str>, value: &str| LoweredCommit {
        database: database.map(str::to_owned),
        role: role.map(str::to_owned),
        value: value.to_owned(),
    };
    let seen = a.until("both are there", |seen| seen.lowered.len() == 2).await;
    assert_eq!(seen.lowered, [lowered(Some("shop"), None, "local"), lowered(None, Some("shop"), "off")]);

    // A superuser's `ALTER SYSTEM`: what is pinned stays, the rest is seen and taken out.
    a.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
    a.sql("postgres", "ALTER SYSTEM SET fsync = off");
    a.sql("postgres", "ALTER SYSTEM SET synchronous_commit = off");
    a.sql("postgres", "ALTER SYSTEM SET work_mem = '8MB'");
    run_a.reload();
    while a.confirm_sync(&Acks::Never, PATIENCE).await.unwrap().confirmed() {}
    assert_eq!(a.sql("postgres", "SHOW fsync"), "on");
    assert_eq!(a.sql("postgres", "SHOW synchronous_commit"), "on");
    let audit = a.audit(PATIENCE).await.unwrap();
    let names: Vec<&str> = audit.overridden.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, audit.pending_restart.len()), (vec!["synchronous_standby_names"], 0));
    assert!(a.configure(&primary(Acks::Never, true)).unwrap().changed);
    run_a.reload();
    a.until_acks(&Acks::Never).await;
    assert_eq!(a.audit(PATIENCE).await.unwrap(), database::instance::Audit::default());
    assert_eq!(a.sql("postgres", "SHOW work_mem"), "8MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_replay_is_paused_can_still_be_revoked() {
    let Some(place) = Place::new("paused replay") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(any_one(&["b-1"])).await;
    let run_b = b.follow(&a, "b-1").await;
    a.shop().await;
    b.sql("postgres", "SELECT pg_wal_replay_pause()");
    let client = a.client().await;
    order(&client, 1).await.unwrap();
    let role = Role::Standby { upstream: None };
    b.change(&run_b, &Settings { role, acks: Acks::Never, open: true });
    b.until("its receiver is gone", |seen| {
        if let Some(receiver) = &seen.receiver {
            b.end_receiver(receiver);
        }
        seen.receiver.is_none()
    })
    .await;
    let (mut insert, _) = pending(&a, 2).await;
    not_acknowledged(&mut insert).await;
    b.sql("postgres", "SELECT pg_wal_replay_resume()");
    b.until("it has replayed all", |seen| seen.replay_waits).await;
    not_acknowledged(&mut insert).await;
    assert_eq!(b.orders(), "1");
}

/// A standby that receives from `from` through a slot there.
fn through(slot: &str, from: &Node, name: &str) -> Settings {
    let slot = Some(SlotName::new(slot).unwrap());
    let upstream = Some(Upstream { slot, ..from.upstream(name) });
    Settings { role: Role::Standby { upstream }, acks: Acks::Never, open: true }
}

fn feeds(seen: &Observation) -> bool {
    seen.senders.iter().any(|sender| sender.state == "streaming")
}

/// A slot's name holds the term: who is not that term's primary has none, and feeds nobody, whatever it runs as.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_streams_through_a_slot_of_another_term() {
    let Some(place) = Place::new("slots of terms") else { return };
    let (a, b, c) = (place.node("a"), place.node("b"), place.node("c"));
    let run_a = a.start_primary(any_one(&["b-1", "b-2"])).await;
    a.create_slot(&SlotName::new("b_1").unwrap(), PATIENCE).await.unwrap();
    let run_b = b.start_with(through("b_1", &a, "b-1")).await;
    a.until("it feeds b", feeds).await;
    order(&a.shop().await, 1).await.unwrap();

    // The name of the next term counts already; its slot is not there.
    b.change(&run_b, &through("b_2", &a, "b-2"));
    a.until("it feeds nobody", |seen| !feeds(seen)).await;
    let before = b.until("it answers", |_| true).await.has_up_to();
    let (mut insert, _) = pending(&a, 2).await;
    not_acknowledged(&mut insert).await;
    assert_eq!(b.until("it answers", |_| true).await.has_up_to(), before, "something was received");
    a.create_slot(&SlotName::new("b_2").unwrap(), PATIENCE).await.unwrap();
    tokio::time::timeout(PATIENCE, insert).await.unwrap().unwrap().unwrap();

    // The old primary is started again, as a standby of the next one. One that kept its slots goes on feeding in the old term...
    let run_c = c.follow(&a, "c-1").await;
    stop_fast(&run_a).await;
    c.revoke(&run_c).await;
    c.change(&run_c, &primary(Acks::NotAwaited, true));
    c.until_acks(&Acks::NotAwaited).await;
    c.promote(PATIENCE).await.unwrap();
    let client = c.client().await;
    order(&client, 3).await.unwrap();
    a.follow(&c, "a-2").await;
    b.until("it is fed by a primary of the past", |_| b.orders() == "1,2,3").await;

    // ... so a start takes them away.
    a.kill().await.unwrap();
    for slot in fs::read_dir(a.data().join("pg_replslot")).unwrap().flatten() {
        fs::remove_dir_all(slot.path()).unwrap();
    }
    a.follow(&c, "a-2").await;
    order(&client, 4).await.unwrap();
    a.until("it has all", |_| a.orders() == "1,2,3,4").await;
    tokio::time::sleep(WATCHED).await;
    assert!(!feeds(&a.until("it answers", |_| true).await));
    assert_eq!(b.orders(), "1,2,3");
}

/// Log out of an archive would come past an upstream that was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_command_that_somebody_has_set_brings_nothing_to_a_standby_that_was_cut_off() {
    let Some(place) = Place::new("restore command") else { return };
    let (a, b) = (place.node("a"), place.node("b"));
    let _a = a.start_primary(Acks::NotAwaited).await;
    let run_b = b.follow(&a, "b-1").await;
    let client = a.shop().await;
    order(&client, 1).await.unwrap();
    let all = a.until("it answers", |_| true).await.flushed;
    b.until("it has all", |seen| seen.replayed >= all).await;
    let archive = place.folder.join("archive");
    fs::create_dir(&archive).unwrap();
    let command = format!("ALTER SYSTEM SET restore_command = '/bin/cp {}/%f %p'", archive.display());
    b.sql("postgres", &command);
    let end = b.revoke(&run_b).await.replayed;

    for id in 2..5 {
        order(&client, id).await.unwrap();
        a.sql("postgres", "SELECT pg_switch_wal()");
    }
    for file in fs::read_dir(a.data().join("pg_wal")).unwrap().flatten() {
        let copy = archive.join(file.file_name());
        if file.metadata().unwrap().is_file() {
            fs::copy(file.path(), &copy).unwrap();
            // PostgreSQL may be another user.
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
    let sets = fs::read_to_string(b.data().join("postgresql.auto.conf")).unwrap();
    assert!(sets.contains("restore_command = '/bin/cp "), "the setting is gone: {sets}");
    tokio::time::sleep(WATCHED).await;
    let seen = b.until("it waits", |seen| seen.replay_waits).await;
    assert_eq!((seen.replayed, b.orders().as_str()), (end, "1"));
    b.kill().await.unwrap();
    let _b = b.start().unwrap();
    b.until("it waits", |seen| seen.replay_waits).await;
    tokio::time::sleep(WATCHED).await;
    let seen = b.until("it waits", |seen| seen.replay_waits).await;
    assert_eq!((seen.replayed, b.orders().as_str()), (end, "1"));
}

/// What users raise by `ALTER SYSTEM`, they raise on one node.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_with_fewer_connections_than_its_primary_had_is_promoted() {
    let Some(place) = Place::new("fewer connections") else { return };
    let (a, b, c) = (place.node("a"), place.node("b"), place.node("c"));
    let run_a = a.start_primary(Acks::NotAwaited).await;
    let run_b = b.follow(&a, "b-1").await;
    let run_c = c.follow(&a, "c-1").await;
    order(&a.shop().await, 1).await.unwrap();
    // Somebody may pause a replay, too.
    b.sql("postgres", "SELECT pg_wal_replay_pause()");
    b.until("its replay is paused", |seen| seen.replay_paused).await;
    assert!(!b.lacks_settings(PATIENCE).await.unwrap());
    b.sql("postgres", "SELECT pg_wal_replay_resume()");

    let raised = [
        ("max_connections", "60"),
        ("max_worker_processes", "12"),
        ("max_prepared_transactions", "5"),
        ("max_locks_per_transaction", "100"),
    ];
    for (name, value) in raised {
        a.sql("postgres", &format!("ALTER SYSTEM SET {name} = {value}"));
    }
    stop_fast(&run_a).await;
    let _a = a.start_primary(Acks::NotAwaited).await;
    for standby in [&b, &c] {
        standby.until("its replay stands still", |seen| seen.replay_paused).await;
        assert!(standby.lacks_settings(PATIENCE).await.unwrap());
    }
    // The belief: a promotion ends such a server.
    let (promoted, exit) = tokio::join!(c.promote(PATIENCE), run_c.exited());
    assert!(promoted.is_err());
    assert!(exit.says.contains("insufficient parameter settings"), "{}", exit.says);

    // Started again it has as much.
    b.kill().await.unwrap();
    drop(run_b);
    let run_b = b.start().unwrap();
    b.until("it has come to the end", |seen| seen.replay_waits || seen.receiver.is_some()).await;
    for (name, value) in raised {
        assert_eq!(b.sql("postgres", &format!("SHOW {name}")), value, "{name}");
    }
    a.kill().await.unwrap();
    b.revoke(&run_b).await;
    b.change(&run_b, &primary(Acks::NotAwaited, true));
    b.until_acks(&Acks::NotAwaited).await;
    b.promote(PATIENCE).await.unwrap();
    let client = b.client().await;
    client.batch_execute("BEGIN; INSERT INTO orders VALUES (2); PREPARE TRANSACTION 'two'").await.unwrap();
    client.batch_execute("COMMIT PREPARED 'two'").await.unwrap();
    assert_eq!(b.orders(), "1,2");
}
