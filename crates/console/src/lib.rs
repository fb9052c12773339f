//! The console: one web page that shows what was promised and what is, and the JSON behind it.
//!
//! Promise: read-only; nobody without the token sees anything; whatever a unit's name or a probe's answer holds, it
//! is shown as text; a slow or hostile client costs a bounded amount of memory and hinders nobody; when the agent is
//! gone or frozen the page says so and keeps the last picture.
//!
//! Deliberately absent: changing anything, TLS (the console listens on the zone's own address), history.
//!
//! Entry point: [`serve`].

mod auth;
mod events;
mod limits;
mod page;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use model::Status;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};
use world::Stop;

/// Serves the console on `listener` until `stop` is requested, from the newest value of `status`.
///
/// `token` is what a person or a script must bring: `?token=` once in a browser, `Authorization: Bearer` elsewhere.
/// An empty token lets nobody in. Returns within [`limits::CLOSE_MS`] after the stop. Starts no task of its own:
/// every connection is driven by the caller's.
pub async fn serve(listener: TcpListener, status: watch::Receiver<Arc<Status>>, token: String, stop: Stop) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let service = routes::router(status, auth::Gate::new(token, port), stop.clone());
    let mut connections = FuturesUnordered::new();
    loop {
        let full = connections.len() >= limits::CONNECTIONS_MAX;
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Some(()) = connections.next() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((socket, _)) => connections.push(connection(socket, service.clone(), stop.clone())),
                Err(error) => {
                    // Out of file descriptors, mostly: trying again at once would only spin.
                    warn!(%error, "console cannot accept");
                    let _ = tokio::time::timeout(Duration::from_millis(limits::ACCEPT_PAUSE_MS), stop.requested()).await;
                }
            },
        }
    }
    drop(listener);
    let closing = async { while connections.next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_millis(limits::CLOSE_MS), closing).await;
}

async fn connection(socket: TcpStream, service: axum::Router, stop: Stop) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HEADER_MS))
        .max_buf_size(limits::HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        debug!(%error, "console connection ended");
    }
}
