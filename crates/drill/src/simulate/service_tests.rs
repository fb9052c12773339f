use plan::chance::{Application, Fleet, Machines};

use super::*;

/// Fails so often that some hundred years say something; two replicas on each of three machines.
fn harsh() -> Service {
    Service {
        rooms: vec![vec![2]; 3],
        replicas: 6,
        needed: 4,
        zone: Failing { per_year: 4.0, hours: 6.0 },
        host: Some(Failing { per_year: 12.0, hours: 3.0 }),
        machine: Failing { per_year: 12.0, hours: 3.0 },
        pace: Pace::default(),
    }
}

/// The same for the model.
fn modelled(service: &Service) -> f64 {
    let outage = |failing: Failing| plan::Outage { per_year: failing.per_year, hours: failing.hours };
    // Replica after replica into the zones in turn, and there onto the machines in turn, as it is planned.
    let zones = service.rooms.len() as u32;
    let machines = (0..zones).flat_map(|zone| {
        let mut left = service.replicas / zones + u32::from(zone < service.replicas % zones);
        service.rooms[zone as usize].iter().map(move |&room| {
            let carries = room.min(left);
            left -= carries;
            Machines { zone: zone as u8, count: 1, carries, pool: None }
        })
    });
    let calm = plan::Outage { per_year: 0.0, hours: 1.0 };
    let machine = if service.host.is_some() { calm } else { outage(service.machine) };
    let fleet =
        Fleet { name: "web".to_owned(), needed: service.needed, machines: machines.collect(), machine };
    let app = Application {
        zones: service.rooms.len() as u8,
        zone: outage(service.zone),
        host: service.host.map(outage),
        groups: Vec::new(),
        fleets: vec![fleet],
        pools: Vec::new(),
        shared: Vec::new(),
    };
    app.availability().unwrap().total.get()
}

/// What the rules that place replicas make of years of failures is what the availability model says, which knows no rules.
#[test]
fn the_rules_that_place_replicas_and_the_availability_model_agree() {
    let apart = Service { host: None, ..harsh() };
    let many = Service { rooms: vec![vec![1; 3]; 3], replicas: 9, needed: 7, ..apart.clone() };
    let two = Service { rooms: vec![vec![3], vec![3]], needed: 3, ..harsh() };
    let one = Service { rooms: vec![vec![1, 1]], replicas: 2, needed: 1, ..apart.clone() };
    let none_spare = Service { needed: 6, ..harsh() };
    for (name, service, years) in [
        ("a machine a zone", harsh(), 200),
        ("machines of their own", apart, 200),
        ("many machines", many, 40),
        ("two zones", two, 300),
        ("one zone", one, 100),
        ("no reserve", none_spare, 40),
    ] {
        let (played, expected) = beside(name, &service, years);
        assert!((played.unavailability - expected).abs() < 4.0 * played.deviation, "{name}");
        // They bring back what was lost within a minute of hours.
        assert!(played.late.of_time < played.unavailability / 20.0, "{name}");
    }
    assert_eq!(harsh().run(11, 20).unwrap(), harsh().run(11, 20).unwrap(), "the same seed, the same years");
}

/// The model replaces nothing. Where a zone has room for one more, the rules use it.
#[test]
fn with_room_left_the_model_is_never_too_low() {
    let uneven = Service { rooms: vec![vec![3]; 3], replicas: 8, needed: 6, ..harsh() };
    let (played, expected) = beside("uneven", &uneven, 60);
    assert!(played.unavailability < expected / 2.0, "{played:?}");
}

fn beside(name: &str, service: &Service, years: u32) -> (Placed, f64) {
    let (played, expected) = (service.run(11, years).unwrap(), modelled(service));
    let sigmas = (played.unavailability - expected) / played.deviation;
    println!(
        "{name}: {:.3e}, expected {expected:.3e}, {sigmas:.2} sigmas; late {:.1e}, {} outages, {} looks, {} events",
        played.unavailability, played.late.of_time, played.outages, played.looks, played.events
    );
    assert!(played.deviation < expected / 5.0, "{name}: too few years to say anything");
    (played, expected)
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |service: Service| service.run(1, 1).unwrap_err().to_string();
    let nan = Failing { per_year: f64::NAN, hours: 1.0 };
    assert!(
        refused(Service { host: Some(nan), ..harsh() }).starts_with("the machine of a zone is NaN failures")
    );
    assert!(refused(Service { rooms: Vec::new(), ..harsh() }).contains("it must be 1 to 9"));
    assert!(refused(Service { rooms: vec![Vec::new()], ..harsh() }).contains("the number of machines is 0"));
    assert!(refused(Service { replicas: 0, ..harsh() }).contains("the number of replicas is 0"));
    assert!(refused(Service { replicas: u32::MAX, ..harsh() }).contains("it must be 1 to 100"));
    assert!(Service { rooms: vec![vec![u32::MAX, u32::MAX]], ..harsh() }.run(1, 1).is_ok());
    assert!(refused(Service { needed: 7, ..harsh() }).contains("as many as there are"));
    assert!(harsh().run(1, 0).is_err() && harsh().run(1, 1_000_001).is_err());
}
