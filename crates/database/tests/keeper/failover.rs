use std::time::{Duration, Instant};

use model::NodeId;

use super::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_followed_by_another_that_has_every_acknowledged_write() {
    let Some(site) = Site::three("a killed primary").await else { return };
    let (first, _) = site.primary().unwrap();
    let client = site.client(first).await.unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    for id in 0..50 {
        client.execute(&format!("INSERT INTO t VALUES ({id})"), &[]).await.unwrap();
    }
    let killed = Instant::now();
    site.kill_server(first);
    site.until("another primary", |site| site.primary().is_some_and(|(now, _)| now != first)).await;
    let (second, record) = site.primary().unwrap();
    println!("served again after {:?} in term {}", killed.elapsed(), record.term);
    let client = loop {
        match site.client(second).await {
            Ok(client) => break client,
            Err(error) => eprintln!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    client.execute("INSERT INTO t VALUES (1000)", &[]).await.unwrap();
    println!("first write after {:?}", killed.elapsed());
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 51);
    println!("whole again after {:?}", site.calm().await + killed.elapsed());
    assert_ne!(second, NodeId(0));
    site.end().await;
}
