//! The `evenkeel` command: one file per subcommand in `command/`, and `wire/`, where the parts meet.

// See `say`: these panic when a reader has gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod command;
mod exit;
mod say;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version are no mistakes. Clap's own code for mistakes, 2, means "changes are pending" here.
            let _ = told.print();
            return ExitCode::from(if told.use_stderr() { exit::ERROR } else { 0 });
        }
    };
    // Every panic is our bug, with an exit code of its own.
    let outcome = std::panic::catch_unwind(|| command::run(cli));
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => exit::report(&error),
        Err(_) => {
            say::talk("hint: this is a bug in evenkeel; please report it with the lines above");
            ExitCode::from(exit::BUG)
        }
    }
}
