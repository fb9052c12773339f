use std::fmt::Write;

use clap::{Arg, CommandFactory, Parser};

use super::Cli;
use crate::exit;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/commands.md");

const HEAD: &str = "\
# The commands

`evenkeel COMMAND --help` says the same at the terminal; `evenkeel export completion SHELL` and `evenkeel export man`
print completion and a man page. What scripts read goes to standard output, what people read beside it to standard
error. Colour is used on a terminal only, and not when `NO_COLOR` is set.

<!-- made from the definition of the command line: EVENKEEL_BLESS=1 cargo test -p evenkeel -->
";

/// The page of everything that is not hidden.
fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    let _ = write!(page, "\n## For every command\n\n{}", arguments(&root, true));
    for command in root.get_subcommands() {
        section(command, "evenkeel", &mut page);
    }
    page.push_str("\n## Exit codes\n\n| code | |\n|---|---|\n");
    for line in exit::CODES.lines().skip(1) {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let _ = writeln!(page, "| {code} | {} |", meaning.trim());
    }
    page
}

fn section(command: &clap::Command, above: &str, page: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{above} {}", command.get_name());
    let about =
        command.get_long_about().or(command.get_about()).unwrap_or_else(|| panic!("`{name}` says nothing"));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(page, "\n## `{name}`\n\n{about}.\n\n```text\n{usage}\n```\n");
    let table = arguments(command, false);
    if !table.is_empty() {
        let _ = write!(page, "\n{table}");
    }
    for inner in command.get_subcommands() {
        section(inner, &name, page);
    }
}

/// Arguments as a table; those that every command has are told about once.
fn arguments(command: &clap::Command, global: bool) -> String {
    let named = |arg: &&Arg| !arg.is_hide_set() && arg.is_global_set() == global;
    let standard = |arg: &&Arg| !["help", "version"].contains(&arg.get_id().as_str());
    let rows: Vec<String> = command.get_arguments().filter(named).filter(standard).map(row).collect();
    if rows.is_empty() { String::new() } else { format!("| | |\n|---|---|\n{}", rows.concat()) }
}

fn row(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    let takes = arg.get_action().takes_values();
    let mut text = arg.get_help().unwrap_or_else(|| panic!("`{}` says nothing", arg.get_id())).to_string();
    if takes && !values.is_empty() {
        let one = |value: &clap::builder::PossibleValue| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        };
        let _ = write!(text, ": {}", values.iter().map(one).collect::<Vec<_>>().join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes && !defaults.is_empty() {
        let _ = write!(text, "; default `{}`", defaults.join(" "));
    }
    let short = arg.get_short().map_or(String::new(), |letter| format!("`-{letter}`, "));
    // In a table a bar ends the cell, inside of code too.
    format!(
        "| {short}`{arg}` | {text} |\n",
        arg = arg.to_string().replace('|', "\\|"),
        text = text.replace('|', "\\|")
    )
}

#[test]
fn the_page_says_what_the_program_does() {
    let made = page();
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(PAGE, &made).unwrap();
    }
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        kept == made,
        "docs/reference/commands.md is out of date; refresh it: EVENKEEL_BLESS=1 cargo test -p evenkeel"
    );
}

#[test]
fn what_is_for_the_programs_own_processes_is_on_no_page_and_each_code_is() {
    let page = page();
    for hidden in [
        "front",
        "store-server",
        "supervise",
        "unit-shim",
        "keeper-watchdog",
        "break-health",
        "break-retries",
    ] {
        assert!(
            !page.contains(&format!("`evenkeel {hidden}")) && !page.contains(&format!("--{hidden}")),
            "{hidden}"
        );
    }
    for code in [exit::ERROR, exit::PENDING, exit::INFEASIBLE, exit::BUG, 4, 5] {
        assert!(page.contains(&format!("| {code} | ")), "{code}");
    }
}

#[test]
fn an_agent_on_a_host_needs_its_zone_and_a_store_and_up_takes_one() {
    let agent = ["evenkeel", "agent", "--zone", "a", "--store", "etcd://h1:2379,h2:2379,h3:2379"];
    assert!(Cli::try_parse_from(agent).is_ok());
    let up = ["evenkeel", "up", "--store", "etcd://h1:2379/shop"];
    assert!(Cli::try_parse_from(up).is_ok());
    assert!(Cli::try_parse_from(up.into_iter().chain(["--isolate"])).is_err());
    assert!(Cli::try_parse_from(["evenkeel", "up", "--token", "login"]).is_err(), "a login for no store");
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}
