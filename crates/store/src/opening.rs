//! How client and server show each other that they hold the token, without sending it:
//!
//! ```text
//! client   evenkeel02, client nonce
//! server   server nonce, HMAC-SHA256(token, "evenkeel02 server", client nonce, server nonce)
//! client   HMAC-SHA256(token, "evenkeel02 client", client nonce, server nonce)
//! server   +
//! ```
//!
//! The server goes first: on a machine with other users anybody may listen on the port while the store is away, and
//! learns only random bytes. Each proof is over a nonce of its reader, so an old one is worth nothing, and names its
//! side, so it cannot be sent back. What follows is neither encrypted nor signed.

use std::io;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Token;
use crate::token::random;

/// Opens a connection; names the protocol and its version.
pub(crate) const MAGIC: &[u8; 10] = b"evenkeel02";
const SERVER: &[u8] = b"evenkeel02 server";
const CLIENT: &[u8] = b"evenkeel02 client";
/// Bytes of a nonce: none ever comes twice.
const NONCE_BYTES: usize = 32;
/// Bytes of a proof.
const PROOF_BYTES: usize = 32;
/// What a client opens with: the magic and its nonce.
const HELLO_BYTES: usize = MAGIC.len() + NONCE_BYTES;
/// What the server answers: its nonce and its proof.
const CHALLENGE_BYTES: usize = NONCE_BYTES + PROOF_BYTES;
/// All that each side sends before requests and replies, for tests that let an opening pass.
#[cfg(test)]
pub(crate) const OPENING_BYTES: (usize, usize) = (HELLO_BYTES + PROOF_BYTES, CHALLENGE_BYTES + 1);
/// Bytes of SHA-256's block, which an HMAC's key is filled up to with zeros.
const BLOCK_BYTES: usize = 64;
/// The server's last word of an opening.
pub(crate) const WELCOME: u8 = b'+';
/// As [`WELCOME`], to one who does not hold the token or speaks something else; the connection ends.
pub(crate) const REFUSED: u8 = b'-';

/// What came of a client's opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Welcome,
    /// Who answers does not hold the token. It was sent nothing that depends on the token.
    NotOurStore,
    /// It holds the token, and does not believe that we do.
    Refused,
}

/// The nonces of one opening.
struct Nonces {
    client: [u8; NONCE_BYTES],
    server: [u8; NONCE_BYTES],
}

impl Nonces {
    fn mac(&self, token: &Token, side: &[u8]) -> Hmac<Sha256> {
        let mut key = [0; BLOCK_BYTES];
        let (secret, _) = key.split_at_mut(token.bytes().len());
        secret.copy_from_slice(token.bytes());
        Hmac::<Sha256>::new(&key.into())
            .chain_update(side)
            .chain_update(self.client)
            .chain_update(self.server)
    }

    fn proof(&self, token: &Token, side: &[u8]) -> [u8; PROOF_BYTES] {
        self.mac(token, side).finalize().into_bytes().into()
    }

    /// Takes the same time wherever the first difference is.
    fn is_proven(&self, token: &Token, side: &[u8], proof: &[u8; PROOF_BYTES]) -> bool {
        self.mac(token, side).verify_slice(proof).is_ok()
    }
}

/// The client's side. Sends nothing but random bytes before the server has shown that it holds the token.
pub(crate) async fn ask<S>(stream: &mut S, token: &Token) -> io::Result<Asked>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = random()?;
    let mut hello = [0; HELLO_BYTES];
    hello[..MAGIC.len()].copy_from_slice(MAGIC);
    hello[MAGIC.len()..].copy_from_slice(&client);
    stream.write_all(&hello).await?;
    let mut challenge = [0; CHALLENGE_BYTES];
    match read(stream, &mut challenge).await? {
        0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection unasked")),
        CHALLENGE_BYTES => {}
        _ => return Ok(Asked::NotOurStore),
    }
    let mut nonces = Nonces { client, server: [0; NONCE_BYTES] };
    let mut proof = [0; PROOF_BYTES];
    nonces.server.copy_from_slice(&challenge[..NONCE_BYTES]);
    proof.copy_from_slice(&challenge[NONCE_BYTES..]);
    if !nonces.is_proven(token, SERVER, &proof) {
        return Ok(Asked::NotOurStore);
    }
    stream.write_all(&nonces.proof(token, CLIENT)).await?;
    Ok(if stream.read_u8().await? == WELCOME { Asked::Welcome } else { Asked::Refused })
}

/// Reads until `bytes` is full or the peer closes; how many came.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]).await? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

/// The server's side; `false`: it is not ours to talk to.
pub(crate) async fn answer<S>(stream: &mut S, token: &Token) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        stream.write_all(&[REFUSED]).await?;
        return Ok(false);
    }
    let mut nonces = Nonces { client: [0; NONCE_BYTES], server: random()? };
    stream.read_exact(&mut nonces.client).await?;
    let mut challenge = [0; CHALLENGE_BYTES];
    challenge[..NONCE_BYTES].copy_from_slice(&nonces.server);
    challenge[NONCE_BYTES..].copy_from_slice(&nonces.proof(token, SERVER));
    stream.write_all(&challenge).await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    let known = nonces.is_proven(token, CLIENT, &proof);
    stream.write_all(&[if known { WELCOME } else { REFUSED }]).await?;
    Ok(known)
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
