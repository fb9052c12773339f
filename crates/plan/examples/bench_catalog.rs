//! How long the shipped catalogue takes to read: `cargo run --release -p plan --example bench_catalog`.

use std::time::Instant;

/// Times it is read; the first of a process is what a command waits for.
const ROUNDS: usize = 31;

fn main() {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let catalog = plan::Catalog::shipped();
        all.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(!catalog.regions.is_empty(), "the shipped catalogue cannot be read");
    }
    let first = all[0];
    all.sort_by(f64::total_cmp);
    println!(
        "read: first {first:.2} ms, median {:.2}, least {:.2}, most {:.2}",
        all[ROUNDS / 2],
        all[0],
        all[ROUNDS - 1]
    );
}
