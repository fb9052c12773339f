//! Takes a host off from others for a while, for drills over hosts.
//!
//! What goes to some addresses and comes from them is dropped, also what the host forwards for its containers, and what
//! clients send to some ports; SSH goes on. The kernel ends it when its time is over, whatever has become of who asked for it.

use std::net::IpAddr;

use crate::EngineError;
use crate::local::run;

/// What the tables are called that are left of it: each holds nothing any more when its time is over.
const TABLE: &str = "evenkeel_drill_";

/// A cut that was not made yet.
#[derive(Clone, Debug)]
pub struct HostCut {
    table: String,
    rules: String,
}

impl HostCut {
    /// Off from `others`, and from whoever sends to `ports`, for `held_ms`. `owner` tells agents of one host apart, `number` its cuts.
    ///
    /// # Errors
    /// [`EngineError::Unable`] when one of `others` is this host itself, or there are none; [`EngineError::Command`] when
    /// the kernel would refuse it.
    pub fn plan(
        (owner, number): (u64, u64),
        others: &[IpAddr],
        ports: &[u16],
        held_ms: u64,
    ) -> Result<HostCut, EngineError> {
        if let Some(own) = others.iter().find(|address| address.is_loopback()) {
            return Err(EngineError::Unable {
                what: format!("{own} is this host itself: there is no link to cut"),
                hint: "`evenkeel up --isolate` gives zones of one machine a network each".to_owned(),
            });
        }
        if others.is_empty() {
            return Err(EngineError::Unable {
                what: "no other zone is known".to_owned(),
                hint: "`evenkeel status` shows which zones have an agent".to_owned(),
            });
        }
        let table = format!("{}{number}", prefix(owner));
        let rules = rules(&table, others, ports, held_ms);
        run("nft", &["-c", "-f", "-"], &rules)?;
        Ok(HostCut { table, rules })
    }

    /// Makes it.
    ///
    /// # Errors
    /// [`EngineError::Command`] when the kernel refuses, and then nothing is cut.
    pub fn make(&self) -> Result<(), EngineError> {
        run("nft", &["-f", "-"], &self.rules).map(drop)
    }

    /// Undoes it now; `false`: somebody has undone it before. One whose time is over is still there.
    ///
    /// # Errors
    /// [`EngineError::Command`] when the kernel refuses; it ends by itself then.
    pub fn heal(&self) -> Result<bool, EngineError> {
        match run("nft", &["delete", "table", "inet", &self.table], "") {
            Err(EngineError::Command { says, .. }) if says.contains("No such file") => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Undoes what an earlier process of this `owner` has left; nothing where there is no `nft`.
    pub fn heal_all(owner: u64) {
        let Ok(tables) = run("nft", &["list", "tables", "inet"], "") else { return };
        let own = prefix(owner);
        for name in tables.split_ascii_whitespace().filter(|word| word.starts_with(&own)) {
            let left = HostCut { table: name.to_owned(), rules: String::new() };
            // It ends by itself.
            let _ = left.heal();
        }
    }
}

fn prefix(owner: u64) -> String {
    format!("{TABLE}{owner:016x}_")
}

fn rules(table: &str, others: &[IpAddr], ports: &[u16], held_ms: u64) -> String {
    let set = |name: &str, kind: &str, all: Vec<String>| {
        let all: Vec<String> = all.iter().map(|one| format!("{one} timeout {held_ms}ms")).collect();
        let elements = match all.is_empty() {
            true => String::new(),
            false => format!(" elements = {{ {} }}", all.join(", ")),
        };
        format!("  set {name} {{ type {kind}; flags timeout;{elements} }}\n")
    };
    let addresses =
        |v4| others.iter().filter(|one| one.is_ipv4() == v4).map(ToString::to_string).collect::<Vec<_>>();
    let sets = [
        set("four", "ipv4_addr", addresses(true)),
        set("six", "ipv6_addr", addresses(false)),
        set("ports", "inet_service", ports.iter().map(ToString::to_string).collect()),
    ]
    .concat();
    format!(
        "table inet {table} {{
{sets}  chain inward {{
    type filter hook prerouting priority -200;
    iif lo accept
    tcp dport 22 accept
    tcp sport 22 accept
    ip saddr @four drop
    ip6 saddr @six drop
    fib daddr type local tcp dport @ports drop
  }}
  chain outward {{
    type filter hook postrouting priority -200;
    oif lo accept
    tcp dport 22 accept
    tcp sport 22 accept
    ip daddr @four drop
    ip6 daddr @six drop
  }}
}}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    use super::*;

    /// A host `h` that forwards for the others, each of which has a link to it. Dropped, nothing of it is left.
    struct Hub(String);

    impl Hub {
        fn make() -> Hub {
            let hub = Hub(format!("evkt{}", std::process::id()));
            hub.ip("netns add @h");
            for (number, leaf) in LEAVES.iter().enumerate() {
                hub.ip(&format!("netns add @{leaf}"));
                hub.ip(&format!("link add name eth netns @{leaf} type veth peer name to{leaf} netns @h"));
                hub.ip(&format!("-n @{leaf} addr add 10.203.{number}.2/24 dev eth"));
                hub.ip(&format!("-n @h addr add 10.203.{number}.1/24 dev to{leaf}"));
                hub.ip(&format!("-n @{leaf} link set eth up"));
                hub.ip(&format!("-n @h link set to{leaf} up"));
                hub.ip(&format!("-n @{leaf} route add default via 10.203.{number}.1"));
            }
            hub.within("h", || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
            hub
        }

        fn ip(&self, words: &str) {
            let words = words.replace('@', &self.0);
            run("ip", &words.split(' ').collect::<Vec<_>>(), "").unwrap();
        }

        fn within<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
            let there = std::fs::File::open(format!("/run/netns/{}{host}", self.0)).unwrap();
            let work = move || {
                use std::os::fd::AsFd;
                move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            };
            std::thread::scope(|scope| scope.spawn(work).join().unwrap())
        }

        fn listen(&self, host: &str, port: u16) -> TcpListener {
            self.within(host, || TcpListener::bind(("0.0.0.0", port)).unwrap())
        }

        /// What is lost on the way is sent again after a second; what is dropped, nearly as long.
        fn reaches(&self, from: &str, to: &str) -> bool {
            let to: SocketAddr = to.parse().unwrap();
            self.within(from, || TcpStream::connect_timeout(&to, Duration::from_millis(1_500)).is_ok())
        }
    }

    impl Drop for Hub {
        fn drop(&mut self) {
            for host in LEAVES.iter().chain(&["h"]) {
                let _ = run("ip", &["netns", "del", &format!("{}{host}", self.0)], "");
            }
        }
    }

    /// Another zone, a container of the host, and a client.
    const LEAVES: [&str; 3] = ["z", "c", "n"];

    #[test]
    fn what_the_host_forwards_for_a_container_is_cut_too_and_other_hosts_ports_are_not() {
        if !rustix::process::geteuid().is_root() {
            assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "root is required: a cut");
            return eprintln!("SKIPPED, needs root: a cut of what is forwarded");
        }
        let hub = Hub::make();
        let (zone, container, client, own) = ("10.203.0.2", "10.203.1.2", "10.203.2.2", "10.203.2.1");
        let _all = ["h", "z", "c", "n"].map(|host| (hub.listen(host, 7000), hub.listen(host, 7001)));
        let open = |from: &str, to: &str, port: u16| hub.reaches(from, &format!("{to}:{port}"));
        let ways = |port| {
            let forwarded = [open("z", container, port), open("c", zone, port)];
            let aside = [open("n", container, port), open("c", client, port)];
            (forwarded, aside, open("n", own, port))
        };
        assert_eq!(ways(7000), ([true; 2], [true; 2], true));
        let plan = |owner| HostCut::plan((owner, 1), &[zone.parse().unwrap()], &[7000], 60_000).unwrap();
        let cut = plan(7);
        hub.within("h", || cut.make().unwrap());
        assert_eq!(ways(7000), ([false; 2], [true; 2], false));
        assert_eq!(ways(7001), ([false; 2], [true; 2], true));
        assert!(hub.within("h", || cut.heal().unwrap()));
        assert_eq!(ways(7000), ([true; 2], [true; 2], true));
        // One that starts anew undoes what it has left, and nothing of another agent of the host.
        let other = plan(70);
        hub.within("h", || [&cut, &other].map(|cut| cut.make().unwrap()));
        hub.within("h", || HostCut::heal_all(7));
        assert!(!hub.within("h", || cut.heal().unwrap()) && hub.within("h", || other.heal().unwrap()));
    }

    #[test]
    fn what_others_say_is_dropped_both_ways_until_its_time_is_over() {
        let others = ["10.0.0.2".parse().unwrap(), "fd00::3".parse().unwrap()];
        let rules = rules("t", &others, &[6432, 8080], 1_500);
        for (line, times) in [
            ("elements = { 10.0.0.2 timeout 1500ms }", 1),
            ("elements = { fd00::3 timeout 1500ms }", 1),
            ("elements = { 6432 timeout 1500ms, 8080 timeout 1500ms }", 1),
            ("addr @four drop", 2),
            ("addr @six drop", 2),
            ("tcp dport @ports drop", 1),
            ("tcp dport 22 accept", 2),
        ] {
            assert_eq!(rules.matches(line).count(), times, "{line}: {rules}");
        }
    }

    #[test]
    fn a_host_is_not_cut_off_from_itself_nor_from_nobody() {
        let refused = |others: &[IpAddr]| HostCut::plan((7, 1), others, &[], 1_000).unwrap_err().to_string();
        let own = refused(&["127.0.0.2".parse().unwrap()]);
        assert!(own.starts_with("127.0.0.2 is this host itself"), "{own}");
        assert!(refused(&[]).starts_with("no other zone is known"));
    }
}
