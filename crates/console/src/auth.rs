//! Who may look.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, header};

/// Knows the token and what a signed-in browser carries instead of it.
pub(crate) struct Gate {
    token: String,
    cookie_name: String,
    cookie: String,
}

impl Gate {
    /// `port` keeps apart the cookies of two consoles on one address.
    pub(crate) fn new(token: String, port: u16) -> Gate {
        // Browsers send a cookie to every port of a host, so an application on this address sees it too. It is 64
        // bits made from the token, not the token: it opens this read-only page and cannot be turned back. Made, not
        // drawn, so that a page stays signed in when its agent is started again.
        let mut hasher = DefaultHasher::new();
        ("evenkeel console cookie", &token, port).hash(&mut hasher);
        Gate { token, cookie_name: format!("evenkeel-{port}"), cookie: format!("{:016x}", hasher.finish()) }
    }

    /// Whether `given` is the token.
    pub(crate) fn opens(&self, given: &str) -> bool {
        !self.token.is_empty() && same(given.as_bytes(), self.token.as_bytes())
    }

    /// Whether the request carries the token as a bearer or the cookie of a browser that has signed in.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some((scheme, given)) = bearer.and_then(|value| value.split_once(' '))
            && scheme.eq_ignore_ascii_case("bearer")
            && self.opens(given.trim())
        {
            return true;
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let carried = |(name, value): (&str, &str)| {
            name == self.cookie_name && same(value.as_bytes(), self.cookie.as_bytes())
        };
        !self.token.is_empty() && pairs.any(carried)
    }

    /// `Set-Cookie` for a browser that has brought the token.
    pub(crate) fn set_cookie(&self) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie_name, self.cookie)
    }
}

/// The value of `token` in a query, `%xx` decoded. `+` stays itself: the link is made by us, not by a form.
pub(crate) fn token_of(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail
            .get(..2)
            .filter(|two| two.iter().all(u8::is_ascii_hexdigit))
            .and_then(|two| std::str::from_utf8(two).ok());
        match (first, code.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Compares in a time that depends on the lengths only, so that nobody guesses a secret byte by byte.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differing = given.iter().zip(wanted).fold(0u8, |bits, (a, b)| bits | (a ^ b));
    given.len() == wanted.len() && std::hint::black_box(differing) == 0
}

/// Whether `Host` names an address or this machine. A page of another site that points its own name at this address
/// (DNS rebinding) sends that name, and is refused.
pub(crate) fn host_is_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|a| a.is_ipv4()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: header::HeaderName, value: &str, admitted: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        assert_eq!(Gate::new("s3cret".into(), 7).admits(&headers), admitted, "{value}");
        assert!(!Gate::new(String::new(), 7).admits(&headers), "an empty token lets nobody in: {value}");
    }

    #[test]
    fn only_the_token_or_its_cookie_opens() {
        let gate = Gate::new("s3cret".into(), 7);
        let cookie = gate.set_cookie();
        let pair = cookie.split(';').next().unwrap();
        check(header::AUTHORIZATION, "Bearer s3cret", true);
        check(header::AUTHORIZATION, "bearer  s3cret", true);
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Bearer", "Basic s3cret", "s3cret", ""] {
            check(header::AUTHORIZATION, wrong, false);
        }
        check(header::COOKIE, pair, true);
        check(header::COOKIE, &format!("a=b; {pair}; c=d"), true);
        for wrong in ["evenkeel-7=s3cret", "evenkeel-7=", "evenkeel-7", &pair[..pair.len() - 1], &pair[1..]] {
            check(header::COOKIE, wrong, false);
        }
        assert!(!cookie.contains("s3cret"));
        assert!(!gate.opens(""));
        assert!(!Gate::new(String::new(), 7).opens(""));
    }

    #[test]
    fn a_token_survives_the_link() {
        let check =
            |query: &str, expected: Option<&str>| assert_eq!(token_of(query).as_deref(), expected, "{query}");
        check("token=abc", Some("abc"));
        check("a=b&token=a%2Bb+c", Some("a+b+c"));
        check("token=%", Some("%"));
        check("token=%4", Some("%4"));
        check("token=%zz%C3", Some("%zz\u{fffd}"));
        check("token=", Some(""));
        check("mytoken=abc", None);
        check("", None);
    }

    #[test]
    fn a_name_of_another_site_is_no_host_of_ours() {
        let check = |host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(host_is_address(&headers), expected, "{host}");
        };
        for ours in
            ["127.0.1.1:8081", "127.0.1.1", "localhost", "LOCALHOST:1", "[::1]:8081", "[::1]", "10.77.1.1:9"]
        {
            check(ours, true);
        }
        for other in [
            "evil.example",
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "",
            ":80",
            "[evil]:1",
            "::1",
            "[127.0.0.1]",
        ] {
            check(other, false);
        }
        assert!(!host_is_address(&HeaderMap::new()));
    }
}
