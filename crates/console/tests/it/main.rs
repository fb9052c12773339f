//! The console as a browser, a script and a stranger meet it.
#![allow(clippy::unwrap_used)]

mod browser;
mod http;
mod picture;
