//! An application that blocks the very runtime its node was started on: the node itself goes on.

use std::sync::mpsc;
use std::time::Duration;

use cluster_manager::{Cluster, Delivery, EventKind};

use crate::handle::{about, until};

/// Ten times what silence may last in the profile of one machine.
const BLOCKED_FOR: Duration = Duration::from_secs(20);

#[test]
fn an_application_that_blocks_its_runtime_for_20_s_is_suspected_by_nobody() {
    let authority = Cluster::local_authority("test").expect("an authority");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (healthy, blocked) = (runtime(), runtime());
    let a = healthy.block_on(Cluster::local("a", &authority).start()).expect("it starts");
    let b = blocked.block_on(Cluster::local("b", &authority).start()).expect("it starts");
    let mut events = a.subscribe();
    blocked.block_on(b.join([a.local_addr()])).expect("joined");
    healthy.block_on(until(&mut events, "the newcomer", about("joined", "b")));

    let (release, wait) = mpsc::sync_channel::<()>(1);
    let application = std::thread::spawn(move || {
        // Its only thread does nothing but wait, within the runtime.
        blocked.block_on(async move { wait.recv() }).expect("released");
        blocked.block_on(b.shutdown(Duration::from_secs(5)))
    });
    let accusation = async {
        loop {
            let delivery = events.recv().await.expect("it goes on");
            if let Delivery::Event { event, .. } = delivery
                && matches!(event.kind, EventKind::Suspected(..) | EventKind::Failed(..))
            {
                return event;
            }
        }
    };
    let accused = healthy.block_on(async { tokio::time::timeout(BLOCKED_FOR, accusation).await });
    assert!(accused.is_err(), "{accused:?}");
    release.send(()).expect("it waits");
    let report = application.join().expect("no panic");
    assert!(report.is_clean(), "{report}");
    healthy.block_on(a.shutdown(Duration::from_secs(5)));
}
