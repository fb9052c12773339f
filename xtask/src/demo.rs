//! `cargo xtask demo`: the example in three emulated zones, in the foreground.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::install;
use crate::run::{cargo, run};

const EXAMPLE: &str = "examples/shop/evenkeel.yaml";

/// Installs what is missing, builds, and becomes `evenkeel up`. `arguments` go to `up`.
///
/// # Errors
/// When installing, building or starting fails; else it does not return.
pub fn demo(arguments: &[String]) -> Result<()> {
    install::ensure(&[install::RUN])?;
    run(cargo(&["build", "--release", "-p", "evenkeel", "-p", "shop"]))?;
    // Where cargo has put it.
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let binary = crate::root().join(target).join("release/evenkeel");
    eprintln!("{}", what_to_try(install::is_root()));
    let mut up = Command::new(&binary);
    up.arg("up").arg(EXAMPLE).args(arguments).current_dir(crate::root());
    // In place of this process, so that Ctrl-C, the terminal and the exit code are those of `up`.
    let error = up.exec();
    Err(error).with_context(|| format!("cannot start `{}`", binary.display()))
}

fn what_to_try(root: bool) -> String {
    let cut = if root {
        "    evenkeel drill zone b --fault cut          drops its packets both ways; after `cargo xtask demo --isolate`\n"
    } else {
        ""
    };
    format!(
        "
The shop starts in the zones a, b and c of this machine, with its orders in a PostgreSQL of three nodes, one a zone. Its
entries are

    http://127.0.1.1:8080/    http://127.0.2.1:8080/    http://127.0.3.1:8080/

In a second terminal, from this folder:

    alias evenkeel=$PWD/target/release/evenkeel
    evenkeel status --watch                    what runs where, and the link to the console
    evenkeel drill process                     kills one replica under load and measures
    evenkeel drill zone b                      kills a whole zone
    evenkeel drill zone b --fault freeze       stops it: sockets open, nothing answers
{cut}    evenkeel drill front                       kills a front
    evenkeel drill primary --fault freeze      stops the database's primary, and counts what was acknowledged and lost
    evenkeel failover db                       hands the database over to another node, in order
    evenkeel logs db                           what its servers and keepers say
    evenkeel down                              ends everything and keeps the data

Ctrl-C here stops everything gracefully, a second one at once.
"
    )
}
