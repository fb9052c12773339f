//! The bytes between two keepers: how a connection is opened, and beats. The page of this module shows them.

use std::io;

use hmac::{Hmac, KeyInit, Mac};
use model::{NodeId, Term};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Opens a connection; names the protocol and its version.
pub(super) const MAGIC: &[u8; 10] = b"evkpeers01";
/// What a listener's proof is over, so that no beat can pass for one. As long as [`BEATS`]: all parts have one place.
const LISTENS: &[u8; 18] = b"evkpeers01 listens";
/// What a beat's proof is over.
const BEATS: &[u8; 18] = b"evkpeers01 beats  ";
/// Bytes of a nonce: none ever comes twice.
const NONCE_BYTES: usize = 32;
/// Bytes of a proof.
const PROOF_BYTES: usize = 32;
/// What the dialler opens with: magic, its node, the node it wants, its nonce.
pub(super) const HELLO_BYTES: usize = MAGIC.len() + 2 + NONCE_BYTES;
/// What the listener answers: its nonce and its proof.
pub(super) const ANSWER_BYTES: usize = NONCE_BYTES + PROOF_BYTES;
/// What is said: whether anybody is suspected, and the term.
const SAID_BYTES: usize = 9;
/// A beat: what is said and its proof.
pub(super) const BEAT_BYTES: usize = SAID_BYTES + PROOF_BYTES;

/// The key all keepers of a database share.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub fn new(secret: &[u8]) -> Key {
        // cannot fail: an HMAC takes a key of any length (RFC 2104).
        Key(Hmac::<Sha256>::new_from_slice(secret).expect("an HMAC takes any key"))
    }
}

/// One connection: who dialled whom, and what is random about it.
struct Link {
    from: NodeId,
    to: NodeId,
    dialled: [u8; NONCE_BYTES],
    listens: [u8; NONCE_BYTES],
}

impl Link {
    fn mac(&self, key: &Key, what: &[u8; 18]) -> Hmac<Sha256> {
        let mac = key.0.clone().chain_update(what).chain_update([self.from.0, self.to.0]);
        mac.chain_update(self.dialled).chain_update(self.listens)
    }
}

/// The beats of one connection, in order, as either side counts them.
pub(super) struct Beats {
    /// Over all that is the same for every beat of this connection.
    mac: Hmac<Sha256>,
    count: u64,
}

/// What a beat said: the term whose primary its sender takes for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said(pub Option<Term>);

impl Beats {
    fn new(link: &Link, key: &Key) -> Beats {
        Beats { mac: link.mac(key, BEATS), count: 0 }
    }

    /// The next beat.
    pub fn write(&mut self, Said(suspects): Said) -> [u8; BEAT_BYTES] {
        let mut beat = [0; BEAT_BYTES];
        if let Some(term) = suspects {
            beat[0] = 1;
            beat[1..SAID_BYTES].copy_from_slice(&term.to_be_bytes());
        }
        let proof = self.next(&beat).finalize().into_bytes();
        beat[SAID_BYTES..].copy_from_slice(&proof);
        beat
    }

    /// What `beat` says; `None` when it is not the next one.
    pub fn read(&mut self, beat: &[u8; BEAT_BYTES]) -> Option<Said> {
        // Takes the same time wherever the first difference is.
        self.next(beat).verify_slice(&beat[SAID_BYTES..]).ok()?;
        let mut term = [0; 8];
        term.copy_from_slice(&beat[1..SAID_BYTES]);
        match beat[0] {
            0 => Some(Said(None)),
            1 => Some(Said(Some(Term::from_be_bytes(term)))),
            _ => None,
        }
    }

    fn next(&mut self, beat: &[u8; BEAT_BYTES]) -> Hmac<Sha256> {
        let mac = self.mac.clone().chain_update(self.count.to_be_bytes());
        self.count += 1;
        mac.chain_update(&beat[..SAID_BYTES])
    }
}

/// The dialler's side; `None`: who answers does not hold the key, or is another node.
pub(super) async fn dial<S>(stream: &mut S, key: &Key, from: NodeId, to: NodeId) -> io::Result<Option<Beats>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut link = Link { from, to, dialled: random()?, listens: [0; NONCE_BYTES] };
    let mut hello = [0; HELLO_BYTES];
    let (magic, rest) = hello.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest[0] = from.0;
    rest[1] = to.0;
    rest[2..].copy_from_slice(&link.dialled);
    stream.write_all(&hello).await?;
    let mut answer = [0; ANSWER_BYTES];
    stream.read_exact(&mut answer).await?;
    let (nonce, proof) = answer.split_at(NONCE_BYTES);
    link.listens.copy_from_slice(nonce);
    let proven = link.mac(key, LISTENS).verify_slice(proof).is_ok();
    Ok(proven.then(|| Beats::new(&link, key)))
}

/// The listener's side, up to and with the first beat: only that shows that the dialler holds the key. `None`: it does
/// not, or does not want `me`, or is none of `known`.
pub(super) async fn listen<S>(
    stream: &mut S,
    key: &Key,
    me: NodeId,
    known: impl Fn(NodeId) -> bool,
) -> io::Result<Option<(NodeId, Beats, Said)>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let mut nodes = [0; 2];
    stream.read_exact(&mut nodes).await?;
    let (from, to) = (NodeId(nodes[0]), NodeId(nodes[1]));
    if to != me || !known(from) {
        return Ok(None);
    }
    let mut link = Link { from, to, dialled: [0; NONCE_BYTES], listens: random()? };
    stream.read_exact(&mut link.dialled).await?;
    let mut answer = [0; ANSWER_BYTES];
    let (nonce, proof) = answer.split_at_mut(NONCE_BYTES);
    nonce.copy_from_slice(&link.listens);
    proof.copy_from_slice(&link.mac(key, LISTENS).finalize().into_bytes());
    stream.write_all(&answer).await?;
    let mut beats = Beats::new(&link, key);
    let mut beat = [0; BEAT_BYTES];
    stream.read_exact(&mut beat).await?;
    Ok(beats.read(&beat).map(|said| (from, beats, said)))
}

/// Bytes nobody can foretell, from the kernel.
fn random() -> io::Result<[u8; NONCE_BYTES]> {
    let mut bytes = [0; NONCE_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
