//! Keeps the console's picture up to date.

use std::sync::Arc;
use std::time::Duration;

use model::Status;
use tokio::sync::watch;
use world::{Clock, Stop};

use super::mirror::Mirror;
use super::picture;

/// Time between two pictures while nothing changes: the rate of requests is measured over it.
const PICTURE_MS: u64 = 500;

/// Turns store pictures into status pictures until `stop`.
pub async fn follow(
    mut mirror: watch::Receiver<Arc<Mirror>>,
    out: watch::Sender<Arc<Status>>,
    clock: Clock,
    stop: Stop,
) {
    let mut pace = Pace::default();
    loop {
        let now = mirror.borrow_and_update().clone();
        let rps = pace.rps(picture::totals(&now).0, clock.now());
        out.send_replace(Arc::new(picture::build(&now, rps, clock.unix_ms())));
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(Duration::from_millis(PICTURE_MS)) => {}
        }
    }
}

/// Requests per second from two looks at a counter.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<(u64, model::Moment)>,
    rps: Option<f64>,
}

/// Fronts write their counters once a second, so a shorter window would swing between 0 and the double.
const WINDOW_MS: u64 = 2_000;

impl Pace {
    /// The rate over the last whole window; `None` before there was one or after a counter started afresh.
    pub fn rps(&mut self, requests: u64, now: model::Moment) -> Option<f64> {
        match self.last {
            Some((before, at)) if requests >= before => {
                let ms = now.ms_since(at);
                if ms >= WINDOW_MS {
                    self.rps = Some((requests - before) as f64 * 1_000.0 / ms as f64);
                    self.last = Some((requests, now));
                }
            }
            _ => {
                self.rps = None;
                self.last = Some((requests, now));
            }
        }
        self.rps
    }
}
