//! PEM (RFC 7468): how keys and certificates stand in files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

/// Letters of a line (RFC 7468, 2).
const LINE: usize = 64;

/// One section of a file.
pub(crate) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Room from the start, so that no shorter copy of a key is left behind in memory.
    let mut text =
        Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 64 + 2 * label.len()));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in body.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

pub(crate) fn write_certificate(der: &[u8]) -> String {
    write("CERTIFICATE", der).to_string()
}

/// The first certificate of a text, in DER; `None` when there is no whole one.
pub(crate) fn certificate(text: &[u8]) -> Option<Vec<u8>> {
    section(text, SectionKind::Certificate).map(|der| der.to_vec())
}

/// The first private key of a text, in PKCS #8.
pub(crate) fn private_key(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    section(text, SectionKind::PrivateKey)
}

fn section(text: &[u8], wanted: SectionKind) -> Option<Zeroizing<Vec<u8>>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text)
        .map_while(Result::ok)
        .map(|(kind, der)| (kind, Zeroizing::new(der)))
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, der)| der)
}
