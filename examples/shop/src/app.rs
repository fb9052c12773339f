//! What the shop answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::orders::{self, Book};

/// Longest request body in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Requests that may wait for a slot; beyond that the shop says that it is full.
const WAITING_MAX: usize = 1024;
/// The longest `/slow`, in milliseconds.
const SLOW_MAX_MS: u64 = 30_000;
/// `/slow` without `ms`.
const SLOW_DEFAULT_MS: u64 = 1_200;

/// What is sold: name and price in cents.
pub(crate) const PRODUCTS: &[(&str, u32)] =
    &[("kettle", 2_990), ("teapot", 3_450), ("mug", 890), ("tea", 640), ("strainer", 420), ("timer", 1_250)];

/// How much one replica can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Requests at once.
    pub(crate) slots: usize,
    /// Work of each, on top of what it really takes.
    pub(crate) service_time: Duration,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) book: Book,
    pub(crate) unit: String,
    capacity: Capacity,
    slots: Semaphore,
    waiting: Semaphore,
}

#[derive(Debug, Deserialize)]
struct Cart {
    items: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Slow {
    ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    price_cents: u32,
}

impl Shop {
    pub(crate) fn new(book: Book, unit: String, capacity: Capacity) -> Arc<Shop> {
        Arc::new(Shop {
            book,
            unit,
            capacity,
            slots: Semaphore::new(capacity.slots),
            waiting: Semaphore::new(capacity.slots + WAITING_MAX),
        })
    }
}

/// Every path of the shop.
pub(crate) fn router(shop: Arc<Shop>) -> Router {
    let bounded = Router::new()
        .route("/", get(page))
        .route("/products", get(products))
        .route("/slow", get(slow))
        .route("/cart", post(cart))
        .route("/orders", post(orders::order))
        .route("/orders/count", get(orders::count))
        .route("/orders/{id}", get(orders::find))
        .layer(from_fn_with_state(shop.clone(), slot))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    // Outside the slots: a replica that is busy is not a sick one. And `/healthz` asks no database: a failover would
    // take out every replica at once, and with them the pages that need none.
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(orders::ready))
        .merge(bounded)
        .with_state(shop)
}

/// Waits for a slot and holds it until the answer is ready.
async fn slot(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let Ok(_waiting) = shop.waiting.try_acquire() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many requests are waiting");
    };
    let Ok(_slot) = shop.slots.acquire().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the shop is closing");
    };
    let answer = next.run(request).await;
    // After the effect, as most of a real request's time is: a replica that dies has often done what its caller
    // never hears of, and a drill must be able to see that such a request is not sent again.
    if !shop.capacity.service_time.is_zero() {
        tokio::time::sleep(shop.capacity.service_time).await;
    }
    answer
}

pub(crate) fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

async fn page(State(shop): State<Arc<Shop>>) -> Html<String> {
    let row = |(name, cents): &(&str, u32)| {
        format!("<tr><td>{name}</td><td>{}.{:02}</td></tr>", cents / 100, cents % 100)
    };
    let rows: String = PRODUCTS.iter().map(row).collect();
    let unit: String =
        shop.unit.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>shop</title><style>body{{font:16px \
         system-ui;max-width:32rem;margin:3rem auto}}td{{padding:.2rem 2rem .2rem 0}}small{{color:#666}}</style></head>\
         <body><h1>Everything for tea</h1><table>{rows}</table><p><small>served by {unit}</small></p></body></html>\n"
    ))
}

async fn products() -> Json<Vec<Product>> {
    Json(PRODUCTS.iter().map(|(name, price_cents)| Product { name, price_cents: *price_cents }).collect())
}

async fn slow(Query(slow): Query<Slow>) -> Response {
    let ms = slow.ms.unwrap_or(SLOW_DEFAULT_MS);
    if ms > SLOW_MAX_MS {
        return refuse(StatusCode::BAD_REQUEST, "`ms` is too large; it may be 30000");
    }
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(json!({ "slept_ms": ms })).into_response()
}

/// The price of a cart; nothing is kept, so any replica can answer.
async fn cart(Json(cart): Json<Cart>) -> Response {
    let mut total = 0u64;
    for item in &cart.items {
        match PRODUCTS.iter().find(|(name, _)| name == item) {
            Some((_, cents)) => total += u64::from(*cents),
            None => {
                return refuse(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "the cart holds something that is not sold here",
                );
            }
        }
    }
    Json(json!({ "items": cart.items.len(), "total_cents": total })).into_response()
}
