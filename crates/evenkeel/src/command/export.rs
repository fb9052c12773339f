//! `evenkeel export`.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Export};
use crate::say;
use crate::wire::site::Site;

use super::export_cloud::{self, Tool};

/// Prints the asked description on standard output, or makes the asked files.
pub fn run(what: &Export, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
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
        Export::Terraform(args) => return export_cloud::run(Tool::Terraform, args, site, json),
        Export::Cloudformation(args) => return export_cloud::run(Tool::Cloudformation, args, site, json),
    }
    Ok(ExitCode::SUCCESS)
}
