//! `cargo xtask catalog --from DIR`: the price files of `catalog/`, from tables of facts.
//!
//! What people wrote stays as it is: `sources.csv`, `regions.csv`, `families.csv`, `cpus.csv`, `units.csv`. What is made from
//! `DIR` is written anew: one line a type with its specs, then a price a region, so that git shows what changed. The same
//! facts give the same bytes. Every row is checked; one that is wrong ends the run with its file and line, and nothing is
//! written.

mod facts;
mod performance;
mod tables;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use facts::Hand;

/// Writes the files of `catalog/` that are made, from the tables in the folder after `--from`.
///
/// # Errors
/// A missing argument or table, or a row that is wrong, with its file and line.
pub fn catalog(arguments: &[String]) -> Result<()> {
    let [flag, from] = arguments else {
        bail!("`catalog` needs `--from DIR`, the folder with the tables\nhint: catalog/README.md says which");
    };
    if flag != "--from" {
        bail!("`{flag}` is no flag of `catalog`\nhint: `cargo xtask catalog --from DIR`");
    }
    let into = crate::root().join("catalog");
    for (name, text) in make(Path::new(from), &into)? {
        let path = into.join(name);
        let bytes = text.len();
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        eprintln!("catalog: {name}, {bytes} bytes");
    }
    Ok(())
}

/// The files that are made, with their names; `hand` is the folder with those that people wrote.
fn make(from: &Path, hand: &Path) -> Result<Vec<(&'static str, String)>> {
    let hand = Hand::read(hand)?;
    let table = |name: &str| -> PathBuf { from.join(name) };
    let machines = tables::machines(&table("machines.csv"), &hand)?;
    let coremark = tables::coremark(&table("aws_coremark.csv"), &hand)?;
    Ok(vec![
        ("machines-alicloud.csv", machines.text("alicloud", "ecs")),
        (
            "machines-aws.csv",
            machines.text("aws", "ec2") + &tables::halves(&table("aws_us_east_1.csv"), &machines, &hand)?,
        ),
        ("machines-gcp.csv", machines.text("gcp", "gce")),
        ("caches-aws.csv", tables::caches(&table("aws_elasticache_redis.csv"), &hand)?),
        ("spot-aws.csv", tables::spot(&table("aws_spot_advisor.csv"), &hand)?),
        ("performance.csv", performance::bands(&coremark, &hand)?),
        ("coremark-aws.csv", coremark.text()),
        (
            "units-regions.csv",
            units::per_region(&table("aws_ebs.csv"), &table("aws_data_transfer.csv"), &hand)?,
        ),
    ])
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
