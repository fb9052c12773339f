use super::*;

/// Secrets of all kinds: the ends, single bits, and a thousand of a xorshift with a fixed seed.
fn many() -> Vec<Secret> {
    let mut all = vec![Secret([0; SECRET_BYTES]), Secret([0xff; SECRET_BYTES])];
    for bit in 0..SECRET_BYTES * 8 {
        let mut bytes = [0; SECRET_BYTES];
        bytes[bit / 8] = 1 << (bit % 8);
        all.push(Secret(bytes));
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..1000 {
        all.push(Secret(std::array::from_fn(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })));
    }
    all
}

#[test]
fn every_secret_reads_back_and_needs_no_quotes_anywhere() {
    for secret in many() {
        let text = secret.expose();
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{}", *text);
        assert!(Secret::parse(&text).unwrap() == secret);
    }
}

#[test]
fn a_text_that_is_not_exactly_one_of_ours_is_no_secret() {
    for secret in many().iter().step_by(37) {
        let text = secret.expose();
        for at in 0..text.len() {
            for letter in ["A", "w", "_", "+", "/", "=", " ", "\0"] {
                let mut changed = text.to_string();
                changed.replace_range(at..=at, letter);
                let parsed = Secret::parse(&changed);
                assert!(parsed.is_none_or(|other| (other == *secret) == (changed == **text)), "{changed:?}");
            }
            assert!(Secret::parse(&text[..at]).is_none());
        }
        for wrong in [format!("{}A", *text), format!("{}=", *text), format!("{}\n", *text), text.repeat(9)] {
            assert!(Secret::parse(&wrong).is_none(), "{wrong:?}");
        }
    }
}

#[test]
fn secrets_differ_by_a_single_bit() {
    let all = many();
    for (index, one) in all.iter().enumerate().take(300) {
        assert!(all.iter().enumerate().all(|(other, two)| (one == two) == (index == other)));
    }
    assert!(Secret::random().unwrap() != Secret::random().unwrap());
}

#[test]
fn a_secret_in_a_log_line_is_not_there() {
    let secret = Secret::random().unwrap();
    let said = format!("{secret} {secret:?} {:?}", Some(&secret));
    assert_eq!(said, "<secret> Secret(..) Some(Secret(..))");
}
