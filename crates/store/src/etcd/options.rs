//! Where etcd is and how it is spoken to.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::tls::EtcdTls;
use crate::{StoreError, token};

/// What an address of etcd starts with.
const SCHEME: &str = "etcd://";
/// With TLS.
const SCHEME_TLS: &str = "etcds://";
/// The part of etcd's keys that is ours when the address names none.
const PREFIX: &str = "evenkeel";
/// Longest prefix in bytes; keys of [`crate::KEY_BYTES_MAX`] come on top.
const PREFIX_BYTES_MAX: usize = 64;
/// Most members of one cluster; etcd advises at most seven.
const ENDPOINTS_MAX: usize = 9;
/// Bounds of a time-out in milliseconds; a third of it is the patience with one member.
const TIMEOUT_MS: (u64, u64) = (30, 60_000);
/// Longest file with a login in bytes.
const LOGIN_BYTES_MAX: usize = 1024;

/// Where one member of etcd answers its clients, over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// A name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port of its clients, 2379 unless told otherwise.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = StoreError;

    /// `HOST:PORT`, `[IPv6]:PORT`.
    fn from_str(text: &str) -> Result<Endpoint, StoreError> {
        let no = |why: &str| Err(address(text, why));
        let Some((host, port)) = text.rsplit_once(':') else { return no("it has no port") };
        let Some(port) = port.parse().ok().filter(|port| *port > 0) else {
            return no("its port is not a number from 1 to 65535");
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return no("there is no IPv6 address in its brackets"),
            None => host,
        };
        let name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        if host.is_empty() || (bracketed.is_none() && !host.chars().all(name)) {
            return no("its host is neither a name nor an address");
        }
        Ok(Endpoint { host: host.to_owned(), port })
    }
}

/// A user of etcd's own authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdLogin {
    /// The user.
    pub user: String,
    /// The password; sent in the clear while there is no TLS.
    pub password: String,
}

impl fmt::Debug for EtcdLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

impl EtcdLogin {
    /// Reads `USER:PASSWORD` from the file at `path`; an end of line after it does not count.
    ///
    /// # Errors
    /// [`StoreError::TokenFile`] when it is missing, open to others, or holds something else.
    pub fn load(path: &Path) -> Result<EtcdLogin, StoreError> {
        let bytes = token::read_private(path, LOGIN_BYTES_MAX)?;
        let text = String::from_utf8(bytes).ok();
        let login = text.as_deref().and_then(|text| text.trim_end_matches(['\r', '\n']).split_once(':'));
        match login {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok(EtcdLogin { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(StoreError::TokenFile {
                path: path.to_owned(),
                why: "it does not hold `USER:PASSWORD`".to_owned(),
            }),
        }
    }
}

/// Which etcd, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdOptions {
    /// Its members, the one to prefer first: that of the own zone.
    pub endpoints: Vec<Endpoint>,
    /// The name of this application's part: every key is kept as `PREFIX/KEY`. Letters, digits, `-`, `_` and `.`, so
    /// that no part lies within another.
    pub prefix: String,
    /// Needed when etcd's authentication is on.
    pub login: Option<EtcdLogin>,
    /// Connections are secured by TLS: the address began with `etcds://`. Then [`EtcdOptions::tls`] must be there.
    pub secure: bool,
    /// How.
    pub tls: Option<EtcdTls>,
    /// A request without an answer by then has failed, in milliseconds. A member that has said nothing for a third of
    /// it is passed over. From 30 to 60,000.
    pub timeout_ms: u64,
}

impl EtcdOptions {
    /// As `address` says: `etcd://HOST:PORT,HOST:PORT,..[/PREFIX]`, with TLS `etcds://..`; the prefix is `evenkeel` unless
    /// named, a time-out is 400 ms, and there is no login.
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn parse(address_text: &str) -> Result<EtcdOptions, StoreError> {
        let secured = address_text.strip_prefix(SCHEME_TLS);
        let Some(rest) = secured.or_else(|| address_text.strip_prefix(SCHEME)) else {
            return Err(address(address_text, "it does not start with `etcd://` or `etcds://`"));
        };
        if rest.contains('@') {
            // Not repeated: it holds a password.
            return Err(address("etcd://..@..", "it names a user\nhint: a login belongs into a file"));
        }
        let (hosts, prefix) = match rest.split_once('/') {
            Some((hosts, prefix)) if !prefix.is_empty() => (hosts, prefix),
            Some((hosts, _)) => (hosts, PREFIX),
            None => (rest, PREFIX),
        };
        let endpoints = hosts.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let options = EtcdOptions {
            endpoints,
            prefix: prefix.to_owned(),
            login: None,
            secure: secured.is_some(),
            tls: None,
            timeout_ms: crate::ClientOptions::default().timeout_ms,
        };
        options.check()?;
        Ok(options)
    }

    /// As [`EtcdOptions::check`], and whether TLS is had as it is wanted.
    pub(super) fn check_all(&self) -> Result<(), StoreError> {
        self.check()?;
        match (self.secure, &self.tls) {
            (true, None) => Err(address(
                &self.to_string(),
                "it asks for TLS, and nothing says whom to believe\nhint: --store-tls DIR",
            )),
            (false, Some(_)) => Err(address(
                &self.to_string(),
                "it does not ask for TLS, and certificates are named\nhint: `etcds://` instead of `etcd://`",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let count = self.endpoints.len();
        if !(1..=ENDPOINTS_MAX).contains(&count) {
            let why = format!("it names {count} members; they must be from 1 to {ENDPOINTS_MAX}");
            return Err(address(&self.to_string(), &why));
        }
        let twice = |(at, endpoint)| self.endpoints.iter().take(at).any(|before| before == endpoint);
        if self.endpoints.iter().enumerate().any(twice) {
            return Err(address(&self.to_string(), "it names one member twice"));
        }
        if !(TIMEOUT_MS.0..=TIMEOUT_MS.1).contains(&self.timeout_ms) {
            let (ms, (least, most)) = (self.timeout_ms, TIMEOUT_MS);
            let why = format!("its time-out is {ms} ms; it must be from {least} to {most}");
            return Err(address(&self.to_string(), &why));
        }
        let letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        if self.prefix.is_empty() || self.prefix.len() > PREFIX_BYTES_MAX || !self.prefix.chars().all(letter)
        {
            let why = format!(
                "its prefix must be of letters, digits, `-`, `_` and `.`, {PREFIX_BYTES_MAX} at the most"
            );
            return Err(address(&self.to_string(), &why));
        }
        Ok(())
    }
}

impl fmt::Display for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.endpoints.iter().map(Endpoint::to_string).collect();
        let scheme = if self.secure { SCHEME_TLS } else { SCHEME };
        write!(f, "{scheme}{}/{}", hosts.join(","), self.prefix)
    }
}

impl FromStr for EtcdOptions {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<EtcdOptions, StoreError> {
        EtcdOptions::parse(text)
    }
}

fn address(text: &str, why: &str) -> StoreError {
    StoreError::Address { address: text.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = match text.parse::<EtcdOptions>() {
            Ok(options) => options.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(want), "{got}");
    }

    #[test]
    fn an_address_names_members_and_a_part() {
        check("etcd://10.0.0.1:2379,b.example:2379/shop", "etcd://10.0.0.1:2379,b.example:2379/shop");
        check("etcd://[::1]:2379", "etcd://[::1]:2379/evenkeel");
        check("etcd://a:1/", "etcd://a:1/evenkeel");
        check("etcds://a:1", "etcds://a:1/evenkeel");
    }

    #[test]
    fn a_mistyped_address_is_told_with_its_mistake() {
        check("10.0.0.1:2379", "does not start with `etcd://`");
        check("etcd://", "it has no port");
        check("etcd://a:1,", "it has no port");
        check("etcd://a", "it has no port");
        check("etcd://a:0", "not a number from 1 to 65535");
        check("etcd://a:65536", "not a number from 1 to 65535");
        check("etcd://:1", "neither a name nor an address");
        check("etcd://a b:1", "neither a name nor an address");
        check("etcd://::1:2379", "neither a name nor an address");
        check("etcd://[a]:1", "no IPv6 address in its brackets");
        check("etcd://a:1,a:1", "one member twice");
        check("etcd://a:1/x/y", "its prefix must be of letters");
        check("etcd://a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10", "names 10 members");
    }

    #[test]
    fn tls_is_neither_forgotten_nor_had_by_accident() {
        let error = "etcds://a:1".parse::<EtcdOptions>().unwrap().check_all().unwrap_err().to_string();
        assert!(error.contains("--store-tls"), "{error}");
        assert!("etcd://a:1".parse::<EtcdOptions>().unwrap().check_all().is_ok());
    }

    #[test]
    fn a_time_out_without_end_is_refused() {
        let options = "etcd://a:1".parse::<EtcdOptions>().unwrap();
        for timeout_ms in [0, u64::MAX] {
            assert!(EtcdOptions { timeout_ms, ..options.clone() }.check().is_err());
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error = "etcd://root:hunter2@a:1".parse::<EtcdOptions>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let login = EtcdLogin { user: "root".to_owned(), password: "hunter2".to_owned() };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
