//! TLS to etcd: whom to believe that it is etcd, and what to show it.

use std::fs;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::{StoreError, token};

/// The authority that etcd's certificate must be of.
const CA_FILE: &str = "ca.pem";
/// The own certificate, for an etcd that asks for one (`--client-cert-auth`).
const CERT_FILE: &str = "cert.pem";
/// Its key, for its owner alone.
const KEY_FILE: &str = "key.pem";
/// Longest key file in bytes: an RSA key of 16384 bits takes 13 KiB.
const KEY_BYTES_MAX: usize = 32 * 1024;

/// How connections to etcd are secured.
#[derive(Clone)]
pub struct EtcdTls {
    from: PathBuf,
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdTls").field("from", &self.from).finish_non_exhaustive()
    }
}

impl PartialEq for EtcdTls {
    fn eq(&self, other: &EtcdTls) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for EtcdTls {}

// Nobody changes the configuration, so a panic leaves it whole.
impl UnwindSafe for EtcdTls {}
impl RefUnwindSafe for EtcdTls {}

impl EtcdTls {
    /// Reads the folder `dir`: `ca.pem`, the authority of etcd's certificates, and where they are there `cert.pem` and
    /// `key.pem`, what is shown to an etcd that asks for a certificate.
    ///
    /// # Errors
    /// [`StoreError::TlsFile`] when one is missing that must be there, is damaged, or is a key that others may read.
    pub fn load(dir: &Path) -> Result<EtcdTls, StoreError> {
        let ca = dir.join(CA_FILE);
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&ca)? {
            roots.add(certificate).map_err(|why| file(&ca, why.to_string()))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| file(&ca, why.to_string()))?
            .with_root_certificates(roots);
        let (cert, key) = (dir.join(CERT_FILE), dir.join(KEY_FILE));
        let config = match (cert.exists(), key.exists()) {
            (false, false) => builder.with_no_client_auth(),
            _ => {
                let chain = certificates(&cert)?;
                let bytes = token::read_private(&key, KEY_BYTES_MAX).map_err(|error| match error {
                    StoreError::TokenFile { path, why } => StoreError::TlsFile { path, why },
                    other => other,
                })?;
                let private = PrivateKeyDer::from_pem_slice(&bytes)
                    .map_err(|_| file(&key, "it holds no private key in PEM".to_owned()))?;
                builder.with_client_auth_cert(chain, private).map_err(|why| file(&cert, why.to_string()))?
            }
        };
        Ok(EtcdTls { from: dir.to_owned(), config: Arc::new(config) })
    }

    /// Secures a connection to `host`, which must have a certificate with that name or address.
    pub(super) async fn secure(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let bytes = fs::read(path).map_err(|why| file(path, why.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(file(path, "it holds no certificate in PEM".to_owned())),
        Err(why) => Err(file(path, why.to_string())),
    }
}

fn file(path: &Path, why: String) -> StoreError {
    StoreError::TlsFile { path: path.to_owned(), why }
}
