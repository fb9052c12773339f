//! Makes one fault on hosts, and takes back what does not heal by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use drill::database::Handle;
use model::NodeId;
use rustix::process::Signal;

use super::hosts::{DATA_PORTS, Hosts};
use super::lab::Cut;
use super::nemesis::Done;
use super::plan::{Fault, Kind};
use super::site::NODES;

/// etcd's leader has moved by then, or the fault comes where it is.
const MOVED: Duration = Duration::from_secs(2);
/// What moving it shook has settled by then.
const SETTLED: Duration = Duration::from_millis(300);

/// Makes the fault.
///
/// # Errors
/// When there was nothing to break, or what is to be started again does not start.
pub async fn make(hosts: &mut Hosts, load: &Handle, fault: Fault, primary: NodeId) -> Result<Done> {
    let host = hosts.host(primary)?;
    let leader = move_leader(hosts, host, fault).await?;
    let mut node = Some(primary);
    let at_us = load.now_us();
    let away = Duration::from_millis(fault.away_ms);
    match fault.kind {
        Kind::HostKill => {
            hosts.lab.kill(host)?;
            tokio::time::sleep(away).await;
            hosts.start_host(host)?;
        }
        Kind::HostFreeze => {
            hosts.lab.freeze(host)?;
            tokio::time::sleep(away).await;
            hosts.lab.thaw(host)?;
        }
        Kind::HostCut | Kind::HostCutIn | Kind::HostCutOut => {
            hosts.lab.cut(host, way(fault.kind))?;
            tokio::time::sleep(away).await;
            hosts.lab.heal()?;
        }
        Kind::DataCut => {
            hosts.lab.ask(host, &["nft", &closed()])?;
            tokio::time::sleep(away).await;
            hosts.lab.ask(host, &["nft", "delete table inet lab"])?;
        }
        Kind::StandbyCut => {
            let standbys: Vec<NodeId> = NODES.into_iter().filter(|node| *node != primary).collect();
            let standby = fault.choose(&standbys).context("no standby")?;
            node = Some(standby);
            hosts.lab.cut_between(host, hosts.host(standby)?, true)?;
            tokio::time::sleep(away).await;
            hosts.lab.heal()?;
        }
        Kind::StoreAway => {
            hosts.signal_store(Signal::STOP);
            tokio::time::sleep(away).await;
            hosts.signal_store(Signal::CONT);
            node = None;
        }
        Kind::Switchover => {
            let standbys: Vec<NodeId> = NODES.into_iter().filter(|node| *node != primary).collect();
            let standby = fault.choose(&standbys).context("no standby")?;
            hosts.hand_over(standby).await?;
            node = Some(standby);
        }
        // What comes on loopback only is not chosen here.
        _ => hosts.server(primary).context("the primary does not run")?.signal(Signal::KILL),
    }
    Ok(Done { at_us, healed_us: load.now_us(), node, leader: leader.is_some_and(|leader| leader == host) })
}

/// Every second fault takes etcd's leader with it, as when a zone holds both. Where it is.
async fn move_leader(hosts: &Hosts, host: &'static str, fault: Fault) -> Result<Option<&'static str>> {
    let leads = || tokio::task::block_in_place(|| hosts.leader());
    if fault.takes_leader() && leads() != Some(host) {
        tokio::task::block_in_place(|| hosts.lead(host))?;
        let began = Instant::now();
        while leads() != Some(host) && began.elapsed() < MOVED {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(SETTLED).await;
    }
    Ok(leads())
}

fn way(kind: Kind) -> Cut {
    match kind {
        Kind::HostCutIn => Cut::In,
        Kind::HostCutOut => Cut::Out,
        _ => Cut::Both,
    }
}

/// Rules of a host's own that drop what servers and keepers of different hosts say to each other, and nothing else.
fn closed() -> String {
    let drop = |chain: &str, device: &str| {
        ["sport", "dport"]
            .map(|port| format!("add rule inet lab {chain} {device} \"eth0\" tcp {port} {DATA_PORTS} drop;"))
    };
    let (from, to) = (drop("from", "iifname").concat(), drop("to", "oifname").concat());
    format!(
        "add table inet lab; add chain inet lab from {{ type filter hook input priority 0; }}; add chain inet lab to {{ \
         type filter hook output priority 0; }}; {from} {to}"
    )
}
