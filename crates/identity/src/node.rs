use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use crate::der::{self, Facts};
use crate::error::When;
use crate::files::{self, Access};
use crate::{IdentityError, pem};

/// Life of a node's certificate in days, when nothing else is asked for.
pub const NODE_DAYS: u32 = 90;
/// The longest, in days: a stolen key is of no use after that.
pub const NODE_DAYS_MAX: u32 = 397;
/// A certificate is valid from this long before it was issued, in seconds: other machines' clocks may be behind.
pub const BACKDATE_SECONDS: u64 = 3600;
/// The certificate in a node's folder: PostgreSQL's `ssl_cert_file`.
pub const CERT_FILE: &str = "cert.pem";
/// Its private key, mode 0600: PostgreSQL's `ssl_key_file`.
pub const KEY_FILE: &str = "key.pem";
/// The authority's certificate: `ssl_ca_file`, and a client's `sslrootcert`.
pub const CA_FILE: &str = "ca.pem";
/// Longest common name in bytes (RFC 5280, A.1), which is a database role's name too.
const NAME_BYTES_MAX: usize = 64;
/// Longest name of a host in bytes (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// To be connected to.
    Server,
    /// To connect: PostgreSQL's `cert` method takes the common name for the role.
    Client,
    /// Both: a database node is its clients' server and its primary's client.
    Both,
}

/// What a certificate is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// The common name: 1 to 64 of letters, digits and `. _ -`.
    pub name: String,
    /// Addresses at which clients look for it.
    pub addresses: Vec<IpAddr>,
    /// Host names at which clients look for it.
    pub hosts: Vec<String>,
    /// What for.
    pub usage: Usage,
    /// Life in days, 1 to [`NODE_DAYS_MAX`].
    pub days: u32,
}

impl NodeSpec {
    /// A certificate for `name`, good for [`NODE_DAYS`] days, at no address yet.
    #[must_use]
    pub fn new(name: &str, usage: Usage) -> NodeSpec {
        NodeSpec { name: name.to_owned(), addresses: vec![], hosts: vec![], usage, days: NODE_DAYS }
    }

    /// The same at these addresses.
    #[must_use]
    pub fn at(mut self, addresses: &[IpAddr]) -> NodeSpec {
        self.addresses.extend_from_slice(addresses);
        self
    }

    pub(crate) fn params(&self) -> Result<CertificateParams, IdentityError> {
        self.check()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.name.as_str());
        params.subject_alt_names =
            self.addresses.iter().map(|address| SanType::IpAddress(*address)).collect();
        for host in &self.hosts {
            let name = host.as_str().try_into().map_err(|_| bad_host(host))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match self.usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn check(&self) -> Result<(), IdentityError> {
        let refuse = |what: String, why| Err(IdentityError::Request { what, why });
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(allowed) {
            let text: String = self.name.chars().take(NAME_BYTES_MAX).collect();
            let what = format!("`{}` cannot name a certificate", text.escape_debug());
            return refuse(what, "1 to 64 of letters, digits and `. _ -` are allowed");
        }
        if !(1..=NODE_DAYS_MAX).contains(&self.days) {
            return refuse(format!("a life of {} days", self.days), "it must be from 1 to 397");
        }
        if let Some(address) = self.addresses.iter().find(|a| a.is_unspecified() || a.is_multicast()) {
            return refuse(format!("a certificate for {address}"), "nobody connects to that address");
        }
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            return Err(bad_host(host));
        }
        if self.usage != Usage::Client && self.addresses.is_empty() && self.hosts.is_empty() {
            let what = format!("a certificate for the server `{}`", self.name);
            return refuse(what, "it needs an address or a host name that clients can compare");
        }
        Ok(())
    }
}

fn bad_host(host: &str) -> IdentityError {
    let text: String = host.chars().take(HOST_BYTES_MAX).collect();
    IdentityError::Request {
        what: format!("`{}` is no host name", text.escape_debug()),
        why: "it must be labels of lower-case letters, digits and `-`, joined by dots, and no wildcard",
    }
}

/// Labels of RFC 1123. One that is all digits at the end would be an address.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(label)
        && !host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// Which user a node's files belong to: the number of the user and of the group, as `postgres` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
}

/// A node's certificate, its private key and the certificate of who vouches for it. The key is in no `{:?}`, and wiped
/// when dropped.
#[derive(Clone)]
pub struct Node {
    cert_pem: String,
    key_pem: Zeroizing<String>,
    ca_pem: String,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = facts(&self.cert_pem).map(|facts| facts.name).unwrap_or_default();
        f.debug_struct("Node").field("name", &name).finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn new(cert_pem: String, key_pem: Zeroizing<String>, ca_pem: String) -> Node {
        Node { cert_pem, key_pem, ca_pem }
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Its private key, in PEM (PKCS #8). For a file of mode 0600 or a TLS library, for nothing else.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate of the authority that issued it, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Writes [`KEY_FILE`], [`CERT_FILE`] and [`CA_FILE`] to the folder `dir`, each whole or not at all, and for
    /// `owner` alone to read where it is secret; the folder is made when it is not there. Between the files a crash
    /// may come: [`Node::read`] then says [`IdentityError::Mismatch`], or shows the [`Node::ca_pem`] of before (it is
    /// written last), and a new pair mends it. A server that runs goes on with what it has until it is told to reload.
    ///
    /// # Errors
    /// [`IdentityError::Exposed`] when others than this user and `owner` may write to the folder;
    /// [`IdentityError::File`] when the disk refuses, or when only root may give files to `owner`.
    pub fn write(&self, dir: &Path, owner: Option<Owner>) -> Result<(), IdentityError> {
        let owner = owner.map(|owner| (owner.uid, owner.gid));
        files::make_dir(dir, owner)?;
        files::replace(&dir.join(KEY_FILE), self.key_pem.as_bytes(), Access::Owner, owner)?;
        files::replace(&dir.join(CERT_FILE), self.cert_pem.as_bytes(), Access::All, owner)?;
        files::replace(&dir.join(CA_FILE), self.ca_pem.as_bytes(), Access::All, owner)
    }

    /// What [`Node::write`] has written to `dir` for `owner`. Whether it is still good: [`renew_due`] for its time, and
    /// [`Node::ca_pem`] beside [`crate::Authority::ca_pem`] for who issued it.
    ///
    /// # Errors
    /// [`IdentityError::Missing`] when a file is not there; [`IdentityError::Mismatch`] when key and certificate are
    /// not of each other or the certificate not of this authority; [`IdentityError::Damaged`] when one cannot be read;
    /// [`IdentityError::Exposed`] when others may read the key. A new pair mends each of them.
    pub fn read(dir: &Path, owner: Option<Owner>) -> Result<Node, IdentityError> {
        let uid = owner.map(|owner| owner.uid);
        files::guard(dir, uid)?;
        let damaged = |name: &str| IdentityError::Damaged {
            path: dir.join(name),
            why: "it does not hold what was written".to_owned(),
        };
        let key = files::read_private(&dir.join(KEY_FILE), uid)?;
        let key = pem::private_key(&key).ok_or_else(|| damaged(KEY_FILE))?;
        let pair = KeyPair::try_from(key.as_slice()).map_err(|_| damaged(KEY_FILE))?;
        let pair = Zeroizing::new(pair);
        let read = |name: &str| -> Result<(Vec<u8>, Facts), IdentityError> {
            let text = files::read_public(&dir.join(name))?;
            let der = pem::certificate(&text).ok_or_else(|| damaged(name))?;
            let facts = der::facts(&der).ok_or_else(|| damaged(name))?;
            Ok((der, facts))
        };
        let (certificate, ca) = (read(CERT_FILE)?, read(CA_FILE)?);
        if certificate.1.public_key != pair.public_key_raw() || certificate.1.issuer != ca.1.name {
            return Err(IdentityError::Mismatch { dir: dir.to_owned() });
        }
        let key_pem = pem::write("PRIVATE KEY", &key);
        Ok(Node::new(pem::write_certificate(&certificate.0), key_pem, pem::write_certificate(&ca.0)))
    }
}

fn facts(cert_pem: &str) -> Result<Facts, IdentityError> {
    let unreadable = |why: &str| IdentityError::NotACertificate { why: why.to_owned() };
    let der = pem::certificate(cert_pem.as_bytes()).ok_or_else(|| unreadable("no whole PEM section"))?;
    der::facts(&der).ok_or_else(|| unreadable("not of a form that this program writes"))
}

/// Whether it is time for a new certificate: two thirds of its life are over. A third is left to find out why that
/// does not work.
///
/// # Errors
/// [`IdentityError::Expired`] when it is too late for a quiet change; [`IdentityError::NotYetValid`] when the clock was
/// set back, or was ahead when the certificate was issued; [`IdentityError::NotACertificate`]. For all three: issue a
/// new one, once the clock is right.
pub fn renew_due(cert_pem: &str, now: SystemTime) -> Result<bool, IdentityError> {
    let facts = facts(cert_pem)?;
    within_life(&facts, now)?;
    let life = facts.not_after.duration_since(facts.not_before).unwrap_or_default();
    Ok(now >= facts.not_before + life * 2 / 3)
}

pub(crate) fn within_life(facts: &Facts, now: SystemTime) -> Result<(), IdentityError> {
    let (name, now) = (facts.name.clone(), When(now));
    if now.0 < facts.not_before {
        return Err(IdentityError::NotYetValid { name, from: When(facts.not_before), now });
    }
    if now.0 > facts.not_after {
        return Err(IdentityError::Expired { name, until: When(facts.not_after), now });
    }
    Ok(())
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
