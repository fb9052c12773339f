use expect_test::{Expect, expect};

use super::*;

/// A file of this test with `text` in it, as a source.
fn written(name: &str, text: &str, keeper: bool, timed: bool) -> Source {
    let path = std::env::temp_dir().join(format!("evenkeel-logs-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    Source { unit: "db-1".to_owned(), path, keeper, timed }
}

#[track_caller]
fn check(text: &str, lines: usize, expected: &str) {
    let source = written(&format!("{lines}-{}", text.len()), text, false, false);
    let (found, end) = tail(&source, lines).unwrap();
    std::fs::remove_file(&source.path).unwrap();
    assert_eq!((String::from_utf8(found.concat()).unwrap().as_str(), end), (expected, text.len() as u64));
}

#[test]
fn the_last_lines_are_whole_lines() {
    check("a\nb\nc\n", 2, "b\nc\n");
    check("a\nb\nc", 2, "b\nc");
    check("a\n", 5, "a\n");
    check("", 5, "");
    check("a\nb\n", 0, "");
    check("a\nb\n", usize::MAX, "a\nb\n");
}

#[test]
fn a_service_and_a_database_are_all_of_their_units() {
    let wanted = |name| {
        let units = ["web-1", "web-22", "edge-a", "web-api-1", "db-1", "data-a"];
        units.into_iter().filter(|unit| is_wanted(unit, Some(name))).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(wanted("web-1"), "web-1");
    assert_eq!(wanted("web"), "web-1 web-22");
    assert_eq!(wanted("web-api"), "web-api-1");
    assert_eq!(wanted("db"), "db-1");
    assert_eq!(wanted("edge"), "edge-a");
    assert_eq!(wanted("w"), "");
    assert!(is_wanted("anything", None));
}

#[track_caller]
fn check_merged(told: &[(&str, bool, &str)], lines: usize, expect: Expect) {
    let told = told.iter().map(|(unit, timed, text)| Told {
        unit: (*unit).to_owned(),
        timed: *timed,
        lines: text.split_inclusive('\n').map(|line| line.as_bytes().to_vec()).collect(),
    });
    let text = |(unit, line): (String, Vec<u8>)| format!("{unit} | {}", String::from_utf8(line).unwrap());
    expect.assert_eq(&merged(told.collect(), lines).into_iter().map(text).collect::<String>());
}

const SERVER: &str = "2026-11-28 16:41:09.100 UTC [7] LOG:  starting
2026-11-28 16:41:09.300 UTC [9] shop@shop ERROR:  no such table
\tselect 1
";
const KEEPER: &str = "2026-11-28T16:41:09.200123Z  INFO database: acts node=db-1 rule=\"open\"\n";

#[test]
fn a_node_tells_what_its_server_and_its_keeper_say_in_the_order_of_time() {
    check_merged(
        &[("db-1", true, SERVER), ("db-1", true, KEEPER)],
        50,
        expect![[r#"
            db-1 | 2026-11-28 16:41:09.100 UTC [7] LOG:  starting
            db-1 | 2026-11-28T16:41:09.200123Z  INFO database: acts node=db-1 rule="open"
            db-1 | 2026-11-28 16:41:09.300 UTC [9] shop@shop ERROR:  no such table
            db-1 | 	select 1
        "#]],
    );
    check_merged(
        &[("db-1", true, SERVER), ("db-1", true, KEEPER)],
        2,
        expect![[r#"
            db-1 | 2026-11-28 16:41:09.300 UTC [9] shop@shop ERROR:  no such table
            db-1 | 	select 1
        "#]],
    );
}

#[test]
fn nodes_are_merged_and_units_without_a_time_are_not() {
    let other = "2026-11-28 16:41:09.250 UTC [7] LOG:  starting\n";
    check_merged(
        &[("db-1", true, SERVER), ("db-2", true, other), ("web-1", false, "b\na\n")],
        50,
        expect![[r#"
            web-1 | b
            web-1 | a
            db-1 | 2026-11-28 16:41:09.100 UTC [7] LOG:  starting
            db-2 | 2026-11-28 16:41:09.250 UTC [7] LOG:  starting
            db-1 | 2026-11-28 16:41:09.300 UTC [9] shop@shop ERROR:  no such table
            db-1 | 	select 1
        "#]],
    );
}

#[test]
fn of_an_agents_log_a_node_has_its_own_lines_and_half_of_one_waits_for_its_end() {
    let other = "2026-11-28T16:41:09.1Z  INFO acts node=db-12\n2026-11-28T16:41:09.1Z  INFO linked\n";
    let source = written("keeper", &format!("{other}{KEEPER}{}", &KEEPER[..60]), true, true);
    let (lines, end) = added(&source, 0).unwrap();
    assert_eq!(lines, [KEEPER.as_bytes()]);
    std::fs::write(&source.path, format!("{other}{KEEPER}{KEEPER}")).unwrap();
    let (lines, _) = added(&source, end).unwrap();
    std::fs::remove_file(&source.path).unwrap();
    assert_eq!(lines, [KEEPER.as_bytes()]);
}
