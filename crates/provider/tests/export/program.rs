//! The tool itself, where it is installed: Debian, PyPI, npm and crates.io have no Terraform, so nothing requires it.

use std::fs;
use std::process::Command;

use super::fixture::{document, expressions, texts, variants};
use super::scripts::Folder;

fn terraform(folder: &Folder, words: &[&str]) -> Result<(), String> {
    let mut command = Command::new("terraform");
    command.args(words).current_dir(&folder.0).env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1");
    let told = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    if told.status.success() { Ok(()) } else { Err(text) }
}

fn is_here(test: &str) -> bool {
    let found = Command::new("terraform").arg("-version").output().is_ok_and(|told| told.status.success());
    if !found {
        eprintln!(
            "SKIPPED {test}: no `terraform` here; releases are at developer.hashicorp.com/terraform/install"
        );
    }
    found
}

#[test]
fn terraform_reads_every_export() {
    if !is_here("terraform_reads_every_export") {
        return;
    }
    for (name, plan, options) in variants() {
        let folder = Folder::new("terraform");
        let export = provider::terraform(&plan, &options).unwrap();
        for (file, text) in &export.files {
            fs::write(folder.0.join(file), text).unwrap();
        }
        // Reads the whole configuration; needs no provider, as `validate` does.
        terraform(&folder, &["providers"]).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

/// `fmt` looks at no JSON, so that what stands in `${..}` is laid before it in Terraform's own language.
#[test]
fn every_expression_is_written_as_terraform_fmt_writes_it() {
    if !is_here("every_expression_is_written_as_terraform_fmt_writes_it") {
        return;
    }
    let mut all = std::collections::BTreeSet::new();
    for (_, plan, options) in variants() {
        let document = document(&provider::terraform(&plan, &options).unwrap());
        let mut found = Vec::new();
        texts(&document, &mut found);
        all.extend(found.iter().flat_map(|text| expressions(text)).map(str::to_owned));
    }
    assert!(all.len() > 100, "{all:?}");
    let folder = Folder::new("fmt");
    let check = |expressions: &[&str]| {
        // A block each, since `fmt` lines the signs of one block up.
        let blocks = expressions
            .iter()
            .enumerate()
            .map(|(index, text)| format!("locals {{\n  e{index} = {text}\n}}\n"));
        fs::write(folder.0.join("expressions.tf"), blocks.collect::<Vec<_>>().join("\n")).unwrap();
        terraform(&folder, &["fmt", "-check", "-diff", "-no-color"])
    };
    let words: Vec<&str> = all.iter().map(String::as_str).collect();
    check(&words).unwrap_or_else(|why| panic!("{why}"));
    assert!(
        check(&["aws_vpc.main."]).is_err() && check(&["can( var.x )"]).is_err(),
        "the check sees nothing"
    );
}
