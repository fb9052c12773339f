//! The hook for whatever judges requests before they are routed: limits, a firewall, authentication.

use std::net::IpAddr;

use httparse::Header;

/// A request head as a filter sees it; nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    /// The method, a token.
    pub method: &'a str,
    /// The target: origin form or `*`.
    pub target: &'a str,
    /// `Host` as sent, possibly with a port; empty only in HTTP/1.0.
    pub host: &'a str,
    /// The client's address.
    pub peer: IpAddr,
    /// Bytes of the whole head.
    pub bytes: usize,
    headers: &'a [Header<'a>],
}

impl<'a> HeadView<'a> {
    pub(crate) fn new(
        method: &'a str,
        target: &'a str,
        host: &'a str,
        peer: IpAddr,
        bytes: usize,
        headers: &'a [Header<'a>],
    ) -> Self {
        HeadView { method, target, host, peer, bytes, headers }
    }

    /// Every value of a field, in order; `name` in any case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let headers = self.headers;
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// How many fields there are.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.headers.len()
    }
}

/// What a filter wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The next filter is asked, and at last the request is routed.
    Pass,
    /// The front answers itself and no endpoint hears of the request.
    Answer {
        /// Status, 400 to 599.
        status: u16,
        /// Text for the client, without control characters.
        text: String,
    },
}

/// Judges each request on the thread that read it. Must not block: every other request of that thread waits.
pub trait Filter: Send + Sync {
    /// Shown in the access log of a request it answered.
    fn name(&self) -> &'static str;

    /// Judges one request.
    fn judge(&self, head: &HeadView<'_>) -> Judgement;
}

/// Bounds on request heads below those of the codec, for applications that need less.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Most bytes of the whole head. More: 431.
    pub bytes: usize,
    /// Most fields. More: 431.
    pub fields: usize,
    /// Longest target in bytes. Longer: 414.
    pub target: usize,
    /// Most cookies in all; servers index them by name, and thousands of them are an attack. More: 431.
    pub cookies: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits {
            bytes: crate::limits::HEAD_BYTES_MAX,
            fields: crate::limits::HEADERS_MAX,
            target: crate::limits::TARGET_BYTES_MAX,
            cookies: 200,
        }
    }
}

impl Filter for HeadLimits {
    fn name(&self) -> &'static str {
        "head-limits"
    }

    fn judge(&self, head: &HeadView<'_>) -> Judgement {
        let answer = |status, text: &str| Judgement::Answer { status, text: text.to_owned() };
        let cookies = || -> usize {
            head.values("cookie").map(|value| value.iter().filter(|b| **b == b';').count() + 1).sum()
        };
        if head.target.len() > self.target {
            answer(414, "request target too long")
        } else if head.bytes > self.bytes || head.fields() > self.fields {
            answer(431, "request head too large")
        } else if cookies() > self.cookies {
            answer(431, "too many cookies")
        } else {
            Judgement::Pass
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_full_of_cookies_is_refused() {
        let limits = HeadLimits { cookies: 3, ..HeadLimits::default() };
        let judge = |value: &str| {
            let headers = [Header { name: "Cookie", value: value.as_bytes() }];
            limits.judge(&HeadView::new("GET", "/", "a", IpAddr::from([127, 0, 0, 1]), 100, &headers))
        };
        assert_eq!(judge("a=1; b=2; c=3"), Judgement::Pass);
        assert!(matches!(judge("a=1; b=2; c=3; d=4"), Judgement::Answer { status: 431, .. }));
    }
}
