//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL stores it: enough to check a password, not to log in with.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::IdentityError;
use crate::files::random;
use crate::secret::equal;

/// Rounds of PBKDF2: RFC 7677's least and PostgreSQL's own default. Our passwords are 256 random bits, which no number
/// of rounds would make harder to guess; each round costs every client that connects.
pub const SCRAM_ITERATIONS: u32 = 4096;
/// Most rounds that a verifier is checked with: 2 s of work. PostgreSQL's own has no bound.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of a new salt: PostgreSQL's own length.
const SALT_BYTES: usize = 16;
/// Bytes of SHA-256.
const HASH_BYTES: usize = 32;
const SCHEME: &str = "SCRAM-SHA-256";

/// What a server keeps to check a password: `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`. `to_string()` gives the
/// text for `CREATE ROLE .. PASSWORD '..'`; it holds letters, digits and `$ : + / = -` only, nothing to quote. So the
/// password itself is in no statement and no server log.
///
/// Who has it cannot log in, but can pose as the server, and search for a weak password: treat it as a secret, too.
#[derive(Clone)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; HASH_BYTES],
    server_key: [u8; HASH_BYTES],
}

impl ScramVerifier {
    /// A verifier of `password` with a new random salt: two of one password differ.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the kernel gives no random numbers.
    pub fn new(password: &str) -> Result<ScramVerifier, IdentityError> {
        Ok(ScramVerifier::with(password, &random::<SALT_BYTES>()?, SCRAM_ITERATIONS))
    }

    fn with(password: &str, salt: &[u8], iterations: u32) -> ScramVerifier {
        let salted = Zeroizing::new(salted(password, salt, iterations));
        let client_key = Zeroizing::new(mac(salted.as_slice(), &[b"Client Key"]));
        ScramVerifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(client_key.as_slice()).into(),
            server_key: mac(salted.as_slice(), &[b"Server Key"]),
        }
    }

    /// Reads what PostgreSQL keeps in `pg_authid.rolpassword`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<ScramVerifier> {
        let (scheme, rest) = text.split_once('$')?;
        let (cost, keys) = rest.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|n| (1..=ITERATIONS_MAX).contains(n))?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let (stored_key, server_key) = (key(stored_key)?, key(server_key)?);
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        (scheme == SCHEME).then_some(ScramVerifier { iterations, salt, stored_key, server_key })
    }

    /// Whether `password` is the one; so a role need not be altered at every start. Takes milliseconds.
    #[must_use]
    pub fn is_of(&self, password: &str) -> bool {
        let other = ScramVerifier::with(password, &self.salt, self.iterations);
        equal(&self.stored_key, &other.stored_key) & equal(&self.server_key, &other.server_key)
    }
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored) = (STANDARD.encode(&self.salt), STANDARD.encode(self.stored_key));
        write!(f, "{SCHEME}${}:{salt}${stored}:{}", self.iterations, STANDARD.encode(self.server_key))
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(..)")
    }
}

/// RFC 5802's `SaltedPassword`: PBKDF2 (RFC 8018) with HMAC-SHA-256 and one block.
fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; HASH_BYTES] {
    // As PostgreSQL and its clients do: what SASLprep (RFC 4013) forbids is taken as it is.
    let prepared = Zeroizing::new(match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared.into_owned(),
        _ => password.to_owned(),
    });
    let keyed = keyed(prepared.as_bytes());
    let mut round = finish(keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()));
    let mut sum = round;
    for _ in 1..iterations {
        round = finish(keyed.clone().chain_update(round));
        sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // cannot fail: HMAC takes a key of any length (RFC 2104, 3).
    Hmac::<Sha256>::new_from_slice(key).expect("any length")
}

fn finish(mac: Hmac<Sha256>) -> [u8; HASH_BYTES] {
    mac.finalize().into_bytes().into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    finish(parts.iter().fold(keyed(key), |mac, part| mac.chain_update(part)))
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
