use super::super::fixture::{data_node, keeper};
use super::*;

#[tokio::test]
async fn what_a_keeper_says_is_on_the_board_until_its_node_is_no_longer_planned() {
    let node = data_node("db-1");
    let (board, mut seen) = watch::channel(Board::from([(node.clone(), Arc::default())]));
    let (keeper_out, status) = watch::channel(Arc::new(keeper("streaming", &[])));
    let tasks = Tasks::new();
    tasks.spawn("forward", forward(node.clone(), status, board.clone()));
    seen.wait_for(|board| board[&node].server_pid == Some(77)).await.unwrap();
    board.send_modify(|board| drop(board.remove(&node)));
    seen.mark_unchanged();
    keeper_out.send_replace(Arc::new(keeper("stopped", &[])));
    drop(keeper_out);
    assert_eq!(tasks.shutdown(Limits::default()).await, Vec::<String>::new());
    assert!(seen.borrow().is_empty() && !seen.has_changed().unwrap(), "an ending keeper is not news");
}

#[test]
fn what_the_keeper_before_still_holds_is_waited_for_and_told_only_when_it_lasts() {
    let now = Moment::default().plus(10_000);
    let (first, told) = Due::at(now).put_off(now);
    assert!(told && first.again == now.plus(AGAIN_MS) && !first.is_soon(now), "nobody was there before");
    let next = Due::taking_over(now);
    assert!(next.again == now.plus(REPLACE_MS) && next.is_soon(now) && !next.is_soon(now.plus(ENDING_MS)));
    let (later, told) = next.put_off(next.again);
    assert!(!told && later.again == next.again.plus(REPLACE_MS) && later.is_soon(next.again));
    let (last, told) = later.put_off(now.plus(ENDING_MS));
    assert!(told && !last.is_soon(now), "somebody else holds it");
}
