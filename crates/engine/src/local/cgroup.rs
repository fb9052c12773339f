//! Cgroups of an emulated zone. Version 2 is the main path (kill, freeze, limits); where its controllers are taken by
//! version 1, limits go through version 1 folders. [`Cgroups::describe`] says what runs on which.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::{Resources, UnitName, ZoneName};
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::{EngineError, wait};

/// Period of a CPU limit in microseconds, the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;
/// The least quota the kernel takes, in microseconds.
const CPU_QUOTA_MIN_US: u64 = 1_000;
/// How long an emptied folder may take to become removable, in milliseconds: ended processes linger a moment.
const REMOVE_MS: u64 = 2_000;
/// How often removing is tried; a process that has ended leaves its folder a moment later.
const REMOVE_ROUNDS: u64 = 20;
/// How long processes may take to stop, in milliseconds; one in an uninterruptible wait is not waited for.
const FREEZE_MS: u64 = 1_000;
/// The folder of the agent's own processes in a zone: with controllers on, version 2 wants processes in leaves only.
const AGENT_LEAF: &str = "agent.own";

/// Where a limit is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// A version 1 hierarchy; the folder in it.
    V1(PathBuf),
    /// The version 2 folder.
    V2,
    /// Nowhere: this limit is not applied.
    Nothing,
}

/// The folder of one zone in each hierarchy that is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneCgroup {
    /// The zone's folder of version 2; what `kill` and `freeze` work on. `None`: by process lists.
    pub v2: Option<PathBuf>,
    /// How CPU is limited.
    pub cpu: Through,
    /// How memory is limited.
    pub memory: Through,
}

/// The folders of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCgroup {
    /// Its folder of version 2.
    pub v2: Option<PathBuf>,
    /// All its folders.
    pub folders: Vec<PathBuf>,
    /// Where memory is accounted.
    memory: Option<PathBuf>,
}

/// What this machine's cgroups allow: one parent folder a hierarchy, `evenkeel-<id>`, holding the zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    v2: Option<PathBuf>,
    cpu: Through,
    memory: Through,
}

fn write(path: &Path, text: &str) -> Result<(), EngineError> {
    fs::write(path, text).map_err(EngineError::file("write", path))
}

fn make(path: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(path).map_err(EngineError::file("create", path))
}

/// The path of this process in a hierarchy, by a line of `/proc/self/cgroup`: `4:memory:/a/b`, `0::/a/b`.
fn own_path(text: &str, controller: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then(|| path.to_owned())
    })
}

/// Whether something may be created below `folder`, tried with the folder itself.
fn try_make(parent: &Path, name: &str, needs: &[&str]) -> Option<PathBuf> {
    let folder = parent.join(name);
    let existed = folder.is_dir();
    fs::create_dir_all(&folder).ok()?;
    let writable = |file: &&str| fs::OpenOptions::new().write(true).open(folder.join(file)).is_ok();
    if needs.iter().all(writable) {
        return Some(folder);
    }
    if !existed {
        let _ = fs::remove_dir(&folder);
    }
    None
}

/// Lets the children of `folder` have the CPU and memory controllers; `true` when they do.
fn delegate(folder: &Path) -> bool {
    let holds = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        ["cpu", "memory"].iter().all(|name| text.split_ascii_whitespace().any(|word| word == *name))
    };
    if !holds("cgroup.controllers") {
        return false;
    }
    if !holds("cgroup.subtree_control") {
        let _ = fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory");
    }
    holds("cgroup.subtree_control")
}

/// The nearest folder from `own` upwards whose children can be limited, as long as no limit is left behind on the way:
/// a folder that holds processes (a login's scope) can give no controllers to its children.
fn limiting_parent(own: &Path) -> Option<PathBuf> {
    let mut folder = own;
    loop {
        if delegate(folder) {
            return Some(folder.to_owned());
        }
        let unlimited = |file: &str| {
            // The file of a controller that is off here is absent, and so is its limit.
            fs::read_to_string(folder.join(file)).map_or(true, |text| text.starts_with("max"))
        };
        if !["cpu.max", "memory.max", "memory.high", "pids.max"].iter().all(|file| unlimited(file)) {
            return None;
        }
        folder = folder.parent().filter(|parent| parent.join("cgroup.controllers").is_file())?;
    }
}

impl Cgroups {
    /// Looks below `root` (`/sys/fs/cgroup`) for what can be used and makes the folders `evenkeel-<id>`.
    ///
    /// They are made below this process's own cgroups, or, when version 2 has no controllers to give there, below the
    /// nearest parent from which on no limit is left behind: whoever limits evenkeel limits its units too.
    #[must_use]
    pub fn detect(root: &Path, id: &str) -> Cgroups {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Cgroups::detect_as(root, id, &own)
    }

    fn detect_as(root: &Path, id: &str, own: &str) -> Cgroups {
        let name = format!("evenkeel-{id}");
        let below = |mount: PathBuf, path: Option<String>| {
            path.map(|path| mount.join(path.trim_start_matches('/'))).filter(|folder| folder.is_dir())
        };
        let v2_parent = [root.join("unified"), root.to_owned()]
            .into_iter()
            .filter(|mount| mount.join("cgroup.controllers").is_file())
            .find_map(|mount| below(mount, own_path(own, "")));
        let needs = ["cgroup.procs", "cgroup.kill", "cgroup.freeze"];
        let limiting = v2_parent.as_deref().and_then(limiting_parent);
        let limiting = limiting.and_then(|parent| try_make(&parent, &name, &needs)).filter(|f| delegate(f));
        let limits_by_v2 = limiting.is_some();
        let v2 = limiting.or_else(|| try_make(v2_parent.as_ref()?, &name, &needs));
        let limit = |controller: &str, file: &str| {
            if limits_by_v2 {
                return Through::V2;
            }
            let parent = below(root.join(controller), own_path(own, controller));
            let folder = parent.and_then(|parent| try_make(&parent, &name, &["cgroup.procs", file]));
            folder.map_or(Through::Nothing, Through::V1)
        };
        let cpu = limit("cpu", "cpu.cfs_quota_us");
        let memory = limit("memory", "memory.limit_in_bytes");
        Cgroups { v2, cpu, memory }
    }

    /// One sentence a matter: what runs on which version, for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let through = |what: &str, through: &Through| match through {
            Through::V2 => format!("{what}: cgroup version 2"),
            Through::V1(_) => format!("{what}: cgroup version 1"),
            Through::Nothing => format!("{what}: not limited, no cgroup may be used"),
        };
        let faults = match self.v2 {
            Some(_) => "kill and freeze: cgroup version 2".to_owned(),
            None => "kill and freeze: signals to each process, no cgroup may be used".to_owned(),
        };
        vec![faults, through("cpu", &self.cpu), through("memory", &self.memory)]
    }

    /// Makes the folders of a zone.
    ///
    /// # Errors
    /// [`EngineError::File`] when a folder cannot be made.
    pub fn zone(&self, zone: &ZoneName) -> Result<ZoneCgroup, EngineError> {
        let inside = |through: &Through| -> Result<Through, EngineError> {
            Ok(match through {
                Through::V1(folder) => {
                    let folder = folder.join(zone.as_str());
                    make(&folder)?;
                    Through::V1(folder)
                }
                other => other.clone(),
            })
        };
        let made = ZoneCgroup {
            v2: self.v2.as_ref().map(|folder| folder.join(zone.as_str())),
            cpu: inside(&self.cpu)?,
            memory: inside(&self.memory)?,
        };
        if let Some(folder) = &made.v2 {
            make(folder)?;
            make(&folder.join(AGENT_LEAF))?;
            if made.cpu == Through::V2 {
                delegate(folder);
            }
        }
        Ok(made)
    }

    /// Kills whatever is left in the version 2 folders.
    ///
    /// # Errors
    /// [`EngineError::File`] when the kernel refuses.
    pub fn kill(&self) -> Result<(), EngineError> {
        self.v2.as_deref().map_or(Ok(()), kill)
    }

    /// Kills whatever is left in the folders and removes them.
    ///
    /// # Errors
    /// [`EngineError::File`] for a folder that is still in use after two seconds.
    pub fn remove(&self) -> Result<(), EngineError> {
        self.kill()?;
        for folder in self.folders() {
            remove_tree(&folder).map_err(EngineError::file("remove", &folder))?;
        }
        Ok(())
    }

    fn folders(&self) -> Vec<PathBuf> {
        let v1 = [&self.cpu, &self.memory].into_iter().filter_map(|through| match through {
            Through::V1(folder) => Some(folder.clone()),
            Through::V2 | Through::Nothing => None,
        });
        self.v2.iter().cloned().chain(v1).collect()
    }
}

impl ZoneCgroup {
    /// Puts a process of the zone that is no unit (the agent) into the zone; what it starts is in it too.
    ///
    /// # Errors
    /// [`EngineError::File`] when the process cannot be moved.
    pub fn join(&self, pid: u32) -> Result<(), EngineError> {
        match &self.v2 {
            Some(folder) => write(&folder.join(AGENT_LEAF).join("cgroup.procs"), &pid.to_string()),
            None => Ok(()),
        }
    }

    /// Where a process of the zone that is no unit writes its number before it becomes anything: as
    /// [`ZoneCgroup::join`], and what it starts at once is in the zone too. `None` without a version 2 folder.
    #[must_use]
    pub fn procs_file(&self) -> Option<PathBuf> {
        self.v2.as_ref().map(|folder| folder.join(AGENT_LEAF).join("cgroup.procs"))
    }

    /// Makes the folders of a unit and sets its limits; folders that are there are used again.
    ///
    /// # Errors
    /// [`EngineError::File`] when a folder cannot be made or a limit is refused.
    pub fn unit(&self, unit: &UnitName, resources: &Resources) -> Result<UnitCgroup, EngineError> {
        let inside = |folder: &Path| folder.join(unit.as_str());
        let v2 = self.v2.as_deref().map(inside);
        let mut folders: Vec<PathBuf> = v2.iter().cloned().collect();
        let mut place = |through: &Through| match through {
            Through::V1(folder) => {
                folders.push(inside(folder));
                Some(inside(folder))
            }
            Through::V2 => v2.clone(),
            Through::Nothing => None,
        };
        let (cpu, memory) = (place(&self.cpu), place(&self.memory));
        for folder in &folders {
            make(folder)?;
        }
        if let Some(folder) = &v2 {
            // A frozen unit that was killed leaves its folder frozen, and whatever is started in it with it.
            freeze(folder, false)?;
        }
        let quota_us = (u64::from(resources.cpus.0) * CPU_PERIOD_US / 1_000).max(CPU_QUOTA_MIN_US);
        if let (Some(folder), true) = (&cpu, resources.cpus.0 > 0) {
            if self.cpu == Through::V2 {
                write(&folder.join("cpu.max"), &format!("{quota_us} {CPU_PERIOD_US}"))?;
            } else {
                write(&folder.join("cpu.cfs_period_us"), &CPU_PERIOD_US.to_string())?;
                write(&folder.join("cpu.cfs_quota_us"), &quota_us.to_string())?;
            }
        }
        if let (Some(folder), true) = (&memory, resources.memory.0 > 0) {
            let file = if self.memory == Through::V2 { "memory.max" } else { "memory.limit_in_bytes" };
            write(&folder.join(file), &resources.memory.0.to_string())?;
        }
        Ok(UnitCgroup { v2, folders, memory })
    }

    /// The folders of a unit that was made earlier, as far as they are there.
    #[must_use]
    pub fn existing(&self, unit: &UnitName) -> UnitCgroup {
        let there = |folder: &Path| Some(folder.join(unit.as_str())).filter(|folder| folder.is_dir());
        let v2 = self.v2.as_deref().and_then(there);
        let v1 = |through: &Through| match through {
            Through::V1(folder) => there(folder),
            Through::V2 | Through::Nothing => None,
        };
        let memory = if self.memory == Through::V2 { v2.clone() } else { v1(&self.memory) };
        let folders = v2.iter().cloned().chain(v1(&self.cpu)).chain(memory.clone());
        let mut folders: Vec<PathBuf> = folders.collect();
        folders.dedup();
        UnitCgroup { v2, folders, memory }
    }

    /// Every process in the zone; `None` without a version 2 folder.
    #[must_use]
    pub fn processes(&self) -> Option<Vec<u32>> {
        self.v2.as_deref().map(processes)
    }
}

impl UnitCgroup {
    /// The files to write a process number to.
    #[must_use]
    pub fn procs_files(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// How often the kernel killed something in it for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let Some(folder) = &self.memory else { return 0 };
        ["memory.events", "memory.oom_control"]
            .iter()
            .find_map(|file| {
                let text = fs::read_to_string(folder.join(file)).ok()?;
                text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            })
            .unwrap_or(0)
    }

    /// Kills every process in it, forks included; `false` without a version 2 folder.
    ///
    /// # Errors
    /// [`EngineError::File`] when the kernel refuses.
    pub fn kill(&self) -> Result<bool, EngineError> {
        match &self.v2 {
            Some(folder) => kill(folder).map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether a process is in its version 2 folder.
    #[must_use]
    pub fn populated(&self) -> bool {
        self.v2.as_deref().is_some_and(|folder| !processes(folder).is_empty())
    }

    /// Removes its folders; nothing may be left in them.
    ///
    /// # Errors
    /// The last answer of the system, after two seconds of trying.
    pub fn remove(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| remove_tree(folder))
    }
}

/// Kills every process in and below a version 2 folder in one step.
///
/// # Errors
/// [`EngineError::File`] when the kernel refuses; that the folder is gone is none.
pub(crate) fn kill(folder: &Path) -> Result<(), EngineError> {
    unless_gone(folder, write(&folder.join("cgroup.kill"), "1"))
}

/// Stops or continues every process in and below a version 2 folder in one step.
///
/// # Errors
/// [`EngineError::File`] when the kernel refuses; that the folder is gone is none.
pub(crate) fn freeze(folder: &Path, frozen: bool) -> Result<(), EngineError> {
    unless_gone(folder, write(&folder.join("cgroup.freeze"), if frozen { "1" } else { "0" }))?;
    // The kernel stops each process at its next return from the kernel; the caller wants to know that all have.
    wait::cgroup_says(folder, &format!("frozen {}", u8::from(frozen)), FREEZE_MS);
    Ok(())
}

/// The folders right below a zone's or unit's folder.
pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

fn unless_gone(folder: &Path, result: Result<(), EngineError>) -> Result<(), EngineError> {
    if folder.is_dir() { result } else { Ok(()) }
}

fn processes(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    children(folder).iter().for_each(|child| found.extend(processes(child)));
    found
}

/// Removes a cgroup and those below it; `rmdir` alone removes their files. Waits until it is empty.
fn remove_tree(folder: &Path) -> io::Result<()> {
    wait::cgroup_says(folder, "populated 0", REMOVE_MS);
    for child in children(folder) {
        remove_tree(&child)?;
    }
    for round in 1.. {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if round == REMOVE_ROUNDS => return Err(error),
            Ok(()) => return Ok(()),
            Err(_) => {
                // Version 1 reports nothing, so its processes are waited for one by one.
                let left: Vec<ProcessId> = processes(folder).into_iter().filter_map(ProcessId::of).collect();
                wait::ended(&left, REMOVE_MS / REMOVE_ROUNDS);
                std::thread::yield_now();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_folder_is_found_in_each_hierarchy() {
        let text = "4:memory:/outer/one\n2:cpu,cpuacct:/two\n0::/user.slice\n";
        assert_eq!(own_path(text, "memory").as_deref(), Some("/outer/one"));
        assert_eq!(own_path(text, "cpu").as_deref(), Some("/two"));
        assert_eq!(own_path(text, "").as_deref(), Some("/user.slice"));
        assert_eq!(own_path(text, "pids"), None);
        assert_eq!(own_path("nonsense", "cpu"), None);
    }

    #[test]
    fn a_machine_without_cgroups_says_so_and_makes_nothing() {
        let root = std::env::temp_dir().join(format!("ek-no-cgroup-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let found = Cgroups::detect(&root, "test");
        assert_eq!(found, Cgroups { v2: None, cpu: Through::Nothing, memory: Through::Nothing });
        assert!(found.describe().iter().all(|line| line.contains("no cgroup may be used")));
        let zone = found.zone(&ZoneName::new("a").unwrap()).unwrap();
        zone.join(std::process::id()).unwrap();
        assert!(fs::read_dir(&root).unwrap().next().is_none());
        fs::remove_dir(&root).unwrap();
    }
}
