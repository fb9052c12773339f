//! What a snapshot means for one database: is it open, is it held, and which sessions are over.

use std::net::SocketAddr;

/// What the front holds to be true of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The highest term seen.
    pub term: u64,
    /// The primary of that term, as far as it was ever named.
    pub primary: Option<SocketAddr>,
    /// Where new connections go; `None`: they are held.
    pub open: Option<SocketAddr>,
}

/// What becomes of the sessions that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// They go on.
    Stay,
    /// They are ended at once: they lead to a primary that was replaced.
    End,
}

impl Standing {
    /// The standing after a snapshot that names `primary` in `term` and asks to `hold` new connections or not, and what
    /// becomes of the sessions.
    ///
    /// A term that is older than the one known changes nothing at all: its primary was replaced, whoever names it now.
    /// A primary that is no longer named, in the same term, is not replaced: somebody does not know, and sessions that
    /// work are not ended for that.
    #[must_use]
    pub fn step(&self, term: u64, primary: Option<SocketAddr>, hold: bool) -> (Standing, Sessions) {
        if term < self.term {
            return (self.clone(), Sessions::Stay);
        }
        let renewed = term > self.term;
        let moved = self.primary.is_some() && primary.is_some() && primary != self.primary;
        let known = self.primary.filter(|_| !renewed);
        let next = Standing { term, primary: primary.or(known), open: primary.filter(|_| !hold) };
        (next, if renewed || moved { Sessions::End } else { Sessions::Stay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step is `term primary hold`, its answer `open sessions`.
    #[track_caller]
    fn check(steps: &[((u64, &str, bool), &str)]) {
        let mut standing = Standing::default();
        let at = |port: &str| port.parse().ok().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
        for ((term, primary, hold), expected) in steps {
            let (next, sessions) = standing.step(*term, at(primary), *hold);
            let open = next.open.map_or("held".to_owned(), |address| address.port().to_string());
            let sessions = if sessions == Sessions::End { "end" } else { "stay" };
            assert_eq!(
                format!("{open} {sessions}"),
                *expected,
                "term {term}, primary {primary}, hold {hold}"
            );
            standing = next;
        }
    }

    #[test]
    fn a_planned_switch_holds_new_sessions_and_ends_old_ones_with_the_new_term() {
        check(&[
            ((1, "51", false), "51 end"),
            ((1, "51", true), "held stay"),
            ((2, "-", true), "held end"),
            ((2, "52", true), "held stay"),
            ((2, "52", false), "52 stay"),
        ]);
    }

    #[test]
    fn a_planned_switch_that_is_called_off_ends_nobody() {
        check(&[((1, "51", false), "51 end"), ((1, "51", true), "held stay"), ((1, "51", false), "51 stay")]);
    }

    #[test]
    fn the_same_primary_in_a_new_term_is_another_primary() {
        check(&[((1, "51", false), "51 end"), ((2, "51", false), "51 end")]);
    }

    #[test]
    fn another_address_in_the_same_term_is_another_primary_even_if_nobody_knew_it_for_a_while() {
        check(&[
            ((1, "51", false), "51 end"),
            ((1, "-", false), "held stay"),
            ((1, "51", false), "51 stay"),
            ((1, "-", false), "held stay"),
            ((1, "52", false), "52 end"),
        ]);
    }

    #[test]
    fn the_primary_of_an_older_term_is_never_gone_back_to() {
        check(&[
            ((2, "52", false), "52 end"),
            ((1, "51", false), "52 stay"),
            ((1, "51", true), "52 stay"),
            ((3, "-", false), "held end"),
            ((2, "52", false), "held stay"),
        ]);
    }
}
