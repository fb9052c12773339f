//! `evenkeel export terraform` and `cloudformation`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use model::Plan;
use provider::{Export, Options, Ports};
use serde_json::{Value, json};

use crate::cli::CloudArgs;
use crate::exit::{self, hinted};
use crate::say;
use crate::wire::site::Site;
use crate::wire::{database, exported, identity};

use super::{check, plan};

/// For which tool files are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Terraform,
    Cloudformation,
}

/// Plans, and makes files of the plan.
pub fn run(tool: Tool, args: &CloudArgs, site: &Site, json: bool) -> anyhow::Result<ExitCode> {
    let (mut app, reading, _) = check::app(&args.file.file, site)?;
    plan::evenkeels_own(&mut app)?;
    // CloudFormation is of AWS alone: among several clouds the plan is that one's.
    let several = app.placement.providers.iter().any(|name| name == "aws");
    let only = (tool == Tool::Cloudformation && several).then_some("aws");
    let plan = plan::make(&app, args.provider.as_deref().or(only), site)?;
    if !plan.feasible {
        for missed in &plan.missed {
            say::talk(format_args!("error: {missed}"));
        }
        say::talk("hint: `evenkeel plan` shows what would meet the objectives");
        return Ok(ExitCode::from(exit::INFEASIBLE));
    }
    let options = options(args, site)?;
    let made = match tool {
        Tool::Terraform => provider::terraform(&plan, &options),
        Tool::Cloudformation => provider::cloudformation(&plan, &options),
    };
    let mut export = made.map_err(|error| hinted(error.to_string(), error.hint()))?;
    let refused = reading.not_run.iter().map(|why| format!("the hosts will refuse this file: {why}"));
    export.notes.splice(0..0, refused);
    if let Some(folder) = &args.output {
        write(folder, &export, &plan, site)?;
    }
    tell(&export, &plan, args.output.as_deref(), json)?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: &CloudArgs, site: &Site) -> anyhow::Result<Options> {
    let ports = Ports {
        units: (engine::PORT_FIRST, engine::PORT_FIRST + (engine::PORT_COUNT - 1)),
        data_front: database::FRONT_PORT,
        server: database::SERVER_PORT,
        keeper: database::KEEPER_PORT,
        each: database::PORTS_EACH,
    };
    let name =
        args.file.file.file_name().map_or_else(|| "evenkeel.yaml".into(), |name| name.to_string_lossy());
    let folder = args.output.as_deref().unwrap_or(Path::new("."));
    Ok(Options {
        ports,
        prepared_image: args.prepared_image,
        file: name.into_owned(),
        state: exported::seen_from(folder, site.root())?.display().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Writes the files, and makes the secrets that the upload takes along.
fn write(folder: &Path, export: &Export, plan: &Plan, site: &Site) -> anyhow::Result<()> {
    exported::write(folder, &export.files)?;
    site.create()?;
    identity::make(&site.identity_dir(), plan, SystemTime::now())
        .context("the secrets of this run were not made")
}

fn tell(export: &Export, plan: &Plan, folder: Option<&Path>, json: bool) -> anyhow::Result<()> {
    if json {
        say::data(format_args!("{}\n", object(export, plan, folder)?))?;
        return Ok(());
    }
    match folder {
        Some(folder) => {
            say::data(report(export, plan))?;
            say::talk(format_args!("wrote `{}`; its README.md says what to do", folder.display()));
        }
        None => {
            say::part(report(export, plan));
            say::data(&export.whole)?;
        }
    }
    Ok(())
}

/// What became of each line, for people.
fn report(export: &Export, plan: &Plan) -> String {
    let mut text = format!(
        "{} on {} {}: {} files, {} USD a month by the bill\n",
        plan.app,
        plan.provider,
        plan.region,
        export.files.len(),
        plan.usd_month
    );
    for line in &export.lines {
        let _ = writeln!(text, "{:>12.2}  {}: {} made", line.usd_month, line.item, line.resources.len());
        if let Some(why) = &line.not_applied {
            let _ = writeln!(text, "              not applied by evenkeel: {why}");
        }
    }
    for extra in &export.extra {
        let _ = writeln!(text, "  beyond it  {} ({})", extra.what, extra.resources.len());
    }
    for note in &export.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn object(export: &Export, plan: &Plan, folder: Option<&Path>) -> anyhow::Result<Value> {
    let lines = export.lines.iter().map(|line| {
        json!({
            "item": line.item,
            "usd_month": line.usd_month,
            "resources": line.resources,
            "not_applied": line.not_applied,
        })
    });
    let extra = export.extra.iter().map(|extra| json!({ "what": extra.what, "resources": extra.resources }));
    let mut object = json!({
        "kind": "export",
        "format_version": 1,
        "app": plan.app,
        "provider": plan.provider,
        "region": plan.region,
        "usd_month": plan.usd_month.usd(),
        "folder": folder,
        "files": export.files.keys().collect::<Vec<_>>(),
        "lines": lines.collect::<Vec<_>>(),
        "beyond_the_bill": extra.collect::<Vec<_>>(),
        "notes": export.notes,
    });
    if folder.is_none() {
        object["document"] = serde_json::from_str(&export.whole).context("the document is no JSON")?;
    }
    Ok(object)
}
