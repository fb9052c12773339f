//! TLS to a real etcd that asks for a certificate.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use store::{EtcdOptions, EtcdTls, Event, Store, StoreError, Txn};

use super::cluster::{Cluster, MEMBERS, installed};
use super::put;

/// An authority of its own, and a certificate of it for `address`, in the folder `dir`.
fn certify(dir: &Path, address: Ipv4Addr) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut member = CertificateParams::default();
    // etcd looks for the address that a connection comes from, too, which on loopback is this one.
    let at = [address, Ipv4Addr::LOCALHOST];
    member.subject_alt_names = at.map(|address| SanType::IpAddress(IpAddr::V4(address))).into();
    member.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let member = member.signed_by(&key, &authority).unwrap();
    write(&dir.join("ca.pem"), "CERTIFICATE", authority.der());
    write(&dir.join("cert.pem"), "CERTIFICATE", member.der());
    write(&dir.join("key.pem"), "PRIVATE KEY", &key.serialize_der());
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn write(path: &Path, label: &str, der: &[u8]) {
    let text: Vec<char> = STANDARD.encode(der).chars().collect();
    let lines: Vec<String> = text.chunks(64).map(|line| line.iter().collect()).collect();
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    fs::write(path, text).unwrap();
}

/// A folder with these files of `from`.
fn some_of(from: &Path, name: &str, files: &[&str]) -> PathBuf {
    let dir = from.with_file_name(name);
    fs::create_dir(&dir).unwrap();
    for file in files {
        fs::copy(from.join(file), dir.join(file)).unwrap();
    }
    dir
}

fn open(cluster: &Cluster, scheme: &str, tls: Option<&Path>) -> Result<Store, StoreError> {
    let hosts: Vec<String> = (0..MEMBERS).map(|index| cluster.client(index).to_string()).collect();
    let options = EtcdOptions::parse(&format!("{scheme}://{}/test", hosts.join(",")))?;
    Store::etcd(EtcdOptions { tls: tls.map(EtcdTls::load).transpose()?, ..options })
}

/// Nothing is read, and the reason has all of `parts`: on a busy machine a try may first run out of time.
async fn refused(store: &Store, parts: &[&str]) {
    let began = Instant::now();
    loop {
        let why = store.get("key").await.expect_err("etcd let in whom it must not").to_string();
        if parts.iter().all(|part| why.contains(part)) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_with_tls_serves_who_has_a_certificate_of_its_authority_and_nobody_else() {
    if !installed("etcd_with_tls") {
        return;
    }
    let cluster = Cluster::start_with_tls(certify);
    let tls = cluster.folder().join("tls");
    let store = open(&cluster, "etcds", Some(&tls)).unwrap();
    let began = Instant::now();
    while let Err(error) = store.get("key").await {
        assert!(began.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut watch = store.watch("", 0).await.unwrap();
    let txn = Txn { compare: vec![], then: vec![put("key", "value", None)] };
    assert!(store.txn(txn).await.unwrap().done);
    let events = watch.next().await.unwrap();
    assert!(matches!(&events[..], [Event::Put(entry)] if entry.value == b"value"), "{events:?}");

    let nameless = some_of(&tls, "nameless", &["ca.pem"]);
    refused(&open(&cluster, "etcds", Some(&nameless)).unwrap(), &[]).await;
    let foreign = cluster.folder().join("foreign");
    fs::create_dir(&foreign).unwrap();
    certify(&foreign, Ipv4Addr::LOCALHOST);
    refused(&open(&cluster, "etcds", Some(&foreign)).unwrap(), &["TLS: ", "certificate"]).await;
    refused(&open(&cluster, "etcd", None).unwrap(), &[]).await;
}

#[test]
fn certificates_that_cannot_be_used_are_named_with_the_reason() {
    let dir = std::env::temp_dir().join(format!("evenkeel-store-tls-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let refused = || EtcdTls::load(&dir).unwrap_err().to_string();
    assert!(refused().contains("ca.pem"), "{}", refused());
    certify(&dir, Ipv4Addr::LOCALHOST);
    assert!(EtcdTls::load(&dir).is_ok());
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused().contains("others may read it"), "{}", refused());
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(dir.join("key.pem"), "no key").unwrap();
    assert!(refused().contains("key.pem") && refused().contains("no private key"), "{}", refused());
    fs::remove_file(dir.join("key.pem")).unwrap();
    assert!(refused().contains("key.pem"), "a certificate without its key: {}", refused());
    fs::write(dir.join("ca.pem"), "nothing").unwrap();
    assert!(refused().contains("ca.pem") && refused().contains("no certificate"), "{}", refused());
    fs::remove_dir_all(&dir).unwrap();
}
