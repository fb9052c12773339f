//! The data front between real clients and real servers: PostgreSQL where its behaviour matters, plain sockets where
//! only bytes do.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod bytes;
mod hostile;
mod postgres;
mod support;
mod switch;
