//! TLS to a server whose certificate nobody here knows: the password proves who it is.
//!
//! With SCRAM the server shows that it knows the password too, and with channel binding both show that they mean this
//! connection, by the certificate it was made with (RFC 5929, `tls-server-end-point`). Somebody on the way would have to
//! show the server's own certificate, whose key they do not have. So any certificate will do, but its key must have
//! signed the handshake, and nothing is said to a server that asks for the password in another way.

use std::fmt;
use std::sync::Arc;

use rustls_tokio_postgres::MakeRustlsConnect;
use rustls_tokio_postgres::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use rustls_tokio_postgres::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls_tokio_postgres::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_tokio_postgres::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// What makes secured connections; to be used with `channel_binding=require` alone.
pub(crate) struct Tls(pub(crate) MakeRustlsConnect);

impl Tls {
    pub(crate) fn new() -> Result<Tls, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Tls(MakeRustlsConnect::new(config)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
