//! A front by itself, for measuring: `front LISTEN THREADS REPLICA...`, for example
//! `front 127.0.0.1:8080 1 127.0.0.1:9001 127.0.0.1:9002`. Ends with its standard input.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use balance::{Front, FrontOptions};
use model::{
    Duration, Endpoint, FrontSnapshot, Listener, Pool, Probe, RetryPolicy, Route, ServiceName, UnitName,
    ZoneName,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let listen: SocketAddr = args.next().ok_or("expected an address to listen on")?.parse()?;
    let threads = args.next().ok_or("expected a number of threads")?.parse()?;
    let service = ServiceName::new("web")?;
    let mut endpoints = Vec::new();
    for (number, address) in args.enumerate() {
        endpoints.push(Endpoint {
            unit: UnitName::new(&format!("web-{number}"))?,
            zone: ZoneName::new("a")?,
            address: address.parse()?,
            draining: false,
        });
    }
    let retry =
        RetryPolicy { attempts: 3, budget: 0.2, attempt_timeout: Duration(30_000), retry_unsafe: false };
    let snapshot = FrontSnapshot {
        revision: 1,
        zone: Some(ZoneName::new("a")?),
        listeners: vec![Listener {
            address: listen,
            routes: vec![Route { host: None, to: service.clone() }],
        }],
        pools: vec![Pool {
            service,
            endpoints,
            probe: Probe::Http("/healthz".to_owned()),
            interval: Duration(1_000),
            timeout: Duration(500),
            retries: 2,
            retry,
        }],
    };
    let (_sender, snapshots) = tokio::sync::watch::channel(Arc::new(snapshot));
    let access_log = std::env::var_os("ACCESS_LOG").map(Into::into);
    let front = Front::start(FrontOptions { threads, access_log }, snapshots);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    print!("{}", front.metrics());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(front.stop(1_000));
    Ok(())
}
