//! The faults of a drill over hosts: the agent of the primary's zone is asked to break it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drill::{Break, BreakError, Injected};
use model::{DatabaseName, Fault, FaultOrder, FaultReport, FaultState, Status, UnitName, ZoneName, keys};
use store::{Compare, LeaseId, Op, Store, Txn};
use tokio::sync::watch;
use world::{Clock, Tasks};

use super::breaks::HELD_MAX_MS;
use super::primary::primary_of;

/// An agent answers at once or not at all.
const OBEYED_WITHIN: Duration = Duration::from_secs(6);
/// A host that was cut off finds its store again within this. Less than the drill waits for its healing.
const MENDED_WITHIN: Duration = Duration::from_secs(15);
/// The order is gone so long after its drill, in milliseconds.
const LEASE_MS: u64 = 5_000;
/// Between two renewals.
const RENEW: Duration = Duration::from_millis(1_000);
/// Mended so much sooner than it was asked for, in milliseconds or a quarter of it, it was not broken for as long as the
/// verdict would say.
const EARLY_MS: u64 = 1_000;
/// After an answer that did not come.
const AGAIN: Duration = Duration::from_millis(200);

/// One fault of one database over hosts.
pub struct RemoteFault {
    pub fault: Fault,
    pub database: DatabaseName,
    pub store: Store,
    pub status: watch::Receiver<Arc<Status>>,
    /// How long the drill means to keep it broken.
    pub event_ms: u64,
    given: Option<Given>,
    /// Renews the order.
    renewing: Tasks,
}

/// An order that was given, or may have been.
struct Given {
    lease: LeaseId,
    number: u64,
    unit: UnitName,
    zone: ZoneName,
    at: Instant,
    /// When the agent said that it breaks it.
    said: Option<Instant>,
    /// It was to be broken for so long since, in milliseconds, when it was first healed.
    asked_ms: Option<u64>,
}

fn failed(what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> BreakError {
    BreakError { what: what.to_owned(), cause: Some(Box::new(cause)) }
}

impl RemoteFault {
    pub fn new(
        fault: Fault,
        database: DatabaseName,
        store: Store,
        status: watch::Receiver<Arc<Status>>,
        event_ms: u64,
    ) -> RemoteFault {
        RemoteFault { fault, database, store, status, event_ms, given: None, renewing: Tasks::new() }
    }

    async fn order(&mut self, unit: UnitName, zone: ZoneName) -> Result<(), BreakError> {
        const GIVEN: &str = "the order was not given";
        let lease = self.store.grant(LEASE_MS).await.map_err(|error| failed(GIVEN, error))?;
        let number = Clock::real().unix_ms();
        let order = FaultOrder { number, unit: unit.clone(), kind: self.fault.kind, held_ms: self.event_ms };
        let value = serde_json::to_vec(&order).map_err(|error| failed(GIVEN, error))?;
        let key = format!("{}{zone}", keys::FAULTS);
        let compare = vec![Compare::Modified { key: key.clone(), revision: 0 }];
        let put = Op::Put { key, value, lease: Some(lease) };
        // Before it is given: how long that takes counts as an outage, rather than too little.
        let at = Instant::now();
        // Whether it arrived may not be known.
        let given = Given { lease, number, unit, zone: zone.clone(), at, said: None, asked_ms: None };
        let reply = match self.store.txn(Txn { compare, then: vec![put] }).await {
            Ok(reply) => reply,
            Err(error) => {
                self.given = Some(given);
                return Err(failed(GIVEN, error));
            }
        };
        if !reply.done {
            let _ = self.store.revoke(lease).await;
            return Err(BreakError::new(format!("another drill is under way in zone {zone}")));
        }
        self.given = Some(given);
        let (store, stop) = (self.store.clone(), self.renewing.stop());
        self.renewing.spawn("order", async move {
            while !stop.is_requested() {
                // An order that ends too early is told of by what the agent says.
                let _ = store.keep_alive(lease).await;
                tokio::select! {
                    biased;
                    () = stop.requested() => {}
                    () = tokio::time::sleep(RENEW) => {}
                }
            }
        });
        Ok(())
    }

    /// Waits for a word of the agent that `wanted` takes.
    async fn hear(
        &self,
        given: &Given,
        within: Duration,
        wanted: impl Fn(&FaultState) -> bool,
    ) -> Result<FaultState, BreakError> {
        let key = format!("{}{}", keys::FAULT_REPORTS, given.zone);
        // The newest word is enough, and a look at it needs no history: that may be compacted, and a store that does not answer
        // is asked again.
        let told = async {
            loop {
                let now = self.store.get(&key).await.ok().flatten();
                let report = now.and_then(|entry| serde_json::from_slice::<FaultReport>(&entry.value).ok());
                let word = report.filter(|report| report.number == given.number).map(|report| report.state);
                if let Some(word) = word.filter(&wanted) {
                    return word;
                }
                tokio::time::sleep(AGAIN / 4).await;
            }
        };
        match tokio::time::timeout(within, told).await {
            Ok(word) => Ok(word),
            Err(_) => Err(BreakError::new(format!(
                "the agent of zone {} says nothing for {} s; whatever is broken there ends within {} s of the fault",
                given.zone,
                within.as_secs(),
                self.event_ms / 1_000
            ))),
        }
    }
}

impl Break for RemoteFault {
    fn fault(&self) -> Fault {
        self.fault
    }

    fn target(&self) -> String {
        let struck = self.given.as_ref().map(|given| given.unit.to_string());
        let now = || Some(primary_of(&self.status.borrow(), &self.database)?.unit.to_string());
        struck.or_else(now).unwrap_or_else(|| self.database.to_string())
    }

    fn impossible(&self) -> Option<String> {
        let longest = HELD_MAX_MS / 1_000;
        let why =
            format!("over hosts nothing stays broken for longer than {longest} s: `--duration {longest}`");
        (self.event_ms > HELD_MAX_MS).then_some(why)
    }

    async fn inject(&mut self) -> Result<Injected, BreakError> {
        let primary = primary_of(&self.status.borrow(), &self.database);
        let primary = primary.ok_or_else(|| BreakError::new("there is no primary to strike"))?;
        self.order(primary.unit.clone(), primary.zone).await?;
        let Some(given) = &self.given else { return Err(BreakError::new("nothing was ordered")) };
        let (word, at) = (self.hear(given, OBEYED_WITHIN, |_| true).await?, given.at);
        match word {
            FaultState::Broken => {}
            FaultState::Refused { why } => return Err(BreakError::new(why)),
            FaultState::Mended { .. } => {
                return Err(BreakError::new("it was mended before it was said to be broken"));
            }
        }
        if let Some(given) = &mut self.given {
            given.said = Some(Instant::now());
        }
        Ok(Injected { units: vec![primary.unit], primary: true, fronts: Vec::new(), at })
    }

    /// That nothing was broken is no error if [`Break::inject`] said so. What came to nothing after the agent had announced
    /// it is one, and what ended early: it would have a verdict.
    async fn heal(&mut self) -> Result<(), BreakError> {
        let Some(given) = &mut self.given else { return Ok(()) };
        let since = given.said.map(|said| u64::try_from(said.elapsed().as_millis()).unwrap_or(u64::MAX));
        let asked_ms = *given.asked_ms.get_or_insert(since.unwrap_or(0).min(self.event_ms));
        let renewing = std::mem::take(&mut self.renewing);
        renewing.shutdown(world::Limits::default()).await;
        let Some(given) = &self.given else { return Ok(()) };
        if let Err(error) = self.store.revoke(given.lease).await {
            tracing::debug!(%error, "the order ends with its lease");
        }
        match self.hear(given, MENDED_WITHIN, |word| *word != FaultState::Broken).await? {
            FaultState::Refused { why } if given.said.is_some() => Err(BreakError::new(why)),
            FaultState::Mended { after_ms } if after_ms + EARLY_MS.min(asked_ms / 4) < asked_ms => {
                Err(BreakError::new(format!(
                    "it was broken for {after_ms} ms of {asked_ms}: its agent has ended, or lost its store"
                )))
            }
            _ => Ok(()),
        }
    }
}
