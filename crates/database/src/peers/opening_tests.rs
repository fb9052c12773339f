use tokio::io::{DuplexStream, duplex};

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32])
}

/// Opens a connection from A to B; the beats as A counts them, and as B does after the first.
async fn link(first: Said) -> (Beats, Beats) {
    let (mut dialler, mut listener) = duplex(1024);
    let dials = async {
        let mut beats = dial(&mut dialler, &key(7), A, B).await.unwrap().unwrap();
        dialler.write_all(&beats.write(first)).await.unwrap();
        beats
    };
    let right = key(7);
    let hears = listen(&mut listener, &right, B, |node| node == A);
    let (dialled, heard) = tokio::join!(dials, hears);
    let (from, beats, said) = heard.unwrap().unwrap();
    assert_eq!((from, said), (A, first));
    (dialled, beats)
}

#[tokio::test]
async fn beats_say_what_their_sender_said() {
    let (mut a, mut b) = link(Said(None)).await;
    for said in [Said(Some(0)), Said(Some(u64::MAX)), Said(None), Said(Some(41))] {
        assert_eq!(b.read(&a.write(said)), Some(said));
    }
}

#[tokio::test]
async fn a_beat_counts_once_in_its_place_on_its_connection() {
    let (mut a, mut b) = link(Said(None)).await;
    let first = a.write(Said(Some(1)));
    assert_eq!(b.read(&first), Some(Said(Some(1))));
    assert_eq!(b.read(&first), None, "a second time");
    let (mut a, mut b) = link(Said(None)).await;
    let (_, second) = (a.write(Said(None)), a.write(Said(None)));
    assert_eq!(b.read(&second), None, "one left out");
    let (_, mut other) = link(Said(None)).await;
    let (mut a, _) = link(Said(None)).await;
    assert_eq!(other.read(&a.write(Said(None))), None, "on another connection");
}

#[tokio::test]
async fn no_bit_of_a_beat_can_be_changed() {
    for bit in 0..BEAT_BYTES * 8 {
        let (mut a, mut b) = link(Said(None)).await;
        let mut beat = a.write(Said(Some(3)));
        beat[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(b.read(&beat), None, "bit {bit}");
    }
}

/// Lets B answer `hello` and then hands it `next`.
async fn answered(mut far: DuplexStream, hello: &[u8]) -> ([u8; ANSWER_BYTES], DuplexStream) {
    far.write_all(hello).await.unwrap();
    let mut answer = [0; ANSWER_BYTES];
    far.read_exact(&mut answer).await.unwrap();
    (answer, far)
}

#[tokio::test]
async fn a_listener_that_is_asked_by_a_stranger_proves_nothing_that_opens_another_door() {
    let hello = [MAGIC.as_slice(), &[1, 2], &[9; 32]].concat();
    let right = key(7);
    let (near, far) = duplex(1024);
    let stranger = async {
        let (answer, mut far) = answered(far, &hello).await;
        // The only bytes it has that the key went into.
        let mut beat = [0; BEAT_BYTES];
        beat[SAID_BYTES..].copy_from_slice(&answer[NONCE_BYTES..]);
        far.write_all(&beat).await.unwrap();
    };
    let mut near = near;
    let (heard, ()) = tokio::join!(listen(&mut near, &right, B, |node| node == A), stranger);
    assert!(heard.unwrap().is_none());
}

#[tokio::test]
async fn what_a_node_says_cannot_be_sent_back_to_it() {
    // A dials; who answers reflects A's own hello and nonce as if it were a listener.
    let (mut near, mut far) = duplex(1024);
    let mirror = async {
        let mut hello = [0; HELLO_BYTES];
        far.read_exact(&mut hello).await.unwrap();
        far.write_all(&[&hello[12..], &[0; PROOF_BYTES]].concat()).await.unwrap();
    };
    let right = key(7);
    let (dialled, ()) = tokio::join!(dial(&mut near, &right, A, B), mirror);
    assert!(dialled.unwrap().is_none());
    // A hello of B itself, or of a node that is not known, or for another one, is not even answered.
    for nodes in [[2, 2], [3, 2], [1, 3], [0, 2], [255, 2]] {
        let (mut near, mut far) = duplex(1024);
        far.write_all(&[MAGIC.as_slice(), &nodes, &[9; 32]].concat()).await.unwrap();
        assert!(listen(&mut near, &right, B, |node| node == A).await.unwrap().is_none(), "{nodes:?}");
        drop(near);
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0, "{nodes:?}");
    }
}

#[tokio::test]
async fn one_with_another_key_is_believed_by_neither_side() {
    let (mut dialler, mut listener) = duplex(1024);
    let (right, wrong) = (key(7), key(8));
    let dials = async { dial(&mut dialler, &wrong, A, B).await.map(|beats| beats.is_some()) };
    let hears = async {
        // It is not sent anything after a proof it does not believe.
        let limit = std::time::Duration::from_millis(50);
        tokio::time::timeout(limit, listen(&mut listener, &right, B, |node| node == A)).await.is_err()
    };
    let (dialled, nothing_came) = tokio::join!(dials, hears);
    assert!(!dialled.unwrap());
    assert!(nothing_came);
    // And one that beats all the same.
    let (mut far, mut near) = duplex(1024);
    let insists = async {
        let (answer, mut far) =
            answered(far_of(&mut far), &[MAGIC.as_slice(), &[1, 2], &[9; 32]].concat()).await;
        let mut link = Link { from: A, to: B, dialled: [9; 32], listens: [0; 32] };
        link.listens.copy_from_slice(&answer[..NONCE_BYTES]);
        far.write_all(&Beats::new(&link, &wrong).write(Said(None))).await.unwrap();
    };
    let (heard, ()) = tokio::join!(listen(&mut near, &right, B, |node| node == A), insists);
    assert!(heard.unwrap().is_none());
}

fn far_of(far: &mut DuplexStream) -> DuplexStream {
    std::mem::replace(far, duplex(1).0)
}
