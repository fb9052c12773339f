//! The store under the keepers.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use store::{EtcdOptions, ServeOptions, Store, Token};
use world::{Stop, Stopper, Tasks};

use super::etcd::Etcd;
use super::process::Process;

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The embedded one, over TCP.
    Embedded,
    /// Three members of etcd.
    Etcd,
}

/// A store that runs, and can be taken away.
pub enum Backing {
    /// Served by this process.
    Embedded(Embedded),
    /// Processes of their own.
    Etcd(Etcd),
}

/// The embedded store.
pub struct Embedded {
    file: PathBuf,
    token: PathBuf,
    address: SocketAddr,
    serving: Option<(Tasks, Stopper)>,
}

impl Backing {
    /// Starts it in `folder`, on `ip`.
    pub async fn start(which: Which, folder: &Path, ip: IpAddr) -> Result<Backing> {
        if which == Which::Etcd {
            return Ok(Backing::Etcd(Etcd::start(folder, ip).await?));
        }
        let address = std::net::TcpListener::bind((ip, 0))?.local_addr()?;
        let (file, token) = (folder.join("store"), folder.join("token"));
        Token::create(&token)?;
        let mut embedded = Embedded { file, token, address, serving: None };
        embedded.serve()?;
        Ok(Backing::Embedded(embedded))
    }

    /// A client of its own for a keeper.
    pub fn client(&self) -> Result<Store> {
        Ok(match self {
            Backing::Embedded(embedded) => Store::connect(embedded.address, Token::load(&embedded.token)?),
            Backing::Etcd(etcd) => Store::etcd(EtcdOptions::parse(&etcd.address())?)?,
        })
    }

    /// Nobody of the store answers for `away`: its members stand still, or `die` and start again on what they had.
    pub async fn all_away(&mut self, away: Duration, die: bool) -> Result<()> {
        match self {
            Backing::Embedded(_) => self.away(away, || ()).await,
            Backing::Etcd(etcd) if die => {
                etcd.kill();
                tokio::time::sleep(away).await;
                etcd.start_members()?;
                etcd.until_up().await
            }
            Backing::Etcd(etcd) => {
                let members = etcd.processes();
                members.iter().for_each(|member| member.signal(Signal::STOP));
                tokio::time::sleep(away).await;
                members.iter().for_each(|member| member.signal(Signal::CONT));
                etcd.until_up().await
            }
        }
    }

    /// Processes of its own; none of the embedded one.
    pub fn processes(&self) -> Vec<Process> {
        match self {
            Backing::Embedded(_) => Vec::new(),
            Backing::Etcd(etcd) => etcd.processes(),
        }
    }

    /// The leader stands still for `away`, or the whole store is away where there is no leader; `first` comes just after.
    pub async fn away(&mut self, away: Duration, first: impl FnOnce()) -> Result<()> {
        match self {
            Backing::Etcd(etcd) => {
                let leader = tokio::task::block_in_place(|| etcd.leader()).context("etcd has no leader")?;
                leader.signal(Signal::STOP);
                first();
                tokio::time::sleep(away).await;
                leader.signal(Signal::CONT);
            }
            Backing::Embedded(embedded) => {
                if let Some((tasks, stopper)) = embedded.serving.take() {
                    stopper.request();
                    first();
                    drop(tasks.shutdown(world::Limits::default()).await);
                }
                tokio::time::sleep(away).await;
                embedded.serve()?;
            }
        }
        Ok(())
    }
}

impl Embedded {
    fn serve(&mut self) -> Result<()> {
        let tasks = Tasks::new();
        let (stopper, stop) = Stop::pair();
        let (file, token, address) = (self.file.clone(), self.token.clone(), self.address);
        if !token.exists() {
            bail!("the store's token is gone");
        }
        tasks.spawn("store", async move {
            // The port and the file may take a moment to be free again.
            while !stop.is_requested() {
                let Ok(token) = Token::load(&token) else { return };
                let options = ServeOptions::new(address, file.clone(), token);
                if store::serve(options, stop.clone()).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        self.serving = Some((tasks, stopper));
        Ok(())
    }
}
