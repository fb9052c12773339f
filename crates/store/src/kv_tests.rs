use world::Chance;

use super::*;

const NOW: Moment = Moment(0);

fn put(key: &str, value: &[u8], lease: Option<LeaseId>) -> Op {
    Op::Put { key: key.to_owned(), value: value.to_vec(), lease }
}

fn txn(then: Vec<Op>) -> Request {
    Request::Txn(Txn { compare: vec![], then })
}

fn poll(from: Revision) -> Request {
    Request::Poll { prefix: String::new(), from, wait_ms: 0 }
}

fn small() -> Kv {
    Kv::empty(History { events: 8, bytes: 10_000 })
}

#[track_caller]
fn events(kv: &mut Kv, from: Revision) -> (Vec<Change>, Revision) {
    match kv.apply(&poll(from), NOW).0 {
        Reply::Events { events, next } => (events, next),
        other => panic!("{other:?}"),
    }
}

/// One random request of a small world of keys and leases.
fn some_request(chance: &mut Chance, leases: &[LeaseId]) -> Request {
    let key =
        |chance: &mut Chance| format!("{}{}", ["a/", "a", "b/"][chance.below(3) as usize], chance.below(4));
    let lease = |chance: &mut Chance| leases.get(chance.below(leases.len() as u64 + 1) as usize).copied();
    match chance.below(10) {
        0 => Request::Grant { ttl_ms: 100 + chance.below(1_000) },
        1 => Request::Revoke { lease: lease(chance).unwrap_or(LeaseId(99)) },
        2 | 3 => Request::KeepAlive { lease: lease(chance).unwrap_or(LeaseId(99)) },
        _ => {
            let mut then = Vec::new();
            for _ in 0..=chance.below(3) {
                let key = key(chance);
                then.push(if chance.chance(0.3) {
                    Op::Delete { key }
                } else {
                    put(&key, &chance.next_u64().to_le_bytes(), lease(chance))
                });
            }
            let key = key(chance);
            let compare =
                if chance.chance(0.3) { vec![Compare::Modified { key, revision: 0 }] } else { vec![] };
            Request::Txn(Txn { compare, then })
        }
    }
}

/// A watcher that follows from the start, and one that reads the disk, see the very state there is.
#[test]
fn what_a_watch_tells_and_what_is_written_both_add_up_to_the_state() {
    for seed in 0..200 {
        let mut chance = Chance::from_seed(seed);
        let mut kv = Kv::empty(History::default());
        let (mut watched, mut written) = (BTreeMap::new(), BTreeMap::new());
        let (mut on_disk, mut leases) = (BTreeMap::new(), Vec::new());
        let (mut next, mut now) = (1, NOW);
        for _ in 0..150 {
            now = now.plus(chance.below(60));
            let before = kv.revision();
            let (reply, mut writes) = kv.apply(&some_request(&mut chance, &leases), now);
            if let Reply::Granted { lease } = reply {
                assert!(!leases.contains(&lease), "seed {seed}: lease handed out twice");
                leases.push(lease);
            }
            writes.extend(kv.expire(now));
            let changes = writes.iter().any(|write| matches!(write, Write::Put(_) | Write::Delete(_)));
            assert_eq!(changes, kv.revision() > before, "seed {seed}");
            for write in writes {
                match write {
                    Write::Put(entry) => drop(written.insert(entry.key.clone(), Entry::clone(&entry))),
                    Write::Delete(key) => drop(written.remove(&key)),
                    Write::Lease { id, ttl_ms } => drop(on_disk.insert(id, ttl_ms)),
                    Write::LeaseGone(id) => drop(on_disk.remove(&id)),
                }
            }
            if chance.chance(0.2) {
                let (changes, after) = events(&mut kv, next);
                assert!(
                    changes.windows(2).all(|pair| pair[0].revision() <= pair[1].revision()),
                    "seed {seed}"
                );
                next = after;
                for change in changes {
                    match Event::from(change) {
                        Event::Put(entry) => drop(watched.insert(entry.key.clone(), entry)),
                        Event::Delete { key, .. } => assert!(watched.remove(&key).is_some(), "seed {seed}"),
                    }
                }
                assert_eq!(watched.values().cloned().collect::<Vec<_>>(), kv.kept().entries, "seed {seed}");
            }
        }
        let kept = kv.kept();
        assert_eq!(written.into_values().collect::<Vec<_>>(), kept.entries, "seed {seed}");
        assert_eq!(on_disk.into_iter().collect::<Vec<_>>(), kept.leases, "seed {seed}");
        let bytes = kept.entries.iter().map(|entry| size(&entry.key, entry.value.len())).sum::<usize>();
        assert_eq!(kv.bytes, bytes, "seed {seed}");
        let again = Kv::new(kept.clone(), History::default(), now).unwrap();
        assert_eq!(again.kept(), kept, "seed {seed}");
    }
}

#[test]
fn history_forgets_whole_transactions_and_says_so() {
    let mut kv = small();
    for n in 0..4 {
        kv.apply(&txn((0..3).map(|k| put(&format!("{n}{k}"), b"", None)).collect()), NOW);
    }
    // Eight changes are remembered, so two whole transactions of three.
    assert_eq!(kv.apply(&poll(3), NOW).0, Reply::Refused(Refusal::Compacted { oldest: 4 }));
    let (changes, next) = events(&mut kv, 4);
    assert_eq!((changes.len(), next), (6, 6));
    kv.apply(&txn(vec![put("big", &[0; 11_000], None)]), NOW);
    assert_eq!(kv.apply(&poll(6), NOW).0, Reply::Refused(Refusal::Compacted { oldest: 7 }));
    assert_eq!(events(&mut kv, 7), (vec![], 7));
    assert_eq!((kv.history.len(), kv.history_bytes), (0, 0));
}

#[test]
fn a_long_history_is_told_in_answers_of_bounded_size_that_split_no_transaction() {
    let mut kv = Kv::empty(History::default());
    for n in 0..300 {
        kv.apply(&txn(vec![put("a", &[0; 2_000], None), put(&format!("b{n}"), &[0; 10], None)]), NOW);
    }
    let (mut next, mut seen, mut answers) = (1, 0, 0);
    loop {
        let (changes, after) = events(&mut kv, next);
        if changes.is_empty() {
            break;
        }
        assert!(changes.iter().map(Change::bytes).sum::<usize>() < POLL_BYTES + 3_000);
        assert_eq!(changes.len() % 2, 0);
        (next, seen, answers) = (after, seen + changes.len(), answers + 1);
    }
    assert!(seen == 600 && answers > 1, "{seen} in {answers}");
}

#[test]
fn the_store_takes_no_more_than_its_bounds_and_can_always_be_emptied() {
    let mut kv = Kv::empty(History::default());
    let value = vec![0; TXN_BYTES_MAX - 100];
    let mut keys = 0;
    while let Reply::Txn(_) = kv.apply(&txn(vec![put(&format!("k{keys}"), &value, None)]), NOW).0 {
        keys += 1;
    }
    assert_eq!(keys, STORE_BYTES_MAX / TXN_BYTES_MAX);
    let over = txn(vec![put("k0", &value, None), Op::Delete { key: "k1".to_owned() }]);
    assert!(matches!(kv.apply(&over, NOW).0, Reply::Txn(_)), "replacing and deleting needs no room");
    assert!(matches!(kv.apply(&txn(vec![put("k1", &value, None)]), NOW).0, Reply::Txn(_)));
    let mut leases = Kv::empty(History::default());
    for _ in 0..LEASES_MAX {
        assert!(matches!(leases.apply(&Request::Grant { ttl_ms: 60 }, NOW).0, Reply::Granted { .. }));
    }
    assert!(matches!(leases.apply(&Request::Grant { ttl_ms: 60 }, NOW).0, Reply::Refused(_)));
    let mut full = Kv::empty(History::default());
    full.apply(&Request::Grant { ttl_ms: 60 }, NOW);
    for n in 0..LEASE_KEYS_MAX {
        full.apply(&txn(vec![put(&format!("{n}"), b"", Some(LeaseId(1)))]), NOW);
    }
    let more = full.apply(&txn(vec![put("one more", b"", Some(LeaseId(1)))]), NOW).0;
    assert!(matches!(more, Reply::Refused(Refusal::Bounds { .. })), "{more:?}");
    assert!(matches!(full.apply(&txn(vec![put("0", b"x", Some(LeaseId(1)))]), NOW).0, Reply::Txn(_)));
}

#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let entry = |modified, lease| Entry { key: "k".to_owned(), value: vec![], created: 2, modified, lease };
    let kept = |entries, leases| Kept { revision: 5, next_lease: 3, entries, leases };
    let check = |kept| Kv::new(kept, History::default(), NOW).err();
    assert_eq!(check(kept(vec![entry(5, Some(LeaseId(2)))], vec![(LeaseId(2), 50)])), None);
    assert!(check(kept(vec![entry(6, None)], vec![])).is_some());
    assert!(check(kept(vec![entry(1, None)], vec![])).is_some());
    assert!(check(kept(vec![entry(5, Some(LeaseId(2)))], vec![])).is_some());
    assert!(check(kept(vec![], vec![(LeaseId(3), 50)])).is_some());
}

/// Long waits must not move a deadline round the end of time.
#[test]
fn hostile_numbers_do_not_overflow() {
    let mut kv = small();
    let late = Moment(u64::MAX);
    kv.apply(&Request::Grant { ttl_ms: TTL_MAX_MS }, late);
    assert_eq!(kv.apply(&Request::KeepAlive { lease: LeaseId(1) }, late).0, Reply::Lease { alive: true });
    assert_eq!(events(&mut kv, u64::MAX), (vec![], u64::MAX));
    let compare = vec![Compare::Modified { key: "k".to_owned(), revision: u64::MAX }];
    let never = kv.apply(&Request::Txn(Txn { compare, then: vec![] }), late).0;
    assert_eq!(never, Reply::Txn(TxnReply { done: false, revision: 1 }));
}
