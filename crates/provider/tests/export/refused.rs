//! What cannot be exported ends with its reason and the way out.

use super::fixture::{AWS, CLOUDS, FILE, options, plan, plan_of};

#[track_caller]
fn check(plan: &model::Plan, error: &str, hint: &str) {
    let found = provider::terraform(plan, &options()).unwrap_err();
    assert_eq!((found.to_string().as_str(), found.hint().contains(hint)), (error, true), "{}", found.hint());
}

#[test]
fn a_plan_for_this_machine_says_how_to_get_one_for_a_cloud() {
    let mut local = plan("aws");
    (local.provider, local.region) = ("local".to_owned(), "local".to_owned());
    check(&local, "the plan is for `local`, and files are made for a cloud", "--provider aws");
    local.provider = "azure".to_owned();
    check(&local, "zone `eu-central-1a` is none of region `local`", "catalog list");
    local.region = "eu-central-1".to_owned();
    check(&local, "the plan is for `azure`, and files are made for a cloud", "--provider aws");
}

#[test]
fn a_plan_that_misses_an_objective_is_not_built() {
    let mut missed = plan("aws");
    missed.feasible = false;
    missed.missed = vec!["the budget is 5.00 USD/month, and this costs 9.00, 4.00 more".to_owned()];
    let error =
        "no architecture meets every objective: the budget is 5.00 USD/month, and this costs 9.00, 4.00 more";
    check(&missed, error, "evenkeel plan");
}

#[test]
fn what_is_too_large_or_absurd_is_refused_and_nothing_crashes() {
    let (provider, region, zones, _) = CLOUDS[0];
    let of = |bill: &[(&str, f64)]| plan_of(FILE, provider, region, zones, bill);
    check(
        &of(&[("c6i.large for web", 401.0)]),
        "the plan has 401 machines, and at most 400 are exported",
        "split",
    );
    for quantity in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
        check(
            &of(&[("c6i.large for web", quantity)]),
            "the plan buys no machine, so there is nothing to run the application on",
            "service",
        );
    }
    check(&of(&[]), "the plan buys no machine, so there is nothing to run the application on", "service");
    let clash = format!("{FILE}  - {{ listen: \"0.0.0.0:443\", to: web }}\n");
    let error = "port 443 of the application is also what the balancer listens on for another one";
    check(&plan_of(&clash, provider, region, zones, AWS), error, "another port");
    let mut none = plan("aws");
    none.zones.clear();
    check(&none, "the plan names no zone", "catalog list");
}

#[test]
fn google_clouds_balancer_needs_fronts_that_listen_on_every_address() {
    let (provider, region, zones, bill) = CLOUDS[1];
    let own = FILE.replace("0.0.0.0:8080", ":8080");
    let error = "the entry on port 8080 listens on the machine's own address, and this balancer's connections go to another";
    check(&plan_of(&own, provider, region, zones, bill), error, "0.0.0.0:PORT");
}

#[test]
fn alibaba_clouds_balancer_needs_two_zones_and_an_application_needs_an_entry() {
    let (provider, region, zones, bill) = CLOUDS[2];
    let error = "the entry cannot be made: an application load balancer of Alibaba Cloud needs two zones, and the plan has one, \
                 so nobody could reach the application";
    check(&plan_of(FILE, provider, region, &zones[..1], bill), error, "survive: [zone]");
    // Two zones are enough, and whoever listens to nobody needs no entry.
    provider::terraform(&plan_of(FILE, provider, region, &zones[..2], bill), &options()).unwrap();
    let mut closed = plan_of(FILE, provider, region, &zones[..1], bill);
    closed.ingress.clear();
    provider::terraform(&closed, &options()).unwrap();
}

#[test]
fn cloudformation_is_of_aws_alone() {
    let found = provider::cloudformation(&plan("gcp"), &options()).unwrap_err();
    assert_eq!(found.to_string(), "the plan is for `gcp`, and CloudFormation is of AWS alone");
}
