use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::AppName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::der::{self, Facts};
use crate::error::When;
use crate::files::{self, Access};
use crate::node::{BACKDATE_SECONDS, CA_FILE, Node, NodeSpec, within_life};
use crate::{IdentityError, pem};

/// Life of an authority. Long, because everybody who trusts it must be given the next one.
pub const AUTHORITY_YEARS: u64 = 10;
/// Key and certificate in one file: there is never one without the other.
const FILE: &str = "authority.pem";
/// What every authority of ours is called by, before the name of its app.
const CALLED: &str = "evenkeel ";
/// 2025-01-01 and 2100-01-01, in seconds since 1970. A clock outside is wrong: a machine without a battery starts in
/// 1970, and what is issued then has expired as soon as the clock is set.
const CLOCK: (u64, u64) = (1_735_689_600, 4_102_444_800);
/// Bytes of a serial number: RFC 5280 allows 20, and no two of 16 random ones meet.
const SERIAL_BYTES: usize = 16;
const DAY_SECONDS: u64 = 86_400;

/// The certificate authority of one run: whom its nodes and clients trust, and nobody else does.
///
/// A folder of its own holds `authority.pem` (key and certificate, mode 0600) and `ca.pem` (the certificate alone, for
/// everybody). Only the machine that issues certificates needs the folder; the others need `ca.pem`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    facts: Facts,
    ca_pem: String,
    path: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("name", &self.facts.name).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the authority of `app` in the folder `dir`, which is made for this user alone when it is not there. Its
    /// life is 10 years, and began an hour before `now`.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when there is one, also when another process makes it at the same moment;
    /// [`IdentityError::Exposed`] when others may write to the folder; [`IdentityError::Clock`] when `now` cannot be;
    /// [`IdentityError::File`] when the disk refuses, and then there is none; [`IdentityError::Crypto`].
    pub fn create(dir: &Path, app: &AppName, now: SystemTime) -> Result<Authority, IdentityError> {
        clock(now)?;
        files::make_dir(dir, None)?;
        let failed = |why: rcgen::Error| IdentityError::Crypto { what: "an authority", why: why.to_string() };
        let key = Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?);
        let mut params = params(&format!("{CALLED}{app}"));
        params.not_before = OffsetDateTime::from(now - Duration::from_secs(BACKDATE_SECONDS));
        params.not_after =
            OffsetDateTime::from(now + Duration::from_secs(AUTHORITY_YEARS * 365 * DAY_SECONDS));
        params.serial_number = Some(serial()?);
        let certificate = params.self_signed(&*key).map_err(failed)?;
        let ca_pem = pem::write_certificate(certificate.der());
        let key_pem = pem::write("PRIVATE KEY", &Zeroizing::new(key.serialize_der()));
        let mut text = Zeroizing::new(String::with_capacity(key_pem.len() + ca_pem.len()));
        text.push_str(&key_pem);
        text.push_str(&ca_pem);
        files::create(&dir.join(FILE), text.as_bytes())?;
        Authority::open(dir)
    }

    /// The authority in the folder `dir`.
    ///
    /// # Errors
    /// [`IdentityError::Missing`] when there is none; [`IdentityError::Exposed`] when others may write to the folder or
    /// read the key; [`IdentityError::Damaged`] when the file was cut short or changed; [`IdentityError::File`].
    pub fn open(dir: &Path) -> Result<Authority, IdentityError> {
        files::guard(dir, None)?;
        let path = dir.join(FILE);
        let text = files::read_private(&path, None)?;
        let damaged = |why: &str| IdentityError::Damaged { path: path.clone(), why: why.to_owned() };
        let key = pem::private_key(&text).ok_or_else(|| damaged("it holds no whole private key"))?;
        let key = KeyPair::try_from(key.as_slice()).map_err(|_| damaged("its private key cannot be used"))?;
        let der = pem::certificate(&text).ok_or_else(|| damaged("it holds no whole certificate"))?;
        let facts = der::facts(&der).ok_or_else(|| damaged("its certificate is not one of ours"))?;
        if facts.public_key != key.public_key_raw() {
            return Err(damaged("its key and its certificate do not belong together"));
        }
        if facts.name != facts.issuer || !facts.name.starts_with(CALLED) {
            return Err(damaged("its certificate is not that of an authority of ours"));
        }
        let ca_pem = pem::write_certificate(&der);
        let public = dir.join(CA_FILE);
        if !files::read_public(&public).is_ok_and(|there| there.as_slice() == ca_pem.as_bytes()) {
            files::replace(&public, ca_pem.as_bytes(), Access::All, None)?;
        }
        // Another process may have made it a moment ago, and not come to that yet.
        files::sync_dir(dir)?;
        let issuer = Issuer::new(params(&facts.name), key);
        Ok(Authority { issuer, facts, ca_pem, path })
    }

    /// [`Authority::open`], or [`Authority::create`] when there is none. Several processes may start so at once: all
    /// get the same one.
    ///
    /// # Errors
    /// As those two, but for [`IdentityError::Exists`] and [`IdentityError::Missing`].
    pub fn open_or_create(dir: &Path, app: &AppName, now: SystemTime) -> Result<Authority, IdentityError> {
        files::make_dir(dir, None)?;
        match Authority::open(dir) {
            Err(IdentityError::Missing { .. }) => match Authority::create(dir, app, now) {
                Err(IdentityError::Exists { .. }) => Authority::open(dir),
                other => other,
            },
            other => other,
        }
    }

    /// A certificate and its key, made here: valid for `spec.days` from `now` on, and an hour back for nodes whose
    /// clocks are behind; never longer than the authority itself.
    ///
    /// # Errors
    /// [`IdentityError::Request`] when the spec breaks a rule; [`IdentityError::Clock`],
    /// [`IdentityError::NotYetValid`] or [`IdentityError::Expired`] when the authority is not valid `now`, which after
    /// all but 10 years means a wrong clock; [`IdentityError::Crypto`].
    pub fn issue(&self, spec: &NodeSpec, now: SystemTime) -> Result<Node, IdentityError> {
        clock(now)?;
        within_life(&self.facts, now)?;
        let failed =
            |why: rcgen::Error| IdentityError::Crypto { what: "a certificate", why: why.to_string() };
        let mut params = spec.params()?;
        let from = now - Duration::from_secs(BACKDATE_SECONDS);
        let until = now + Duration::from_secs(u64::from(spec.days) * DAY_SECONDS);
        params.not_before = OffsetDateTime::from(from.max(self.facts.not_before));
        params.not_after = OffsetDateTime::from(until.min(self.facts.not_after));
        params.serial_number = Some(serial()?);
        let key = Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?);
        let certificate = params.signed_by(&*key, &self.issuer).map_err(failed)?;
        Ok(Node::new(
            pem::write_certificate(certificate.der()),
            pem::write("PRIVATE KEY", &Zeroizing::new(key.serialize_der())),
            self.ca_pem.clone(),
        ))
    }

    /// Its certificate, which everybody may have: what `sslrootcert` and `ssl_ca_file` want.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file with its key, to name in messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The common name of its certificate: `evenkeel` and the app's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// The end of its life. From a third of it before on, [`crate::renew_due`] of [`Authority::ca_pem`] is true.
    #[must_use]
    pub fn not_after(&self) -> When {
        When(self.facts.not_after)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // It signs nodes, never another authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn serial() -> Result<SerialNumber, IdentityError> {
    let mut bytes = files::random::<SERIAL_BYTES>()?;
    // Positive, and of the same length always (RFC 5280, 4.1.2.2).
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn clock(now: SystemTime) -> Result<(), IdentityError> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if (CLOCK.0..CLOCK.1).contains(&seconds) { Ok(()) } else { Err(IdentityError::Clock { now: When(now) }) }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
