//! `cargo xtask`: see [`HELP`].

use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::{bench, catalog, clouds, demo, schemas, soak, test, tidy, timings};

const HELP: &str = "\
cargo xtask COMMAND

  demo [FLAGS OF up]   install what is missing, build, start examples/shop in three emulated zones
  test [--no-install] [ARGUMENTS OF cargo test]
                       install what is missing, run every test; CI=true: formatting and lints first
  ci                   what a change must pass: formatting, lints, and `test` with everything required
  tidy                 the house rules: layers, purity of `decide*`, sizes, banned calls
  bench [NAME] [CASE].. [--json] [--rounds N] [--seconds N] [--keep]
                       measure, beside peers where there are some; without a name: list
  bench failover [--runs N] [--faults A,B] [--async] [--help]
                       failover beside Patroni, etcd and HAProxy
  soak database [--faults N] [--seed S] [--help]
                       break a database again and again under load, and judge what it kept
  catalog --from DIR   make the price files of `catalog/` from tables of facts; for a maintainer
  clouds [--venv DIR]  exports for all clouds, judged by cfn-lint and checkov from PyPI; for a maintainer
  schemas --from DIR   make what the tests of `provider` know of the clouds' resources; for a maintainer
  timings [cold] [change] [test]
                       how long builds and tests take, against their budgets
  help                 this

Packages are installed with their services kept from starting; that needs root or `sudo -n`, else the line to
run by hand is printed. EVENKEEL_REQUIRE=all makes tests fail whose program is missing.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    match command {
        "demo" => demo::demo(rest)?,
        "test" => test::test(rest)?,
        "ci" => test::ci()?,
        "tidy" => return tidy(),
        "bench" => bench::bench(rest)?,
        "soak" => soak::soak(rest)?,
        "catalog" => catalog::catalog(rest)?,
        "clouds" => clouds::clouds(rest)?,
        "schemas" => schemas::schemas(rest)?,
        "timings" => timings::timings(rest)?,
        "help" | "--help" | "-h" => println!("{HELP}"),
        other => bail!("`{other}` is no task\nhint: `cargo xtask help` lists them"),
    }
    Ok(ExitCode::SUCCESS)
}

fn tidy() -> Result<ExitCode> {
    let found = tidy::check(&xtask::root())?;
    for finding in &found {
        println!("{finding}");
    }
    if found.is_empty() {
        eprintln!("tidy: nothing found");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} findings", found.len());
    Ok(ExitCode::FAILURE)
}
