//! HTTP/1.1 (RFC 9112), strict: whatever two servers could read differently is refused, both ways.

pub mod body;
pub mod buffer;
pub mod framing;
pub mod parse;
pub mod rewrite;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod fuzz;
