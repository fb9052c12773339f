use super::*;

/// The exchange of RFC 7677, 3.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
    r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
    c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn example() -> ScramVerifier {
    ScramVerifier::with("pencil", &STANDARD.decode(SALT).unwrap(), 4096)
}

#[test]
fn the_example_of_the_standard_is_accepted_by_what_we_store() {
    let verifier = example();
    let client_signature = mac(&verifier.stored_key, &[MESSAGE.as_bytes()]);
    let proof = STANDARD.decode(PROOF).unwrap();
    let client_key: Vec<u8> = proof.iter().zip(client_signature).map(|(a, b)| a ^ b).collect();
    assert_eq!(verifier.stored_key, <[u8; 32]>::from(Sha256::digest(&client_key)));
    assert_eq!(STANDARD.encode(mac(&verifier.server_key, &[MESSAGE.as_bytes()])), SIGNATURE);
}

#[test]
fn what_is_written_reads_back_and_knows_its_password_alone() {
    let text = example().to_string();
    assert!(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{text}");
    let read = ScramVerifier::parse(&text).unwrap();
    assert_eq!(read.to_string(), text);
    assert!(read.is_of("pencil"));
    assert!(!read.is_of("pencil ") && !read.is_of(""));
    let fresh = ScramVerifier::new("pencil").unwrap();
    assert!(fresh.is_of("pencil"));
    assert_ne!(fresh.to_string(), ScramVerifier::new("pencil").unwrap().to_string(), "a salt of its own");
    assert_eq!(format!("{fresh:?}"), "ScramVerifier(..)");
}

#[test]
fn the_statement_that_carries_it_needs_no_quoting() {
    for _ in 0..200 {
        let text = ScramVerifier::with("x", &random::<SALT_BYTES>().unwrap(), 1).to_string();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"$:+/=-".contains(&b)), "{text}");
    }
}

#[test]
fn what_postgresql_would_take_for_a_password_in_clear_is_no_verifier() {
    let text = example().to_string();
    for length in 0..text.len() {
        assert!(ScramVerifier::parse(&text[..length]).is_none(), "{length}");
    }
    let replaced = |from, to| ScramVerifier::parse(&text.replacen(from, to, 1));
    assert!(replaced("256", "1").is_none());
    assert!(replaced("4096", "0").is_none());
    assert!(replaced("4096", "4000000000").is_none(), "it would keep us busy for hours");
    assert!(replaced("$", ":").is_none());
    assert!(ScramVerifier::parse("md5a0b1c2d3e4f5061728394a5b6c7d8e9f").is_none());
}
