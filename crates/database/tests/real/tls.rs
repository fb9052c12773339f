//! With certificates: nobody talks in the clear, and nodes show who they are to each other.

use std::path::Path;
use std::process::Command;

use database::instance::{Acks, Instance, Rewound, Role, Settings, TlsFiles};

use crate::rig::*;

fn openssl(folder: &Path, words: &str) {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority and one certificate of it, as every node gets its own.
fn certificates(folder: &Path) -> TlsFiles {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(folder, &format!("req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.crt"));
    openssl(folder, &format!("req {key} -subj /CN=node -keyout node.key -out node.csr"));
    openssl(folder, "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out node.crt");
    let file = |name: &str| folder.join(name);
    TlsFiles { cert: file("node.crt"), key: file("node.key"), ca: file("ca.crt"), applications: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_certificates_a_secret_alone_is_not_enough_to_replicate() {
    let Some(place) = Place::new("certificates") else { return };
    if Command::new("openssl").arg("version").output().is_err() {
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "openssl is required");
        eprintln!("SKIPPED certificates: `openssl` is not here");
        return;
    }
    let tls = certificates(&place.folder);
    let node = |name: &str| {
        let mut options = place.options(name);
        options.tls = Some(tls.clone());
        Node { instance: Instance::open(options).unwrap().into(), _place: place.clone() }
    };
    let (a, b) = (node("a"), node("b"));
    a.init().await.unwrap();
    let run_a = a.start_primary(Acks::NotAwaited).await;
    let role = Role::Standby { upstream: Some(a.upstream("b-1")) };
    b.configure(&Settings { role, acks: Acks::Never, open: true }).unwrap();
    b.clone_from(&a.upstream("b-1"), false, PATIENCE).await.unwrap();
    let run_b = b.follow(&a, "b-1").await;
    let ssl = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid) WHERE ssl";
    assert_eq!(a.sql("postgres", ssl), "1");

    let replicate = "user=evenkeel_replication replication=true application_name=b-1";
    let with_certificate = format!(
        "{replicate} sslmode=verify-ca sslrootcert={} sslcert={} sslkey={}",
        tls.ca.display(),
        tls.cert.display(),
        tls.key.display()
    );
    let refused = [
        (format!("{replicate} sslmode=disable"), "pg_hba.conf rejects"),
        (format!("{replicate} sslmode=require sslcert=/none"), "valid client certificate"),
    ];
    for (words, why) in refused {
        let output = a.over_tcp(&words, REPLICATION_PASSWORD, "IDENTIFY_SYSTEM");
        let says = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && says.contains(why), "{words}: {says}");
    }
    let output = a.over_tcp(&with_certificate, REPLICATION_PASSWORD, "IDENTIFY_SYSTEM");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let application = "user=shop dbname=shop";
    let clear = a.over_tcp(&format!("{application} sslmode=disable"), APPLICATION_PASSWORD, "SELECT 1");
    assert!(!clear.status.success());
    let private = a.over_tcp(&format!("{application} sslmode=require"), APPLICATION_PASSWORD, "SELECT 1");
    assert!(private.status.success(), "{}", String::from_utf8_lossy(&private.stderr));

    // Roles exchanged, the rewind goes by the same way.
    b.revoke(&run_b).await;
    a.sql("postgres", "CREATE TABLE not_replicated ()");
    stop_fast(&run_a).await;
    b.promote(PATIENCE).await.unwrap();
    b.checkpoint(PATIENCE).await.unwrap();
    assert_eq!(a.rewind(&b.upstream("a-2"), PATIENCE).await.unwrap(), Rewound::Done);
    a.follow(&b, "a-2").await;
}
