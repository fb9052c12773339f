//! How fast years are played against the decision code: `cargo run --release -p drill --example simulate -- YEARS`.

use std::time::Instant;

use database::sim::Pace;
use drill::simulate::{Failing, Simulation};

fn main() -> anyhow::Result<()> {
    let years = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    // Zones and machines as the planner assumes them.
    let zone = Failing { per_year: 0.3, hours: 4.0 };
    let node = Failing { per_year: 2.0, hours: 1.0 };
    let simulation = Simulation { zones: 3, zone, nodes: 3, witness: false, node, pace: Pace::default() };
    let began = Instant::now();
    let seen = simulation.run(1, years)?;
    let took = began.elapsed().as_secs_f64();
    println!(
        "{:.0} years/s: {years} years in {took:.2} s, {} failures and repairs, {} looks, {} takeovers, unavailability {:.2e} +- {:.1e}",
        f64::from(years) / took,
        seen.events,
        seen.looks,
        seen.takeovers_ms.len(),
        seen.unavailability,
        seen.deviation
    );
    println!("figure years = {:.0}", f64::from(years) / took);
    Ok(())
}
