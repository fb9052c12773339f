//! The pages people read are complete and not out of date.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::field::{Field, Kind, Presence};
use crate::{codes, explain, reference, schema, table};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn the_reference_page_is_what_the_table_says() {
    let path = docs().join("reference/file.md");
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/reference/file.md is out of date; refresh it: EVENKEEL_BLESS=1 cargo test -p spec"
    );
}

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    let pages: BTreeSet<String> = std::fs::read_dir(docs().join("errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    let known: BTreeSet<String> = codes().map(str::to_owned).collect();
    assert_eq!(pages, known);
    for code in &known {
        let page = explain(code).unwrap();
        assert!(
            page.starts_with(&format!("# {code}: ")) && page.ends_with('\n') && page.len() < 1_500,
            "{code}"
        );
        assert_eq!(explain(&code.to_lowercase()), Some(page));
    }
    assert_eq!(explain("E9999"), None);
}

#[test]
fn each_code_is_seen_in_a_test_of_messages() {
    let seen = concat!(
        include_str!("databases.rs"),
        include_str!("messages.rs"),
        include_str!("regions.rs"),
        include_str!("users.rs"),
        include_str!("values.rs"),
        include_str!("hostile.rs"),
        include_str!("whole.rs")
    );
    let missing: Vec<&str> = codes().filter(|code| !seen.contains(code)).collect();
    // E0012 is made without a code in its text.
    assert_eq!(missing, ["E0012"]);
}

#[test]
fn the_table_itself_is_right() {
    let mut rows = 0;
    table::each(&mut |path, field| {
        rows += 1;
        assert!(field.help.ends_with('.') && field.help.len() < 160, "{path}: {}", field.help);
        assert!(!crate::check::is_yes_no(field.name), "{path}");
        if let Presence::Fixed(text, why) = field.presence {
            assert!(
                crate::value::default_of(field, text).is_some(),
                "{path}: the default `{text}` is not accepted"
            );
            assert!(!why.is_empty(), "{path}");
        }
        if let Kind::Word(words) = field.kind {
            assert!(
                words
                    .meant
                    .iter()
                    .all(|(said, word)| words.words.contains(word) && !words.words.contains(said)),
                "{path}"
            );
            assert!(!words.words.iter().any(|word| crate::check::is_yes_no(word)), "{path}");
        }
        let siblings = |field: &Field| match field.kind {
            Kind::Table(shape) => Some(shape),
            _ => None,
        };
        if let Some(shape) = siblings(field) {
            let mut names: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
            names.extend(shape.fields.iter().flat_map(|field| field.aliases));
            names.extend(shape.foreign.iter().map(|(word, _)| word));
            let unique: BTreeSet<&&str> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{path}: a key, alias or foreign word stands twice");
        }
    });
    assert!(rows > 90, "{rows}");
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
