//! Times of the exact answers, and years a second of the simulation, on the application over three zones of the golden values:
//! `cargo run --release -p plan --example model_years -- [years] [seed]`

use plan::Outage;
use plan::chance::{Application, Common, Fleet, Group, Outages, Takeover, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let years = arguments.next().map_or(Ok(1_000_000), |years| years.parse())?;
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let takeover = |seconds| Takeover { seconds, stages: 1 };
    let node = |hours: f64| Outage { per_year: 8_766.0 / 2_160.0, hours };
    let app = Application {
        zones: 3,
        zone: Outage { per_year: 0.2, hours: 4.0 },
        host: None,
        groups: vec![
            Group::copies("db", 2, node(0.5), takeover(35.0)),
            Group::copies("cache", 2, node(1.0 / 6.0), takeover(15.0)),
        ],
        fleets: vec![Fleet::spread(
            "web",
            4,
            &[2, 2, 2],
            Outage { per_year: 8_766.0 / 720.0, hours: 1.0 / 12.0 },
        )],
        pools: vec![],
        shared: vec![
            Common { name: "bad deploys".into(), outage: Outage { per_year: 4.0, hours: 1.0 / 6.0 } },
            Common { name: "loss of the region".into(), outage: Outage { per_year: 0.1, hours: 5.0 } },
        ],
    };
    for (nodes, stages) in [(2, 1), (3, 1), (3, 3)] {
        let mut larger = app.clone();
        larger.groups.iter_mut().for_each(|group| {
            group.nodes = nodes;
            group.takeover = Some(Takeover { stages, ..takeover(35.0) });
        });
        let clock = std::time::Instant::now();
        let answer = larger.availability()?;
        println!(
            "{nodes} nodes in each group, {stages} stages: {:?} in {:.2} ms",
            answer.exactness,
            ms(clock)
        );
    }
    let clock = std::time::Instant::now();
    let answer = app.availability()?;
    println!("exact      U = {:.6e} in {:.2} ms", answer.total.get(), ms(clock));
    let clock = std::time::Instant::now();
    let outages = Outages::new(&app)?;
    println!("           {:.4} outages a year in {:.1} ms", outages.per_year(), ms(clock));
    let clock = std::time::Instant::now();
    let played = simulate(&app, seed, years, &[1.0 / 60.0])?;
    let seconds = ms(clock) / 1e3;
    let (of, events) = (f64::from(years), played.events as f64);
    let outages = played.outages as f64 / of;
    println!(
        "simulated  U = {:.6e} +- {:.1e}, {outages:.4} outages a year",
        played.unavailability, played.deviation
    );
    println!(
        "{years} years in {seconds:.2} s: {:.0} years/s, {:.1} million events/s",
        of / seconds,
        events / seconds / 1e6
    );
    println!("figure years = {:.0}", of / seconds);
    Ok(())
}

fn ms(since: std::time::Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
