//! Tests of the whole with the real programs.
