//! The faults of a drill over hosts: the agent of the primary's zone is asked to break it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drill::{Break, BreakError, Injected};
use model::{
    DatabaseName, Fault, FaultKind, FaultOrder, FaultReport, FaultState, Status, UnitName, ZoneName, keys,
};
use store::{Compare, Event, LeaseId, Op, Revision, Store, Txn};
use tokio::sync::watch;
use world::{Clock, Tasks};

use super::breaks::HELD_MAX_MS;
use super::primary::primary_of;

/// An agent answers at once or not at all.
const OBEYED_WITHIN: Duration = Duration::from_secs(6);
/// A host that was cut off finds its store again within this. Less than the drill waits for its healing.
const MENDED_WITHIN: Duration = Duration::from_secs(18);
/// The order is gone so long after its drill, in milliseconds.
const LEASE_MS: u64 = 5_000;
/// Between two renewals.
const RENEW: Duration = Duration::from_millis(1_000);
/// Mended so much sooner than it was asked for, in milliseconds, it was not broken for as long as the verdict would say.
const EARLY_MS: u64 = 1_500;

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
    /// The agent's word comes behind this.
    revision: Revision,
    number: u64,
    unit: UnitName,
    zone: ZoneName,
    at: Instant,
    /// It was to be broken for so long, in milliseconds, when it was first healed.
    asked_ms: Option<u64>,
}

/// What the agent says in the end.
enum Word {
    Broken,
    Refused(String),
    Mended(u64),
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
        let reports = format!("{}{zone}", keys::FAULT_REPORTS);
        let (_, seen) = self.store.range(&reports).await.map_err(|error| failed(GIVEN, error))?;
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
        let given = Given { lease, revision: seen + 1, number, unit, zone: zone.clone(), at, asked_ms: None };
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
        wanted: impl Fn(&Word) -> bool,
    ) -> Result<Word, BreakError> {
        let key = format!("{}{}", keys::FAULT_REPORTS, given.zone);
        let told = async {
            let mut watch = self.store.watch(&key, given.revision).await?;
            loop {
                for event in watch.next().await? {
                    let Event::Put(entry) = event else { continue };
                    let report = serde_json::from_slice::<FaultReport>(&entry.value);
                    let report =
                        report.ok().filter(|report| report.number == given.number && entry.key == key);
                    let word = report.map(|report| match report.state {
                        FaultState::Refused { why } => Word::Refused(why),
                        FaultState::Broken => Word::Broken,
                        FaultState::Mended { after_ms } => Word::Mended(after_ms),
                    });
                    if let Some(word) = word.filter(&wanted) {
                        return Ok::<Word, store::StoreError>(word);
                    }
                }
            }
        };
        match tokio::time::timeout(within, told).await {
            Ok(told) => told.map_err(|error| failed("the agent cannot be heard", error)),
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
        match self.hear(given, OBEYED_WITHIN, |_| true).await? {
            Word::Broken => {}
            Word::Refused(why) => return Err(BreakError::new(why)),
            Word::Mended(_) => return Err(BreakError::new("it was mended before it was said to be broken")),
        }
        Ok(Injected { units: vec![primary.unit], primary: true, fronts: Vec::new(), at: given.at })
    }

    /// That nothing was broken is no error if [`Break::inject`] said so; a cut that comes to nothing after the agent has
    /// announced it is.
    async fn heal(&mut self) -> Result<(), BreakError> {
        let Some(given) = &mut self.given else { return Ok(()) };
        let since_ms = u64::try_from(given.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let asked_ms = *given.asked_ms.get_or_insert(since_ms.min(self.event_ms));
        let renewing = std::mem::take(&mut self.renewing);
        renewing.shutdown(world::Limits::default()).await;
        let Some(given) = &self.given else { return Ok(()) };
        if let Err(error) = self.store.revoke(given.lease).await {
            tracing::debug!(%error, "the order ends with its lease");
        }
        match self.hear(given, MENDED_WITHIN, |word| !matches!(word, Word::Broken)).await? {
            Word::Refused(why) if self.fault.kind == FaultKind::Cut => Err(BreakError::new(why)),
            Word::Mended(after_ms) if after_ms + EARLY_MS < asked_ms => Err(BreakError::new(format!(
                "it was broken for {after_ms} ms of {asked_ms}: its agent has ended, or lost its store"
            ))),
            _ => Ok(()),
        }
    }
}
