//! `evenkeel export`.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Export};

/// Prints the asked description on standard output.
pub fn run(what: &Export) -> anyhow::Result<ExitCode> {
    match what {
        Export::Schema => println!("{:#}", spec::schema()),
        Export::Reference => print!("{}", spec::reference()),
        Export::Completion { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "evenkeel", &mut std::io::stdout());
        }
        Export::Man => clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}
