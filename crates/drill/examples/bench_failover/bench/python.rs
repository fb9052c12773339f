//! Patroni in a virtual environment of its own: the version that is measured, whatever Debian has.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The newest when the comparison was made; from PyPI.
pub const PATRONI: &str = "4.1.5";
/// The driver that Patroni recommends.
const PSYCOPG: &str = "3.3.9";
/// Debian's own interpreter: one below a private home folder could not be read by the user `postgres`.
const PYTHON: &str = "/usr/bin/python3";
/// Below it every user may read; kept from one run to the next.
const CACHE: &str = "/var/cache/evenkeel";
/// Written last: an environment without it was broken off.
const WHOLE: &str = "whole";

/// The environment, made when it is not there yet.
///
/// # Errors
/// When Python or its module `venv` is missing, or the packages cannot be had.
pub fn ensure_patroni() -> Result<PathBuf> {
    let folder = Path::new(CACHE).join(format!("patroni-{PATRONI}-psycopg-{PSYCOPG}"));
    if folder.join(WHOLE).exists() {
        return Ok(folder);
    }
    eprintln!("installing Patroni {PATRONI} from PyPI into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    for path in [Path::new(CACHE), &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let mut venv = Command::new(PYTHON);
    run(venv.args(["-m", "venv"]).arg(&folder), "install the package `python3-venv`")?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args([format!("patroni[etcd3]=={PATRONI}"), format!("psycopg[binary]=={PSYCOPG}")]);
    run(&mut pip, "Patroni comes from PyPI: is it within reach?")?;
    fs::write(folder.join(WHOLE), "")?;
    Ok(folder)
}

fn run(command: &mut Command, hint: &str) -> Result<()> {
    // Whatever the caller's mask is, `postgres` must be able to read it.
    let program = command.get_program().to_owned();
    let mut masked = Command::new("sh");
    masked.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(program).args(command.get_args());
    let output = masked.stdin(Stdio::null()).output().context("cannot start `sh`")?;
    ensure!(
        output.status.success(),
        "making Patroni's environment failed: {}\nhint: {hint}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
