//! Names of regions beside those that can be bought.

use expect_test::{Expect, expect};

use crate::{KnownRegion, read_bytes, render};

fn known() -> Vec<KnownRegion> {
    let region = |provider: &str, id: &str, place: Option<&str>, country: &str| KnownRegion {
        provider: provider.to_owned(),
        id: id.to_owned(),
        place: place.map(str::to_owned),
        country: country.to_owned(),
        residency: if country == "DE" || country == "SE" { "EU" } else { country }.to_owned(),
    };
    vec![
        region("alicloud", "eu-central-1", Some("eu-central"), "DE"),
        region("alicloud", "cn-beijing", None, "CN"),
        region("aws", "eu-central-1", Some("eu-central"), "DE"),
        region("aws", "eu-north-1", Some("eu-north"), "SE"),
        region("aws", "us-east-1", Some("us-east"), "US"),
        region("gcp", "europe-west3", Some("eu-central"), "DE"),
        region("gcp", "us-central1", Some("us-central"), "US"),
    ]
}

#[track_caller]
fn check(placement: &str, expected: Expect) {
    check_code("E0212", placement, expected);
}

#[track_caller]
fn check_code(code: &str, placement: &str, expected: Expect) {
    let text = format!("name: s\nservices: {{ web: {{ command: [a] }} }}\n{placement}\n");
    let reading = read_bytes(text.as_bytes(), "a", &known, &Vec::new);
    assert_eq!(reading.app.is_none(), reading.has_errors());
    let errors: Vec<_> = reading.findings.into_iter().filter(|finding| finding.code == code).collect();
    expected.assert_eq(&render(&errors, &text, "evenkeel.yaml", false));
}

#[test]
fn an_id_and_a_place_of_a_provider_of_the_file_are_regions() {
    for good in [
        "placement: { providers: [aws], regions: [eu-central, us-east-1] }",
        "placement: { providers: [aws, gcp], regions: [europe-west3, eu-north-1] }",
        "placement: { providers: [alicloud], regions: [cn-beijing] }",
        // Which provider it will be is said by a flag, or nobody.
        "placement: { regions: [europe-west3] }",
        "placement: { providers: [aws] }",
    ] {
        check(good, expect![""]);
    }
}

#[test]
fn a_slip_is_answered_with_the_region_that_was_meant() {
    check(
        "placement: { providers: [aws], regions: [eu-centarl, us-east-l] }",
        expect![[r#"
            error[E0212]: `aws` has no region `eu-centarl`
             --> evenkeel.yaml:3:42
            3 | placement: { providers: [aws], regions: [eu-centarl, us-east-l] }
              |                                          ^^^^^^^^^^
            hint: did you mean `eu-central`? `evenkeel catalog list` has all

            error[E0212]: `aws` has no region `us-east-l`
             --> evenkeel.yaml:3:54
            3 | placement: { providers: [aws], regions: [eu-centarl, us-east-l] }
              |                                                      ^^^^^^^^^
            hint: did you mean `us-east-1`? `evenkeel catalog list` has all
        "#]],
    );
}

#[test]
fn a_region_that_nobody_has_is_answered_with_those_that_begin_alike() {
    check(
        "placement: { regions: [eu-nowhere-9, mars] }",
        expect![[r#"
        error[E0212]: no provider has a region `eu-nowhere-9`
         --> evenkeel.yaml:3:24
        3 | placement: { regions: [eu-nowhere-9, mars] }
          |                        ^^^^^^^^^^^^
        hint: near are `eu-central` and `eu-north`; `evenkeel catalog list` has all

        error[E0212]: no provider has a region `mars`
         --> evenkeel.yaml:3:38
        3 | placement: { regions: [eu-nowhere-9, mars] }
          |                                      ^^^^
        hint: `evenkeel catalog list` has every region, and the places that stand for them
    "#]],
    );
    check(
        "placement: { providers: [gcp, aws], regions: [eu-nowhere-9] }",
        expect![[r#"
        error[E0212]: `aws` and `gcp` have no region `eu-nowhere-9`
         --> evenkeel.yaml:3:47
        3 | placement: { providers: [gcp, aws], regions: [eu-nowhere-9] }
          |                                               ^^^^^^^^^^^^
        hint: near are `eu-central` and `eu-north`; `evenkeel catalog list` has all
    "#]],
    );
    // It has no place of that beginning.
    check(
        "placement: { providers: [alicloud], regions: [cn-nowhere-9] }",
        expect![[r#"
        error[E0212]: `alicloud` has no region `cn-nowhere-9`
         --> evenkeel.yaml:3:47
        3 | placement: { providers: [alicloud], regions: [cn-nowhere-9] }
          |                                               ^^^^^^^^^^^^
        hint: near are `cn-beijing`; `evenkeel catalog list` has all
    "#]],
    );
}

#[test]
fn a_region_of_another_provider_is_answered_with_both_ways_out() {
    check(
        "placement: { providers: [aws], regions: [europe-west3, cn-beijing] }",
        expect![[r#"
        error[E0212]: `aws` has no region `europe-west3`; `gcp` has it
         --> evenkeel.yaml:3:42
        3 | placement: { providers: [aws], regions: [europe-west3, cn-beijing] }
          |                                          ^^^^^^^^^^^^
        hint: write `eu-central`, where `aws` has one too, or add `gcp` to `providers`

        error[E0212]: `aws` has no region `cn-beijing`; `alicloud` has it
         --> evenkeel.yaml:3:56
        3 | placement: { providers: [aws], regions: [europe-west3, cn-beijing] }
          |                                                        ^^^^^^^^^^
        hint: add `alicloud` to `providers`; `evenkeel catalog list` has all regions
    "#]],
    );
}

#[test]
fn where_backups_are_copied_to_is_a_region_too() {
    check(
        "placement: { providers: [aws] }\ndatabases: { db: { engine: postgres:15, backup: { copy_to: eu-nroth } } }",
        expect![[r#"
            error[E0212]: `aws` has no region `eu-nroth`
             --> evenkeel.yaml:4:60
            4 | databases: { db: { engine: postgres:15, backup: { copy_to: eu-nroth } } }
              |                                                            ^^^^^^^^
            hint: did you mean `eu-north`? `evenkeel catalog list` has all
        "#]],
    );
}

#[test]
fn a_mistake_in_the_providers_is_told_alone() {
    check("placement: { providers: [azure], regions: [europe-west3] }", expect![""]);
}

#[test]
fn whoever_knows_no_regions_says_nothing_of_them_and_is_not_asked_for_nothing() {
    let text = "name: s\nservices: { web: { command: [a] } }\n";
    let asked = std::cell::Cell::new(0);
    let count = || {
        asked.set(asked.get() + 1);
        Vec::new()
    };
    assert!(!read_bytes(text.as_bytes(), "a", &count, &Vec::new).has_errors());
    assert_eq!(asked.get(), 0, "a catalogue is read for a file that names a region");
    let named = format!("{text}placement: {{ regions: [mars, moon] }}\n");
    assert!(!read_bytes(named.as_bytes(), "a", &count, &Vec::new).has_errors());
    assert_eq!(asked.get(), 1);
}

#[test]
fn a_region_outside_of_the_residency_is_answered_with_one_inside() {
    check_code(
        "E0213",
        "placement: { providers: [aws], regions: [us-east-1, eu-central], residency: [EU] }",
        expect![[r#"
            error[E0213]: `us-east-1` is under the law of `US`, and `residency` allows `EU` alone
             --> evenkeel.yaml:3:42
            3 | placement: { providers: [aws], regions: [us-east-1, eu-central], residency: [EU] }
              |                                          ^^^^^^^^^
            hint: name a region there, such as `eu-central`, or add `US` to `residency`
        "#]],
    );
    // No region of these providers is inside: which one there could be is left to the plan.
    check_code(
        "E0213",
        "placement: { providers: [gcp], regions: [us-central], residency: [CN, SE] }",
        expect![[r#"
            error[E0213]: `us-central` is under the law of `US`, and `residency` allows `CN` and `SE` alone
             --> evenkeel.yaml:3:42
            3 | placement: { providers: [gcp], regions: [us-central], residency: [CN, SE] }
              |                                          ^^^^^^^^^^
            hint: add `US` to `residency`
        "#]],
    );
    check_code(
        "E0213",
        "placement: { residency: [DE] }\ndatabases: { db: { engine: postgres:15, backup: { copy_to: us-east } } }",
        expect![[r#"
            error[E0213]: `us-east` is under the law of `US`, and `residency` allows `DE` alone
             --> evenkeel.yaml:4:60
            4 | databases: { db: { engine: postgres:15, backup: { copy_to: us-east } } }
              |                                                            ^^^^^^^
            hint: name a region there, such as `eu-central`, or add `US` to `residency`
        "#]],
    );
}

#[test]
fn a_code_that_no_region_has_is_answered_with_those_there_are() {
    // What is outside cannot be said while one of the codes is a mistake.
    check_code(
        "E0213",
        "placement: { regions: [us-east], residency: [EU, XX] }",
        expect![[r#"
        error[E0213]: no provider has a region in `XX`
         --> evenkeel.yaml:3:50
        3 | placement: { regions: [us-east], residency: [EU, XX] }
          |                                                  ^^
        hint: there are `CN`, `EU` and `US`; by country also `DE` and `SE`
    "#]],
    );
    check_code(
        "E0106",
        "placement: { residency: [eu, Germany] }",
        expect![[r#"
        error[E0106]: `eu` is not two capital letters such as `DE`, or `EU`
         --> evenkeel.yaml:3:26
        3 | placement: { residency: [eu, Germany] }
          |                          ^^

        error[E0106]: `Germany` is not two capital letters such as `DE`, or `EU`
         --> evenkeel.yaml:3:30
        3 | placement: { residency: [eu, Germany] }
          |                              ^^^^^^^
    "#]],
    );
    check_code(
        "E0107",
        "placement: { residency: [] }",
        expect![[r#"
        error[E0107]: `placement.residency` is empty; it needs at least 1 entry
         --> evenkeel.yaml:3:14
        3 | placement: { residency: [] }
          |              ^^^^^^^^^
    "#]],
    );
}

#[test]
fn a_region_whose_law_or_country_is_listed_is_inside() {
    for good in [
        "placement: { providers: [aws], regions: [eu-central, eu-north-1], residency: [EU] }",
        "placement: { providers: [aws], regions: [eu-central, eu-north-1], residency: [DE, SE] }",
        "placement: { regions: [us-east, europe-west3], residency: [US, EU] }",
        "placement: { providers: [gcp], residency: [CN] }",
    ] {
        check_code("E0213", good, expect![""]);
    }
    let text = "name: s\nservices: { web: { command: [a] } }\nplacement: { residency: [EU, US] }\n";
    let reading = read_bytes(text.as_bytes(), "a", &known, &Vec::new);
    assert_eq!(reading.app.unwrap().placement.residency, ["EU", "US"]);
    assert!(reading.findings.is_empty(), "{:?}", reading.findings);
    // Whoever knows no regions says nothing of codes.
    assert!(crate::read(&text.replace("EU", "XX"), "a").app.is_some());
}
