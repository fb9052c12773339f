//! Who is who in one run: its own certificate authority, the certificates of its nodes, its secrets, and the
//! verifiers by which PostgreSQL knows a password without having it.
//!
//! Promise: a private key or a secret is in a file that its owner alone can read, whole or not at all, also after a
//! power loss, and is never replaced silently; it is in no message, log, command line or SQL statement. A file that
//! others could have read or put there is refused, not used. What a wrong clock would spoil (an authority that is not
//! valid yet, a certificate that is born expired) is an error that says so.
//!
//! Deliberately absent: TLS itself (the parts' own), revocation lists (certificates are short-lived, and a stolen
//! authority means a new one), certificates that browsers trust (ACME, `ingress.tls`), a vault, encryption of the
//! files (who reads them as root reads the key to them too), secrets the user brings.
//!
//! Entry points: [`Authority::open_or_create`], then [`Authority::issue`] and [`Node::write`]; [`renew_due`] says when
//! to do so again. [`Secrets::get_or_create`] keeps passwords, [`ScramVerifier`] is what PostgreSQL is told of them.
//!
//! Nothing here reads the clock: the time comes in as an argument, so an expiry can be tested today.

mod authority;
mod der;
mod error;
mod files;
mod node;
mod pem;
mod scram;
mod secret;
mod secrets;

pub use authority::{AUTHORITY_YEARS, Authority};
pub use error::{Class, IdentityError, When};
pub use node::{
    BACKDATE_SECONDS, CA_FILE, CERT_FILE, KEY_FILE, NODE_DAYS, NODE_DAYS_MAX, Node, NodeSpec, Owner, Usage,
    renew_due,
};
pub use scram::{SCRAM_ITERATIONS, ScramVerifier};
pub use secret::{SECRET_BYTES, Secret};
pub use secrets::Secrets;

#[cfg(test)]
#[path = "rig_tests.rs"]
mod rig;
