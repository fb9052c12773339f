//! A data front by itself, for measuring: `data_front LISTEN THREADS PRIMARY`, for example
//! `data_front 127.0.0.1:6432 1 127.0.0.1:5432`. Ends with its standard input.

use std::error::Error;
use std::sync::Arc;

use database::path::{DataFront, DataSnapshot, Limits, Served};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().ok_or("expected an address to listen on")?.parse()?;
    let threads = args.next().ok_or("expected a number of threads")?.parse()?;
    let primary = args.next().ok_or("expected the primary's address")?.parse()?;
    let served = Served { name: "db".to_owned(), listen, primary: Some(primary), term: 1, hold: false };
    let snapshot = DataSnapshot { revision: 1, zone: None, databases: vec![served] };
    let (_agent, snapshots) = tokio::sync::watch::channel(Arc::new(snapshot));
    let front = DataFront::start(threads, Limits::default(), snapshots)?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    println!("{:?}", front.report());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(front.stop(0));
    Ok(())
}
