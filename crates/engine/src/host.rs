//! Takes a host off from others for a while, for drills over hosts.
//!
//! What evenkeel's parts say to each other is dropped, both ways, and nothing else: whoever administrates the host still
//! reaches it. It is undone by a process of its own, so that a host whose agent dies meanwhile does not stay cut off.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::EngineError;
use crate::local::run;

/// A host that is cut off.
#[derive(Debug)]
pub struct HostCut {
    table: String,
}

impl HostCut {
    /// Drops what comes from `others` and goes to them, and what anybody sends to `ports`; for `held_ms` at the longest.
    ///
    /// # Errors
    /// [`EngineError::Unable`] when one of `others` is this host itself; [`EngineError::Command`] when the kernel refuses,
    /// and then nothing is cut.
    pub fn make(number: u64, others: &[IpAddr], ports: &[u16], held_ms: u64) -> Result<HostCut, EngineError> {
        if let Some(own) = others.iter().find(|address| address.is_loopback()) {
            return Err(EngineError::Unable {
                what: format!("{own} is this host itself: there is no link to cut"),
                hint: "`evenkeel up --isolate` gives zones of one machine a network each".to_owned(),
            });
        }
        let table = format!("evenkeel_drill_{number}");
        run("nft", &["-f", "-"], &rules(&table, others, ports))?;
        let cut = HostCut { table };
        let seconds = held_ms.div_ceil(1_000);
        let words = format!("sleep {seconds}; nft delete table inet {}", cut.table);
        let mut undo = Command::new("setsid");
        undo.args(["sh", "-c", &words]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match undo.spawn() {
            Ok(mut child) => {
                // Its parent may be gone before it; until then somebody must look at its end.
                std::thread::spawn(move || child.wait());
                Ok(cut)
            }
            Err(error) => {
                let says = format!("it cannot be run: {error}");
                cut.heal()?;
                Err(EngineError::Command { command: "setsid sh".to_owned(), says })
            }
        }
    }

    /// Undoes it now. What is undone already is no error.
    ///
    /// # Errors
    /// [`EngineError::Command`] when the kernel refuses.
    pub fn heal(&self) -> Result<(), EngineError> {
        match run("nft", &["delete", "table", "inet", &self.table], "") {
            Err(EngineError::Command { says, .. }) if says.contains("No such file") => Ok(()),
            other => other.map(drop),
        }
    }
}

fn rules(table: &str, others: &[IpAddr], ports: &[u16]) -> String {
    let list = |v4: bool| {
        let all = others.iter().filter(|address| address.is_ipv4() == v4);
        all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let (mut inward, mut outward) = (String::new(), String::new());
    for (family, addresses) in [("ip", list(true)), ("ip6", list(false))] {
        if !addresses.is_empty() {
            inward.push_str(&format!("    {family} saddr {{ {addresses} }} drop\n"));
            outward.push_str(&format!("    {family} daddr {{ {addresses} }} drop\n"));
        }
    }
    if !ports.is_empty() {
        let ports = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        inward.push_str(&format!("    tcp dport {{ {ports} }} drop\n"));
    }
    format!(
        "table inet {table} {{
  chain inward {{
    type filter hook input priority -200;
    iif lo accept
{inward}  }}
  chain outward {{
    type filter hook output priority -200;
    oif lo accept
{outward}  }}
}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_dropped_both_ways_and_what_clients_ask_for_too() {
        let others = ["10.0.0.2".parse().unwrap(), "fd00::3".parse().unwrap()];
        let rules = rules("t", &others, &[6432, 8080]);
        for line in [
            "ip saddr { 10.0.0.2 } drop",
            "ip6 saddr { fd00::3 } drop",
            "ip daddr { 10.0.0.2 } drop",
            "ip6 daddr { fd00::3 } drop",
            "tcp dport { 6432, 8080 } drop",
        ] {
            assert_eq!(rules.matches(line).count(), 1, "{line}: {rules}");
        }
    }

    #[test]
    fn a_host_is_not_cut_off_from_itself() {
        let refused = HostCut::make(1, &["127.0.0.2".parse().unwrap()], &[], 1_000).unwrap_err();
        assert!(refused.to_string().starts_with("127.0.0.2 is this host itself"), "{refused}");
    }
}
