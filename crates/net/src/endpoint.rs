use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use model::{Moment, UnitName, ZoneName};

use crate::decide_health::{Seen, Standing};

/// A latency sample counts at most this many times the average so far, so that one request that is long by
/// nature does not make its endpoint look ill.
const SAMPLE_MAX_TIMES: u64 = 4;
/// And never less than this, so that an average near 0 can rise. Microseconds.
const SAMPLE_FLOOR_US: u64 = 2_000;
/// A sign of life is news for so long.
pub const FRESH_MS: u64 = 100;
/// An endpoint that owes an answer for so long is not fresh.
pub const OWED_MS: u64 = 30;
/// A request that must not be sent twice goes without asking first to an endpoint that has shown life within this. One that dies
/// in between takes it along, so it is less than the time that a fault of many processes takes (20 ms, as the drill
/// judges it): whatever is lost was on its way when the fault came.
pub const PROVEN_MS: u64 = 15;
/// The average halves for each such time without a sample: an endpoint that is avoided is tried again.
const LATENCY_HALF_LIFE_MS: u64 = 1_000;

/// What one front knows about one replica. Lives as long as unit and address stay the same, whatever snapshots
/// come and go; shared by all threads; atomics only.
#[derive(Debug)]
pub struct Endpoint {
    unit: UnitName,
    zone: ZoneName,
    address: SocketAddr,
    standing: AtomicU8,
    /// Counts ejections: a connection or request of an older generation belongs to an ejected past.
    generation: AtomicU32,
    /// See [`Endpoint::doubts`].
    doubts: AtomicU32,
    in_flight: AtomicU32,
    /// Requests that wait for the first byte of their response.
    waiting: AtomicU32,
    waiting_since_ms: AtomicU64,
    last_life_ms: AtomicU64,
    latency_us: AtomicU64,
    latency_at_ms: AtomicU64,
    refusals: AtomicU64,
    breaks: AtomicU64,
    draining: AtomicBool,
}

impl Endpoint {
    /// A replica nothing is known about yet: it counts as well.
    #[must_use]
    pub fn new(unit: UnitName, zone: ZoneName, address: SocketAddr) -> Endpoint {
        Endpoint {
            unit,
            zone,
            address,
            standing: AtomicU8::new(Standing::Well as u8),
            generation: AtomicU32::new(0),
            doubts: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            waiting_since_ms: AtomicU64::new(0),
            last_life_ms: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            latency_at_ms: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            breaks: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(&self) -> &UnitName {
        &self.unit
    }

    /// Its zone.
    #[must_use]
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it gets requests.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::from_u8(self.standing.load(Relaxed))
    }

    /// Sets the standing; leaving the usable ones begins a new generation.
    pub fn stand(&self, standing: Standing) {
        let before = Standing::from_u8(self.standing.swap(standing as u8, Relaxed));
        if standing.is_ejected() && !before.is_ejected() {
            self.retire();
        }
    }

    /// Whoever waits for it may do better elsewhere.
    pub fn doubt(&self) {
        self.doubts.fetch_add(1, Relaxed);
    }

    /// Makes every connection opened so far one that is not used again.
    pub fn retire(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    /// Counts ejections; see [`Endpoint::retire`].
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    /// Counts [`Endpoint::doubt`].
    #[must_use]
    pub fn doubts(&self) -> u32 {
        self.doubts.load(Relaxed)
    }

    /// Requests and tunnels that use it now, in this front.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Whether it gets no new requests because it is being taken out of service on purpose.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Says whether it is being taken out of service.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Relaxed);
    }

    /// A byte arrived from it.
    pub fn lives(&self, now: Moment) {
        self.last_life_ms.fetch_max(now.0, Relaxed);
    }

    /// When the last byte arrived; 0: never.
    #[must_use]
    pub fn last_life(&self) -> Moment {
        Moment(self.last_life_ms.load(Relaxed))
    }

    /// Whether it has shown life just now: within [`FRESH_MS`], or within [`OWED_MS`] when it owes an answer.
    #[must_use]
    pub fn is_fresh(&self, now: Moment) -> bool {
        let seen = self.seen();
        let owes = seen.waiting > 0 && now.ms_since(seen.last_life.max(seen.waiting_since)) >= OWED_MS;
        !owes && now.ms_since(seen.last_life) < FRESH_MS
    }

    /// Whether a request that must not be sent twice may go to it without asking: it has shown life within [`PROVEN_MS`].
    #[must_use]
    pub fn is_proven(&self, now: Moment) -> bool {
        now.ms_since(self.last_life()) < PROVEN_MS
    }

    /// A connection to it was refused, or reset before it stood.
    pub fn was_refused(&self) {
        self.refusals.fetch_add(1, Relaxed);
    }

    /// A connection broke before a response began.
    pub fn broke(&self) {
        self.breaks.fetch_add(1, Relaxed);
    }

    /// A response began `took_us` after its request was sent.
    pub fn sample(&self, took_us: u64, now: Moment) {
        let old = self.latency_us.load(Relaxed);
        let new = if old == 0 {
            took_us.max(1)
        } else {
            let sample = took_us.min((old * SAMPLE_MAX_TIMES).max(SAMPLE_FLOOR_US));
            // A moving average over about eight samples; two threads may lose one of their samples, which is fine.
            (old * 7 + sample) / 8
        };
        self.latency_us.store(new.max(1), Relaxed);
        self.latency_at_ms.store(now.0, Relaxed);
    }

    /// The moving average of the time to the first byte in microseconds, halved for each second without a
    /// sample; 0: unknown.
    #[must_use]
    pub fn latency_us(&self, now: Moment) -> u64 {
        let age = now.ms_since(Moment(self.latency_at_ms.load(Relaxed)));
        let halvings = (age / LATENCY_HALF_LIFE_MS).min(63);
        self.latency_us.load(Relaxed) >> halvings
    }

    /// What [`crate::decide_health::Guard`] looks at.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            waiting: self.waiting.load(Relaxed),
            waiting_since: Moment(self.waiting_since_ms.load(Relaxed)),
            last_life: self.last_life(),
            refusals: self.refusals.load(Relaxed),
            breaks: self.breaks.load(Relaxed),
            latency_us: self.latency_us.load(Relaxed),
            draining: self.is_draining(),
        }
    }
}

/// One request or tunnel that uses an endpoint; counted until dropped. Borrows, because the counter of an `Arc` is
/// one more cache line that threads would fight for.
#[derive(Debug)]
pub struct Use<'a>(&'a Endpoint);

impl<'a> Use<'a> {
    /// Counts one more.
    #[must_use]
    pub fn new(endpoint: &'a Endpoint) -> Use<'a> {
        endpoint.in_flight.fetch_add(1, Relaxed);
        Use(endpoint)
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &'a Endpoint {
        self.0
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// One request that waits for the first byte of its response; counted until dropped. Open responses and tunnels
/// are not counted: they may be silent for as long as they like.
#[derive(Debug)]
pub struct Wait<'a>(&'a Endpoint);

impl<'a> Wait<'a> {
    /// Counts one more, waiting since `now`.
    #[must_use]
    pub fn new(endpoint: &'a Endpoint, now: Moment) -> Wait<'a> {
        if endpoint.waiting.fetch_add(1, Relaxed) == 0 {
            endpoint.waiting_since_ms.store(now.0, Relaxed);
        }
        Wait(endpoint)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let unit = UnitName::new("web-1").unwrap();
        let zone = ZoneName::new("a").unwrap();
        Endpoint::new(unit, zone, "127.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn one_request_that_is_long_by_nature_does_not_make_its_endpoint_look_ill() {
        let endpoint = endpoint();
        for _ in 0..20 {
            endpoint.sample(5_000, Moment(1_000));
        }
        endpoint.sample(2_000_000, Moment(1_000));
        assert!(endpoint.latency_us(Moment(1_000)) < 8_000);
        for _ in 0..40 {
            endpoint.sample(2_000_000, Moment(1_000));
        }
        assert!(endpoint.latency_us(Moment(1_000)) > 1_000_000, "but lasting slowness shows");
    }

    #[test]
    fn an_endpoint_that_was_slow_and_is_avoided_is_tried_again_later() {
        let endpoint = endpoint();
        endpoint.sample(800_000, Moment(1_000));
        assert_eq!(endpoint.latency_us(Moment(1_000)), 800_000);
        assert_eq!(endpoint.latency_us(Moment(4_000)), 100_000);
        assert_eq!(endpoint.latency_us(Moment(400_000_000)), 0);
    }

    #[test]
    fn an_endpoint_that_owes_an_answer_is_soon_no_longer_fresh() {
        let endpoint = endpoint();
        assert!(!endpoint.is_fresh(Moment(1_000)), "nothing was ever heard of it");
        endpoint.lives(Moment(1_000));
        assert!(endpoint.is_fresh(Moment(1_099)));
        assert!(!endpoint.is_fresh(Moment(1_100)));
        let _owed = Wait::new(&endpoint, Moment(1_040));
        assert!(endpoint.is_fresh(Moment(1_069)));
        assert!(!endpoint.is_fresh(Moment(1_070)));
        endpoint.lives(Moment(1_070));
        assert!(endpoint.is_fresh(Moment(1_090)));
    }

    #[test]
    fn only_a_life_of_just_now_is_a_proof() {
        let endpoint = endpoint();
        assert!(!endpoint.is_proven(Moment(1_000)), "nothing was ever heard of it");
        endpoint.lives(Moment(1_000));
        let _owed = Wait::new(&endpoint, Moment(0));
        assert!(endpoint.is_proven(Moment(1_014)), "a request that takes long says nothing");
        assert!(!endpoint.is_proven(Moment(1_015)));
    }

    #[test]
    fn waiting_begins_anew_after_a_rest() {
        let endpoint = endpoint();
        let first = Wait::new(&endpoint, Moment(10));
        let second = Wait::new(&endpoint, Moment(20));
        assert_eq!((endpoint.seen().waiting, endpoint.seen().waiting_since), (2, Moment(10)));
        drop((first, second));
        let _third = Wait::new(&endpoint, Moment(5_000));
        assert_eq!((endpoint.seen().waiting, endpoint.seen().waiting_since), (1, Moment(5_000)));
    }

    #[test]
    fn an_ejection_retires_connections_once() {
        let endpoint = endpoint();
        endpoint.stand(Standing::Suspect);
        assert_eq!(endpoint.generation(), 0);
        endpoint.stand(Standing::Silent);
        endpoint.stand(Standing::Refused);
        assert_eq!(endpoint.generation(), 1);
    }
}
