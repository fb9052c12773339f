//! The zones of one machine: where each has its address, its processes and its limits, and how a drill breaks one.
//!
//! [`LocalZones`] is made by the supervisor (`evenkeel up`), written to `<state>/local.json`, and read by agents,
//! fronts and drills, each a process of its own. Removing it removes everything it made, also after a crash.
//!
//! Without root a zone is a loopback address and a set of processes that is ended one by one; as root it is a
//! cgroup, and with `isolate` a network namespace too.

mod cgroup;
mod fault;
mod mark;
mod net;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use model::{UnitName, ZoneName};
use serde::{Deserialize, Serialize};

pub use crate::process::ProcessId;
pub use cgroup::{Cgroups, Through, UnitCgroup, ZoneCgroup};
pub use fault::{heal_all, signal_tree};
pub use mark::{DownMark, clear_down, down, mark_down};
pub(crate) use net::run;
pub use net::{NETWORK, Way, Wiring, enter};

use crate::{EngineError, record};

/// Most zones of one machine.
pub const ZONES_MAX: usize = 9;
/// The file that says what was made.
const LOCAL_FILE: &str = "local.json";
/// Raised when the meaning of a field changes.
const LOCAL_FORMAT: u32 = 1;
/// In a zone's state folder: [`note_servers`].
const SERVERS_FILE: &str = "servers.json";
/// Most bytes of the file that are read.
const LOCAL_FILE_MAX: u64 = 1024 * 1024;

/// What zones to make.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The state folder of the run; its path names everything that is made, so that two runs do not meet.
    pub state: PathBuf,
    /// The zones in order.
    pub zones: Vec<ZoneName>,
    /// A network namespace each (root only).
    pub isolate: bool,
    /// First two bytes of the addresses with `isolate`; [`NETWORK`] unless told otherwise.
    pub network: [u8; 2],
    /// Where cgroups are mounted: `/sys/fs/cgroup`.
    pub cgroup_root: PathBuf,
}

impl LocalOptions {
    /// The usual ones for `zones` with the state in `state`.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, zones: Vec<ZoneName>, isolate: bool) -> LocalOptions {
        let cgroup_root = PathBuf::from("/sys/fs/cgroup");
        LocalOptions { state: state.into(), zones, isolate, network: NETWORK, cgroup_root }
    }
}

/// One emulated zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalZone {
    /// Its name.
    pub zone: ZoneName,
    /// Fronts and units listen here.
    pub address: IpAddr,
    /// Its namespace, when isolated.
    pub namespace: Option<String>,
    /// Its state folder: [`crate::EngineOptions::state_dir`] of its agent.
    pub state: PathBuf,
    /// Its cgroups.
    pub cgroup: ZoneCgroup,
}

/// The emulated zones of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalZones {
    format: u32,
    /// Differs for each state folder.
    pub id: String,
    /// The state folder of the run.
    pub state: PathBuf,
    /// Who made it.
    pub supervisor: ProcessId,
    /// The namespaces; `None` when not isolated.
    pub wiring: Option<Wiring>,
    /// The cgroups all zones are in.
    pub cgroups: Cgroups,
    /// The zones in order.
    pub zones: Vec<LocalZone>,
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): the same text gives the same number in every version of this program.
pub(crate) fn fnv(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn parse_address(text: &str) -> IpAddr {
    // The texts are made from four numbers; were one wrong, binding to the unspecified address would say so.
    text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

impl LocalZones {
    /// Makes the zones. What a dead run with the same state folder left is cleaned first: with the same layout and
    /// without isolation its units go on and are adopted by the new agents; else they are ended.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when the run that made them is alive; [`EngineError::Unable`] with a hint when this
    /// machine cannot do it; then nothing is left behind.
    pub fn create(options: &LocalOptions) -> Result<LocalZones, EngineError> {
        if options.zones.is_empty() || options.zones.len() > ZONES_MAX {
            return Err(EngineError::Unable {
                what: format!("{} zones cannot be emulated on one machine", options.zones.len()),
                hint: format!("set `placement.zones` to a number from 1 to {ZONES_MAX}"),
            });
        }
        fs::create_dir_all(&options.state).map_err(EngineError::file("create", &options.state))?;
        let state = fs::canonicalize(&options.state).map_err(EngineError::file("read", &options.state))?;
        let id = run_id(&state);
        let supervisor = ProcessId::own().ok_or_else(|| EngineError::Unable {
            what: "this process is not found in `/proc`".to_owned(),
            hint: "mount `/proc`".to_owned(),
        })?;
        let before = LocalZones::load(&state).ok();
        if let Some(before) = before.filter(|before| before.supervisor != supervisor) {
            if before.supervisor.alive() {
                return Err(EngineError::Busy { path: state.join(LOCAL_FILE) });
            }
            before.clean(options)?;
        }
        let cgroups = Cgroups::detect(&options.cgroup_root, &id);
        let wiring = Wiring::new(&id, options.network, options.zones.len());
        if options.isolate {
            // Also without `local.json`: what runs in namespaces that are made anew would reach nobody.
            cgroups.kill()?;
            if let Err(error) = wiring.create() {
                // The first failure is the one to tell; what is left is cleaned by the next start.
                let _ = cgroups.remove();
                return Err(error);
            }
        } else if wiring.exists() {
            wiring.remove()?;
        }
        let wiring = options.isolate.then_some(wiring);
        let made =
            LocalZones { format: LOCAL_FORMAT, id, state, supervisor, wiring, cgroups, zones: Vec::new() };
        made.finish(options)
    }

    fn finish(mut self, options: &LocalOptions) -> Result<LocalZones, EngineError> {
        let zones: Result<Vec<LocalZone>, EngineError> =
            options.zones.iter().enumerate().map(|(index, zone)| self.make_zone(index, zone)).collect();
        let done = zones.and_then(|zones| {
            self.zones = zones;
            self.save()
        });
        if let Err(error) = done {
            // The first failure is the one to tell; what is left is cleaned by the next start.
            let _ = self.remove();
            return Err(error);
        }
        Ok(self)
    }

    fn make_zone(&self, index: usize, zone: &ZoneName) -> Result<LocalZone, EngineError> {
        let state = zone_state(&self.state, zone);
        fs::create_dir_all(&state).map_err(EngineError::file("create", &state))?;
        let address = match &self.wiring {
            Some(wiring) => parse_address(&wiring.zone_address(index)),
            None => IpAddr::V4(Ipv4Addr::new(127, 0, u8::try_from(index + 1).unwrap_or(u8::MAX), 1)),
        };
        let namespace = self.wiring.as_ref().and_then(|wiring| wiring.zones.get(index).cloned());
        Ok(LocalZone { zone: zone.clone(), address, namespace, state, cgroup: self.cgroups.zone(zone)? })
    }

    fn save(&self) -> Result<(), EngineError> {
        let path = self.state.join(LOCAL_FILE);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| EngineError::file("write", &path)(std::io::Error::other(error)))?;
        record::replace(&path, &bytes).map_err(EngineError::file("write", &path))
    }

    /// What the run with this state folder made.
    ///
    /// # Errors
    /// [`EngineError::File`] when it cannot be read or understood.
    pub fn load(state: &Path) -> Result<LocalZones, EngineError> {
        use std::io::Read;
        let path = state.join(LOCAL_FILE);
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(EngineError::file("read", &path))?;
        file.take(LOCAL_FILE_MAX).read_to_end(&mut bytes).map_err(EngineError::file("read", &path))?;
        let zones: LocalZones = serde_json::from_slice(&bytes)
            .map_err(|error| EngineError::file("read", &path)(std::io::Error::other(error)))?;
        if zones.format != LOCAL_FORMAT {
            let says = format!("its format is {}, not {LOCAL_FORMAT}", zones.format);
            return Err(EngineError::file("read", &path)(std::io::Error::other(says)));
        }
        Ok(zones)
    }

    /// Ends what a dead run left as far as a new run with `options` cannot go on with it.
    fn clean(&self, options: &LocalOptions) -> Result<(), EngineError> {
        heal_all(&self.state)?;
        let same: Vec<&ZoneName> = self.zones.iter().map(|zone| &zone.zone).collect();
        let goes_on = !options.isolate && self.wiring.is_none() && same.iter().copied().eq(&options.zones);
        for zone in &self.zones {
            if goes_on {
                // Its units are adopted by the agent that the new run starts; two agents would both run them.
                zone.kill_agent();
            } else {
                self.kill_zone(&zone.zone)?;
            }
        }
        if !goes_on {
            self.cgroups.remove()?;
        }
        if let Some(wiring) = &self.wiring {
            wiring.remove()?;
        }
        Ok(())
    }

    /// Ends every process of every zone and removes all that was made, except state folders with data and logs.
    ///
    /// # Errors
    /// The first thing that could not be removed; the rest is removed all the same.
    pub fn remove(&self) -> Result<(), EngineError> {
        let mut results: Vec<Result<(), EngineError>> =
            self.zones.iter().map(|zone| self.kill_zone(&zone.zone)).collect();
        results.push(self.cgroups.remove());
        if let Some(wiring) = &self.wiring {
            results.push(wiring.remove());
        }
        for zone in &self.zones {
            results.push(clear_down(&self.state, &zone.zone));
        }
        let path = self.state.join(LOCAL_FILE);
        results.push(match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(EngineError::File { what: "remove", path, cause: error })
            }
            _ => Ok(()),
        });
        results.into_iter().collect()
    }

    /// The zone of that name.
    ///
    /// # Errors
    /// [`EngineError::Unable`] naming the zones there are.
    pub fn zone(&self, zone: &ZoneName) -> Result<&LocalZone, EngineError> {
        self.zones.iter().find(|known| known.zone == *zone).ok_or_else(|| {
            let names: Vec<String> = self.zones.iter().map(|known| format!("`{}`", known.zone)).collect();
            EngineError::Unable {
                what: format!("there is no zone `{zone}`"),
                hint: format!("the zones are {}", names.join(", ")),
            }
        })
    }

    /// Where the store listens.
    #[must_use]
    pub fn store_address(&self) -> IpAddr {
        match &self.wiring {
            Some(wiring) => parse_address(&wiring.store_address()),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// The machine's own address towards isolated zones: whoever is outside of them is reached there.
    #[must_use]
    pub fn machine_address(&self) -> IpAddr {
        match &self.wiring {
            Some(wiring) => parse_address(&wiring.machine_address()),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// The program and arguments to put before a command so that it runs in the zone's network; empty when not
    /// isolated. `None` is the store's.
    ///
    /// # Errors
    /// As [`LocalZones::zone`].
    pub fn prefix(&self, zone: Option<&ZoneName>) -> Result<Vec<String>, EngineError> {
        let namespace = match (zone, &self.wiring) {
            (Some(zone), _) => self.zone(zone)?.namespace.clone(),
            (None, Some(wiring)) => Some(wiring.store()),
            (None, None) => None,
        };
        Ok(namespace.map(|name| enter(&name)).unwrap_or_default())
    }

    /// Puts this process, an agent that has just begun, into its zone's cgroup and writes it down. To be called
    /// before it starts anything.
    ///
    /// # Errors
    /// [`EngineError::File`] when it cannot be moved or written down.
    pub fn enter(&self, zone: &ZoneName) -> Result<(), EngineError> {
        let zone = self.zone(zone)?;
        zone.cgroup.join(std::process::id())?;
        let path = zone.agent_file();
        let bytes = serde_json::to_vec(&ProcessId::own()).unwrap_or_default();
        record::replace(&path, &bytes).map_err(EngineError::file("write", path))
    }

    /// One sentence a matter: what is emulated by which means, for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let network = match &self.wiring {
            Some(_) => "network: a namespace for each zone; `cut` faults can be drilled".to_owned(),
            None => "network: loopback addresses; `cut` faults cannot be drilled".to_owned(),
        };
        std::iter::once(network).chain(self.cgroups.describe()).collect()
    }
}

impl LocalZone {
    fn agent_file(&self) -> PathBuf {
        self.state.join("agent.json")
    }

    /// The agent of the zone, when it runs.
    #[must_use]
    pub fn agent(&self) -> Option<ProcessId> {
        let bytes = fs::read(self.agent_file()).ok()?;
        serde_json::from_slice::<Option<ProcessId>>(&bytes).ok()?.filter(|id| id.alive())
    }

    fn kill_agent(&self) {
        if let Some(agent) = self.agent() {
            agent.signal(rustix::process::Signal::KILL);
        }
    }

    /// The servers of the zone that [`note_servers`] has written down and that still run. They outlive the agent that
    /// started them, so nothing else leads to them where there is no cgroup.
    fn servers(&self) -> Vec<ProcessId> {
        let bytes = fs::read(self.state.join(SERVERS_FILE)).unwrap_or_default();
        let servers: Vec<ProcessId> = serde_json::from_slice(&bytes).unwrap_or_default();
        servers.into_iter().filter(|server| server.alive()).collect()
    }

    /// The record of a unit of this zone, when its process runs.
    #[must_use]
    pub fn unit(&self, unit: &UnitName) -> Option<record::ProcessRecord> {
        let (records, _) = record::read_all(&self.state).ok()?;
        records.into_iter().find(|record| record.unit.name == *unit && record.alive())
    }
}

/// Writes down which servers run in the zone whose state folder is `state` and are no units: the first process of
/// each. Whoever breaks, heals or removes the zone finds them, whatever became of the agent.
///
/// # Errors
/// [`EngineError::File`] when it cannot be written.
pub fn note_servers(state: &Path, servers: &[ProcessId]) -> Result<(), EngineError> {
    let path = state.join(SERVERS_FILE);
    let bytes = serde_json::to_vec(servers).unwrap_or_default();
    record::replace(&path, &bytes).map_err(EngineError::file("write", path))
}

/// What names everything that the run with this state folder makes, cgroups and namespaces: six hexadecimal digits.
#[must_use]
pub fn run_id(state: &Path) -> String {
    format!("{:06x}", fnv(state.as_os_str().as_encoded_bytes()) & 0xff_ffff)
}

/// The state folder of a zone below that of the run.
#[must_use]
pub fn zone_state(state: &Path, zone: &ZoneName) -> PathBuf {
    state.join("zones").join(zone.as_str())
}
