//! What a keeper says of the last thing that failed, until it is past.

use super::error::KeeperError;

/// Empty: nothing failed, or what did is past.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    text: String,
    /// Of what the store did not do.
    of_store: bool,
}

impl Complaint {
    /// As it is told.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `true`: it is another one than the one before.
    pub fn tell(&mut self, error: &KeeperError) -> bool {
        let text = with_causes(error);
        let news = text != self.text;
        *self = Complaint { text, of_store: matches!(error, KeeperError::Store(_)) };
        news
    }

    /// Something was done to the server: what had failed before is past.
    pub fn past(&mut self) {
        *self = Complaint::default();
    }

    /// The store has answered, or nothing is wanted of it any more: nothing else would say so of a node that is well.
    pub fn store_answered(&mut self) {
        if self.of_store {
            self.past();
        }
    }
}

/// An error and what it comes from, in one line.
pub(super) fn with_causes(error: &KeeperError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say their cause themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_did_not_do_is_past_with_its_next_answer_and_other_failures_are_not() {
        let store = |why: &str| {
            let (address, why) = ("10.0.0.1:2379".to_owned(), why.to_owned());
            KeeperError::Store(store::StoreError::Unreachable { address, why })
        };
        let mut complaint = Complaint::default();
        assert!(complaint.tell(&store("refused")) && !complaint.tell(&store("refused")));
        assert_eq!(complaint.text(), "the store: cannot reach the store at 10.0.0.1:2379: refused");
        complaint.store_answered();
        assert_eq!(complaint.text(), "");
        assert!(
            complaint.tell(&store("refused")) && complaint.tell(&KeeperError::NotNow("a disk".to_owned()))
        );
        complaint.store_answered();
        assert_eq!(complaint.text(), "a disk");
        complaint.past();
        assert_eq!(complaint.text(), "");
    }
}
