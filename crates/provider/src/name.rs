//! Names that a provider takes, from names that it may not.
//!
//! An application's name is a DNS label: up to 63 of `a-z 0-9 -`, beginning with either. Providers want fewer letters, or a
//! letter first. What has to be changed is changed the same way each time, and two names that differ stay different: what
//! was cut off, or put in front, is followed by six digits of a sum over the whole.

/// What a provider takes as a name of one kind of thing. All of them take `a-z 0-9 -`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Letters at least.
    pub(crate) min: usize,
    /// Letters at most.
    pub(crate) max: usize,
    /// Beginnings that are taken already.
    pub(crate) reserved: &'static [&'static str],
}

/// AWS: load balancers and target groups (32 letters; `internal-` is the provider's).
pub(crate) const AWS_BALANCER: Rule = Rule { min: 1, max: 32, reserved: &["internal-"] };
/// AWS: roles, groups (`sg-` is the provider's).
pub(crate) const AWS: Rule = Rule { min: 1, max: 64, reserved: &["sg-", "aws-"] };
/// Google Cloud: everything of Compute Engine (RFC 1035).
pub(crate) const GCP: Rule = Rule { min: 1, max: 63, reserved: &["goog"] };
/// Google Cloud: service accounts.
pub(crate) const GCP_ACCOUNT: Rule = Rule { min: 6, max: 30, reserved: &["goog"] };
/// Alibaba Cloud: networks, groups, machines, balancers (2 to 128; a machine's host name 64, a role's 64).
pub(crate) const ALICLOUD: Rule = Rule { min: 2, max: 64, reserved: &["http", "acs", "aliyun"] };
/// Buckets of every provider: 3 to 63, of which 17 are left for the suffix that makes them unique.
pub(crate) const BUCKET: Rule =
    Rule { min: 3, max: 46, reserved: &["goog", "xn--", "sthree-", "amzn-s3-demo-"] };

/// FNV-1a of 64 bits (Fowler, Noll, Vo): the same on every machine and in every version.
pub(crate) fn sum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `parts` joined by `-`, as `rule` takes it.
pub(crate) fn legal(parts: &[&str], rule: Rule) -> String {
    let whole = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("-");
    let letter = whole.starts_with(|c: char| c.is_ascii_lowercase());
    let reserved = rule.reserved.iter().any(|start| whole.starts_with(start));
    let fits = (rule.min..=rule.max).contains(&whole.len());
    if letter && !reserved && fits && !whole.ends_with('-') {
        return whole;
    }
    let tail = format!("-{:06x}", sum(&whole) & 0xff_ffff);
    let head = if letter && !reserved { whole } else { format!("ek-{whole}") };
    let head: String = head.chars().take(rule.max.saturating_sub(tail.len())).collect();
    format!("{}{tail}", head.trim_end_matches('-'))
}

/// `text`, a DNS label, as the name of a block of Terraform, which may not begin with a digit.
pub(crate) fn label(text: &str) -> String {
    let text = text.replace('-', "_");
    if text.starts_with(|c: char| c.is_ascii_digit()) { format!("_{text}") } else { text }
}

/// `web_a1` as `WebA1`: CloudFormation takes letters and digits alone. A word that begins with a digit leaves no trace of
/// where it begins, so that a sum over the whole follows.
pub(crate) fn camel(label: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    let name: String = label.split('_').map(word).collect();
    let is_blurred = label.split('_').any(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    if is_blurred { format!("{name}{:04x}", sum(label) & 0xffff) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: &[&str], rule: Rule, name: &str) {
        assert_eq!(legal(parts, rule), name);
    }

    #[test]
    fn a_name_that_is_legal_stays_and_one_that_is_not_is_changed_the_same_way_each_time() {
        check(&["shop", "entry"], AWS_BALANCER, "shop-entry");
        check(&["0shop"], GCP, "ek-0shop-e60763");
        check(&["internal-shop"], AWS_BALANCER, "ek-internal-shop-4a69ab");
        check(&["shop"], GCP_ACCOUNT, "shop-8e2409");
        check(&[&"x".repeat(63), "entry"], AWS_BALANCER, "xxxxxxxxxxxxxxxxxxxxxxxxx-4525ae");
    }

    #[test]
    fn every_name_is_legal_and_no_two_are_the_same() {
        let apps: Vec<String> = (1..=63)
            .flat_map(|length| ["a", "0", "goog", "sg-x", "internal-", "aliyun"].map(|start| (start, length)))
            .map(|(start, length)| format!("{start}{}", "x-".repeat(length)).chars().take(length).collect())
            .map(|name: String| format!("{}x", &name[..name.len() - 1]))
            .collect();
        for rule in [AWS_BALANCER, AWS, GCP, GCP_ACCOUNT, ALICLOUD, BUCKET] {
            let mut seen = std::collections::BTreeMap::new();
            for app in &apps {
                for part in ["entry", "store-a"] {
                    let name = legal(&[app, part], rule);
                    assert!((rule.min..=rule.max).contains(&name.len()), "{name}");
                    assert!(
                        name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-'),
                        "{name}"
                    );
                    assert!(rule.reserved.iter().all(|start| !name.starts_with(start)), "{name}");
                    let before = seen.insert(name.clone(), (app, part));
                    assert!(
                        before.is_none_or(|before| before == (app, part)),
                        "{name}: {app} and {before:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn labels_are_what_terraform_and_cloudformation_take() {
        assert_eq!(label("web-a1"), "web_a1");
        assert_eq!(label("0-a1"), "_0_a1");
        assert_eq!(camel("web_a1"), "WebA1");
        assert_ne!(camel("a_1_a1"), camel("a1_a1"));
    }
}
