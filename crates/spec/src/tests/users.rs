//! Where users are, and how many of them.

use expect_test::{Expect, expect};

use crate::{KnownPlace, Reading, read_bytes, render};

fn known() -> Vec<KnownPlace> {
    let place = |name: &str, country: &str, north: f64, east: f64| KnownPlace {
        name: name.to_owned(),
        country: country.to_owned(),
        north,
        east,
    };
    vec![
        place("Frankfurt", "DE", 50.12, 8.68),
        place("Hyderabad", "IN", 17.38, 78.46),
        place("Hyderabad", "PK", 25.4, 68.37),
        place("Sao Paulo", "BR", -23.55, -46.64),
    ]
}

fn text(users: &str) -> String {
    format!("name: s\nservices: {{ web: {{ command: [a] }} }}\nplacement: {{ users: [{users}] }}\n")
}

fn read(users: &str) -> Reading {
    read_bytes(text(users).as_bytes(), "a", &Vec::new, &known)
}

#[track_caller]
fn check(users: &str, expected: Expect) {
    let reading = read(users);
    assert_eq!(reading.app.is_none(), reading.has_errors());
    expected.assert_eq(&render(&reading.findings, &text(users), "evenkeel.yaml", false));
}

#[test]
fn a_place_is_a_name_alone_or_with_its_country_or_coordinates() {
    let at = |users: &str| {
        let app = read(users).app.unwrap_or_else(|| panic!("{users}: {:?}", read(users).findings));
        let all = app.placement.users.into_iter();
        all.map(|users| (users.place, users.north, users.east, users.share)).collect::<Vec<_>>()
    };
    let share = |place: &str| format!("{{ place: {place}, share: 100% }}");
    assert_eq!(at(&share("Hyderabad")), [("Hyderabad".to_owned(), 17.38, 78.46, 1.0)]);
    assert_eq!(at(&share("\"Hyderabad, PK\"")), [("Hyderabad, PK".to_owned(), 25.4, 68.37, 1.0)]);
    for same in ["São Paulo", "sao paulo", "SÃO PAULO", "\" Sao Paulo ,br\""] {
        assert_eq!(at(&share(same))[0].1, -23.55, "{same}");
    }
    assert_eq!(at(&share("50.1 -8.7"))[0], ("50.1 -8.7".to_owned(), 50.1, -8.7, 1.0));
    assert_eq!(at(&share("\"-50, 8\""))[0].1, -50.0);
    let thirds =
        "{ place: Frankfurt, share: 33% }, { place: Hyderabad, share: 33% }, { place: 1 1, share: 33.3% }";
    assert_eq!(at(thirds).len(), 3);
    let fifty = vec!["{ place: Frankfurt, share: 2% }"; 50].join(", ");
    assert_eq!(at(&fifty).len(), 50);
}

#[test]
fn an_unknown_place_is_answered_with_one_that_is_near() {
    check(
        "{ place: Franfurt, share: 100% }",
        expect![[r#"
        error[E0214]: `Franfurt` is no place that is known
         --> evenkeel.yaml:3:31
        3 | placement: { users: [{ place: Franfurt, share: 100% }] }
          |                               ^^^^^^^^
        hint: did you mean `Frankfurt`? degrees north and east will do, too: `place: "50.1 8.7"`
    "#]],
    );
    check(
        "{ place: Atlantis, share: 60% }, { place: \"Frankfurt, FR\", share: 40% }",
        expect![[r#"
        error[E0214]: `Atlantis` is no place that is known
         --> evenkeel.yaml:3:31
        3 | placement: { users: [{ place: Atlantis, share: 60% }, { place: "Frankfurt, FR", share: 40%…
          |                               ^^^^^^^^
        hint: write a large city, a capital or a country, in English; degrees north and east will do, too: `place: "50.1 8.7"`

        error[E0214]: `Frankfurt, FR` is no place that is known
         --> evenkeel.yaml:3:64
        3 | …cement: { users: [{ place: Atlantis, share: 60% }, { place: "Frankfurt, FR", share: 40% }] }
          |                                                              ^^^^^^^^^^^^^^^
        hint: write a large city, a capital or a country, in English; degrees north and east will do, too: `place: "50.1 8.7"`
    "#]],
    );
    check(
        "{ place: \"91 8\", share: 100% }",
        expect![[r#"
        error[E0214]: `91 8` is no place that is known
         --> evenkeel.yaml:3:31
        3 | placement: { users: [{ place: "91 8", share: 100% }] }
          |                               ^^^^^^
        hint: write a large city, a capital or a country, in English; degrees north and east will do, too: `place: "50.1 8.7"`
    "#]],
    );
}

#[test]
fn shares_are_above_nothing_and_all_of_the_users_together() {
    check(
        "{ place: Frankfurt, share: 70% }, { place: Hyderabad, share: 40% }",
        expect![[r#"
        error[E0215]: the shares of `users` come to 110%
         --> evenkeel.yaml:3:14
        3 | placement: { users: [{ place: Frankfurt, share: 70% }, { place: Hyderabad…
          |              ^^^^^
        hint: together they must come to 100%, which may be out by 1% where they are rounded
    "#]],
    );
    check(
        "{ place: Frankfurt, share: 98.9% }",
        expect![[r#"
        error[E0215]: the shares of `users` come to 98.9%
         --> evenkeel.yaml:3:14
        3 | placement: { users: [{ place: Frankfurt, share: 98.9% }] }
          |              ^^^^^
        hint: together they must come to 100%, which may be out by 1% where they are rounded
    "#]],
    );
    check(
        "{ place: Frankfurt, share: 0% }, { place: Hyderabad, share: 100% }",
        expect![[r#"
        error[E0107]: `share` is 0%; it must be above that
         --> evenkeel.yaml:3:49
        3 | placement: { users: [{ place: Frankfurt, share: 0% }, { place: Hyderabad, share: 100% }] }
          |                                                 ^^
        hint: remove the place, or give its share of all users, such as `share: 70%`
    "#]],
    );
    check(
        "{ place: Frankfurt, share: 101% }",
        expect![[r#"
        error[E0104]: `share` must be a percentage from 0% to 100%, such as `70%`, not `101%`
         --> evenkeel.yaml:3:49
        3 | placement: { users: [{ place: Frankfurt, share: 101% }] }
          |                                                 ^^^^
    "#]],
    );
    check(
        "{ place: Frankfurt, share: NaN% }",
        expect![[r#"
        error[E0104]: `share` must be a percentage from 0% to 100%, such as `70%`, not `NaN%`
         --> evenkeel.yaml:3:49
        3 | placement: { users: [{ place: Frankfurt, share: NaN% }] }
          |                                                 ^^^^
    "#]],
    );
    check(
        "{ place: Frankfurt }",
        expect![[r#"
        error[E0102]: an entry of `placement.users` has no `share`
         --> evenkeel.yaml:3:22
        3 | placement: { users: [{ place: Frankfurt }] }
          |                      ^^^^^^^^^^^^^^^^^^^^
        hint: add `share:`, a percentage from 0% to 100%, such as `70%`
    "#]],
    );
    check(
        "",
        expect![[r#"
        error[E0107]: `placement.users` is empty; it needs at least 1 entry
         --> evenkeel.yaml:3:14
        3 | placement: { users: [] }
          |              ^^^^^
    "#]],
    );
    let many = vec!["{ place: Frankfurt, share: 2% }"; 51].join(", ");
    assert!(read(&many).findings.iter().any(|finding| finding.code == "E0107"));
}

#[test]
fn whoever_knows_no_places_says_nothing_of_names_and_is_not_asked_for_nothing() {
    let asked = std::cell::Cell::new(0);
    let count = || {
        asked.set(asked.get() + 1);
        Vec::new()
    };
    let users = |users: &str| {
        let reading = read_bytes(text(users).as_bytes(), "a", &Vec::new, &count);
        reading.app.unwrap().placement.users.len()
    };
    assert_eq!((users("{ place: \"1 1\", share: 100% }"), asked.get()), (1, 0));
    assert_eq!((users("{ place: Atlantis, share: 100% }"), asked.get()), (0, 1));
}
