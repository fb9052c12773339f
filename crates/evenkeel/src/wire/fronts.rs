//! The fronts of a zone as its agent has them: units of its own program, ended when they are frozen.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use model::{
    Bytes, Deploy, Healthcheck, MilliCpu, Moment, Probe, Resources, Run, Scale, Service, ServiceName,
    Template, UnitName, UnitRecord, Want, ZoneName,
};
use tokio::sync::watch;
use world::{Clock, Stop};

use super::publish::{self, Link};

/// Time between two looks at a front's silence.
pub const LOOK_MS: u64 = 100;
/// A front that never reported this long after its process started is as good as frozen.
const FIRST_REPORT_MS: u64 = 5_000;
/// The service name of fronts that take requests.
pub const EDGE: &str = "edge";
/// The service name of fronts that take connections to databases.
pub const DATA: &str = "data";

/// The front of `kind` in `zone`, `edge-a`; `None` for a zone whose name is too long for that.
pub fn name(kind: &str, zone: &ZoneName) -> Option<UnitName> {
    UnitName::new(&format!("{kind}-{zone}")).ok()
}

/// The front for requests, as a unit: supervised like any other.
pub fn edge(zone: &ZoneName, program: &Path, dir: &Path) -> Option<UnitRecord> {
    let (socket, log) = (dir.join("front.sock"), dir.join("access.log"));
    let words = ["front", "--socket", socket.to_str()?, "--access-log", log.to_str()?];
    unit(EDGE, zone, program, &words)
}

/// The front for connections to databases, as a unit.
pub fn data(zone: &ZoneName, program: &Path, dir: &Path) -> Option<UnitRecord> {
    let socket = dir.join("data.sock");
    unit(DATA, zone, program, &["front", "--data", "--socket", socket.to_str()?])
}

fn unit(kind: &str, zone: &ZoneName, program: &Path, words: &[&str]) -> Option<UnitRecord> {
    let words = std::iter::once(program.to_str()?).chain(words.iter().copied());
    Some(UnitRecord {
        name: name(kind, zone)?,
        zone: zone.clone(),
        service: Service {
            name: ServiceName::new(kind).ok()?,
            run: Run::Command(words.map(Template::plain).collect()),
            environment: BTreeMap::new(),
            healthcheck: Healthcheck {
                probe: Probe::Running,
                interval: model::Duration(1_000),
                timeout: model::Duration(500),
                retries: 2,
                start_timeout: model::Duration(10_000),
            },
            // The data path must not be throttled by a limit of ours; memory is bounded by the front's own limits.
            resources: Resources { cpus: MilliCpu(64_000), memory: Bytes(512 << 20) },
            scale: Scale { min: 1, max: 1, target: None },
            load: None,
            rps_per_cpu: None,
            deploy: Deploy { max_unavailable: 0, drain: model::Duration(6_000) },
        },
        version: 1,
        want: Want::Run,
    })
}

/// A frozen front is ended; the engine starts another at once. A late look of the agent's own proves nothing about
/// the front: it was the agent that was stopped, so it only starts the watch afresh.
pub async fn watch<R>(
    engine: Arc<Engine>,
    front: UnitName,
    link: watch::Receiver<Link<R>>,
    clock: Clock,
    stop: Stop,
) {
    let states = engine.states();
    let mut looked = clock.now();
    let mut since: Option<(u32, Moment)> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
        let now = clock.now();
        let stalled = now.ms_since(looked) > 3 * LOOK_MS;
        looked = now;
        let pid = states.borrow().iter().find(|state| state.name == front).and_then(|state| state.pid);
        let Some(pid) = pid else { continue };
        if stalled || since.is_none_or(|(known, _)| known != pid) {
            since = Some((pid, now));
        }
        let watched_ms = since.map_or(0, |(_, start)| now.ms_since(start));
        let heard = link.borrow().heard;
        let silent = match heard {
            Some(at) => now.ms_since(at).min(watched_ms) > publish::SILENCE_MS,
            None => watched_ms > FIRST_REPORT_MS,
        };
        if silent {
            tracing::warn!(%front, pid, "front does not report; ending it");
            engine.kill(&front, "did not report");
            since = None;
        }
    }
}
