use std::sync::atomic::{AtomicBool, Ordering};

/// Says to every thread of a front that it is ending: accept nothing, finish what is open.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    over: AtomicBool,
}

impl Drain {
    /// From now on nothing new is begun.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// The time to finish is over: what is still open is cut.
    pub fn cut(&self) {
        self.begun.store(true, Ordering::Release);
        self.over.store(true, Ordering::Release);
    }

    /// Whether what is open must be cut.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
