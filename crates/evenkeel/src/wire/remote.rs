//! The faults of a drill over hosts: the agent of the primary's zone is asked to break it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drill::{Break, BreakError, Injected};
use model::{DatabaseName, Fault, FaultOrder, FaultReport, FaultState, Status, UnitName, ZoneName, keys};
use store::{Event, LeaseId, Op, Revision, Store, Txn};
use tokio::sync::watch;
use world::Clock;

use super::breaks::HELD_MAX_MS;
use super::primary::primary_of;

/// An agent answers at once or not at all.
const OBEYED_WITHIN: Duration = Duration::from_secs(5);
/// A host that was cut off finds its store again within this.
const MENDED_WITHIN: Duration = Duration::from_secs(30);
/// The order outlives the time that it names by so much, in milliseconds: it is taken back before.
const ORDER_EXTRA_MS: u64 = 30_000;

/// One fault of one database over hosts.
pub struct RemoteFault {
    pub fault: Fault,
    pub database: DatabaseName,
    pub store: Store,
    pub status: watch::Receiver<Arc<Status>>,
    /// How long the drill means to keep it broken.
    pub event_ms: u64,
    given: Option<Given>,
}

/// An order that was given.
struct Given {
    lease: LeaseId,
    revision: Revision,
    number: u64,
    unit: UnitName,
    zone: ZoneName,
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
        RemoteFault { fault, database, store, status, event_ms, given: None }
    }

    async fn order(&mut self, unit: UnitName, zone: ZoneName) -> Result<(), BreakError> {
        const GIVEN: &str = "the order was not given";
        let lease = self.store.grant(self.event_ms + ORDER_EXTRA_MS).await;
        let lease = lease.map_err(|error| failed(GIVEN, error))?;
        let number = Clock::real().unix_ms();
        let order = FaultOrder { number, unit: unit.clone(), kind: self.fault.kind, held_ms: self.event_ms };
        let value = serde_json::to_vec(&order).map_err(|error| failed(GIVEN, error))?;
        let put = Op::Put { key: format!("{}{zone}", keys::FAULTS), value, lease: Some(lease) };
        // Whether it arrived may not be known: it is taken back by its lease in any case.
        self.given = Some(Given { lease, revision: 0, number, unit, zone });
        let reply = self.store.txn(Txn { compare: Vec::new(), then: vec![put] }).await;
        let reply = reply.map_err(|error| failed(GIVEN, error))?;
        if let Some(given) = &mut self.given {
            given.revision = reply.revision;
        }
        Ok(())
    }

    /// Waits until the agent says something that `wanted` takes.
    async fn hear<T>(
        &self,
        given: &Given,
        within: Duration,
        wanted: impl Fn(FaultState) -> Option<T>,
    ) -> Result<T, BreakError> {
        let key = format!("{}{}", keys::FAULT_REPORTS, given.zone);
        let told = async {
            let mut watch = self.store.watch(&key, given.revision).await?;
            loop {
                for event in watch.next().await? {
                    let Event::Put(entry) = event else { continue };
                    let report = serde_json::from_slice::<FaultReport>(&entry.value);
                    let report = report.ok().filter(|report| report.number == given.number);
                    if let Some(found) = report.and_then(|report| wanted(report.state)) {
                        return Ok::<T, store::StoreError>(found);
                    }
                }
            }
        };
        match tokio::time::timeout(within, told).await {
            Ok(told) => told.map_err(|error| failed("the agent cannot be heard", error)),
            Err(_) => Err(BreakError::new(format!(
                "the agent of zone {} says nothing for {} s",
                given.zone,
                within.as_secs()
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
        // Before it is asked for: how long the order takes counts as an outage, rather than too little.
        let at = Instant::now();
        self.order(primary.unit.clone(), primary.zone).await?;
        let Some(given) = &self.given else { return Err(BreakError::new("nothing was ordered")) };
        let answer = self.hear(given, OBEYED_WITHIN, |state| match state {
            FaultState::Refused { why } => Some(Err(why)),
            FaultState::Broken | FaultState::Mended => Some(Ok(())),
        });
        answer.await?.map_err(BreakError::new)?;
        Ok(Injected { units: vec![primary.unit], primary: true, fronts: Vec::new(), at })
    }

    async fn heal(&mut self) -> Result<(), BreakError> {
        let Some(given) = &self.given else { return Ok(()) };
        // It ends by itself; that it has ended already is what is wanted.
        if let Err(error) = self.store.revoke(given.lease).await {
            tracing::debug!(%error, "the order stays until its time is over");
        }
        if given.revision == 0 {
            return Ok(());
        }
        let mended = |state| matches!(state, FaultState::Mended | FaultState::Refused { .. }).then_some(());
        self.hear(given, MENDED_WITHIN, mended).await
    }
}
