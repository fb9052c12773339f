use serde::{Deserialize, Serialize};

use crate::{Bytes, CacheName};

/// One of `caches`: Redis or Valkey over the zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Its key in the file.
    pub name: CacheName,
    /// `engine`: program and major version, such as `redis:7`.
    pub engine: String,
    /// Memory of one shard.
    pub memory: Bytes,
    /// How many parts the keys are split into, from 1.
    pub shards: u8,
    /// Copies of each shard beside its primary, 0 to [`Cache::REPLICAS_MAX`].
    pub replicas: u8,
    /// What becomes of requests while it, or a shard of it, is lost.
    pub loss: CacheLoss,
}

/// `loss`: what an application does without a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheLoss {
    /// It does not answer: what is in the cache is nowhere else.
    #[default]
    Outage,
    /// It goes on, and its database carries what the cache did.
    Tolerated,
}

impl Cache {
    /// Most replicas of a shard: as many as managed caches have.
    pub const REPLICAS_MAX: u8 = 5;
    /// Most shards.
    pub const SHARDS_MAX: u8 = 100;

    /// Nodes of one shard: its primary and its replicas.
    #[must_use]
    pub fn copies(&self) -> u8 {
        self.replicas.saturating_add(1)
    }

    /// Nodes of all shards.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        u32::from(self.shards) * u32::from(self.copies())
    }

    /// Whether the application is down without it.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.loss == CacheLoss::Outage
    }
}
