use expect_test::{Expect, expect};
use model::Template;

use super::super::fixture::{ingress, picture, service, zone};
use super::*;

fn told(snapshot: &FrontSnapshot) -> String {
    let mut lines = Vec::new();
    for listener in &snapshot.listeners {
        let route = |route: &Route| format!("{} -> {}", route.host.as_deref().unwrap_or("*"), route.to);
        let routes: Vec<String> = listener.routes.iter().map(route).collect();
        lines.push(format!("{}: {}", listener.address, routes.join(", ")));
    }
    for pool in &snapshot.pools {
        let draining = |endpoint: &Endpoint| if endpoint.draining { " draining" } else { "" };
        let endpoint =
            |one: &Endpoint| format!("{} in {} at {}{}", one.unit, one.zone, one.address, draining(one));
        let endpoints: Vec<String> = pool.endpoints.iter().map(endpoint).collect();
        lines.push(format!("{}: [{}]", pool.service, endpoints.join(", ")));
    }
    lines.join("\n")
}

/// What the front of zone a serves from.
#[track_caller]
fn check(story: &str, expect: Expect) {
    let snapshot = build(&picture(story), &zone("a"), "127.0.1.1".parse().unwrap(), Sabotage::default());
    assert_eq!((snapshot.revision, snapshot.zone.clone()), (100, Some(zone("a"))));
    expect.assert_eq(&told(&snapshot));
}

#[test]
fn before_the_first_plan_a_front_listens_on_nothing() {
    check("agent a; unit web-1 in a; web-1 in a is ready", expect![[""]]);
}

#[test]
fn a_replica_that_still_starts_gets_no_requests() {
    let story = "plan 1; unit web-1 in a; unit web-2 in b; unit web-3 in c; unit web-4 in a; \
        web-1 in a is ready; web-2 in b is starting; web-3 in c is backoff";
    check(
        story,
        expect![[r#"
            127.0.1.1:8080: * -> web
            web: [web-1 in a at 127.0.1.1:20001]"#]],
    );
}

#[test]
fn an_agents_bad_opinion_takes_no_replica_out_the_fronts_own_probes_do() {
    let story = "plan 1; unit web-1 in a; unit web-2 in b; web-1 in a is unready; web-2 in b is unready";
    check(
        story,
        expect![[r#"
            127.0.1.1:8080: * -> web
            web: [web-1 in a at 127.0.1.1:20001, web-2 in b at 127.0.2.1:20002]"#]],
    );
}

#[test]
fn a_silent_agents_replicas_stay_endpoints() {
    let story = "plan 1; agent a; unit web-1 in a; unit web-2 in b; web-1 in a is ready; web-2 in b is ready";
    check(
        story,
        expect![[r#"
            127.0.1.1:8080: * -> web
            web: [web-1 in a at 127.0.1.1:20001, web-2 in b at 127.0.2.1:20002]"#]],
    );
}

#[test]
fn a_drain_counts_from_the_wish_not_from_the_agents_answer() {
    let story = "plan 1; unit web-1 in a drains since 7; web-1 in a is ready; unit web-2 in b; \
        web-2 in b is draining; unit web-3 in c drains since 7; web-3 in c is stopping";
    check(
        story,
        expect![[r#"
            127.0.1.1:8080: * -> web
            web: [web-1 in a at 127.0.1.1:20001 draining, web-2 in b at 127.0.2.1:20002 draining]"#]],
    );
}

#[test]
fn an_ended_failed_or_forgotten_replica_is_no_endpoint() {
    let story = "plan 1; unit web-1 in a; unit web-2 in b; unit web-3 in c; \
        web-1 in a is stopped; web-2 in b is failed; web-3 in c is stopping; web-9 in a is ready";
    check(
        story,
        expect![[r#"
            127.0.1.1:8080: * -> web
            web: []"#]],
    );
}

#[test]
fn what_the_old_zone_says_of_a_moved_replica_is_not_believed() {
    check(
        "plan 1; unit web-1 in b; web-1 in a is ready",
        expect![[r#"
            127.0.1.1:8080: * -> web
            web: []"#]],
    );
}

#[test]
fn a_replica_without_a_port_is_no_endpoint() {
    let mut mirror = picture("plan 1; unit web-1 in a; web-1 in a is ready");
    mirror.states.values_mut().for_each(|state| state.address = None);
    let snapshot = build(&mirror, &zone("a"), "127.0.1.1".parse().unwrap(), Sabotage::default());
    assert!(snapshot.pools[0].endpoints.is_empty());
}

#[test]
fn replicas_of_another_service_stay_in_its_own_pool() {
    let mut mirror =
        picture("plan 1; unit web-1 in a; web-1 in a is ready; unit api-1 in a; api-1 in a is ready");
    let rollout = &mut mirror.rollout.as_mut().unwrap().0;
    let mut other = rollout.plan.services[0].clone();
    other.service = service("api");
    rollout.plan.services.push(other);
    let snapshot = build(&mirror, &zone("a"), "127.0.1.1".parse().unwrap(), Sabotage::default());
    expect![[r#"
        127.0.1.1:8080: * -> web
        web: [web-1 in a at 127.0.1.1:20001]
        api: [api-1 in a at 127.0.1.1:20001]"#]]
    .assert_eq(&told(&snapshot));
}

/// The listeners of entries in this order, for a front on `address`.
#[track_caller]
fn check_entries(entries: &[(u16, Option<&str>, bool)], address: &str, expect: Expect) {
    let mut mirror = picture("plan 1");
    let rollout = &mut mirror.rollout.as_mut().unwrap().0;
    rollout.plan.services.clear();
    let entry = |(port, host, any_address): &(u16, Option<&str>, bool)| {
        let to = host.map_or("web".to_owned(), |host| host.replace('.', "-"));
        model::Ingress { any_address: *any_address, ..ingress(*port, *host, &to) }
    };
    rollout.plan.ingress = entries.iter().map(entry).collect();
    expect.assert_eq(&told(&build(&mirror, &zone("a"), address.parse().unwrap(), Sabotage::default())));
}

#[test]
fn the_entry_for_every_host_hides_none_that_follows_it_in_the_file() {
    let entries =
        [(80, None, false), (80, Some("b.org"), false), (80, Some("a.org"), false), (81, None, false)];
    check_entries(
        &entries,
        "10.77.1.1",
        expect![[r#"
            10.77.1.1:80: b.org -> b-org, a.org -> a-org, * -> web
            10.77.1.1:81: * -> web"#]],
    );
}

#[test]
fn emulated_zones_do_not_fight_for_the_address_of_all() {
    check_entries(&[(80, None, true)], "127.0.2.1", expect!["127.0.2.1:80: * -> web"]);
    check_entries(&[(80, None, true)], "10.77.1.1", expect!["0.0.0.0:80: * -> web"]);
    check_entries(&[(80, None, true)], "fd00::1", expect!["[::]:80: * -> web"]);
    check_entries(&[(80, None, false)], "fd00::1", expect!["[fd00::1]:80: * -> web"]);
}

#[test]
fn a_worker_that_listens_on_nothing_is_never_a_target() {
    let mut worker = service("worker");
    worker.run = Run::Command(vec![Template::plain("bin/worker")]);
    assert!(!has_port(&worker));
    worker.environment.insert("PORT".to_owned(), Template::parse("${port}").unwrap());
    assert!(has_port(&worker), "some programs take their port from the environment");
    worker.environment.clear();
    worker.run = Run::Command(vec![Template::parse("--listen=${address}:${port}").unwrap()]);
    assert!(has_port(&worker));
}

#[test]
fn nobody_gets_retries_that_may_double_an_effect_unless_a_drill_breaks_it_on_purpose() {
    let mirror = picture("plan 1");
    let with = |sabotage| build(&mirror, &zone("a"), "127.0.1.1".parse().unwrap(), sabotage).pools.remove(0);
    let sound = with(Sabotage::default());
    assert!(
        !sound.retry.retry_unsafe && sound.probe == Probe::Http("/healthz".to_owned()) && sound.retries == 2
    );
    assert!(sound.retry.attempts >= 3, "after a zone is lost two others are left to try");
    assert!(sound.retry.budget <= 0.2, "more would turn a fault into a storm");
    let blind = with(Sabotage { no_health: true, ..Sabotage::default() });
    assert!(blind.probe == Probe::Running && blind.retries == u32::MAX && !blind.retry.retry_unsafe);
    let unsafe_ = with(Sabotage { unsafe_retries: true, ..Sabotage::default() });
    assert!(unsafe_.retry.retry_unsafe && unsafe_.probe == sound.probe);
}
