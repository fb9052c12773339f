use tokio::sync::watch;

/// Whether to stop, as seen by those who must. Once requested it stays requested.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: watch::Receiver<bool>,
}

/// Requests the stop that its [`Stop`]s wait for. Dropped, it has requested it: work without an owner ends.
#[derive(Debug)]
pub struct Stopper {
    asked: watch::Sender<bool>,
}

impl Stop {
    /// A stop of its own, for a part that is not run under [`crate::Tasks`] and for tests.
    #[must_use]
    pub fn pair() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper { asked: sender }, Stop { asked: receiver })
    }

    /// Waits until the stop is requested. Cancel-safe: meant as the first branch of a `select!`.
    pub async fn requested(&self) {
        // An error says that the owner is gone, which is a request too.
        let _ = self.asked.clone().wait_for(|asked| *asked).await;
    }

    /// Whether it has been requested already.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.asked.borrow() || self.asked.has_changed().is_err()
    }
}

impl Stopper {
    /// Requests the stop; a second time changes nothing.
    pub fn request(&self) {
        self.asked.send_replace(true);
    }

    /// A view of this stop.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop { asked: self.asked.subscribe() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_those_who_wait_and_those_who_come_later() {
        let (stopper, stop) = Stop::pair();
        let early = stop.clone();
        assert!(!stop.is_requested());
        stopper.request();
        early.requested().await;
        stopper.stop().requested().await;
        assert!(stop.is_requested());
    }

    #[tokio::test]
    async fn work_whose_owner_is_gone_is_asked_to_stop() {
        let (stopper, stop) = Stop::pair();
        drop(stopper);
        stop.requested().await;
        assert!(stop.is_requested());
    }
}
