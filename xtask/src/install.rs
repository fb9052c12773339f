//! Brings Debian packages that are missing, without starting any service of theirs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{self, say};

/// A program from outside.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Debian's name.
    pub name: &'static str,
    /// A program (`nft`) or a file (with `/`) that is there once it is installed.
    pub brings: &'static str,
    /// What we need it for.
    pub why: &'static str,
}

const fn package(name: &'static str, brings: &'static str, why: &'static str) -> Package {
    Package { name, brings, why }
}

/// What databases, `up --isolate` and its drills use.
pub const RUN: &[Package] = &[
    package(
        "postgresql-15",
        "/usr/lib/postgresql/15/bin/postgres",
        "`databases:`, a server of its own for each node; Debian's cluster is not used",
    ),
    package("iproute2", "ip", "network namespaces, one a zone, for `up --isolate`"),
    package("nftables", "nft", "dropping a zone's packets in the drill `zone --fault cut`"),
    package("util-linux", "nsenter", "starting processes inside a zone's network namespace"),
];

/// What the tests use on top of [`RUN`].
pub const TEST: &[Package] = &[
    package("procps", "ps", "checking that no process is left behind"),
    package("openssl", "openssl", "certificates of the database nodes in tests"),
    package("python3", "python3", "the script by which machines in a cloud fetch their secrets"),
    package("etcd-server", "etcd", "the store on a cluster of three members"),
    package("jq", "jq", "the commands of docs/databases.md, as they stand there"),
    package("chromium", "chromium", "looking at the console as a person does"),
    package(
        "fonts-dejavu-core",
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        "letters on the console's picture",
    ),
];

/// What the side-by-side measurements use.
pub const BENCH: &[Package] = &[
    package("haproxy", "haproxy", "the peer to measure against"),
    package("nginx", "nginx", "the peer to measure against"),
    package("wrk", "wrk", "the load"),
];

/// What `bench failover` uses on top of [`RUN`] and [`TEST`]. Patroni itself comes from PyPI: Debian's is an older one.
pub const FAILOVER: &[Package] = &[
    package("haproxy", "haproxy", "what leads clients to Patroni's primary"),
    package(
        "python3-venv",
        "/usr/lib/python3.11/ensurepip/__init__.py",
        "an environment of its own for Patroni, the peer to measure against",
    ),
];

/// Installs. Its arguments are the packages. Service starts are forbidden while it runs (Debian policy 9.3.3.1), and
/// what forbade them is taken away again however it ends. A bad moment of the network is tried twice more.
const SCRIPT: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
saved=$policy.evenkeel-saved
restore() {
  rm -f "$policy"
  if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
}
if [ -e "$policy" ] && [ ! -e "$saved" ]; then mv "$policy" "$saved"; fi
trap restore EXIT
trap 'exit 130' INT TERM HUP
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
try() { apt-get install -y -q --no-install-recommends "$@"; }
for pause in 0 5 15; do
  if [ "$pause" -gt 0 ]; then
    echo "==> that failed; refreshing the package lists and trying again in $pause s" >&2
    sleep "$pause"
    apt-get update -q || true
  elif [ -z "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ]; then
    apt-get update -q || true
  fi
  if try "$@"; then exit 0; fi
done
exit 1
"#;

/// Those of `wanted` that are not there.
#[must_use]
pub fn missing(wanted: &[&[Package]]) -> Vec<Package> {
    let there = |p: &Package| {
        if p.brings.contains('/') { Path::new(p.brings).exists() } else { run::find(p.brings).is_some() }
    };
    wanted.iter().flat_map(|list| list.iter()).filter(|p| !there(p)).copied().collect()
}

/// The one line that installs `packages` by hand.
#[must_use]
pub fn line(packages: &[Package]) -> String {
    let names: Vec<&str> = packages.iter().map(|p| p.name).collect();
    format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", names.join(" "))
}

/// Installs what is missing of `wanted`; says what and why first.
///
/// # Errors
/// When something is missing and this is not Debian, or neither root nor `sudo -n` is to be had: then the message
/// holds the line to run by hand. When installing failed three times.
pub fn ensure(wanted: &[&[Package]]) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    say("installing Debian packages; none of their services is started:");
    for package in &missing {
        eprintln!("      {:<18} {}", package.name, package.why);
    }
    if run::find("apt-get").is_none() {
        let programs: Vec<&str> = missing.iter().map(|p| p.brings).collect();
        bail!("this is no Debian: install these by hand, then run this again: {}", programs.join(", "));
    }
    let names = missing.iter().map(|p| p.name);
    let mut command = Command::new("sh");
    if !is_root() {
        let allowed = Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|o| o.status.success());
        if !allowed {
            bail!(
                "installing needs root, and `sudo -n` asks for a password\nhint: run this once, then again what you ran: {}",
                line(&missing)
            );
        }
        command = Command::new("sudo");
        command.args(["-n", "sh"]);
    }
    command.args(["-c", SCRIPT, "install"]).args(names);
    let status = command.status().context("cannot start `sh`")?;
    if !status.success() {
        bail!("installing failed ({status})\nhint: {}", line(&missing));
    }
    Ok(())
}

/// Whether this process may do what root may.
#[must_use]
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    user.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed_and_what_is_not_is_named_in_one_line() {
        let there = package("sh", "sh", "x");
        let gone = package("no-such", "no-such-program", "x");
        let file = package("no-file", "/no/such/file", "x");
        let found = missing(&[&[there, gone], &[file]]);
        let expected =
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends no-such no-file";
        assert_eq!(line(&found), expected);
    }

    /// Plays the script with an `apt-get` that fails twice, in a folder of its own.
    #[test]
    fn two_bad_moments_of_the_network_are_survived_and_service_starts_allowed_again() {
        let folder = std::env::temp_dir().join(format!("evenkeel-install-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let policy = folder.join("policy-rc.d");
        std::fs::write(&policy, "theirs").unwrap();
        let apt = "#!/bin/sh\n[ \"$1\" = update ] && exit 0\ncat \"$POLICY\" >> \"$TRIES\"\n[ $(grep -c 101 \"$TRIES\") -ge \"$GOOD\" ]\n";
        for (name, text) in [("apt-get", apt), ("sleep", "#!/bin/sh\n")] {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            Command::new("chmod").arg("755").arg(&path).status().unwrap();
        }
        let script = SCRIPT.replace("/usr/sbin/policy-rc.d", &policy.display().to_string());
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let play = |good: &str, tries: &str| {
            let tries = folder.join(tries);
            let mut command = Command::new("sh");
            command.args(["-c", &script, "install", "x"]).env("PATH", &path).env("GOOD", good);
            let output = command.env("POLICY", &policy).env("TRIES", &tries).output().unwrap();
            let count = std::fs::read_to_string(tries).unwrap().matches("exit 101").count();
            assert_eq!(std::fs::read_to_string(&policy).unwrap(), "theirs", "the policy is put back");
            (output.status.success(), count)
        };
        assert_eq!(play("3", "a"), (true, 3));
        assert_eq!(play("1", "b"), (true, 1));
        assert_eq!(play("4", "c"), (false, 3));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
