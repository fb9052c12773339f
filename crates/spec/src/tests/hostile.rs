//! Files made to hurt get one clear answer. Times are not asserted; work is: nothing here is more than linear, and the
//! sizes are such that a square of them would not end within a test run.

use expect_test::{Expect, expect};

use crate::{DEPTH_MAX, FILE_MAX, Reading, SHOWN_MAX, read, read_bytes, render};

/// Reads, draws and sums up: number of findings, and the first as `code line:column message`.
fn first(text: &str) -> String {
    summary(&read(text, "evenkeel.yaml"), text)
}

fn summary(reading: &Reading, text: &str) -> String {
    assert!(reading.app.is_none());
    let drawn = render(&reading.findings, text, "evenkeel.yaml", true);
    assert!(drawn.len() < 1_000 * (SHOWN_MAX * 2 + 1), "{} bytes", drawn.len());
    let finding = &reading.findings[0];
    let message: String = finding.message.chars().take(160).collect();
    let place = finding.place;
    format!("{} of {}: {}:{} {message}", finding.code, reading.findings.len(), place.line, place.column)
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&first(text));
}

/// `unit` over and over, at most 1 MiB.
fn filled(unit: &str) -> String {
    unit.repeat(FILE_MAX / unit.len())
}

#[test]
fn a_mebibyte_of_brackets_is_too_deep() {
    check(&filled("["), expect!["E0004 of 1: 1:65 lists and tables are nested more than 32 levels deep"]);
    check(&filled("{"), expect!["E0004 of 1: 1:65 lists and tables are nested more than 32 levels deep"]);
    check(
        &filled("[{a: "),
        expect!["E0004 of 1: 1:161 lists and tables are nested more than 32 levels deep"],
    );
    check(&filled("- "), expect!["E0004 of 1: 1:65 lists and tables are nested more than 32 levels deep"]);
    check(&filled("? "), expect!["E0004 of 1: 1:65 lists and tables are nested more than 32 levels deep"]);
}

#[test]
fn depth_is_counted_the_same_in_both_styles() {
    let flow = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(first(&flow(DEPTH_MAX)).starts_with("E0011"));
    assert!(first(&flow(DEPTH_MAX + 1)).starts_with("E0004"));
    let block = |depth: usize| "- ".repeat(depth) + "x";
    assert!(first(&block(DEPTH_MAX)).starts_with("E0011"));
    assert!(first(&block(DEPTH_MAX + 1)).starts_with("E0004"));
    let indented: String = (0..=DEPTH_MAX).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(first(&indented).starts_with("E0004"));
}

#[test]
fn a_file_over_the_limit_is_not_looked_into() {
    check(
        &"a".repeat(FILE_MAX + 1),
        expect![["E0003 of 1: 1:1 the file has more than 1 MiB; it may have 1048576 bytes (1 MiB)"]],
    );
    let huge = read_bytes(&vec![b'['; 5 * FILE_MAX], "evenkeel.yaml", &Vec::new, &Vec::new);
    expect!["the file has 5242880 bytes; it may have 1048576 bytes (1 MiB)"]
        .assert_eq(&huge.findings[0].message);
}

#[test]
fn a_hundred_thousand_keys_are_counted_and_given_up() {
    let keys: String = (0..100_000).map(|n| format!("k{n}: 1\n")).collect();
    check(&keys, expect!["E0003 of 1: 25000:9 the file has more than 50000 keys and values"]);
    check(
        &filled("[],").replacen("[]", "[[]", 1),
        expect!["E0003 of 1: 1:149999 the file has more than 50000 keys and values"],
    );
}

#[test]
fn mistakes_beyond_a_hundred_are_counted() {
    let keys: String = (0..20_000).map(|n| format!("enviroment{n}: 1\n")).collect();
    let reading = read(&keys, "evenkeel.yaml");
    assert_eq!(reading.findings.len(), SHOWN_MAX + 1);
    expect!["and 19902 more"].assert_eq(&reading.findings[SHOWN_MAX].message);
}

#[test]
fn a_huge_scalar_is_cut_in_messages() {
    check(
        &format!("name: {}", "x".repeat(FILE_MAX - 10)),
        expect!["E0102 of 2: 1:1 the file has no `services`"],
    );
    check(
        &format!("name: a\n? {}\n: 1", "x".repeat(FILE_MAX - 100)),
        expect!["E0102 of 2: 1:1 the file has no `services`"],
    );
    check(
        &format!("name: |\n{}", " y\n".repeat(300_000)),
        expect!["E0102 of 2: 1:1 the file has no `services`"],
    );
    check(
        &format!("name: \"{}\"", "\\x1b".repeat(200_000)),
        expect!["E0102 of 2: 1:1 the file has no `services`"],
    );
    check(
        &format!("services: {{ web: {{ command: [\"{}\"] }} }}", "${".repeat(400_000)),
        expect!["E0102 of 2: 1:1 the file has no `name`"],
    );
    check(
        &format!("services: {{ web: {{ command: [\"{}\"] }} }}", "$ ".repeat(1_500)),
        expect!["E0110 of 101: 1:31 `$` must begin `${name}`"],
    );
}

#[test]
fn long_runs_of_one_sign_are_linear() {
    for unit in [
        "#",
        "# c\n",
        "\n",
        " \n",
        "\t",
        "a",
        "a ",
        "a:",
        "a: ",
        "a\n",
        ": ",
        ":\n",
        "- \n",
        "-\n",
        "\"",
        "'",
        "''",
        "\\",
        "|\n",
        ">\n",
        "&a ",
        "*a ",
        "!a ",
        "!!str ",
        "%",
        "%Y\n",
        "---\n",
        "...\n",
        "--- a\n",
        "<<: ",
        ",",
        "[,",
        "a,",
        "}",
        "]",
        "? a\n",
        "?\n",
        "\u{feff}",
        "\r",
        "\r\n",
        "é",
        "{}\n",
        "[]\n",
        "&a [*a]\n",
        "a: &a [*a]\n",
        "\"\\\n",
        "a #",
        "-- ",
        "? - ",
        "[a, ",
        "- - a\n",
        "a: |\n b\n",
        "`",
        "@",
    ] {
        for prefix in ["", "a: ", "a:\n  ", "[", "{a: ", "\"", "'", "|\n ", "- ", "? ", "# ", "name: x\n"] {
            let mut text = prefix.to_owned();
            text.push_str(&unit.repeat(30_000 / unit.len()));
            first(&text);
        }
    }
}
