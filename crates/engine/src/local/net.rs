//! Network namespaces as zones: one for each zone, one for the store, and one that holds the switch between them.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::EngineError;

/// First two bytes of the addresses of isolated zones: zone `i` is `10.77.i.1`.
pub const NETWORK: [u8; 2] = [10, 77];
/// Where `ip netns` keeps namespaces by name.
const NETNS: &str = "/run/netns";
/// Held while a network is looked at and taken.
const LOCK: &str = "/run/evenkeel-networks.lock";
/// The port of the switch that leads to the store.
const STORE_PORT: &str = "ps";
/// The port of the switch that leads to the machine's own namespace.
const UPLINK_PORT: &str = "pu";

/// The names of the namespaces and links of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wiring {
    /// `ek-<id>-`: what every name begins with, so that the set of a dead run can be found.
    pub prefix: String,
    /// First two bytes of every address.
    pub network: [u8; 2],
    /// The namespaces of the zones, in order.
    pub zones: Vec<String>,
}

/// The way of packets, as seen from a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the zone.
    In,
    /// From the zone.
    Out,
}

/// Runs a program and gives it `input`; an error holds what it said.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, EngineError> {
    let command = || format!("{program} {}", arguments.join(" "));
    let failed = |says: String| EngineError::Command { command: command(), says };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("it cannot be run: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that refuses its input says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let says = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        Err(failed(if says.is_empty() { output.status.to_string() } else { says }))
    }
}

/// The program and arguments that run something in a namespace. Not `ip netns exec`: that mounts `/sys` anew, and
/// the cgroups are gone for what it starts.
#[must_use]
pub fn enter(namespace: &str) -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net={NETNS}/{namespace}"), "--".to_owned()]
}

/// The first route of `routes` (`ip -4 route`) that overlaps `network`/16, not counting links that begin with `own`.
fn conflict(routes: &str, network: [u8; 2], own: &str) -> Option<String> {
    let overlaps = |line: &&str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let device = words.iter().position(|word| *word == "dev").and_then(|at| words.get(at + 1));
        if device.is_some_and(|name| name.starts_with(own)) {
            return false;
        }
        let Some(target) = words.iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit())) else {
            return false;
        };
        let (address, bits) = target.split_once('/').unwrap_or((target, "32"));
        let (Ok(address), Ok(bits)) = (address.parse::<std::net::Ipv4Addr>(), bits.parse::<u32>()) else {
            return false;
        };
        if bits == 0 {
            // A default route gives way to ours.
            return false;
        }
        // Two networks overlap when the shorter prefix of the two covers both.
        let mask = u32::MAX.checked_shl(32 - bits.min(16)).unwrap_or(0);
        let ours = std::net::Ipv4Addr::new(network[0], network[1], 0, 0);
        u32::from(address) & mask == u32::from(ours) & mask
    };
    routes.lines().find(overlaps).map(|line| line.trim().to_owned())
}

/// Waits until no other run of this machine makes a network; until the file is dropped, none begins.
fn alone() -> Result<File, EngineError> {
    let open = File::options().create(true).truncate(false).write(true).mode(0o600).open(LOCK);
    open.and_then(|file| file.lock().map(|()| file)).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            no_namespaces(EngineError::Command { command: format!("lock {LOCK}"), says: error.to_string() })
        }
        _ => EngineError::file("lock", Path::new(LOCK))(error),
    })
}

impl Wiring {
    /// The names for `count` zones of the run `id` (at most 6 characters: a link's name has at most 15).
    pub(crate) fn new(id: &str, network: [u8; 2], count: usize) -> Wiring {
        let prefix = format!("ek-{id}-");
        let zones = (1..=count).map(|at| format!("{prefix}z{at}")).collect();
        Wiring { prefix, network, zones }
    }

    /// The namespace of the switch.
    #[must_use]
    pub fn switch(&self) -> String {
        format!("{}sw", self.prefix)
    }

    /// The namespace of the store.
    #[must_use]
    pub fn store(&self) -> String {
        format!("{}store", self.prefix)
    }

    /// The link in the machine's own namespace.
    fn uplink(&self) -> String {
        format!("{}up", self.prefix)
    }

    fn address(&self, third: u8, fourth: u8) -> String {
        format!("{}.{}.{third}.{fourth}", self.network[0], self.network[1])
    }

    /// The address of the zone at `index`, from 0.
    pub(crate) fn zone_address(&self, index: usize) -> String {
        self.address(u8::try_from(index + 1).unwrap_or(u8::MAX), 1)
    }

    /// The address of the store.
    pub(crate) fn store_address(&self) -> String {
        self.address(0, 10)
    }

    /// The address of the machine itself towards the zones.
    pub(crate) fn machine_address(&self) -> String {
        self.address(0, 1)
    }

    /// The switch's port to the zone at `index`, from 0.
    pub(crate) fn port(index: usize) -> String {
        format!("p{}", index + 1)
    }

    /// Whether the switch of this wiring is there.
    pub(crate) fn exists(&self) -> bool {
        Path::new(NETNS).join(self.switch()).exists()
    }

    /// Makes it all; what a dead run of the same name left is removed first. A failure leaves nothing.
    pub(crate) fn create(&self) -> Result<(), EngineError> {
        // Two that look at once would both take a network for free, and each would answer for the other's hosts.
        let _alone = alone()?;
        self.remove()?;
        let routes = run("ip", &["-4", "route", "show", "table", "all"], "")?;
        if let Some(route) = conflict(&routes, self.network, &self.prefix) {
            let [a, b] = self.network;
            return Err(EngineError::Unable {
                what: format!("the network {a}.{b}.0.0/16 of isolated zones is in use: `{route}`"),
                hint: "run `evenkeel down` where the other one runs, or leave out `--isolate`".to_owned(),
            });
        }
        let made = self.build();
        if made.is_err() {
            self.remove()?;
        }
        made
    }

    fn build(&self) -> Result<(), EngineError> {
        let switch = self.switch();
        let ends: Vec<(String, String, String)> = self
            .zones
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), Wiring::port(at), self.zone_address(at)))
            .chain([(self.store(), STORE_PORT.to_owned(), self.store_address())])
            .collect();
        let mut outside = format!("netns add {switch}\n");
        let mut inside = "link add br0 type bridge\nlink set br0 up\n".to_owned();
        for (namespace, port, _) in &ends {
            outside.push_str(&format!("netns add {namespace}\n"));
            outside.push_str(&format!(
                "link add eth0 netns {namespace} type veth peer name {port} netns {switch}\n"
            ));
            inside.push_str(&format!("link set {port} master br0\nlink set {port} up\n"));
        }
        let uplink = self.uplink();
        outside.push_str(&format!("link add {uplink} type veth peer name {UPLINK_PORT} netns {switch}\n"));
        outside.push_str(&format!(
            "addr add {}/16 dev {uplink}\nlink set {uplink} up\n",
            self.machine_address()
        ));
        inside.push_str(&format!("link set {UPLINK_PORT} master br0\nlink set {UPLINK_PORT} up\n"));
        run("ip", &["-batch", "-"], &outside).map_err(no_namespaces)?;
        run("ip", &["-n", &switch, "-batch", "-"], &inside)?;
        for (namespace, _, address) in &ends {
            let lines = format!("link set lo up\naddr add {address}/16 dev eth0\nlink set eth0 up\n");
            run("ip", &["-n", namespace, "-batch", "-"], &lines)?;
        }
        // The rules are there from the start, so that a cut is one step: one more name in a set. What finds out which
        // address is where (ARP) passes a link that is cut one way, or it would soon be cut both ways.
        self.nft(
            "table bridge evenkeel {
                set cut { type ifname; }
                set links { type ifname . ifname; }
                chain forward {
                    type filter hook forward priority 0;
                    iifname @cut drop
                    oifname @cut drop
                    ether type ip iifname . oifname @links drop
                }
            }\n",
        )
    }

    /// Removes every namespace and link with the prefix, whoever made it.
    pub(crate) fn remove(&self) -> Result<(), EngineError> {
        let uplink = self.uplink();
        if Path::new("/sys/class/net").join(&uplink).exists() {
            run("ip", &["link", "del", &uplink], "")?;
        }
        let Ok(entries) = std::fs::read_dir(NETNS) else { return Ok(()) };
        let mut lines = String::new();
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(&self.prefix)) {
                lines.push_str(&format!("netns del {name}\n"));
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        run("ip", &["-batch", "-"], &lines).map(|_| ())
    }

    fn nft(&self, rules: &str) -> Result<(), EngineError> {
        let net = format!("--net={NETNS}/{}", self.switch());
        run("nsenter", &[&net, "--", "nft", "-f", "-"], rules).map(|_| ()).map_err(|error| match error {
            EngineError::Command { command, says }
                if says.contains("nft") && says.contains("o such file") =>
            {
                EngineError::Unable {
                    what: format!("`{command}` failed: {says}"),
                    hint: "install the package `nftables`".to_owned(),
                }
            }
            other => other,
        })
    }

    /// Drops every packet from and to the zone at `index`, from 0.
    pub(crate) fn cut(&self, index: usize) -> Result<(), EngineError> {
        self.nft(&format!("add element bridge evenkeel cut {{ \"{}\" }}\n", Wiring::port(index)))
    }

    /// Every port of the switch.
    fn ports(&self) -> impl Iterator<Item = String> {
        let zones = (0..self.zones.len()).map(Wiring::port);
        zones.chain([STORE_PORT.to_owned(), UPLINK_PORT.to_owned()])
    }

    /// Drops every packet to the zone at `index`, from 0, or every packet from it; the other way is left as it is.
    pub(crate) fn cut_one_way(&self, index: usize, way: Way) -> Result<(), EngineError> {
        let port = Wiring::port(index);
        let others = self.ports().filter(|other| *other != port);
        self.cut_links(others.map(|other| match way {
            Way::In => (other, port.clone()),
            Way::Out => (port.clone(), other),
        }))
    }

    /// Drops every packet from the zone at `from` to the one at `to`, counted from 0.
    pub(crate) fn cut_link(&self, from: usize, to: usize) -> Result<(), EngineError> {
        self.cut_links([(Wiring::port(from), Wiring::port(to))].into_iter())
    }

    fn cut_links(&self, links: impl Iterator<Item = (String, String)>) -> Result<(), EngineError> {
        let links: Vec<String> = links.map(|(from, to)| format!("\"{from}\" . \"{to}\"")).collect();
        self.nft(&format!("add element bridge evenkeel links {{ {} }}\n", links.join(", ")))
    }

    /// Lets the packets of every zone through again.
    pub(crate) fn heal_all(&self) -> Result<(), EngineError> {
        self.nft("flush set bridge evenkeel cut\nflush set bridge evenkeel links\n")
    }

    /// Lets the packets of the zone at `index`, from 0, through again.
    pub(crate) fn heal(&self, index: usize) -> Result<(), EngineError> {
        // Adding first makes deleting right whether it was cut or not.
        let port = Wiring::port(index);
        self.nft(&format!(
            "add element bridge evenkeel cut {{ \"{port}\" }}\ndelete element bridge evenkeel cut {{ \"{port}\" }}\n"
        ))
    }
}

fn no_namespaces(error: EngineError) -> EngineError {
    let EngineError::Command { command, says } = error else { return error };
    EngineError::Unable {
        what: format!("network namespaces cannot be made here: `{command}` failed: {says}"),
        hint: "`--isolate` needs root, the package `iproute2` and a writable `/run/netns`; leave it out otherwise"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(routes: &str, expected: Option<&str>) {
        assert_eq!(conflict(routes, [10, 77], "ek-abc-").as_deref(), expected);
    }

    #[test]
    fn an_office_network_that_overlaps_is_named_instead_of_broken() {
        check("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0 scope link", None);
        check("10.77.0.0/16 dev tun0 scope link", Some("10.77.0.0/16 dev tun0 scope link"));
        check("10.0.0.0/8 via 192.0.2.9 dev eth0", Some("10.0.0.0/8 via 192.0.2.9 dev eth0"));
        check("10.77.3.9 dev ppp0", Some("10.77.3.9 dev ppp0"));
        check("local 10.77.0.1 dev eth1 table local", Some("local 10.77.0.1 dev eth1 table local"));
        check("10.78.0.0/16 dev tun0\n10.76.0.0/16 dev tun1", None);
        check("10.77.0.0/16 dev ek-abc-up scope link", None);
        check("0.0.0.0/0 dev tun0", None);
        check("garbage\n\n10.77/x dev y\n", None);
    }

    #[test]
    fn link_names_fit_into_the_kernel() {
        let wiring = Wiring::new("abcdef", NETWORK, 9);
        assert!(wiring.uplink().len() <= 15, "{}", wiring.uplink());
        assert!(wiring.zones.iter().all(|name| name.starts_with("ek-abcdef-z")));
        assert_eq!(wiring.zone_address(8), "10.77.9.1");
    }
}
