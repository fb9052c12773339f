//! The machine loses power at every point of a run, and in every way a disk may then lie about what was not synced.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use model::Moment;
use redb::StorageBackend;
use world::{Chance, Clock};

use crate::disk::Disk;
use crate::host::{Answer, Host, Job, Sink, Turns};
use crate::kv::{History, Kept, Request};
use crate::{LeaseId, Op, StoreError, Txn};

/// A disk writes a sector whole or not at all; in bytes.
const SECTOR: usize = 512;
const PATH: &str = "simulated.db";

#[derive(Clone, Debug)]
enum Done {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync,
}

#[derive(Debug, Default)]
struct Platter {
    content: Vec<u8>,
    log: Vec<Done>,
    syncs: usize,
    /// The sync with this number, from 1, fails, once.
    failing: Option<usize>,
    /// Says "synced" and syncs nothing.
    lies: bool,
}

/// A disk that remembers what was done to it and in which order.
#[derive(Clone, Debug, Default)]
struct SimDisk(Arc<Mutex<Platter>>);

impl SimDisk {
    fn holding(content: Vec<u8>) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Platter { content, ..Platter::default() })))
    }

    fn log_len(&self) -> usize {
        self.0.lock().unwrap().log.len()
    }

    fn host(&self) -> Result<Host, StoreError> {
        let path = Path::new(PATH);
        let (disk, kept) = Disk::with_backend(self.clone(), path)?;
        Host::with_disk(disk, kept, path, History::default(), Moment(0))
    }
}

fn apply(content: &mut Vec<u8>, done: &Done) {
    match done {
        Done::Write { offset, data } => {
            let start = *offset as usize;
            content[start..start + data.len()].copy_from_slice(data);
        }
        Done::SetLen(len) => content.resize(*len as usize, 0),
        Done::Sync => {}
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let platter = self.0.lock().unwrap();
        let from = platter.content.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        apply(&mut platter.content, &Done::SetLen(len));
        platter.log.push(Done::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.syncs += 1;
        if platter.failing == Some(platter.syncs) {
            return Err(io::Error::other("the disk failed"));
        }
        if !platter.lies {
            platter.log.push(Done::Sync);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        let write = Done::Write { offset, data: data.to_vec() };
        apply(&mut platter.content, &write);
        platter.log.push(write);
        Ok(())
    }
}

/// One batch of the run: where in the log it began and was acknowledged, and the state it leads to.
struct Batch {
    begun: usize,
    acknowledged: usize,
    state: Kept,
}

fn put(key: &str, bytes: usize, lease: Option<u64>) -> Op {
    Op::Put { key: key.to_owned(), value: vec![b'v'; bytes], lease: lease.map(LeaseId) }
}

fn txn(then: Vec<Op>) -> Request {
    Request::Txn(Txn { compare: vec![], then })
}

/// What agents and a leader do, in batches of one sync each.
fn run() -> Vec<Vec<Request>> {
    let delete = |key: &str| Op::Delete { key: key.to_owned() };
    vec![
        vec![Request::Grant { ttl_ms: 60_000 }, Request::Grant { ttl_ms: 60_000 }],
        vec![txn(vec![put("agents/a", 40, Some(1)), put("leader", 20, Some(1))])],
        vec![txn(vec![put("units/1", 900, None), put("units/2", 900, None), put("counters/web", 1, None)])],
        vec![
            txn(vec![put("units/1", 5_000, None)]),
            txn(vec![put("plans/1", 30_000, None), delete("units/2")]),
        ],
        vec![txn(vec![put("agents/b", 40, Some(2))]), Request::Grant { ttl_ms: 60_000 }],
        vec![Request::Revoke { lease: LeaseId(1) }],
        (0..40).map(|n| txn(vec![put(&format!("states/a/{n}"), 300, None)])).collect(),
        (0..40).map(|n| txn(vec![delete(&format!("states/a/{n}")), put("tail", n, None)])).collect(),
        vec![txn(vec![put("leader", 20, Some(2)), put("units/3", 70_000, None)])],
        vec![txn(vec![delete("plans/1"), delete("units/1"), delete("units/3")])],
        vec![txn(vec![put("rollout", 2_000, None)])],
    ]
}

struct Ran {
    log: Vec<Done>,
    /// Log length when the file was made and nothing was in it.
    made: usize,
    batches: Vec<Batch>,
    /// How the run ended early.
    failed: bool,
}

fn play(disk: &SimDisk) -> Ran {
    let mut host = disk.host().unwrap();
    let made = disk.log_len();
    let mut batches = vec![Batch { begun: made, acknowledged: made, state: host.kept() }];
    let mut failed = false;
    for requests in run() {
        let begun = disk.log_len();
        let stepped = host.step(requests.iter(), Moment(1));
        failed = stepped.is_err();
        // Memory is ahead of the disk after a failure: what may be found is the state that was being written.
        let acknowledged = if failed { usize::MAX } else { disk.log_len() };
        batches.push(Batch { begun, acknowledged, state: host.kept() });
        if let Err(error) = stepped {
            assert!(matches!(error, StoreError::Disk { .. }), "{error}");
            let again = host.step([txn(vec![put("late", 1, None)])].iter(), Moment(1));
            assert!(again.is_err(), "acknowledged after a failed sync");
            break;
        }
    }
    drop(host);
    let log = disk.0.lock().unwrap().log.clone();
    Ran { log, made, batches, failed }
}

/// How unsynced writes are treated by the power loss.
#[derive(Clone, Copy, Debug)]
enum Way {
    NoneKept,
    AllKept,
    /// As `AllKept`, but the file is as long as when it was last synced.
    CutToSynced,
    /// A random subset, and of its last write a random subset of the sectors.
    SomeKept(u64),
}

/// What is on the disk when the power fails after `cut` operations.
fn image(log: &[Done], cut: usize, way: Way) -> Vec<u8> {
    let synced = log[..cut].iter().rposition(|done| matches!(done, Done::Sync)).map_or(0, |last| last + 1);
    let mut content = Vec::new();
    log[..synced].iter().for_each(|done| apply(&mut content, done));
    let floating = &log[synced..cut];
    let mut chance = Chance::from_seed(if let Way::SomeKept(seed) = way { seed } else { 0 });
    let kept: BTreeSet<usize> = match way {
        Way::NoneKept => BTreeSet::new(),
        Way::AllKept => (0..floating.len()).collect(),
        Way::CutToSynced => {
            (0..floating.len()).filter(|n| matches!(floating[*n], Done::Write { .. })).collect()
        }
        Way::SomeKept(_) => (0..floating.len()).filter(|_| chance.chance(0.5)).collect(),
    };
    let torn = if matches!(way, Way::SomeKept(_)) { kept.last().copied() } else { None };
    for n in kept {
        match &floating[n] {
            Done::Write { offset, data } => {
                for (k, sector) in data.chunks(SECTOR).enumerate() {
                    let start = *offset as usize + k * SECTOR;
                    // Bytes beyond the end of the file are nowhere.
                    let room = content.len().saturating_sub(start).min(sector.len());
                    if room > 0 && (torn != Some(n) || chance.chance(0.5)) {
                        content[start..start + room].copy_from_slice(&sector[..room]);
                    }
                }
            }
            done => apply(&mut content, done),
        }
    }
    content
}

/// Starts from what the power loss left and compares with what was promised.
fn check(ran: &Ran, cut: usize, way: Way) -> Result<(), String> {
    let found = SimDisk::holding(image(&ran.log, cut, way));
    let mut host = found.host().map_err(|error| format!("no start after {cut}, {way:?}: {error}"))?;
    let state = host.kept();
    let promised = ran.batches.iter().filter(|batch| batch.acknowledged <= cut).count() - 1;
    let begun = ran.batches.iter().filter(|batch| batch.begun <= cut).count();
    if !ran.batches[promised..begun].iter().any(|batch| batch.state == state) {
        let at = ran.batches.iter().position(|batch| batch.state == state);
        return Err(format!("after {cut}, {way:?}: found state {at:?}, promised {promised}, begun {begun}"));
    }
    let revision = host.revision();
    host.step([txn(vec![put("after", 100, None)])].iter(), Moment(1)).map_err(|error| error.to_string())?;
    if host.revision() == revision + 1 { Ok(()) } else { Err("revision went back".to_owned()) }
}

/// Starts again from `cut`, and lets the power fail at every operation of that start as well.
fn check_twice(ran: &Ran, cut: usize, way: Way) -> Result<usize, String> {
    let base = image(&ran.log, cut, way);
    let disk = SimDisk::holding(base.clone());
    disk.host().map_err(|error| format!("no start after {cut}: {error}"))?;
    let start = disk.0.lock().unwrap().log.clone();
    let points = start.len();
    let mut log = vec![Done::SetLen(base.len() as u64), Done::Write { offset: 0, data: base }, Done::Sync];
    let made = log.len();
    log.extend(start);
    // All that was begun before the first loss may be found, all that was promised must be.
    let first = ran.batches.iter().filter(|batch| batch.acknowledged <= cut).count() - 1;
    let last = ran.batches.iter().filter(|batch| batch.begun <= cut).count();
    let batches = ran.batches[first..last].iter().enumerate().map(|(n, batch)| Batch {
        begun: 0,
        acknowledged: if n == 0 { 0 } else { usize::MAX },
        state: batch.state.clone(),
    });
    let again = Ran { log, made, batches: batches.collect(), failed: false };
    for second in made..=made + points {
        for way in ways(second as u64, 1) {
            check(&again, second, way).map_err(|why| format!("after {cut} and then {why}"))?;
        }
    }
    Ok(points)
}

fn ways(seed: u64, random: u64) -> impl Iterator<Item = Way> {
    let seeded = (0..random).map(move |n| Way::SomeKept(seed * 1_000 + n));
    [Way::NoneKept, Way::AllKept, Way::CutToSynced].into_iter().chain(seeded)
}

#[test]
fn the_power_fails_at_every_write_and_nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let ran = play(&SimDisk::default());
    assert!(!ran.failed && ran.batches.len() == run().len() + 1);
    let cuts = ran.made..=ran.log.len();
    let mut checked = 0;
    for cut in cuts.clone() {
        for way in ways(cut as u64, 3) {
            check(&ran, cut, way).unwrap();
            checked += 1;
        }
    }
    println!("{checked} power losses at {} points", cuts.count());
    assert!(checked > 500, "{checked}");
}

#[test]
fn the_power_fails_again_while_the_store_starts_after_the_first_time() {
    let ran = play(&SimDisk::default());
    let mut points = 0;
    for cut in (ran.made..=ran.log.len()).step_by(23) {
        points += check_twice(&ran, cut, Way::SomeKept(cut as u64)).unwrap();
    }
    assert!(points > 10, "a start writes nothing? {points}");
}

#[test]
fn a_failing_sync_ends_all_acknowledging_and_loses_nothing_acknowledged() {
    let whole = SimDisk::default();
    play(&whole);
    let syncs = whole.0.lock().unwrap().syncs;
    let fresh = SimDisk::default();
    drop(fresh.host().unwrap());
    let made = fresh.0.lock().unwrap().syncs;
    let mut failures = 0;
    for failing in made..=syncs {
        let disk = SimDisk::default();
        disk.0.lock().unwrap().failing = Some(failing);
        let ran = play(&disk);
        failures += usize::from(ran.failed);
        for way in ways(failing as u64, 6) {
            check(&ran, ran.log.len(), way).unwrap();
        }
    }
    assert!(failures >= run().len(), "{failures} of {made}..={syncs}");
}

#[test]
fn a_disk_that_ignores_the_sync_is_noticed() {
    let disk = SimDisk::default();
    let made = {
        disk.host().unwrap();
        disk.0.lock().unwrap().content.clone()
    };
    let liar = SimDisk::holding(made.clone());
    liar.0.lock().unwrap().lies = true;
    let mut ran = play(&liar);
    // The liar's log starts from the made file.
    ran.log
        .splice(0..0, [Done::SetLen(made.len() as u64), Done::Write { offset: 0, data: made }, Done::Sync]);
    ran.batches.iter_mut().for_each(|batch| {
        batch.begun += 3;
        batch.acknowledged += 3;
    });
    check(&ran, ran.batches[0].begun, Way::NoneKept).unwrap();
    let lost = check(&ran, ran.log.len(), Way::NoneKept).unwrap_err();
    assert!(lost.contains("found state Some(0), promised 11"), "{lost}");
}

#[test]
fn a_store_that_answers_before_the_sync_is_noticed() {
    let mut ran = play(&SimDisk::default());
    ran.batches.iter_mut().for_each(|batch| batch.acknowledged = batch.begun);
    let noticed = (ran.made..=ran.log.len()).any(|cut| check(&ran, cut, Way::NoneKept).is_err());
    assert!(noticed);
}

#[test]
fn keeping_a_lease_alive_and_reading_touch_no_disk() {
    let disk = SimDisk::default();
    let mut host = disk.host().unwrap();
    host.step([Request::Grant { ttl_ms: 1_000 }].iter(), Moment(0)).unwrap();
    let before = disk.log_len();
    let reads = [
        Request::KeepAlive { lease: LeaseId(1) },
        Request::Range { prefix: String::new() },
        Request::Get { key: "k".to_owned() },
        Request::Poll { prefix: String::new(), from: 0, wait_ms: 0 },
    ];
    for now in (0..10_000).step_by(500) {
        host.step(reads.iter(), Moment(now)).unwrap();
    }
    assert_eq!(disk.log_len(), before);
    host.step([].iter(), Moment(20_000)).unwrap();
    assert!(disk.log_len() > before, "the end of a lease is written");
}

#[test]
fn leases_start_afresh_after_a_restart_and_are_not_handed_out_again() {
    let disk = SimDisk::default();
    let mut host = disk.host().unwrap();
    let grant = Request::Grant { ttl_ms: 1_000 };
    host.step([grant.clone(), grant.clone(), txn(vec![put("k", 1, Some(2))])].iter(), Moment(0)).unwrap();
    host.step([Request::Revoke { lease: LeaseId(1) }].iter(), Moment(900)).unwrap();
    drop(host);
    let content = disk.0.lock().unwrap().content.clone();
    let path = Path::new(PATH);
    let (opened, kept) = Disk::with_backend(SimDisk::holding(content), path).unwrap();
    let mut host = Host::with_disk(opened, kept, path, History::default(), Moment(50_000)).unwrap();
    host.step([].iter(), Moment(50_999)).unwrap();
    assert_eq!(host.kept().entries.len(), 1);
    host.step([grant].iter(), Moment(51_000)).unwrap();
    let kept = host.kept();
    assert_eq!((kept.entries.len(), kept.leases), (0, vec![(LeaseId(3), 1_000)]));
}

fn job(request: Request, answers: &tokio::sync::mpsc::Sender<Answer>) -> Job {
    let place = answers.clone().try_reserve_owned().unwrap();
    Job { request, sink: Sink { id: 7, place } }
}

#[test]
fn nothing_is_answered_once_the_disk_has_failed_and_the_store_says_so() {
    let disk = SimDisk::default();
    let host = disk.host().unwrap();
    let syncs = disk.0.lock().unwrap().syncs;
    disk.0.lock().unwrap().failing = Some(syncs + 2);
    let (jobs, queue) = std::sync::mpsc::sync_channel(10);
    let (answers, mut answered) = tokio::sync::mpsc::channel(10);
    let thread = std::thread::spawn(move || Turns::new(host, Clock::real()).run(&queue));
    jobs.send(job(txn(vec![put("a", 1, None)]), &answers)).unwrap();
    assert!(answered.blocking_recv().is_some());
    jobs.send(job(txn(vec![put("b", 1, None)]), &answers)).unwrap();
    jobs.send(job(Request::Get { key: "a".to_owned() }, &answers)).ok();
    // A server that went on would end here, content.
    drop(jobs);
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("cannot write to store file `simulated.db`: "), "{error}");
    assert_eq!(error.class(), crate::Class::Unknown);
    drop(answers);
    assert_eq!(answered.blocking_recv(), None);
}

#[test]
fn a_store_that_was_frozen_does_not_declare_everybody_dead_when_it_wakes() {
    let (clock, hand) = Clock::manual();
    let disk = SimDisk::default();
    let mut turns = Turns::new(disk.host().unwrap(), clock);
    let (answers, _answered) = tokio::sync::mpsc::channel(10);
    let under = txn(vec![put("agents/a", 1, Some(1))]);
    turns.turn(vec![job(Request::Grant { ttl_ms: 1_500 }, &answers), job(under, &answers)]).unwrap();
    let alive = |turns: &Turns| !turns.host.kept().entries.is_empty();
    hand.advance_ms(60_000);
    turns.turn(vec![]).unwrap();
    assert!(alive(&turns));
    for _ in 0..15 {
        assert!(alive(&turns));
        hand.advance_ms(100);
        turns.turn(vec![]).unwrap();
    }
    assert!(!alive(&turns));
}
