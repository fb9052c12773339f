//! The `evenkeel` command: one file per subcommand in `command/`, and `wire/`, where the parts meet.

mod cli;
mod command;
mod exit;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // `evenkeel status | head` must end quietly, and every other panic is our bug with its own exit code.
    let outcome = std::panic::catch_unwind(|| {
        let cli = cli::Cli::parse();
        command::run(cli)
    });
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => exit::report(&error),
        Err(_) => {
            eprintln!("hint: this is a bug in evenkeel; please report it with the lines above");
            ExitCode::from(exit::BUG)
        }
    }
}
