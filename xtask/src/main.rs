//! `cargo xtask`: see `help`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match xtask::tidy::check(root) {
        Ok(found) => {
            for f in &found {
                println!("{f}");
            }
            ExitCode::from(u8::from(!found.is_empty()))
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
