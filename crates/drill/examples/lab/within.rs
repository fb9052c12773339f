//! A way into a host that no cut closes: connections that are made inside of its network.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use world::Tasks;

/// Inside a host a connection is there at once, or nobody listens.
const CONNECT: Duration = Duration::from_secs(1);

/// Listens on this machine's loopback and passes on to `to` from inside `namespace`, until `tasks` end.
pub(super) fn relay(tasks: &Tasks, namespace: String, to: SocketAddr) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a way in")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    let (spawner, stop) = (tasks.spawner(), tasks.stop());
    tasks.spawn(format!("way into {namespace}"), async move {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.requested() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((mut client, _)) = accepted else { continue };
            let (namespace, stop) = (namespace.clone(), stop.clone());
            spawner.spawn(format!("within {namespace}"), async move {
                let pass = async {
                    let mut server = TcpStream::from_std(dial(namespace, to).await?)?;
                    server.set_nodelay(true)?;
                    client.set_nodelay(true)?;
                    copy_bidirectional(&mut client, &mut server).await
                };
                tokio::select! {
                    biased;
                    () = stop.requested() => {}
                    // Whoever dialled sees that it ended.
                    _ = pass => {}
                }
            });
        }
    });
    Ok(address)
}

/// A socket stays in the network in which it was made. Made by a thread of its own, which is of no other use after.
async fn dial(namespace: String, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let (out, made) = oneshot::channel();
    std::thread::Builder::new().name("dial".to_owned()).spawn(move || {
        let _ = out.send(dial_there(&namespace, to));
    })?;
    made.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn dial_there(namespace: &str, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let place = File::open(format!("/run/netns/{namespace}"))?;
    move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))?;
    let stream = std::net::TcpStream::connect_timeout(&to, CONNECT)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
