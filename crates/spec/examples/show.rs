//! Prints what the reader says about a file: `cargo run -p spec --example show -- FILE`.
fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let bytes = std::fs::read(&name).unwrap_or_default();
    let started = std::time::Instant::now();
    let text = String::from_utf8_lossy(&bytes);
    let reading = spec::read_bytes(&bytes, &name, &Vec::new, &Vec::new);
    let read = started.elapsed();
    let out = spec::render(&reading.findings, &text, &name, std::env::args().nth(2).is_some());
    println!("{out}");
    eprintln!("read {read:?}, all {:?}", started.elapsed());
    println!("{:#?}\n{:#?}", reading.defaults, reading.not_run);
}
