//! What is answered where.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::Status;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use world::Stop;

use crate::auth::{self, Gate};
use crate::{events, limits, page};

/// Version of the JSON that scripts may rely on.
const FORMAT_VERSION: u32 = 1;

#[derive(Clone)]
struct Shared {
    status: watch::Receiver<Arc<Status>>,
    gate: Arc<Gate>,
    watchers: Arc<Semaphore>,
    stop: Stop,
}

#[derive(Serialize)]
struct Envelope<'a> {
    kind: &'static str,
    format_version: u32,
    #[serde(flatten)]
    status: &'a Status,
}

pub(crate) fn router(status: watch::Receiver<Arc<Status>>, gate: Gate, stop: Stop) -> Router {
    let watchers = Arc::new(Semaphore::new(limits::WATCHERS_MAX));
    let shared = Shared { status, gate: Arc::new(gate), watchers, stop };
    Router::new()
        .route("/", get(index))
        .route("/api/status", get(api_status))
        .route("/api/events", get(api_events))
        .fallback(nothing_here)
        .route_layer(middleware::from_fn(guard_host))
        .route("/healthz", get(async || "ok\n"))
        .layer(middleware::from_fn(headers))
        .with_state(shared)
}

/// The picture as JSON on one line.
pub(crate) fn json(status: &Status) -> String {
    let envelope = Envelope { kind: "status", format_version: FORMAT_VERSION, status };
    // cannot fail: plain data with text keys, written to memory
    serde_json::to_string(&envelope).expect("status is plain data")
}

async fn nothing_here() -> Response {
    (StatusCode::NOT_FOUND, "nothing here; the console is at `/`\n").into_response()
}

async fn guard_host(request: Request, next: Next) -> Response {
    if auth::host_is_address(request.headers()) {
        return next.run(request).await;
    }
    let text = "the console answers to its address or `localhost` only, not to a name\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// What every answer carries.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
        .headers_mut()
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

async fn index(State(shared): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if let Some(token) = query.as_deref().and_then(auth::token_of) {
        if !shared.gate.opens(&token) {
            return page::sign_in(true);
        }
        // The token leaves the address bar, and with it the history.
        let cookie = [(header::SET_COOKIE, shared.gate.set_cookie()), (header::LOCATION, "/".to_owned())];
        return (StatusCode::SEE_OTHER, cookie).into_response();
    }
    if !shared.gate.admits(&headers) {
        return page::sign_in(false);
    }
    let status = shared.status.borrow().clone();
    page::console(&json(&status))
}

fn refused() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    let text = "not signed in; `evenkeel status` prints the console's link and token\n";
    (StatusCode::UNAUTHORIZED, challenge, text).into_response()
}

async fn api_status(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if !shared.gate.admits(&headers) {
        return refused();
    }
    let status = shared.status.borrow().clone();
    ([(header::CONTENT_TYPE, "application/json")], json(&status)).into_response()
}

async fn api_events(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if !shared.gate.admits(&headers) {
        return refused();
    }
    let Ok(place) = shared.watchers.clone().try_acquire_owned() else {
        let text = format!("{} pages are open already; close one\n", limits::WATCHERS_MAX);
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], text).into_response();
    };
    let body = events::stream(shared.status, shared.stop, place);
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}
