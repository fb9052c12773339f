use model::{FrontReport, FrontSnapshot};
use tokio::io::AsyncReadExt;
use world::{Limits, Tasks};

use super::*;

/// A front's end of the link, and what the agent knows of the front.
struct Linked {
    path: std::path::PathBuf,
    link: watch::Receiver<Link<FrontReport>>,
    _snapshots: watch::Sender<Arc<FrontSnapshot>>,
    tasks: Tasks,
}

impl Linked {
    fn start(name: &str) -> Linked {
        let path = std::env::temp_dir().join(format!("ek-{name}-{}.sock", std::process::id()));
        let listener = bind(&path).unwrap();
        let (snapshots, latest) = watch::channel(Arc::new(FrontSnapshot::default()));
        let (out, link) = watch::channel(Link::default());
        let tasks = Tasks::new();
        tasks.spawn("link", serve(listener, latest, out, Clock::real(), tasks.stop()));
        Linked { path, link, _snapshots: snapshots, tasks }
    }

    async fn front(&self) -> UnixStream {
        let mut front = UnixStream::connect(&self.path).await.unwrap();
        front.read_u8().await.unwrap();
        front
    }

    /// Whether the agent gets to hear of the front, or that it is gone.
    async fn becomes(&mut self, heard: bool) {
        let wanted = self.link.wait_for(|link| link.heard.is_some() == heard);
        tokio::time::timeout(Duration::from_secs(20), wanted).await.expect("never").unwrap();
    }

    async fn end(self) {
        let _ = std::fs::remove_file(&self.path);
        assert_eq!(self.tasks.shutdown(Limits::default()).await, Vec::<String>::new());
    }
}

async fn report(front: &mut UnixStream) {
    let mut line = serde_json::to_vec(&FrontReport::default()).unwrap();
    line.push(b'\n');
    front.write_all(&line).await.unwrap();
}

#[tokio::test]
async fn a_report_without_end_ends_the_link_and_not_the_agent() {
    let mut linked = Linked::start("endless");
    let mut front = linked.front().await;
    report(&mut front).await;
    linked.becomes(true).await;
    let mut sent = 0;
    while front.write_all(&[b' '; 4096]).await.is_ok() {
        sent += 4096;
        assert!(sent < 8 * REPORT_BYTES_MAX, "it was read without end");
    }
    linked.becomes(false).await;
    let mut front = linked.front().await;
    report(&mut front).await;
    linked.becomes(true).await;
    linked.end().await;
}
