//! Tests of the whole with the real programs; see `it/main.rs`.
