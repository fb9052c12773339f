use std::fmt;
use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use crate::IdentityError;
use crate::files::random;

/// Bytes of a secret: 256 bits, so that no search finds it.
pub const SECRET_BYTES: usize = 32;

/// 32 random bytes. They are shown by [`Secret::expose`] alone, never by `{}` or `{:?}`, and wiped when dropped.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A new secret from the kernel's random numbers.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the kernel gives none.
    pub fn random() -> Result<Secret, IdentityError> {
        random().map(Secret)
    }

    /// The secret as text: 43 characters of base64url without padding (RFC 4648, 5). It needs no quoting in a URL, a
    /// shell, SQL or a `.pgpass` file. Wiped when dropped.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The secret whose text this is; `None` for anything else than what [`Secret::expose`] gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Secret> {
        // One byte of room: the decoder asks for as many as the text could stand for.
        let mut bytes = Zeroizing::new([0; SECRET_BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()).ok()?;
        bytes[..length].try_into().ok().map(Secret)
    }
}

/// Takes the same time wherever the first difference is.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        equal(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Whether `a` is `b`, in a time that does not tell where they differ.
pub(crate) fn equal<const BYTES: usize>(a: &[u8; BYTES], b: &[u8; BYTES]) -> bool {
    // `black_box` keeps the compiler from ending the loop early.
    a.iter().zip(b).fold(0_u8, |seen, (a, b)| black_box(seen | (a ^ b))) == 0
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
