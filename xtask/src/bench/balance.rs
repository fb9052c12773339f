//! `bench balance`: our front beside HAProxy and nginx, by CPU time of the proxy for one request.
//!
//! CPU time, not requests per second: it says the same when the load generator or a neighbour is the bottleneck, and
//! it is what a bill is made of. Each round measures every subject once, the order turned around in every second
//! round; a ratio is made within a round, and the median of the rounds is given. Peers run with the least they can be
//! configured with, ours with everything it always does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use super::report::{Report, Row};
use crate::install;
use crate::run::{self, cargo, find, say};

const ROUNDS: usize = 5;
const SECONDS: u64 = 3;
/// A proxy that used less of its core was not the one that was measured.
const USED_MIN: f64 = 0.6;
/// A subject answers within this after its start, or the measurement ends.
const START: Duration = Duration::from_secs(20);
/// Where replicas listen.
const BACKEND: &str = "127.0.0.1:18480";
/// Where subjects listen, in the order of `SUBJECTS`.
const PORTS: [u16; 3] = [18481, 18482, 18483];
const SUBJECTS: [&str; 3] = ["evenkeel", "haproxy", "nginx"];
/// What a browser sends besides, so that parsing headers counts as it does in life.
const HEADERS: [&str; 5] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=0123456789abcdef0123456789abcdef",
];

/// One way of loading a proxy.
struct Load {
    name: &'static str,
    connections: u32,
    path: &'static str,
    close: bool,
}

const LOADS: [Load; 4] = [
    Load { name: "h1-64-1k", connections: 64, path: "/1k", close: false },
    Load { name: "h1-512-1k", connections: 512, path: "/1k", close: false },
    Load { name: "h1-64-64k", connections: 64, path: "/64k", close: false },
    Load { name: "h1-close-1k", connections: 64, path: "/1k", close: true },
];

/// A process that is ended with its group when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // `setsid` made it the leader of a group; `kill` is part of every system, signals are not part of `std`.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// One measurement of one subject.
struct Sample {
    cpu_us: f64,
    used: f64,
    fault: Option<String>,
}

/// Measures every load; see the module.
pub(super) fn balance(options: &Options, report: &mut Report) -> Result<()> {
    install::ensure(&[install::BENCH])?;
    run::run(cargo(&["build", "--release", "-p", "evenkeel"]))?;
    let folder = std::env::temp_dir().join(format!("evenkeel-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(options, &folder, report);
    let _ = fs::remove_dir_all(&folder);
    measured
}

fn measure(options: &Options, folder: &Path, report: &mut Report) -> Result<()> {
    let cases: Vec<&str> = LOADS.iter().map(|load| load.name).collect();
    let chosen = options.choose(&cases)?;
    let _backend = backend(folder)?;
    let subjects = [evenkeel(folder)?, haproxy(folder)?, nginx(folder)?];
    for port in PORTS {
        wait_for(&format!("127.0.0.1:{port}"))?;
    }
    let seconds = options.seconds.unwrap_or(SECONDS);
    let wanted = options.rounds.unwrap_or(ROUNDS);
    for load in LOADS.iter().filter(|load| chosen.contains(&load.name)) {
        let mut rounds: Vec<[f64; 3]> = Vec::new();
        // A refused round is tried again, not forever: on a busy machine none may be good.
        for round in 0..wanted * 2 {
            if rounds.len() == wanted {
                break;
            }
            let mut cpu = [None; 3];
            let mut order = [0, 1, 2];
            if round % 2 == 1 {
                order.reverse();
            }
            for subject in order {
                let sample = sample(load, PORTS[subject], &subjects[subject], seconds)?;
                let name = SUBJECTS[subject];
                match sample.fault {
                    None => cpu[subject] = Some(sample.cpu_us),
                    Some(fault) => say(&format!("{} {name}: round refused: {fault}", load.name)),
                }
                eprintln!(
                    "      {:<12} {name:<9} {:>7.2} us CPU a request, {:>3.0} % of a core",
                    load.name,
                    sample.cpu_us,
                    sample.used * 100.0
                );
            }
            if let [Some(ours), Some(haproxy), Some(nginx)] = cpu {
                rounds.push([ours, haproxy, nginx]);
            }
        }
        for (peer, name) in [(1, "evenkeel/haproxy"), (2, "evenkeel/nginx")] {
            let ratios = rounds.iter().map(|round| round[peer] / round[0]).collect();
            let row = Row::of(load.name, name, "requests per CPU-second", ratios);
            ensure!(
                row.range.is_some(),
                "no round of `{}` could be used\nhint: measure while nothing else runs on this machine",
                load.name
            );
            report.row(row);
        }
    }
    Ok(())
}

/// Core for the proxy, and for everything else.
fn pinned(core: &str, program: &str) -> Result<Command> {
    let full = find(program).with_context(|| format!("`{program}` is missing"))?;
    let mut command = Command::new("setsid");
    command.args(["taskset", "-c", core]).arg(full).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

fn start(mut command: Command) -> Result<Running> {
    let child = Running(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
    weigh(&child.0);
    Ok(child)
}

/// Across sessions the scheduler shares by session, not by process; without more weight a busy neighbour takes half
/// of the core. Refused without root, and then the share of the core tells.
fn weigh(child: &Child) {
    let _ = fs::write(format!("/proc/{}/autogroup", child.id()), "-10");
}

fn wait_for(address: &str) -> Result<()> {
    let socket: SocketAddr = address.parse()?;
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if let Ok(mut stream) = TcpStream::connect_timeout(&socket, Duration::from_secs(1)) {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /1k HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            let mut line = String::new();
            let read = BufReader::new(stream).read_line(&mut line);
            if read.is_ok() && line.contains(" 200 ") {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("`{address}` does not answer within {} s", START.as_secs())
}

fn nginx_with(folder: &Path, name: &str, core: &str, http: &str) -> Result<Running> {
    let prefix = folder.join(name);
    fs::create_dir_all(&prefix)?;
    let user = if install::is_root() { "user root;" } else { "" };
    let config = format!(
        "daemon off; {user} worker_processes 1; pid {0}/pid; error_log {0}/error.log crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; server_tokens off;\n\
         client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c; uwsgi_temp_path {0}/d; scgi_temp_path {0}/e;\n\
         {http}\n}}\n",
        prefix.display()
    );
    let path = prefix.join("nginx.conf");
    fs::write(&path, config)?;
    let mut command = pinned(core, "nginx")?;
    command.arg("-e").arg(prefix.join("error.log")).arg("-p").arg(&prefix).arg("-c").arg(&path);
    start(command)
}

/// nginx that answers from memory: leaner than the proxies, so that they are what is measured.
fn backend(folder: &Path) -> Result<Running> {
    let files = folder.join("files");
    fs::create_dir_all(&files)?;
    fs::write(files.join("64k"), "x".repeat(64 * 1024))?;
    let small = "x".repeat(1024);
    let http = format!(
        "open_file_cache max=16; sendfile on; tcp_nopush on;\n\
         server {{ listen {BACKEND} backlog=4096; root {};\n\
         add_header X-Request-Id 0123456789abcdef; add_header Cache-Control no-store;\n\
         location = /1k {{ return 200 {small}; }}\n\
         location = /healthz {{ return 200 ok; }} }}",
        files.display()
    );
    let running = nginx_with(folder, "backend", "1", &http)?;
    wait_for(BACKEND)?;
    Ok(running)
}

fn nginx(folder: &Path) -> Result<Running> {
    let http = format!(
        "upstream replicas {{ server {BACKEND}; keepalive 2000; keepalive_requests 100000000; }}\n\
         server {{ listen 127.0.0.1:{} backlog=4096; location / {{ proxy_pass http://replicas; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}",
        PORTS[2]
    );
    nginx_with(folder, "nginx", "0", &http)
}

fn haproxy(folder: &Path) -> Result<Running> {
    let config = format!(
        "global\n  nbthread 1\n  maxconn 4000\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  option forwardfor\n  http-reuse always\n\
         listen front\n  bind 127.0.0.1:{} backlog 4096\n  server r1 {BACKEND} pool-max-conn 2000\n",
        PORTS[1]
    );
    let path = folder.join("haproxy.cfg");
    fs::write(&path, config)?;
    let mut command = pinned("0", "haproxy")?;
    command.args(["-db", "-q", "-f"]).arg(&path);
    start(command)
}

/// Our front as an agent starts it; the agent is played here and hands out one snapshot.
fn evenkeel(folder: &Path) -> Result<Running> {
    let socket = folder.join("agent.sock");
    let listener = UnixListener::bind(&socket)?;
    let endpoint =
        format!("{{\"unit\":\"web-1\",\"zone\":\"a\",\"address\":\"{BACKEND}\",\"draining\":false}}");
    let snapshot = format!(
        "{{\"revision\":1,\"zone\":\"a\",\"listeners\":[{{\"address\":\"127.0.0.1:{}\",\"routes\":[{{\"host\":null,\"to\":\"web\"}}]}}],\
         \"pools\":[{{\"service\":\"web\",\"endpoints\":[{endpoint}],\"probe\":{{\"http\":\"/healthz\"}},\"interval\":1000,\"timeout\":500,\
         \"retries\":2,\"retry\":{{\"attempts\":2,\"budget\":0.2,\"attempt_timeout\":5000,\"retry_unsafe\":false}}}}]}}\n",
        PORTS[0]
    );
    let binary: PathBuf = crate::root().join("target/release/evenkeel");
    let mut command = Command::new("setsid");
    command
        .args(["taskset", "-c", "0"])
        .arg(binary)
        .args(["front", "--threads", "1", "--socket"])
        .arg(&socket);
    command.arg("--access-log").arg(folder.join("access.log")).stdin(Stdio::null()).stdout(Stdio::null());
    let running = start(command)?;
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(snapshot.as_bytes())?;
        // The front's reports are read, as its agent would, until it ends.
        for line in BufReader::new(stream).lines() {
            line?;
        }
        Ok(())
    });
    Ok(running)
}

fn sample(load: &Load, port: u16, subject: &Running, seconds: u64) -> Result<Sample> {
    let mut wrk = pinned("1", "wrk")?;
    wrk.stdout(Stdio::piped()).args(["-t1", &format!("-c{}", load.connections), &format!("-d{seconds}s")]);
    for header in HEADERS {
        wrk.args(["-H", header]);
    }
    if load.close {
        wrk.args(["-H", "Connection: close"]);
    }
    wrk.arg(format!("http://127.0.0.1:{port}{}", load.path));
    let (start, before) = (Instant::now(), cpu_ns(subject.0.id())?);
    let wrk = wrk.spawn().context("cannot start `wrk`")?;
    weigh(&wrk);
    let text = String::from_utf8_lossy(&wrk.wait_with_output()?.stdout).into_owned();
    let (cpu, wall) = (cpu_ns(subject.0.id())? - before, start.elapsed());
    let answer = read_wrk(&text)?;
    let used = cpu as f64 / wall.as_nanos() as f64;
    let mut fault = answer.fault;
    if fault.is_none() && used < USED_MIN {
        fault = Some(format!("only {:.0} % of the core was used", used * 100.0));
    }
    Ok(Sample { cpu_us: cpu as f64 / 1e3 / answer.requests as f64, used, fault })
}

/// CPU time of a process, its threads and its children so far, in nanoseconds.
fn cpu_ns(pid: u32) -> Result<u64> {
    let mut sum = 0;
    let tasks =
        fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    for task in tasks {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    for child in children(pid)? {
        sum += cpu_ns(child).unwrap_or(0);
    }
    Ok(sum)
}

/// From `/proc/*/stat`: the kernel's own list of children is a build option that is often off.
fn children(pid: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(candidate) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name stands in brackets and may hold anything; state and parent follow it.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(pid.to_string().as_str()) {
            found.push(candidate);
        }
    }
    Ok(found)
}

/// What `wrk` says.
struct Answer {
    requests: u64,
    fault: Option<String>,
}

fn read_wrk(text: &str) -> Result<Answer> {
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests = requests.and_then(|(count, _)| count.parse().ok()).filter(|count| *count > 0);
    let bad = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
    let fault = bad.map(|line| line.trim().to_owned());
    Ok(Answer { requests: requests.with_context(|| format!("`wrk` has counted nothing:\n{text}"))?, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_with_wrong_answers_is_refused() {
        let good = "Running 2s test\n  85310 requests in 2.00s, 112.01MB read\nRequests/sec:  42650.1\n";
        let answer = read_wrk(good).unwrap();
        assert_eq!((answer.requests, answer.fault), (85_310, None));
        let bad = format!("{good}  Non-2xx or 3xx responses: 7\n");
        assert_eq!(read_wrk(&bad).unwrap().fault.as_deref(), Some("Non-2xx or 3xx responses: 7"));
        assert!(read_wrk("  0 requests in 2.00s, 0B read\n").is_err());
        assert!(read_wrk("unable to connect").is_err());
    }

    #[test]
    fn cpu_time_counts_children_too() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let listed = children(std::process::id()).unwrap();
        while cpu_ns(child.id()).unwrap() == 0 {}
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(listed.contains(&child.id()), "{listed:?}");
    }
}
