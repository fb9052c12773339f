//! Which units must be started anew when the file changes.

use model::{Database, Deploy, Scale, Service};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The version of a service: equal for two descriptions that start the same process in the same way.
///
/// How many replicas run, what load they are planned for, and how carefully they are replaced is left out:
/// a change there must not restart anything. FNV-1a of 64 bits (Fowler, Noll, Vo), because
/// it must be the same in every build and on every machine; it is no protection against forgery.
#[must_use]
pub fn version(service: &Service) -> u64 {
    let plain = Service {
        scale: Scale { min: 0, max: 0, target: None },
        load: None,
        rps_per_cpu: None,
        deploy: Deploy { max_unavailable: 0, ..service.deploy },
        ..service.clone()
    };
    hash(serde_json::to_string(&plain))
}

/// The version of a database: equal for equal descriptions. What a change means is the keeper's to decide.
#[must_use]
pub fn database_version(database: &Database) -> u64 {
    hash(serde_json::to_string(database))
}

/// Struct fields are written in their order and maps are sorted, so the text is the same everywhere.
fn hash(text: serde_json::Result<String>) -> u64 {
    text.unwrap_or_default().bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
