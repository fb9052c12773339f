//! Packets that come late, out of this process's hands: kernels without `netem` hold none.
//!
//! The host's port leaves the switch, and what stands in its place is a second pair of links. Behind both ends is a
//! device whose packets this process reads and writes (`macvtap`), so all that passes between the two passes here.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat};
use world::{Chance, Limits, Stop, Tasks};

/// Largest packet: what the kernel leaves uncut for whoever takes it on, with a head that says so.
const PACKET_MAX: usize = (1 << 16) + 256;
/// Between two looks: a fiftieth of what a packet is late.
const LOOK: Duration = Duration::from_millis(1);

/// How late, and how many never.
#[derive(Clone, Copy, Debug)]
pub struct Slowness {
    /// Each packet is held for so long, each way.
    pub hold: Duration,
    /// Give or take up to this share of it. Packets of one way do not overtake each other.
    pub jitter: f64,
    /// This share is lost.
    pub lost: f64,
    /// Fixes jitter and loss.
    pub seed: u64,
}

/// What a slow link did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Packets held and then let go.
    pub held: u64,
    /// Packets lost.
    pub lost: u64,
}

/// A host's slow link. [`Slow::end`] makes it quick again; without, it goes with the lab.
pub struct Slow {
    switch: String,
    port: String,
    tasks: Tasks,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    held: AtomicU64,
    lost: AtomicU64,
}

/// Whether packets can be held here; tried in a network that is gone with the trial.
pub fn possible() -> bool {
    let words =
        "ip link add ek0 type veth peer name ek1 && ip link add link ek0 name ek2 type macvtap mode passthru";
    let mut trial = Command::new("unshare");
    trial.args(["--net", "sh", "-c", words]).stdout(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}

impl Slow {
    /// Puts this process between `port` of the bridge `br0` in the namespace `switch` and the bridge. What is on its way
    /// in these milliseconds is lost. Must be called within a tokio runtime.
    pub(super) fn begin(switch: String, port: String, how: Slowness) -> Result<Slow> {
        let (near, far, pair) = (format!("{port}n"), format!("{port}f"), format!("{port}s"));
        let lines = format!(
            "link add {pair} type veth peer name {pair}x\nlink add link {pair}x name {far} type macvtap mode passthru\n\
             link set {far} up\nlink set {pair}x up\nlink set {pair} up\nlink set {port} nomaster\n\
             link add link {port} name {near} type macvtap mode passthru\nlink set {near} up\nlink set {pair} master br0\n"
        );
        let (tasks, counts) = (Tasks::new(), Arc::new(Counts::default()));
        let slow = Slow { switch, port, tasks, counts };
        slow.ip(&lines)?;
        let (near, far) = (Arc::new(slow.open(&near)?), Arc::new(slow.open(&far)?));
        let mut chance = Chance::from_seed(how.seed);
        for (name, from, to) in [("out", near.clone(), far.clone()), ("in", far, near)] {
            let way = Way { from, to, how, chance: chance.split(), counts: slow.counts.clone() };
            slow.tasks.spawn(format!("slow {} {name}", slow.port), way.pass(slow.tasks.stop()));
        }
        Ok(slow)
    }

    /// What is held is let go at once, and the port is in the switch again.
    pub async fn end(self) -> Result<Passed> {
        let Slow { tasks, counts, switch, port } = self;
        tasks.shutdown(Limits::default()).await;
        // The devices go with the links that they are on.
        let lines = format!("link del {port}n\nlink del {port}s\nlink set {port} master br0\n");
        ip(&switch, &lines)?;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Ok(Passed { held: count(&counts.held), lost: count(&counts.lost) })
    }

    fn ip(&self, lines: &str) -> Result<()> {
        ip(&self.switch, lines)
    }

    /// Opens a device of the switch through a node of our own: the system's may be of another network's. A second opening
    /// would take half of its packets.
    fn open(&self, device: &str) -> Result<File> {
        let words = format!("cat /sys/class/net/{device}/tap*/dev");
        let told = Command::new("ip").args(["netns", "exec", &self.switch, "sh", "-c", &words]).output()?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let numbers = told.split_once(':').and_then(|(major, minor)| number(major).zip(number(minor)));
        let (major, minor) = numbers.with_context(|| format!("`{device}` has no number"))?;
        let node = Path::new("/dev").join(format!("{}-{device}", self.switch));
        mknodat(CWD, &node, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(major, minor))?;
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).write(true).custom_flags(flags).open(&node);
        fs::remove_file(&node)?;
        file.with_context(|| format!("cannot open `{device}`"))
    }
}

fn ip(namespace: &str, lines: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no way to `ip`")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// One way of a slow link.
struct Way {
    from: Arc<File>,
    to: Arc<File>,
    how: Slowness,
    chance: Chance,
    counts: Arc<Counts>,
}

impl Way {
    async fn pass(mut self, stop: Stop) {
        let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut buffer = vec![0; PACKET_MAX];
        while !stop.is_requested() {
            // None is there now, or its device is gone.
            while let Ok(length) = (&*self.from).read(&mut buffer) {
                self.take(&buffer[..length], &mut held);
            }
            let now = Instant::now();
            while held.front().is_some_and(|(due, _)| *due <= now)
                && let Some((_, packet)) = held.pop_front()
            {
                self.let_go(&packet);
            }
            tokio::time::sleep(LOOK).await;
        }
        held.iter().for_each(|(_, packet)| self.let_go(packet));
    }

    fn take(&mut self, packet: &[u8], held: &mut VecDeque<(Instant, Vec<u8>)>) {
        if self.chance.chance(self.how.lost) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let share = 1.0 + self.how.jitter * (2.0 * self.chance.unit() - 1.0);
        let due = Instant::now() + self.how.hold.mul_f64(share);
        let last = held.back().map_or(due, |(last, _)| *last);
        held.push_back((due.max(last), packet.to_vec()));
    }

    fn let_go(&self, packet: &[u8]) {
        // What does not fit into the kernel's queue is lost, as in any switch.
        let written: io::Result<usize> = (&*self.to).write(packet);
        let count = if written.is_ok() { &self.counts.held } else { &self.counts.lost };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
