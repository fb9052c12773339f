//! Makes one fault on hosts, and takes back what does not heal by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use drill::database::Handle;
use model::NodeId;
use rustix::process::Signal;

use super::hosts::{DATA_PORTS, Hosts};
use super::lab::Cut;
use super::nemesis::Done;
use super::outcome;
use super::plan::{Fault, Kind};

/// etcd's leader has moved by then, or the fault comes where it is.
const MOVED: Duration = Duration::from_secs(2);
/// What moving it shook has settled by then.
const SETTLED: Duration = Duration::from_millis(300);

/// Makes the fault.
///
/// # Errors
/// When there was nothing to break, or what is to be started again does not start.
pub async fn make(hosts: &mut Hosts, load: &Handle, fault: Fault, primary: NodeId) -> Result<Done> {
    hosts.forgive().await?;
    let host = hosts.host(primary)?;
    let leader = move_leader(hosts, host, fault).await?;
    let mut done = Done { at_us: load.now_us(), node: Some(primary), ..Done::default() };
    let standby = fault.choose(&hosts.heirs(primary)).context("no standby")?;
    let away = Duration::from_millis(fault.away_ms);
    match fault.kind {
        Kind::HostKillStandbyFreeze | Kind::TwoHostsCut => {
            let other = hosts.host(standby)?;
            strike_twice(hosts, load, fault, (host, other), &mut done).await?;
        }
        Kind::StandbyCut => {
            hosts.lab.cut_between(host, hosts.host(standby)?, true)?;
            tokio::time::sleep(away).await;
            hosts.lab.heal()?;
            done.node = Some(standby);
        }
        Kind::StoreAway => {
            hosts.signal_store(Signal::STOP);
            tokio::time::sleep(away).await;
            hosts.signal_store(Signal::CONT);
            done.node = None;
        }
        Kind::Switchover => {
            hosts.hand_over(standby).await?;
            done.node = Some(standby);
        }
        Kind::PrimaryKill => hosts.server(primary).context("the primary does not run")?.signal(Signal::KILL),
        _ => strike(hosts, fault, host, away).await?,
    }
    (done.healed_us, done.leader) = (load.now_us(), leader == Some(host));
    Ok(done)
}

/// The primary's host as a whole, alone.
async fn strike(hosts: &mut Hosts, fault: Fault, host: &'static str, away: Duration) -> Result<()> {
    match fault.kind {
        Kind::HostKill => {
            hosts.lab.kill(host)?;
            tokio::time::sleep(away).await;
            hosts.start_host(host)
        }
        Kind::HostFreeze => {
            hosts.lab.freeze(host)?;
            tokio::time::sleep(away).await;
            hosts.lab.thaw(host)
        }
        Kind::HostCut | Kind::HostCutIn | Kind::HostCutOut => {
            hosts.lab.cut(host, way(fault.kind))?;
            tokio::time::sleep(away).await;
            hosts.lab.heal()
        }
        Kind::DataCut => {
            hosts.lab.ask(host, &["nft", &closed()])?;
            tokio::time::sleep(away).await;
            hosts.lab.ask(host, &["nft", "delete table inet lab"]).map(drop)
        }
        Kind::AgentKill => {
            hosts.kill_agent(host)?;
            tokio::time::sleep(away).await;
            hosts.start_agent(host)?;
            hosts.agent_is_heard(host).await
        }
        Kind::HostDelay => slow(hosts, fault, host, away).await,
        // What comes on loopback only is not chosen here.
        other => bail!("`{}` is not made on hosts", other.name()),
    }
}

/// The primary's host and another at once. One copy is left, or each is alone.
async fn strike_twice(
    hosts: &mut Hosts,
    load: &Handle,
    fault: Fault,
    (host, other): (&'static str, &'static str),
    done: &mut Done,
) -> Result<()> {
    let cut = fault.kind == Kind::TwoHostsCut;
    match cut {
        true => [host, other].into_iter().try_for_each(|host| hosts.lab.cut(host, Cut::Both))?,
        false => {
            hosts.lab.freeze(other)?;
            hosts.lab.kill(host)?;
        }
    }
    let from_us = load.now_us();
    tokio::time::sleep(Duration::from_millis(fault.away_ms)).await;
    let enough_us = load.now_us();
    (done.alone_us, done.enough_us) = (Some((from_us, enough_us)), Some(enough_us));
    if cut {
        return hosts.lab.heal();
    }
    // The first that is back is enough: the second stays away until writes are.
    let first = fault.first_comes_first();
    if first {
        hosts.start_host(host)?
    } else {
        hosts.lab.thaw(other)?
    }
    let acked = || load.glance().last_ack_us.is_some_and(|at_us| at_us > enough_us);
    let limit = outcome::expected(fault.kind).map_or(0.0, |expected| expected.writes_ms);
    let began = Instant::now();
    while !acked() && began.elapsed() < Duration::from_secs_f64(limit / 1_000.0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if first { hosts.lab.thaw(other) } else { hosts.start_host(host) }
}

/// Packets of the host are late for a while.
async fn slow(hosts: &Hosts, fault: Fault, host: &str, away: Duration) -> Result<()> {
    let how = fault.slowness().context("nothing says how late")?;
    let link = hosts.lab.slow(host, how)?;
    tokio::time::sleep(away).await;
    let passed = link.end().await?;
    eprintln!(
        "      {} packets were {} ms late each way, give or take a quarter, for {} ms; {} were lost ({:.1}% wanted)",
        passed.held,
        how.hold.as_millis(),
        away.as_millis(),
        passed.lost,
        how.lost * 100.0
    );
    Ok(())
}

/// Every second fault takes etcd's leader with it, as when a zone holds both. Where it is.
async fn move_leader(hosts: &Hosts, host: &'static str, fault: Fault) -> Result<Option<&'static str>> {
    let leads = || tokio::task::block_in_place(|| hosts.leader());
    if fault.takes_leader() && leads() != Some(host) {
        let began = Instant::now();
        while leads() != Some(host) && began.elapsed() < MOVED {
            // After the fault before, an election may be under way: then nobody can hand over yet.
            tokio::task::block_in_place(|| hosts.lead(host))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
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
