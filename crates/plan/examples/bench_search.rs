//! What the exact search takes and saves: `cargo run --release -p plan --example bench_search`.
//!
//! Times over the whole catalogue, loading included; then, for applications of several services in one region, how much
//! dearer two other ways to plan are at the same true availability: (a) greedy, which begins with the cheapest and buys the
//! spare replicas that bring most for a dollar until it is enough; (b) optimising the product of per-service availabilities,
//! as composite-SLA sheets do, which counts one loss of a zone once for each service.

use std::collections::BTreeMap;
use std::time::Instant;

use model::{
    App, AppName, Availability, Bytes, Deploy, Duration, Healthcheck, Ingress, Load, MilliCpu, Money,
    Objectives, Placement, Probe, Rate, Region, Resources, Run, Scale, Service, ServiceName, Template,
};
use plan::{Catalog, Options, Terms, certified, relaxed, rivals, to_json, verify};

/// Rounds of each time; the median is told.
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, services, regions) in
        [("one service", 1, ""), ("three services", 3, ""), ("20 services", 20, "eu-central-1")]
    {
        let app = app(services, regions, 99.95)?;
        let mut times: Vec<[f64; 3]> = Vec::new();
        let mut said = String::new();
        for _ in 0..ROUNDS {
            let clock = Instant::now();
            let options = Options { catalog: Catalog::shipped(), provider: None };
            let loaded = clock.elapsed().as_secs_f64() * 1e3;
            let planned = certified(&app, &options)?;
            let whole = clock.elapsed().as_secs_f64() * 1e3;
            let stored = to_json(&planned.plan, Some(&planned.proof), whole);
            let clock = Instant::now();
            let verified = verify(&app, &options, &stored)?;
            times.push([loaded, whole, clock.elapsed().as_secs_f64() * 1e3]);
            said = format!(
                "{} {} {} USD/month, gap {}, {} topologies, {} branches, certificate {} kB",
                planned.plan.provider,
                planned.plan.region,
                planned.plan.usd_month,
                verified.gap,
                verified.topologies,
                verified.branches,
                stored.to_string().len() / 1_000
            );
        }
        let median = |at: usize| {
            let mut all: Vec<f64> = times.iter().map(|time| time[at]).collect();
            all.sort_by(f64::total_cmp);
            all[ROUNDS / 2]
        };
        println!(
            "{name}: loading {:.1} ms, with planning {:.1} ms, verifying {:.1} ms; {said}",
            median(0),
            median(1),
            median(2)
        );
        println!("figure {name} = {:.3}", median(1));
    }
    would_do()?;
    savings()
}

/// How long it takes to find what would do when nothing fits.
fn would_do() -> Result<(), Box<dyn std::error::Error>> {
    for (services, regions, max) in [
        (1, "", 99),
        (3, "", 99),
        (3, "", 2),
        (20, "eu-central-1", 99),
        (20, "eu-central-1", 2),
        (64, "", 99),
        (64, "", 2),
    ] {
        for (what, percent, usd) in [("too dear", 99.95, 1.0), ("too available and too dear", 99.9999, 1.0)] {
            let mut app = app(services, regions, percent)?;
            app.objectives.budget = Some(Money::from_usd(usd));
            app.services.iter_mut().for_each(|service| service.scale.max = max);
            let options = Options { catalog: Catalog::shipped(), provider: None };
            let clock = Instant::now();
            let found = relaxed(&app, &options, &Terms::default())?;
            println!(
                "{services} services of at most {max}, {what}: {} that would do, {:.0} ms; {:?}",
                found.ways.len(),
                clock.elapsed().as_secs_f64() * 1e3,
                found.ways.iter().map(|one| (one.changes.len(), one.exact)).collect::<Vec<_>>()
            );
        }
    }
    Ok(())
}

/// What two simpler ways to plan cost more.
fn savings() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "dearer than the optimum at the same true availability, in %: greedy; product of availabilities"
    );
    for services in [3, 8, 16, 20] {
        for percent in [99.95, 99.98, 99.99, 99.992] {
            let mut app = app(services, "eu-central-1", percent)?;
            // A world in which spare machines decide: rare common causes, machines that fail once a month, and a
            // reserve for a machine, not for a zone.
            app.objectives.survive = vec![model::Scope::Node];
            for (name, value) in [
                ("deploy_failures.per_year", 0.5),
                ("region_outage.per_year", 0.02),
                ("human_error.per_year", 0.02),
                ("machine_failure.per_year", 12.0),
                ("machine_failure.hours", 0.5),
            ] {
                app.assume.insert(name.to_owned(), value);
            }
            let options = Options { catalog: Catalog::shipped(), provider: None };
            let clock = Instant::now();
            let found = rivals(&app, &options)?;
            let told = |cost: Option<f64>| match (cost, found.optimum) {
                (Some(cost), Some(best)) => format!("{:.1}", (cost / best - 1.0) * 100.0),
                _ => "no plan".to_owned(),
            };
            println!(
                "{services} services, {percent}%: {}; {} ({:.0} ms, {} USD/month)",
                told(found.greedy),
                told(found.product),
                clock.elapsed().as_secs_f64() * 1e3,
                found.optimum.unwrap_or(f64::NAN)
            );
        }
    }
    Ok(())
}

fn app(services: usize, region: &str, percent: f64) -> Result<App, Box<dyn std::error::Error>> {
    let services: Vec<Service> = (0..services).map(service).collect::<Result<_, _>>()?;
    let to = services[0].name.clone();
    let availability = Availability { unavailability: (100.0 - percent) / 100.0 };
    Ok(App {
        name: AppName::new("bench")?,
        objectives: Objectives { availability: Some(availability), ..Objectives::default() },
        placement: Placement {
            providers: ["aws", "gcp", "alicloud"].map(str::to_owned).to_vec(),
            regions: if region.is_empty() { vec![] } else { vec![Region(region.to_owned())] },
            zones: 3,
            machines: Some(model::Sharing::Any),
            residency: vec![],
            users: vec![],
        },
        services,
        databases: vec![],
        caches: vec![],
        ingress: vec![Ingress { port: 8080, any_address: true, host: None, to }],
        assume: BTreeMap::new(),
        seen: BTreeMap::new(),
    })
}

fn service(index: usize) -> Result<Service, Box<dyn std::error::Error>> {
    let second = Duration(1_000);
    Ok(Service {
        name: ServiceName::new(&format!("s{index}"))?,
        run: Run::Command(vec![Template::plain("bin/shop")]),
        environment: BTreeMap::new(),
        healthcheck: Healthcheck {
            probe: Probe::Http("/healthz".into()),
            interval: second,
            timeout: second,
            retries: 2,
            start_timeout: Duration(30_000),
        },
        resources: Resources { cpus: MilliCpu(1_000), memory: Bytes((1 + index as u64 % 5) << 29) },
        scale: Scale { min: 1, max: 99, target: None },
        load: Some(Load { peak: Rate(400.0 + 97.0 * index as f64), mean: None, response: None }),
        rps_per_cpu: Some(150.0),
        deploy: Deploy { max_unavailable: 0, drain: Duration(30_000) },
    })
}
