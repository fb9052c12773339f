//! A switch that comes to nothing, and a store that is set back.

use std::time::{Duration, Instant};

use model::{NodeId, ReignPhase};

use super::failover::{count, is, write};
use super::site::Site;

/// Clients are let in again, nothing that was made ready for the switch stays, and it can be asked for once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_to_a_node_that_stands_still_is_called_off_and_may_be_asked_for_again() {
    let Some(site) = Site::three("a switch that is called off").await else { return };
    write(&site, 0, 10).await;
    let (primary, before) = site.primary().unwrap();
    let heir = before.current().unwrap().members.iter().last().unwrap();
    site.freeze_server(heir);
    let asked = Instant::now();
    site.hand_over(heir).await;
    let is_wanted = |site: &Site| {
        let phase = site.primary().map(|(_, record)| record.phase);
        matches!(phase, Some(ReignPhase::Serving { handover: Some(_), .. }))
    };
    site.until("the wish is seen", is_wanted).await;
    site.until("it is called off", |site| !is_wanted(site)).await;
    let called_off = asked.elapsed();
    write(&site, 10, 20).await;
    println!(
        "MEASURED a hopeless switch: called off after {called_off:?}, written after {:?}",
        asked.elapsed()
    );
    let (still, record) = site.primary().unwrap();
    assert_eq!((still, record.term), (primary, before.term), "the term ended for nothing");
    site.thaw_server(heir);
    site.calm().await;
    let unused = |site: &Site| site.others(primary).into_iter().all(|standby| site.slots(standby, None) == 0);
    site.until("no slots that nobody uses", unused).await;
    site.hand_over(heir).await;
    site.until("the heir", |site| site.primary().is_some_and(|(now, _)| now == heir)).await;
    site.calm().await;
    is(count(&site).await, 20);
    site.end().await;
}

/// Somebody restores the store from a backup of the term before: nobody follows that, and what serves goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_set_back_to_an_older_term_ends_nothing() {
    let Some(site) = Site::three("a store that was set back").await else { return };
    write(&site, 0, 10).await;
    let (_, before) = site.primary().unwrap();
    let heir = before.current().unwrap().members.iter().last().unwrap();
    let old = site.saved_record().await;
    site.hand_over(heir).await;
    site.until("the heir", |site| site.primary().is_some_and(|(now, _)| now == heir)).await;
    site.calm().await;
    let newest = site.saved_record().await;
    let servers = |site: &Site| [1, 2, 3].map(|node| site.server_pid(NodeId(node)));
    let running = servers(&site);

    site.restore_record(old).await;
    let says =
        |site: &Site| (1..=3).all(|node| site.status(NodeId(node)).detail.contains("has promised term"));
    site.until("every keeper says so", says).await;
    let client = site.client(heir).await.unwrap();
    for id in 10..20 {
        client.execute(&format!("INSERT INTO t VALUES ({id})"), &[]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(servers(&site), running, "a server was ended");

    site.restore_record(newest).await;
    site.calm().await;
    is(count(&site).await, 20);
    site.end().await;
}
