use std::net::{IpAddr, Ipv4Addr};

use store::Faults;
use world::Clock;

use super::super::fixture;
use super::*;

/// Addresses of one test of this process alone.
fn zones(test: u8) -> Vec<ZoneAddress> {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let address = |last| IpAddr::V4(Ipv4Addr::new(127, high.max(1), low, 10 * test + last));
    [("a", 1), ("b", 2), ("c", 3)]
        .map(|(zone, last)| ZoneAddress { zone: fixture::zone(zone), address: address(last) })
        .to_vec()
}

fn plan(databases: &[&str]) -> Plan {
    Plan { databases: databases.iter().map(|name| fixture::database(name)).collect(), ..fixture::plan(1) }
}

async fn settled(test: u8, store: &Store, databases: &[&str], fresh: bool) -> Result<String, String> {
    let zones = zones(test);
    let ground = Ground { zones: &zones, shared: true, fresh };
    settle(store, &plan(databases), ground).await.map_err(|error| format!("{error:#}"))?;
    let slots = Mirror::once(store).await.unwrap().slots;
    Ok(slots.iter().map(|(name, slot)| format!("{name} {slot}")).collect::<Vec<_>>().join(", "))
}

#[tokio::test]
async fn a_database_written_above_another_moves_nobody_and_one_that_comes_back_finds_its_ports() {
    let (store, _simulated) = Store::simulated(1, Clock::real(), Faults::default());
    assert_eq!(settled(1, &store, &["db"], true).await.unwrap(), "db 0");
    assert_eq!(settled(1, &store, &["audit", "db"], false).await.unwrap(), "audit 1, db 0");
    assert_eq!(settled(1, &store, &["db"], false).await.unwrap(), "audit 1, db 0");
    assert_eq!(settled(1, &store, &["cart", "audit", "db"], false).await.unwrap(), "audit 1, cart 2, db 0");
}

#[tokio::test]
async fn what_ran_before_slots_were_written_down_stays_where_it_is() {
    let (store, _simulated) = Store::simulated(2, Clock::real(), Faults::default());
    let old = model::Rollout { plan: plan(&["db", "log"]), good: None, phase: model::RolloutPhase::Reached };
    store.put(keys::ROLLOUT, serde_json::to_vec(&old).unwrap()).await.unwrap();
    assert_eq!(settled(2, &store, &["audit", "db", "log"], true).await.unwrap(), "audit 2, db 0, log 1");
}

#[tokio::test]
async fn ports_of_another_run_are_passed_over_and_remembered_ones_are_not_given_up_silently() {
    let (store, _simulated) = Store::simulated(3, Clock::real(), Faults::default());
    let zones = zones(3);
    // Another run's: the front of zone b, and a node's keeper.
    let theirs = TcpListener::bind(database::front_address(zones[1].address, 0)).unwrap();
    let other = ports(&plan(&["db"]), &DatabaseName::new("db").unwrap(), 1, &zones).pop().unwrap();
    let keeper = TcpListener::bind(other).unwrap();
    assert_eq!(settled(3, &store, &["db"], true).await.unwrap(), "db 2");
    drop((theirs, keeper));
    assert_eq!(settled(3, &store, &["db"], true).await.unwrap(), "db 2", "it keeps what it has");

    let front = database::front_address(zones[2].address, 2);
    let stranger = TcpListener::bind(front).unwrap();
    let told = settled(3, &store, &["db"], true).await.unwrap_err();
    assert!(told.contains(&format!("database `db` was given {front}")), "{told}");
    // While it runs, that is itself.
    settled(3, &store, &["db"], false).await.unwrap();
    drop(stranger);
}

#[test]
fn the_lowest_free_slot_is_chosen_until_there_is_none() {
    let name = |number: u8| DatabaseName::new(&format!("d{number}")).unwrap();
    let mut slots: BTreeMap<DatabaseName, u8> = [(name(1), 0), (name(2), 2)].into();
    assert_eq!(choose(&slots, |_| true), Some(1));
    assert_eq!(choose(&slots, |slot| slot > 5), Some(6));
    slots.extend((0..SLOTS).map(|slot| (name(slot + 10), slot)));
    assert_eq!(choose(&slots, |_| true), None);
}
