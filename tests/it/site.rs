//! One run of `evenkeel` in a folder of its own, ended and cleared away whatever the test does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::turn::{Turn, measuring, starting};

/// A folder with a file and, once started, what runs from it.
pub struct Site {
    folder: PathBuf,
    _turn: Turn,
}

/// The application every test runs: two replicas a zone, small and quick.
pub const SHOP: &str = "name: shop
objectives: { rto: { zone: 60s } }
placement: { zones: 3 }
services:
  web:
    command: [\"@shop@\", \"--address\", \"${address}\", \"--port\", \"${port}\", \"--journal\", \"${data}/orders.journal\"]
    healthcheck: { http: /healthz, interval: 1s, timeout: 500ms, retries: 2, start_timeout: 10s }
    resources: { cpus: 1, memory: 128M }
    replicas: 6
    deploy: { drain: 10s }
ingress:
  - { listen: \"@port@\", to: web }
";

impl Site {
    /// A new folder with `file` in it; `@shop@` and `@port@` stand for the example's program and a port.
    pub fn new(name: &str, file: &str) -> Site {
        let turn = Turn::take(name);
        let folder = std::env::temp_dir().join(format!("evenkeel-it-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let site = Site { folder, _turn: turn };
        site.write(file);
        site
    }

    /// Replaces the file.
    pub fn write(&self, file: &str) {
        let shop = program("shop");
        let text = file.replace("@shop@", shop.to_str().unwrap()).replace("@port@", ":18080");
        std::fs::write(self.file(), text).unwrap();
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("evenkeel.yaml")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// A command of `evenkeel` on this folder.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("evenkeel"));
        command.current_dir(&self.folder).arg("--state").arg(self.state()).args(words);
        command
    }

    /// Runs a command to its end, within a minute and a half.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Output {
        let _starting = words.contains(&"up").then(starting);
        let _measuring = words.contains(&"drill").then(measuring);
        let output = self.command(words).output().unwrap();
        eprintln!("$ evenkeel {}\n{}{}", words.join(" "), text(&output.stdout), text(&output.stderr));
        output
    }

    /// Runs a command that must end with `code`.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) -> Output {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "evenkeel {}", words.join(" "));
        output
    }

    /// `evenkeel up --detach` with these words, until everything is healthy.
    #[track_caller]
    pub fn up(&self, words: &[&str]) {
        let mut all = vec!["up", "--detach"];
        all.extend_from_slice(words);
        self.expect(0, &all);
    }

    /// `evenkeel status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let output = self.command(&["--json", "status"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the picture is as wanted.
    #[track_caller]
    pub fn until(&self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(started.elapsed() < limit, "not within {limit:?}: {what}\n{status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The addresses of the fronts.
    #[track_caller]
    pub fn entries(&self) -> Vec<std::net::SocketAddr> {
        let status = self.status();
        let entries = status["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry.as_str().unwrap().parse().unwrap()).collect()
    }

    /// Processes that were started from this folder and still run.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.folder.to_str().unwrap().to_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = text(&words).replace('\0', " ");
            let own = entry.file_name().to_str() == Some(&std::process::id().to_string());
            if words.contains(&mark) && !own {
                found.push(words);
            }
        }
        found
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
        let left = self.processes();
        if std::thread::panicking() {
            for log in logs(&self.state()) {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(15).collect();
                eprintln!("--- {}", log.display());
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
            assert!(left.is_empty(), "left running: {left:#?}");
        }
    }
}

fn logs(state: &Path) -> Vec<PathBuf> {
    let mut found = vec![state.join("supervisor.log"), state.join("store/log")];
    for zone in ["a", "b", "c"] {
        found.push(state.join("zones").join(zone).join("agent.log"));
    }
    found
}

/// A unit's value in a status picture.
pub fn unit<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["units"].as_array()?.iter().find(|unit| unit["name"] == name)
}

/// How many replicas are healthy.
pub fn healthy(status: &Value) -> usize {
    let units = status["units"].as_array().map(Vec::as_slice).unwrap_or_default();
    units.iter().filter(|unit| unit["role"] == "replica" && unit["healthy"] == true).count()
}

/// A program built beside this test.
pub fn program(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push(name);
    assert!(path.exists(), "`{}` is not built: run `cargo build --workspace --bins` first", path.display());
    path
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a test that needs root may run; otherwise says so, and fails where everything is required.
pub fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: needs root");
        assert_ne!(std::env::var("EVENKEEL_REQUIRE").as_deref(), Ok("all"), "{test} needs root");
    }
    root
}

/// The last JSON line of a command's output.
#[track_caller]
pub fn last_json(output: &Output) -> Value {
    let text = text(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
