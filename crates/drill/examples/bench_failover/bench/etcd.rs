//! etcd, one member on each host, with the timers of the promised figures (50/500 ms).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::plan::HOSTS;
use super::rest;
use crate::soak::etcd::words;
use crate::soak::lab::{Lab, Program};

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// A cluster is up by then, also on a machine that is busy.
const UP: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(1);

/// Where its clients go.
pub fn clients(lab: &Lab) -> Result<Vec<SocketAddr>> {
    HOSTS.iter().map(|host| Ok(SocketAddr::new(lab.address(host)?, CLIENT_PORT))).collect()
}

/// Starts a member on every host and waits until they agree.
///
/// # Errors
/// When they do not within a minute.
pub async fn start(lab: &Lab) -> Result<()> {
    let url = |host: &str, port: u16| Ok::<_, anyhow::Error>(format!("http://{}:{port}", lab.address(host)?));
    let all: Vec<String> =
        HOSTS.iter().map(|host| Ok(format!("{host}={}", url(host, PEER_PORT)?))).collect::<Result<_>>()?;
    for host in HOSTS {
        let (client, peer) = (url(host, CLIENT_PORT)?, url(host, PEER_PORT)?);
        let words = words(host, &lab.home(host).join("etcd"), (&client, &peer), &all.join(","));
        lab.spawn(host, &Program::new("etcd", words))?;
    }
    let end = Instant::now() + UP;
    for address in clients(lab)? {
        loop {
            let answer = rest::ask(address, "GET /health", "", ANSWER).await;
            if answer.is_ok_and(|(_, text)| text.contains("\"true\"")) {
                break;
            }
            ensure!(Instant::now() < end, "etcd does not come up, see {}", lab.folder().display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
