use std::time::Duration;

use model::AppName;

use super::*;
use crate::rig::{Folder, day};
use crate::{Authority, NodeSpec, Usage, pem};

fn certificate() -> Vec<u8> {
    let folder = Folder::new();
    let authority = Authority::create(&folder.0, &AppName::new("shop").unwrap(), day(0)).unwrap();
    let node = authority.issue(&NodeSpec::new("replicator", Usage::Client), day(0)).unwrap();
    pem::certificate(node.cert_pem().as_bytes()).unwrap()
}

#[test]
fn a_certificate_says_whose_it_is_and_for_how_long() {
    let facts = facts(&certificate()).unwrap();
    assert_eq!((facts.issuer.as_str(), facts.name.as_str()), ("evenkeel shop", "replicator"));
    assert_eq!(facts.not_before, day(0) - Duration::from_secs(3600));
    assert_eq!(facts.not_after, day(90));
    assert_eq!(facts.public_key.len(), 65, "a point of P-256, uncompressed");
}

#[test]
fn no_cut_and_no_flipped_byte_makes_the_reader_panic_and_no_cut_is_believed() {
    let whole = certificate();
    for length in 0..whole.len() {
        assert_eq!(facts(&whole[..length]), None);
    }
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            let _ = facts(&changed);
        }
    }
}

#[test]
fn dates_are_read_as_the_standard_says() {
    let read = |tag: u8, text: &str| {
        let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
        der.extend(text.bytes());
        Reader(&der).time().map(|at| crate::When(at).to_string())
    };
    assert_eq!(read(UTC_TIME, "491231235900Z").as_deref(), Some("2049-12-31 23:59 UTC"));
    assert_eq!(read(UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01 00:00 UTC"));
    assert_eq!(read(GENERALIZED_TIME, "20520229120000Z").as_deref(), Some("2052-02-29 12:00 UTC"));
    for wrong in ["", "Z", "4912312359Z", "491331235900Z", "490229000000Z", "491231235900", "49123123590aZ"] {
        assert_eq!(read(UTC_TIME, wrong), None, "{wrong}");
        assert_eq!(read(GENERALIZED_TIME, wrong), None, "{wrong}");
    }
}
