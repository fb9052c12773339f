//! What the engine's tests run besides shell scripts: the shim, a small server, a memory hog, and an agent.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use engine::{Engine, EngineOptions, Shim};
use model::{UnitRecord, ZoneName};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["unit-shim", ..] => engine::shim_main(&words[1..]),
        ["serve", address, sick] => serve(address, Path::new(sick)),
        ["hog", megabytes] => hog(megabytes),
        ["agent", zone, address, state, units] => agent(zone, address, state, units),
        _ => ExitCode::from(2),
    }
}

/// Answers `GET` with 200, or with 503 while the file `sick` is there.
fn serve(address: &str, sick: &Path) -> ExitCode {
    let Ok(listener) = TcpListener::bind(address) else { return ExitCode::FAILURE };
    for stream in listener.incoming().flatten() {
        let mut lines = BufReader::new(&stream).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let status = if sick.exists() { "503 Sick" } else { "200 OK" };
        let _ = (&stream).write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    ExitCode::SUCCESS
}

fn hog(megabytes: &str) -> ExitCode {
    let mut held = Vec::new();
    for _ in 0..megabytes.parse().unwrap_or(0) {
        held.push(vec![1_u8; 1024 * 1024]);
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("held {}", held.len());
    ExitCode::SUCCESS
}

/// Runs the units in the file `units` (JSON) until it is killed.
fn agent(zone: &str, address: &str, state: &str, units: &str) -> ExitCode {
    let read = || -> Option<(ZoneName, IpAddr, Vec<UnitRecord>, PathBuf)> {
        let units = serde_json::from_slice(&std::fs::read(units).ok()?).ok()?;
        Some((ZoneName::new(zone).ok()?, address.parse().ok()?, units, std::env::current_exe().ok()?))
    };
    let Some((zone, address, units, program)) = read() else { return ExitCode::from(3) };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
    else {
        return ExitCode::from(4);
    };
    let options = EngineOptions {
        zone,
        address,
        state_dir: PathBuf::from(state),
        cgroup: None,
        base_dir: PathBuf::from(state),
        shim: Shim { program, arguments: vec!["unit-shim".to_owned()], environment: Vec::new() },
    };
    runtime.block_on(async {
        let tasks = world::Tasks::new();
        let Ok(engine) = Engine::start(options, world::Clock::real(), &tasks) else {
            return ExitCode::from(5);
        };
        engine.want(units);
        println!("started");
        std::future::pending().await
    })
}
