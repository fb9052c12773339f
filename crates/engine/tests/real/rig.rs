use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use engine::local::ZoneCgroup;
use engine::{Engine, EngineOptions, ProcessId, Shim};
use model::{
    Bytes, Deploy, Healthcheck, MilliCpu, Phase, Probe, Resources, Run, Scale, Service, ServiceName,
    Template, UnitName, UnitRecord, UnitState, Want, ZoneName,
};
use world::{Clock, Tasks};

pub const HELPER: &str = env!("CARGO_BIN_EXE_engine-helper");
/// Longest wait for anything that must happen; far beyond what it takes, as the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A state folder and an address of its own, removed at the end.
pub struct Place {
    pub folder: PathBuf,
    pub address: IpAddr,
}

impl Place {
    pub fn new(name: &str) -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ek-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = std::fs::canonicalize(folder).unwrap();
        let address = format!("127.{}.{}.1", 100 + std::process::id() % 100, number).parse().unwrap();
        Place { folder, address }
    }

    pub fn options(&self, cgroup: Option<ZoneCgroup>) -> EngineOptions {
        EngineOptions {
            zone: zone("a"),
            address: self.address,
            state_dir: self.folder.join("zone"),
            cgroup,
            base_dir: self.folder.clone(),
            shim: shim(),
        }
    }

    pub fn engine(&self, tasks: &Tasks) -> Engine {
        Engine::start(self.options(None), Clock::real(), tasks).unwrap()
    }

    pub fn unit_file(&self, unit: &str, file: &str) -> PathBuf {
        self.folder.join("zone/units").join(unit).join(file)
    }

    pub fn read(&self, unit: &str, file: &str) -> String {
        std::fs::read_to_string(self.unit_file(unit, file)).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half-way leaves no namespaces behind, which would fail the next one too.
        if let Ok(zones) = engine::local::LocalZones::load(&self.folder.join("run")) {
            let _ = zones.remove();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn shim() -> Shim {
    let environment = vec![("NOT_FOR_UNITS".to_owned(), "1".to_owned())];
    Shim { program: HELPER.into(), arguments: vec!["unit-shim".to_owned()], environment }
}

pub fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).unwrap()
}

pub fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

/// A unit that runs `command`, well when it runs; quick in all its times.
pub fn running(name: &str, command: &[&str]) -> UnitRecord {
    UnitRecord {
        name: unit(name),
        zone: zone("a"),
        service: Service {
            name: ServiceName::new("web").unwrap(),
            run: Run::Command(command.iter().map(|word| Template::parse(word).unwrap()).collect()),
            environment: BTreeMap::new(),
            healthcheck: Healthcheck {
                probe: Probe::Running,
                interval: model::Duration(100),
                timeout: model::Duration(500),
                retries: 2,
                start_timeout: model::Duration(20_000),
            },
            resources: Resources { cpus: MilliCpu(0), memory: Bytes(0) },
            scale: Scale { min: 1, max: 1, target: None },
            load: None,
            rps_per_cpu: None,
            deploy: Deploy { max_unavailable: 0, drain: model::Duration(10_000) },
        },
        version: 1,
        want: Want::Run,
    }
}

pub fn script(name: &str, script: &str) -> UnitRecord {
    running(name, &["/bin/sh", "-c", &script.replace('$', "$$")])
}

/// A unit that serves HTTP on its port.
pub fn serving(name: &str) -> UnitRecord {
    let mut record = running(name, &[HELPER, "serve", "${address}:${port}", "${data}/sick"]);
    record.service.healthcheck.probe = Probe::Http("/healthz".to_owned());
    record
}

pub fn draining(record: &UnitRecord) -> UnitRecord {
    UnitRecord { want: Want::Drain, ..record.clone() }
}

#[track_caller]
pub fn state(engine: &Engine, name: &str) -> Option<UnitState> {
    engine.states().borrow().iter().find(|state| state.name.as_str() == name).cloned()
}

/// Waits until the unit's state is as wished.
pub async fn until(engine: &Engine, name: &str, wished: impl Fn(&UnitState) -> bool) -> UnitState {
    let mut states = engine.states();
    let found = |states: &Vec<UnitState>| states.iter().any(|one| one.name.as_str() == name && wished(one));
    let waited = tokio::time::timeout(PATIENCE, states.wait_for(found)).await;
    match waited {
        Ok(Ok(states)) => {
            let found = states.iter().find(|one| one.name.as_str() == name);
            found.cloned().unwrap_or_else(|| panic!("{name} is gone"))
        }
        _ => panic!("{name} never got there: {:?}", engine.states().borrow()),
    }
}

pub async fn ready(engine: &Engine, name: &str) -> UnitState {
    until(engine, name, |state| state.phase == Phase::Ready).await
}

/// Waits until something is so.
pub async fn eventually(what: &str, check: impl Fn() -> bool) {
    let begin = Instant::now();
    while !check() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn process(pid: u32) -> ProcessId {
    ProcessId::of(pid).unwrap_or_else(|| panic!("{pid} does not run"))
}

/// The process numbers in a file, one a line.
pub fn pids(path: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Whether the address answers `GET` with 200 within half a second.
pub fn answers(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let patience = Duration::from_millis(500);
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 OK"))
    };
    ask().unwrap_or(false)
}

/// Whether a test that needs root may run; says loudly when not, and fails where everything is required.
pub fn root_for(what: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "root is required: {what}");
    eprintln!("SKIPPED, needs root: {what}");
    false
}
