//! The page beside the files: what somebody who has never seen them must know to use them.

use provider::{Export, Options};

use super::fixture::{document, options, plan, variants};

fn readme(export: &Export) -> &str {
    &export.files["README.md"]
}

#[test]
fn every_variable_is_listed_with_its_meaning_those_without_a_default_first() {
    let mut seen = 0;
    for (name, plan, options) in variants() {
        let export = provider::terraform(&plan, &options).unwrap();
        let document = document(&export);
        let asked = readme(&export).split("\n## ").find(|part| part.starts_with("What is asked")).unwrap();
        let rows: Vec<&str> = asked.lines().filter(|line| line.starts_with("| `")).collect();
        let variables = document["variable"].as_object().unwrap();
        assert_eq!(rows.len(), variables.len(), "{name}: {asked}");
        for (variable, body) in variables {
            let about = body["description"].as_str().unwrap();
            let default = match body.get("default") {
                Some(default) => format!("`{}`", default.as_str().unwrap()),
                None => "none: yours to give".to_owned(),
            };
            let row = format!("| `{variable}` | {about} | {default} |");
            assert!(rows.contains(&row.as_str()), "{name}: {row} is not in\n{asked}");
            seen += 1;
        }
        let given = rows.iter().position(|row| !row.ends_with("| none: yours to give |"));
        assert!(
            rows[given.unwrap_or(rows.len())..].iter().all(|row| !row.contains("yours to give")),
            "{name}: {asked}"
        );
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn the_command_for_cloudformation_names_every_parameter() {
    let export = provider::cloudformation(&plan("aws"), &options()).unwrap();
    let page = readme(&export);
    assert!(page.contains("--parameter-overrides BucketSuffix=.. Certificate=.. Image=..`"), "{page}");
    assert!(page.contains("| `BucketSuffix` | 4 to 16 letters and digits of your own"), "{page}");
}

#[test]
fn the_state_folder_is_where_the_flag_put_it() {
    for (state, word) in [
        ("../.evenkeel", "../.evenkeel"),
        ("/srv/shop", "/srv/shop"),
        ("../my state's", "'../my state'\\''s'"),
    ] {
        let options = Options { state: state.to_owned(), ..options() };
        let line = format!("./upload.sh {word} path/to/evenkeel path/to/application`");
        let terraform = provider::terraform(&plan("aws"), &options).unwrap();
        let cloudformation = provider::cloudformation(&plan("aws"), &options).unwrap();
        for export in [terraform, cloudformation] {
            let page = readme(&export);
            assert!(page.contains(&line) && !page.contains('@'), "{page}");
        }
    }
}
