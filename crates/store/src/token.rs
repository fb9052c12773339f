use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::StoreError;

/// Bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 32;

/// The secret that opens the store: 32 random bytes, in a file that only its owner can read.
#[derive(Clone)]
pub struct Token([u8; TOKEN_BYTES]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// Makes a new token and keeps it at `path`, mode 0600.
    ///
    /// # Errors
    /// [`StoreError::TokenFile`] when the file is there already or cannot be written.
    pub fn create(path: &Path) -> Result<Token, StoreError> {
        let bad = |why: std::io::Error| token_file(path, why.to_string());
        let secret = random().map_err(bad)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(bad)?;
        let written = file.write_all(&secret).and_then(|()| file.sync_all());
        if let Err(why) = written {
            // A half token would be refused at every later start.
            let _ = fs::remove_file(path);
            return Err(bad(why));
        }
        Ok(Token(secret))
    }

    /// Reads the token at `path`.
    ///
    /// # Errors
    /// [`StoreError::TokenFile`] when it is missing, open to others, or not 32 bytes.
    pub fn load(path: &Path) -> Result<Token, StoreError> {
        let secret = read_private(path, TOKEN_BYTES)?.try_into().map_err(|bytes: Vec<u8>| {
            let length = if bytes.len() > TOKEN_BYTES { "more".to_owned() } else { bytes.len().to_string() };
            token_file(path, format!("it holds {length} bytes, not {TOKEN_BYTES}"))
        })?;
        Ok(Token(secret))
    }

    /// [`Token::load`], or [`Token::create`] when there is no such file.
    ///
    /// # Errors
    /// As those two.
    pub fn load_or_create(path: &Path) -> Result<Token, StoreError> {
        match fs::metadata(path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Token::create(path),
            _ => Token::load(path),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }
}

/// What is in a file that only its owner can read, up to one byte more than `most`.
pub(crate) fn read_private(path: &Path, most: usize) -> Result<Vec<u8>, StoreError> {
    let bad = |why: std::io::Error| token_file(path, why.to_string());
    let file = fs::File::open(path).map_err(bad)?;
    let about = file.metadata().map_err(bad)?;
    if about.mode() & 0o077 != 0 {
        let why = format!(
            "others may read it (mode {:o})\nhint: chmod 600 {}",
            about.mode() & 0o777,
            path.display()
        );
        return Err(token_file(path, why));
    }
    let mut bytes = Vec::with_capacity(most + 1);
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(bad)?;
    Ok(bytes)
}

/// Bytes nobody can foretell, from the kernel.
pub(crate) fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

fn token_file(path: &Path, why: String) -> StoreError {
    StoreError::TokenFile { path: path.to_owned(), why }
}
