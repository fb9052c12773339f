//! Orders: where they are written down, and the requests about them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::{PRODUCTS, Shop, refuse};
use crate::database::{Database, Effect, Failure};
use crate::journal::Journal;

/// Longest id of an order in bytes.
const ID_MAX: usize = 200;
/// Orders that can still be looked up without a database; older ones are in the journal alone.
const ORDERS_KEPT: usize = 100_000;
/// With a 503 to an order: `unknown` or `none`. It says whether sending the same order again may do it twice.
const OUTCOME_HEADER: &str = "x-order-outcome";

/// Where orders are written down.
#[derive(Debug)]
pub(crate) enum Book {
    /// A file of this replica's own.
    Journal(Journal, Mutex<Kept>),
    /// A database that all replicas share.
    Database(Arc<Database>),
}

/// The newest orders of this replica.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    items: HashMap<String, String>,
    /// Ids, oldest first.
    order: VecDeque<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    id: String,
    item: String,
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MAX && !id.chars().any(char::is_control)
}

/// Carries out an order, whether or not its id has been here before.
pub(crate) async fn order(State(shop): State<Arc<Shop>>, Json(order): Json<Order>) -> Response {
    if !is_id(&order.id) {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "`id` must be a text of 1 to 200 bytes");
    }
    if !PRODUCTS.iter().any(|(name, _)| *name == order.item) {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "`item` is not sold here");
    }
    let id = order.id.clone();
    match &shop.book {
        Book::Journal(journal, kept) => {
            if let Err(error) = journal.append(&order.id, &shop.unit) {
                eprintln!("error: cannot write the journal: {error}");
                return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the order could not be written down");
            }
            kept.lock().unwrap_or_else(PoisonError::into_inner).add(order);
        }
        Book::Database(database) => {
            if let Err(failure) = database.add(&order.id, &order.item, &shop.unit).await {
                return not_added(&failure);
            }
        }
    }
    (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
}

/// 503, and whether the order may have been carried out.
fn not_added(failure: &Failure) -> Response {
    eprintln!("error: an order failed, outcome {}: {}", failure.effect.word(), failure.why);
    let why = match failure.effect {
        Effect::None => "the database does not take the order; it was not carried out",
        Effect::Unknown => "the connection to the database broke; the order may have been carried out",
    };
    let outcome = failure.effect.word();
    let body = Json(json!({ "error": why, "outcome": outcome }));
    (StatusCode::SERVICE_UNAVAILABLE, [(OUTCOME_HEADER, outcome)], body).into_response()
}

fn unreadable(failure: &Failure) -> Response {
    eprintln!("error: cannot read orders: {}", failure.why);
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
}

pub(crate) async fn find(State(shop): State<Arc<Shop>>, Path(id): Path<String>) -> Response {
    let database = match &shop.book {
        Book::Database(database) => database,
        Book::Journal(_, kept) => {
            return match kept.lock().unwrap_or_else(PoisonError::into_inner).items.get(&id) {
                Some(item) => Json::<Value>(json!({ "id": id, "item": item })).into_response(),
                None => refuse(StatusCode::NOT_FOUND, "this replica knows no such order"),
            };
        }
    };
    let found = if is_id(&id) { database.find(&id).await } else { Ok(None) };
    match found {
        Ok(Some(order)) => {
            let body = json!({ "id": id, "item": order.item, "unit": order.unit, "times": order.times });
            Json(body).into_response()
        }
        Ok(None) => refuse(StatusCode::NOT_FOUND, "there is no such order"),
        Err(failure) => unreadable(&failure),
    }
}

/// How many orders there are, over all replicas. A journal has no such page: it knows one replica's alone.
pub(crate) async fn count(State(shop): State<Arc<Shop>>) -> Response {
    let Book::Database(database) = &shop.book else {
        return refuse(StatusCode::NOT_FOUND, "this replica knows no such order");
    };
    match database.count().await {
        Ok((orders, executions)) => {
            Json(json!({ "orders": orders, "executions": executions })).into_response()
        }
        Err(failure) => unreadable(&failure),
    }
}

/// Whether orders can be taken now.
pub(crate) async fn ready(State(shop): State<Arc<Shop>>) -> Response {
    if let Book::Database(database) = &shop.book
        && database.ready().await.is_err()
    {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer");
    }
    "ready\n".into_response()
}

impl Effect {
    fn word(self) -> &'static str {
        match self {
            Effect::None => "none",
            Effect::Unknown => "unknown",
        }
    }
}

impl Kept {
    fn add(&mut self, order: Order) {
        if self.items.insert(order.id.clone(), order.item).is_none() {
            self.order.push_back(order.id);
        }
        if self.order.len() > ORDERS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.items.remove(&oldest);
        }
    }
}
