use super::*;

#[test]
fn an_agent_that_cannot_be_started_now_ends_nothing_else_and_is_tried_again() {
    let folder = std::env::temp_dir().join(format!("ek-supervise-{}", std::process::id()));
    let site = Site::at(&folder).unwrap();
    site.create().unwrap();
    let zone = ZoneName::new("a").unwrap();
    let local = LocalOptions::new(site.root(), vec![zone], false);
    let zones = LocalZones::create(&local).unwrap();
    let (clock, hand) = Clock::manual();
    let kept = Kept { child: None, crashes: 3, started: clock.now(), again: clock.now() };
    let options = Options {
        plan: super::super::fixture::plan(1),
        base: folder.clone(),
        isolate: false,
        sabotage: Sabotage::default(),
    };
    let mut supervisor = Supervisor {
        store: SocketAddr::new(zones.store_address(), 1),
        program: folder.join("not-there"),
        fresh: false,
        children: BTreeMap::from([("a".to_owned(), kept)]),
        _lock: super::super::lock(&site.lock_path()).unwrap().unwrap(),
        zones,
        clock,
        site,
        options,
    };
    let mut crashes = Vec::new();
    for _ in 0..3 {
        let outcome = supervisor.look();
        crashes.push(outcome.map(|()| supervisor.children["a"].crashes).ok());
        hand.advance_ms(RESTART.cap_ms);
    }
    supervisor.zones.remove().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(crashes, [Some(4), Some(5), Some(6)]);
}

#[tokio::test]
async fn whoever_only_looks_makes_no_start_be_refused() {
    let folder = std::env::temp_dir().join(format!("ek-supervise-look-{}", std::process::id()));
    let site = Site::at(&folder).unwrap();
    site.create().unwrap();
    let look = super::super::lock(&site.lock_path()).unwrap();
    let over = tokio::time::sleep(LOCK_WAIT / 10);
    let (lock, ()) = tokio::join!(take(&site), async move {
        over.await;
        drop(look);
    });
    let lock = lock.unwrap();
    let second = take(&site).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(lock.is_some(), "the look was over in time");
    assert!(second.is_none(), "one that runs keeps the lock");
}
