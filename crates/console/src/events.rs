//! The live picture as server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use model::Status;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use world::Stop;

use crate::{limits, routes};

struct Watcher {
    status: watch::Receiver<Arc<Status>>,
    stop: Stop,
    /// When the last picture was sent; `None` before the first, which goes out at once.
    sent: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

/// A picture now and on every change, a `beat` in between, until `stop` or the client is gone. A client that reads
/// slowly skips pictures: only the newest waits for it.
pub(crate) fn stream(status: watch::Receiver<Arc<Status>>, stop: Stop, place: OwnedSemaphorePermit) -> Body {
    let watcher = Watcher { status, stop, sent: None, _place: place };
    Body::from_stream(futures_util::stream::unfold(watcher, |mut watcher| async move {
        let text = watcher.next().await?;
        Some((Ok::<Bytes, Infallible>(text.into()), watcher))
    }))
}

impl Watcher {
    async fn next(&mut self) -> Option<String> {
        let Some(sent) = self.sent else { return self.picture() };
        let beat = sent.max(Instant::now()) + Duration::from_millis(limits::BEAT_MS);
        tokio::select! {
            biased;
            () = self.stop.requested() => return None,
            changed = self.status.changed() => changed.ok()?,
            () = tokio::time::sleep_until(beat) => return Some(beat_event()),
        }
        tokio::select! {
            biased;
            () = self.stop.requested() => return None,
            () = tokio::time::sleep_until(sent + Duration::from_millis(limits::PICTURE_GAP_MS)) => {}
        }
        self.picture()
    }

    fn picture(&mut self) -> Option<String> {
        if self.stop.is_requested() {
            return None;
        }
        let status = self.status.borrow_and_update().clone();
        self.sent = Some(Instant::now());
        Some(format!("event: status\ndata: {}\n\n", routes::json(&status)))
    }
}

/// Tells a page that the agent lives, and its wall clock, against which the age of a picture is seen. A comment would
/// keep the connection open too, but a page cannot see it, and a frozen agent's connection stays open as well.
fn beat_event() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!(": still here\nevent: beat\ndata: {}\n\n", now.as_millis())
}
