//! The watchdog of a lease, as `evenkeel keeper-watchdog` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [database::keeper::WATCHDOG, pid, started] => match (pid.parse(), started.parse()) {
            (Ok(pid), Ok(started)) => database::keeper::watchdog_main(pid, started),
            _ => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    }
}
