//! A run on several hosts, as the one who starts it sees it: agents that others started meet in an etcd, and this state
//! folder holds what they share, and which etcd it is.
//!
//! ```text
//! .evenkeel/hosts.json   the etcd, and the file with its login
//!           identity/    to be copied to the state folder of each host
//! ```

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::exit::{Hinted, hinted};

use super::coordination::StoreAddress;
use super::site::{Site, write_whole};

/// Which store the agents of a run on several hosts meet in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// As `--store` takes it.
    pub store: String,
    /// As `--token` takes it.
    pub token: Option<PathBuf>,
    /// As `--store-tls` takes it.
    #[serde(default)]
    pub tls: Option<PathBuf>,
}

impl Hosts {
    /// Those of the state folder; `None`: nothing was put on several hosts from it.
    ///
    /// # Errors
    /// When they are there and cannot be read.
    pub fn read(site: &Site) -> anyhow::Result<Option<Hosts>> {
        let path = site.hosts_path();
        let text = match std::fs::read(&path) {
            // A path through something that is no folder is somebody else's to name.
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Ok(None);
            }
            other => other.with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        let hosts = serde_json::from_slice(&text).map_err(|error| {
            let text = format!("`{}` is damaged: {error}", path.display());
            hinted(text, "`evenkeel up --store ..` writes it anew")
        })?;
        Ok(Some(hosts))
    }

    /// Writes them down.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub fn write(&self, site: &Site) -> anyhow::Result<()> {
        write_whole(&site.hosts_path(), &serde_json::to_vec_pretty(self)?)
    }

    /// A handle on their store.
    ///
    /// # Errors
    /// When it is no etcd's address, or the login cannot be read.
    pub fn open(&self) -> anyhow::Result<Store> {
        let address: StoreAddress = self.store.parse().map_err(|error| {
            hinted(
                format!("`hosts.json`: {error}"),
                "`evenkeel up --store etcd://HOST:PORT,..` writes it anew",
            )
        })?;
        if let StoreAddress::Embedded(_) = address {
            let text =
                format!("`{}` is an embedded store's address, which ends with its machine", self.store);
            return Err(hinted(text, "hosts meet in an etcd: `--store etcd://HOST:PORT,HOST:PORT,..`"));
        }
        address.access(self.token.as_deref(), self.tls.as_deref())?.patient().open()
    }
}

/// That the store which runs from this folder does not answer, for people.
#[must_use]
pub fn silent(site: &Site) -> Hinted {
    let hint = match Hosts::read(site) {
        Ok(Some(hosts)) => format!("most members of `{}` must run and be reached from here", hosts.store),
        _ => "what is left of the run ends with `evenkeel down`; then `evenkeel up`".to_owned(),
    };
    Hinted::new("the store does not answer", hint)
}

/// The store of whatever runs from this folder: on several hosts, or on this machine.
///
/// # Errors
/// When nothing runs from it.
pub fn connect(site: &Site) -> anyhow::Result<Store> {
    match Hosts::read(site)? {
        Some(hosts) => hosts.open(),
        None => Ok(site.connect()?.1),
    }
}

/// The address of this host on its way to the first member of the store.
///
/// # Errors
/// When there is none.
pub fn own_address(store: &StoreAddress) -> anyhow::Result<IpAddr> {
    let (host, port) = match store {
        StoreAddress::Embedded(at) => (at.ip().to_string(), at.port()),
        StoreAddress::Etcd(options) => {
            let first = options.endpoints.first().context("the store has no members")?;
            (first.host().to_owned(), first.port())
        }
    };
    let failed = || {
        let text = format!("the way to the store at `{host}:{port}` tells no address of this host");
        hinted(text, "name it with `--address`")
    };
    let to =
        (host.as_str(), port).to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(failed)?;
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Sends nothing: the kernel only looks for the way.
    let own = UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    own.map(|own| own.ip()).map_err(|_| failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_finds_its_own_address_on_the_way_to_the_store() {
        let own = |text: &str| own_address(&text.parse().unwrap()).unwrap().to_string();
        assert_eq!(own("etcd://127.0.0.1:2379"), "127.0.0.1");
        assert_eq!(own("127.0.0.1:7000"), "127.0.0.1");
        assert_eq!(own("etcd://[::1]:2379"), "::1");
    }

    #[test]
    fn hosts_do_not_meet_in_an_embedded_store() {
        let hosts = Hosts { store: "127.0.0.1:7000".to_owned(), token: None, tls: None };
        let error = hosts.open().err().unwrap().to_string();
        assert!(error.contains("ends with its machine"), "{error}");
    }
}
