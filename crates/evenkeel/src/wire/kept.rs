//! History in the store: the newest is kept, so that a store that is used for years stays as small as it was.

use store::{Entry, Op, Store, TXN_OPS_MAX, Txn};

/// Applied plans that are kept.
pub const PLANS: usize = 50;
/// Verdicts of drills that are kept.
pub const VERDICTS: usize = 100;

/// Deletes what begins with `prefix` except the `most` newest and the `needed`. A store that does not answer now is no
/// trouble: whoever writes the next one does it.
pub async fn prune(store: &Store, prefix: &str, most: usize, needed: &[String]) {
    let Ok((entries, _)) = store.range(prefix).await else { return };
    for some in over(entries, most, needed).chunks(TXN_OPS_MAX) {
        let then = some.iter().map(|key| Op::Delete { key: key.clone() }).collect();
        if store.txn(Txn { compare: Vec::new(), then }).await.is_err() {
            return;
        }
    }
}

/// The keys of the older ones. Age is when it was first written: numbers in keys need not sort as text.
fn over(mut entries: Vec<Entry>, most: usize, needed: &[String]) -> Vec<String> {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.created));
    let older = entries.into_iter().skip(most).map(|entry| entry.key);
    older.filter(|key| !needed.contains(key)).collect()
}

#[cfg(test)]
mod tests {
    use store::Faults;
    use world::Clock;

    use super::*;

    #[tokio::test]
    async fn the_newest_and_what_is_needed_stay_and_nothing_else_is_touched() {
        let (store, _simulated) = Store::simulated(1, Clock::real(), Faults::default());
        store.put("other", Vec::new()).await.unwrap();
        let all = 3 * TXN_OPS_MAX + 7;
        for number in 1..=all {
            store.put(&format!("plans/{number}"), Vec::new()).await.unwrap();
        }
        prune(&store, "plans/", 3, &["plans/1".to_owned(), format!("plans/{all}")]).await;
        let (left, _) = store.range("").await.unwrap();
        let mut left: Vec<&str> = left.iter().map(|entry| entry.key.as_str()).collect();
        left.sort_by_key(|key| key.len());
        assert_eq!(left, ["other", "plans/1", "plans/389", "plans/390", "plans/391"]);
        prune(&store, "plans/", 3, &["plans/1".to_owned()]).await;
        assert_eq!(store.range("plans/").await.unwrap().0.len(), 4, "nothing more to do");
    }
}
