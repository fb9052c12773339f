use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

const SHORT: Limits = Limits { grace_ms: 200, abort_ms: 100 };

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_the_stop_is_aborted_and_named() {
    let tasks = Tasks::new();
    let stop = tasks.stop();
    tasks.spawn("polite", async move { stop.requested().await });
    tasks.spawn("deaf", std::future::pending());
    assert_eq!(tasks.names(), ["polite", "deaf"]);
    assert_eq!(tasks.shutdown(SHORT).await, ["deaf"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_its_thread_does_not_hold_the_shutdown() {
    let tasks = Tasks::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    tasks.spawn("stuck", async move {
        let _ = held.recv();
    });
    tokio::task::yield_now().await;
    assert_eq!(tasks.shutdown(Limits { grace_ms: 20, abort_ms: 20 }).await, ["stuck"]);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_logged_with_the_name_of_its_task_and_harms_no_other() {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(log);
    let tasks = Tasks::new();
    let stop = tasks.stop();
    tasks.spawn("unlucky", async { panic!("no {}", "luck") });
    tasks.spawn("neighbour", async move { stop.requested().await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((tasks.names(), tasks.crashes()), (vec!["neighbour".to_owned()], 1));
    assert!(lines.text().contains("task panicked task=unlucky panic=no luck"), "{}", lines.text());
    assert!(tasks.shutdown(SHORT).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn crashes_and_panics_are_restarted_with_growing_waits_up_to_the_cap() {
    let tasks = Tasks::new();
    let begin = Instant::now();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = starts.clone();
    let restart = Restart { at_once: 1, first_ms: 100, cap_ms: 300, good_run_ms: 1_000 };
    tasks.spawn_restarting("flaky", restart, move |_| {
        let mut seen = seen.lock().unwrap();
        seen.push(begin.elapsed().as_millis());
        let run = seen.len();
        async move {
            match run {
                1 => panic!("first"),
                6 => tokio::time::sleep(Duration::from_secs(2)).await,
                8 => return Ok(()),
                _ => {}
            }
            Err("broken".into())
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    // The seventh start follows a good run, so it is at once again; the eighth waits the first wait.
    assert_eq!(*starts.lock().unwrap(), [0, 0, 100, 300, 600, 900, 2_900, 3_000]);
    assert_eq!(tasks.crashes(), 7);
    assert!(tasks.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_not_restarted_once_the_stop_is_requested() {
    let tasks = Tasks::new();
    let starts = Arc::new(AtomicU32::new(0));
    let seen = starts.clone();
    tasks.spawn_restarting("waits", Restart::default(), move |stop| {
        seen.fetch_add(1, Ordering::SeqCst);
        async move {
            stop.requested().await;
            Err("ended by the stop".into())
        }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(tasks.shutdown(SHORT).await.is_empty());
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_once_the_shutdown_has_begun() {
    let tasks = Tasks::new();
    let (spawner, stop) = (tasks.spawner(), tasks.stop());
    let late = Arc::new(AtomicU32::new(0));
    let seen = late.clone();
    tasks.spawn("parent", async move {
        stop.requested().await;
        spawner.spawn("child", async move {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(tasks.shutdown(SHORT).await.is_empty());
    assert_eq!(late.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn tasks_end_with_their_owner() {
    let (held, mut alive) = tokio::sync::mpsc::channel::<()>(1);
    let tasks = Tasks::new();
    tasks.spawn("orphan", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(tasks);
    assert_eq!(alive.recv().await, None);
}

#[test]
fn waits_never_overflow() {
    let restart = Restart { at_once: 0, first_ms: u64::MAX / 2, cap_ms: 7, good_run_ms: 1 };
    assert_eq!((restart.wait_ms(1), restart.wait_ms(70), restart.wait_ms(u32::MAX)), (7, 7, 7));
    let usual = Restart::default();
    let waits: Vec<u64> = (0..10).map(|crashes| usual.wait_ms(crashes)).collect();
    assert_eq!(waits, [0, 0, 0, 100, 200, 400, 800, 1_600, 3_200, 5_000]);
}
