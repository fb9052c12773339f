//! Which store an agent works with: the embedded one of a run on one machine, or an etcd of many hosts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail};
use store::{EtcdLogin, EtcdOptions, EtcdTls, Store, Token};

/// The value of `--store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    Embedded(SocketAddr),
    Etcd(EtcdOptions),
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreAddress::Embedded(address) => address.fmt(f),
            StoreAddress::Etcd(options) => options.fmt(f),
        }
    }
}

impl FromStr for StoreAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<StoreAddress, String> {
        if text.contains("://") {
            return EtcdOptions::parse(text).map(StoreAddress::Etcd).map_err(|error| error.to_string());
        }
        text.parse().map(StoreAddress::Embedded).map_err(|_| {
            format!(
                "`{text}` is neither `ADDRESS:PORT` nor `etcd://..`\nhint: the embedded store is named by its IP address, such as `127.0.0.1:7000`"
            )
        })
    }
}

/// An address and what opens it.
pub enum Access {
    Embedded(SocketAddr, Token),
    Etcd(EtcdOptions),
}

impl StoreAddress {
    /// The addresses of its members.
    ///
    /// # Errors
    /// Which name leads to none.
    pub async fn resolve(&self) -> Result<Vec<IpAddr>, String> {
        let options = match self {
            StoreAddress::Embedded(address) => return Ok(vec![address.ip()]),
            StoreAddress::Etcd(options) => options,
        };
        let mut all = Vec::new();
        for member in &options.endpoints {
            let found = tokio::net::lookup_host((member.host(), member.port())).await;
            let found = found.map_err(|error| format!("no address of `{}`: {error}", member.host()))?;
            all.extend(found.map(|address| address.ip()));
        }
        Ok(all)
    }

    /// Reads the secret in `token`, which the embedded store always asks for and etcd only with a login, and for an
    /// `etcds://` the folder `tls`.
    ///
    /// # Errors
    /// When one is missing or cannot be read.
    pub fn access(&self, token: Option<&Path>, tls: Option<&Path>) -> anyhow::Result<Access> {
        match self {
            StoreAddress::Embedded(_) if tls.is_some() => {
                bail!(
                    "the embedded store is on this machine alone and speaks no TLS\nhint: leave `--store-tls` out"
                )
            }
            StoreAddress::Embedded(address) => {
                let path = token.context("the embedded store asks for a token\nhint: --token FILE")?;
                let token = Token::load(path).context("cannot read the store's token")?;
                Ok(Access::Embedded(*address, token))
            }
            StoreAddress::Etcd(options) => {
                let mut options = options.clone();
                if let Some(path) = token {
                    options.login = Some(EtcdLogin::load(path).context("cannot read etcd's login")?);
                }
                options.tls = tls.map(EtcdTls::load).transpose()?;
                Ok(Access::Etcd(options))
            }
        }
    }
}

/// A person waits longer than a keeper, whose next question comes anyway: with TLS, a machine at its limit takes its time.
const PATIENT_MS: u64 = 3_000;

impl Access {
    /// For a command, which asks once.
    #[must_use]
    pub fn patient(self) -> Access {
        match self {
            Access::Etcd(options) => Access::Etcd(EtcdOptions { timeout_ms: PATIENT_MS, ..options }),
            embedded @ Access::Embedded(..) => embedded,
        }
    }

    /// A handle; returns at once.
    ///
    /// # Errors
    /// When the address cannot be one.
    pub fn open(self) -> anyhow::Result<Store> {
        match self {
            Access::Embedded(address, token) => Ok(Store::connect(address, token)),
            Access::Etcd(options) => Ok(Store::etcd(options)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let error = text.parse::<StoreAddress>().unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn an_address_is_the_embedded_stores_or_etcds() {
        let embedded = "127.0.0.1:7000".parse::<StoreAddress>();
        assert!(matches!(embedded, Ok(StoreAddress::Embedded(_))), "{embedded:?}");
        let etcd = "etcd://a:2379,b:2379,c:2379/shop".parse::<StoreAddress>();
        let Ok(StoreAddress::Etcd(options)) = etcd else { panic!("{etcd:?}") };
        assert_eq!((options.endpoints.len(), options.prefix.as_str()), (3, "shop"));
    }

    #[test]
    fn a_mistyped_address_is_told_before_the_agent_starts() {
        refused("localhost:7000", "neither `ADDRESS:PORT` nor `etcd://..`");
        refused("http://a:2379", "does not start with `etcd://` or `etcds://`");
        refused("etcd://a", "it has no port");
        refused("etcd://root:secret@a:2379", "a login belongs into a file");
    }

    #[test]
    fn the_embedded_store_is_not_opened_without_its_token() {
        let address: StoreAddress = "127.0.0.1:7000".parse().unwrap();
        let error = address.access(None, None).err().unwrap().to_string();
        assert!(error.contains("--token"), "{error}");
    }
}
