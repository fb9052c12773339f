use std::time::Duration;

use store::{Faults, Op, SimulatedStore, Txn};
use world::{Clock, Limits, Tasks};

use super::super::fixture::{picture, state, unit, zone};
use super::*;

/// A store that one process follows.
struct Followed {
    store: Store,
    link: Store,
    simulated: SimulatedStore,
    pictures: watch::Receiver<Arc<Mirror>>,
    tasks: Tasks,
}

impl Followed {
    fn start() -> Followed {
        let (store, simulated) = Store::simulated(1, Clock::real(), Faults::default());
        let link = simulated.link(Faults::default());
        let (out, pictures) = watch::channel(Arc::new(Mirror::default()));
        let tasks = Tasks::new();
        tasks.spawn("mirror", follow(link.clone(), out, tasks.stop()));
        Followed { store, link, simulated, pictures, tasks }
    }

    /// The first picture at `revision` or later, within the time of a few tries.
    async fn at(&mut self, revision: Revision) -> Arc<Mirror> {
        let wanted = self.pictures.wait_for(|picture| picture.revision >= revision);
        tokio::time::timeout(Duration::from_secs(30), wanted).await.expect("no picture").unwrap().clone()
    }

    async fn write(&self, key: &str, value: &impl serde::Serialize) -> Revision {
        self.store.put(key, serde_json::to_vec(value).unwrap()).await.unwrap()
    }

    async fn end(self) {
        assert_eq!(self.tasks.shutdown(Limits::default()).await, Vec::<String>::new());
    }
}

fn block_on(work: impl Future<Output = ()>) {
    // Time stands still except when everybody waits: minutes of a store's absence take no time here.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(work);
}

#[test]
fn every_kind_of_document_finds_its_place_and_leaves_it() {
    block_on(async {
        let told =
            picture("plan 1; leader a; agent a; unit web-1 in a; web-1 in a is ready; front a serves 9");
        let mut followed = Followed::start();
        followed.write(keys::ROLLOUT, &told.rollout.as_ref().unwrap().0).await;
        followed.write(keys::LEADER, &told.leader).await;
        followed.write("agents/a", &told.agents[&zone("a")]).await;
        followed.write("units/web-1", &told.units[&unit("web-1")].0).await;
        let made = followed.write("units/web-1", &told.units[&unit("web-1")].0).await;
        followed.write("states/a/web-1", &told.states[&unit("web-1")]).await;
        let last = followed.write("fronts/a", &told.fronts[&zone("a")]).await;
        let seen = followed.at(last).await;
        assert_eq!(seen.rollout.as_ref().unwrap().0, told.rollout.as_ref().unwrap().0);
        assert_eq!((&seen.leader, &seen.agents, &seen.fronts), (&told.leader, &told.agents, &told.fronts));
        assert_eq!(seen.states, told.states);
        // The revision that made a unit so is what a front must have served from: any other lets it end too early.
        assert_eq!(seen.units[&unit("web-1")].1, made);
        let mut gone = 0;
        for key in ["rollout", "leader", "agents/a", "units/web-1", "states/a/web-1", "fronts/a"] {
            gone = followed.store.delete(key).await.unwrap();
        }
        let empty = followed.at(gone).await;
        assert!(empty.rollout.is_none() && empty.leader.is_none() && empty.agents.is_empty());
        assert!(empty.units.is_empty() && empty.states.is_empty() && empty.fronts.is_empty());
        followed.end().await;
    });
}

#[test]
fn what_keepers_write_finds_its_place_and_what_they_tell_each_other_is_passed_over() {
    block_on(async {
        let told = picture(
            "plan 1; zone a; data front a listens; db at 40 term 4 serving 1; keeper db-1 is open 2=0",
        );
        let (name, docs) = told.databases.first_key_value().unwrap();
        let mut followed = Followed::start();
        let zone = model::ZoneAddress { zone: zone("a"), address: told.zones[&zone("a")] };
        followed.write("zones/a", &zone).await;
        followed.write("data-fronts/a", &told.data_fronts[&zone.zone]).await;
        let record = followed.write("databases/db/record", &docs.record.as_ref().unwrap().0).await;
        followed.write("databases/db/nodes/1", &model::NodeDoc::default()).await;
        followed.write("databases/Not A Name/record", &1).await;
        let last = followed.write("databases/db/status/1", &docs.statuses[&NodeId(1)]).await;
        let seen = followed.at(last).await;
        assert_eq!((&seen.zones, &seen.data_fronts), (&told.zones, &told.data_fronts));
        assert_eq!(seen.databases.keys().collect::<Vec<_>>(), [name]);
        // The data front's snapshot is as new as this revision.
        assert_eq!(seen.databases[name].record, docs.record.clone().map(|(known, _)| (known, record)));
        assert_eq!(seen.databases[name].statuses, docs.statuses);
        assert!(seen.unread.is_empty(), "{:?}", seen.unread);
        followed.end().await;
    });
}

#[test]
fn what_another_version_wrote_hides_nothing_else() {
    block_on(async {
        let mut followed = Followed::start();
        let good = state("web-2", "a", "ready");
        followed.write("states/a/web-1", &"of another version").await;
        followed.write("states/a/web-3", &serde_json::json!({"name": "../../etc", "zone": "a"})).await;
        followed.store.put("units/web-9", vec![0xff, 0x00]).await.unwrap();
        followed.store.put("rollout", b"{".to_vec()).await.unwrap();
        followed.write("tomorrow/x", &1).await;
        let last = followed.write("states/a/web-2", &good).await;
        let seen = followed.at(last).await;
        assert_eq!(seen.states, BTreeMap::from([(unit("web-2"), good)]));
        assert!(seen.units.is_empty() && seen.rollout.is_none());
        followed.end().await;
    });
}

#[test]
fn what_cannot_be_read_is_told_about_once_and_again_when_it_was_written_anew() {
    let entry = |key: &str, modified| {
        let entry = Entry { key: key.to_owned(), value: b"{".to_vec(), created: 1, modified, lease: None };
        (key.to_owned(), entry)
    };
    let (mut before, mut told) = (Mirror::default(), Vec::new());
    for revision in [7, 7, 9, 9] {
        let next =
            Mirror::of(&BTreeMap::from([entry("units/web-9", revision), entry("rollout", 3)]), revision);
        told.push(next.news(&before).into_iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
        before = next;
    }
    assert_eq!(told, [vec!["rollout", "units/web-9"], vec![], vec!["units/web-9"], vec![]]);
}

#[test]
fn a_unit_that_moved_is_told_about_once() {
    // The old zone's state is deleted after the new zone's was written; the mirror is made anew from all keys.
    block_on(async {
        let mut followed = Followed::start();
        followed.write("states/a/web-1", &state("web-1", "a", "ready")).await;
        followed.write("states/b/web-1", &state("web-1", "b", "starting")).await;
        let last = followed.store.delete("states/a/web-1").await.unwrap();
        assert_eq!(followed.at(last).await.states[&unit("web-1")].zone, zone("b"));
        followed.end().await;
    });
}

#[test]
fn while_the_store_is_away_the_last_picture_stays_and_then_the_next_comes() {
    block_on(async {
        let mut followed = Followed::start();
        let first = followed.write("states/a/web-1", &state("web-1", "a", "ready")).await;
        followed.at(first).await;
        followed.simulated.cut(true);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(followed.pictures.borrow().states.len(), 1, "kept for as long as it takes");
        followed.simulated.cut(false);
        let last = followed.write("states/a/web-2", &state("web-2", "a", "ready")).await;
        assert_eq!(followed.at(last).await.states.len(), 2);
        followed.end().await;
    });
}

#[test]
fn what_happened_while_it_was_cut_off_and_was_compacted_away_is_caught_up_with() {
    block_on(async {
        let mut followed = Followed::start();
        let first = followed.write("states/a/web-1", &state("web-1", "a", "ready")).await;
        followed.at(first).await;
        let away = Faults { lost_request: 1.0, ..Faults::default() };
        assert!(followed.simulated.set_faults(&followed.link, away));
        followed.store.delete("states/a/web-1").await.unwrap();
        let mut last = 0;
        // More than any store keeps of its history: the watch cannot go on from where it was.
        for n in 0..300 {
            let puts =
                (0..100).map(|m| Op::Put { key: format!("x/{n}/{m}"), value: vec![0; 512], lease: None });
            last = followed.store.txn(Txn { compare: vec![], then: puts.collect() }).await.unwrap().revision;
        }
        for n in 0..12_000 {
            last = followed.store.put("x/again", format!("{n}").into_bytes()).await.unwrap();
        }
        let watch = followed.store.watch("", first + 1).await;
        let told = match watch {
            Ok(mut watch) => watch.next().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(told.is_err_and(|error| error.is_compacted()), "the test must reach past the history");
        assert!(followed.simulated.set_faults(&followed.link, Faults::default()));
        assert!(followed.at(last).await.states.is_empty(), "the deletion was seen");
        followed.end().await;
    });
}

#[test]
fn it_follows_through_a_bad_link_and_ends_at_once_when_asked() {
    block_on(async {
        let mut followed = Followed::start();
        let bad = Faults { lost_request: 0.3, lost_reply: 0.3, delay_ms: (0, 300), unavailable: Vec::new() };
        assert!(followed.simulated.set_faults(&followed.link, bad));
        let mut last = 0;
        for n in 0..50 {
            last =
                followed.write(&format!("states/a/web-{n}"), &state(&format!("web-{n}"), "a", "ready")).await;
        }
        assert_eq!(followed.at(last).await.states.len(), 50);
        followed.simulated.cut(true);
        followed.end().await;
    });
}
