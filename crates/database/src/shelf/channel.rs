//! The sealed connection; the page of this module shows its opening.

use std::io;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{hkdf, hmac};
use model::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::IDLE_MS;

const MAGIC: &[u8; 10] = b"evkshelf01";
const GIVES: &[u8] = b"evkshelf01 gives ";
const TAKES: &[u8] = b"evkshelf01 takes ";
/// Bytes of a public key of X25519, and of a proof.
const PART: usize = 32;
/// Most bytes of one frame, unsealed.
pub(super) const FRAME_MAX: usize = 64 * 1024;
/// What sealing adds.
const TAG: usize = 16;

/// One direction. A frame's number is its nonce and is never sent, so none can be left out, repeated or exchanged.
struct Way {
    key: LessSafeKey,
    count: u64,
}

impl Way {
    fn new(secret: &hkdf::Prk, transcript: &[u8], what: &[u8]) -> io::Result<Way> {
        let info = [what, transcript];
        let key = secret.expand(&info, &AES_256_GCM).map_err(broken)?;
        Ok(Way { key: LessSafeKey::new(UnboundKey::from(key)), count: 0 })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.count.to_be_bytes());
        // Of 2^64 frames none comes twice: a connection ends long before.
        self.count += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn broken<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came was not sealed by its sender")
}

/// An open connection.
pub(super) struct Channel<S> {
    stream: S,
    out: Way,
    into: Way,
}

/// Who dialled whom, with both public keys.
struct Opening {
    transcript: Vec<u8>,
}

impl Opening {
    fn new(from: NodeId, to: NodeId, dialled: &[u8], listens: &[u8]) -> Opening {
        Opening { transcript: [&[from.0, to.0], dialled, listens].concat() }
    }

    fn proven(&self, key: &[u8], what: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, &[what, &self.transcript].concat()).as_ref().to_vec()
    }

    fn is_proof(&self, key: &[u8], what: &[u8], proof: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, &[what, &self.transcript].concat(), proof).is_ok()
    }

    /// The two directions: what the dialler says, what the listener says.
    fn ways(&self, key: &[u8], own: EphemeralPrivateKey, theirs: &[u8]) -> io::Result<(Way, Way)> {
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, key);
        let secret =
            agree_ephemeral(own, theirs, io::ErrorKind::InvalidData, |shared| Ok(salt.extract(shared)))?;
        Ok((Way::new(&secret, &self.transcript, TAKES)?, Way::new(&secret, &self.transcript, GIVES)?))
    }
}

fn made() -> io::Result<(EphemeralPrivateKey, [u8; PART])> {
    let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(io::Error::other)?;
    let public = own.compute_public_key().map_err(io::Error::other)?;
    let mut bytes = [0; PART];
    bytes.copy_from_slice(public.as_ref());
    Ok((own, bytes))
}

/// The dialler's side; `None`: who answers does not hold the key, or is another node.
pub(super) async fn dial<S>(
    mut stream: S,
    key: &[u8],
    from: NodeId,
    to: NodeId,
) -> io::Result<Option<Channel<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (own, public) = made()?;
    stream.write_all(&[&MAGIC[..], &[from.0, to.0], &public].concat()).await?;
    let mut answer = [0; 2 * PART];
    stream.read_exact(&mut answer).await?;
    let (theirs, proof) = answer.split_at(PART);
    let opening = Opening::new(from, to, &public, theirs);
    if !opening.is_proof(key, GIVES, proof) {
        return Ok(None);
    }
    stream.write_all(&opening.proven(key, TAKES)).await?;
    let (out, into) = opening.ways(key, own, theirs)?;
    Ok(Some(Channel { stream, out, into }))
}

/// The listener's side; `None`: the dialler does not hold the key, does not want `me`, or is none of `known`.
pub(super) async fn listen<S>(
    mut stream: S,
    key: &[u8],
    me: NodeId,
    known: impl Fn(NodeId) -> bool,
) -> io::Result<Option<(NodeId, Channel<S>)>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let mut hello = [0; 2 + PART];
    stream.read_exact(&mut hello).await?;
    let (from, to, theirs) = (NodeId(hello[0]), NodeId(hello[1]), &hello[2..]);
    if to != me || !known(from) {
        return Ok(None);
    }
    let (own, public) = made()?;
    let opening = Opening::new(from, to, theirs, &public);
    stream.write_all(&[&public[..], &opening.proven(key, GIVES)].concat()).await?;
    let mut proof = [0; PART];
    stream.read_exact(&mut proof).await?;
    if !opening.is_proof(key, TAKES, &proof) {
        return Ok(None);
    }
    let (into, out) = opening.ways(key, own, theirs)?;
    Ok(Some((from, Channel { stream, out, into })))
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(Duration::from_millis(IDLE_MS), work).await?
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    /// Sends one frame of at most [`FRAME_MAX`] bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut frame = bytes.to_vec();
        let length = u32::try_from(bytes.len() + TAG).map_err(io::Error::other)?.to_be_bytes();
        let nonce = self.out.nonce();
        self.out.key.seal_in_place_append_tag(nonce, Aad::from(length), &mut frame).map_err(broken)?;
        within(async {
            self.stream.write_all(&length).await?;
            self.stream.write_all(&frame).await
        })
        .await
    }

    /// The next frame.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        within(async {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).await?;
            let bytes = u32::from_be_bytes(length) as usize;
            if !(TAG..=FRAME_MAX + TAG).contains(&bytes) {
                return Err(broken(()));
            }
            let mut frame = vec![0; bytes];
            self.stream.read_exact(&mut frame).await?;
            let nonce = self.into.nonce();
            let clear = self.into.key.open_in_place(nonce, Aad::from(length), &mut frame).map_err(broken)?;
            let clear = clear.len();
            frame.truncate(clear);
            Ok(frame)
        })
        .await
    }

    /// Sends a document, in as many frames as it takes: each but the last is full.
    pub async fn say(&mut self, document: &impl serde::Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(document).map_err(io::Error::other)?;
        let mut parts = bytes.chunks(FRAME_MAX - 1).peekable();
        while let Some(part) = parts.next() {
            let more = u8::from(parts.peek().is_some());
            self.send(&[&[more], part].concat()).await?;
        }
        Ok(())
    }

    /// The document that comes, of at most `most` bytes.
    pub async fn hear<T: serde::de::DeserializeOwned>(&mut self, most: usize) -> io::Result<T> {
        let mut bytes = Vec::new();
        loop {
            let frame = self.next().await?;
            let (more, part) = frame.split_first().ok_or_else(|| broken(()))?;
            bytes.extend_from_slice(part);
            if bytes.len() > most {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "more came than was asked for"));
            }
            if *more == 0 {
                return serde_json::from_slice(&bytes).map_err(io::Error::other);
            }
        }
    }
}
