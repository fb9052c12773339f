//! `evenkeel export`.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Export};
use crate::say;

/// Prints the asked description on standard output.
pub fn run(what: &Export) -> anyhow::Result<ExitCode> {
    match what {
        Export::Schema => {
            say::data(format_args!("{:#}\n", spec::schema()))?;
        }
        Export::Reference => {
            say::data(spec::reference())?;
        }
        Export::Completion { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "evenkeel", &mut text);
            say::data(String::from_utf8_lossy(&text))?;
        }
        Export::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            say::data(String::from_utf8_lossy(&text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
