//! A whole drill, around a fault of the test.

use drill::database::{DatabaseDrill, run_database};
use drill::{Break, BreakError, Injected};
use model::{Fault, FaultKind, FaultTarget};
use world::Stop;

use crate::rig::{Server, present, writers_only};

/// A fault that cannot be made.
struct Refused;

impl Break for Refused {
    fn fault(&self) -> Fault {
        Fault { target: FaultTarget::Primary, kind: FaultKind::Kill }
    }

    fn target(&self) -> String {
        "db-1".to_owned()
    }

    async fn inject(&mut self) -> Result<Injected, BreakError> {
        Err(BreakError::new("another drill is under way"))
    }

    async fn heal(&mut self) -> Result<(), BreakError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_drill_without_a_verdict_leaves_no_tables_either() {
    if !present("a_drill_without_a_verdict") {
        return;
    }
    let server = Server::primary(&[]);
    let (_stopper, stop) = Stop::pair();
    let drill = DatabaseDrill {
        workload: writers_only(server.target()),
        calm_ms: 300,
        event_ms: 300,
        settle_ms: 100,
        objectives: Default::default(),
        rpo_ms: 0,
        status: None,
        stop,
    };
    let refused = run_database(drill, Refused, |_| ()).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(refused)).contains("another drill is under way"));
    let left = server.sql("SELECT relname FROM pg_class WHERE relname LIKE 'drill_%'").await;
    assert_eq!(left, Vec::<String>::new());
}
