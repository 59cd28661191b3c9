//! What it would cost to hold a lock over the round trip: 64 callers over a simulated path of 20 ms there and back.

use std::sync::Arc;
use std::time::Duration;

use cluster_pool::{PeerConfig, PoolConfig, Router};
use cluster_testkit::net::Latency;
use cluster_testkit::{LinkModel, TestCluster, Wire};
use tokio::runtime::Builder;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::echo::{ECHO, router};

const CALLERS: usize = 64;

pub(crate) fn compare() {
    let took = [false, true].map(|locked| {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let path = LinkModel::lan().with_latency(Latency::Constant(Duration::from_millis(10)));
            let mut cluster = TestCluster::new(Wire::simulated(1, path));
            let a = cluster.node("a", Router::new(), PoolConfig::default());
            let b = cluster.node("b", router(), PoolConfig::default());
            let peer = a.peer(&b, PeerConfig::default());
            peer.request(ECHO, "up?", Duration::from_secs(10)).await.expect("connected");
            let (lock, began) = (Arc::new(Mutex::new(())), Instant::now());
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..CALLERS {
                let (peer, lock) = (peer.clone(), Arc::clone(&lock));
                callers.spawn(async move {
                    let held = if locked { Some(lock.lock().await) } else { None };
                    peer.request(ECHO, "well?", Duration::from_secs(10)).await.expect("answered");
                    drop(held);
                });
            }
            callers.join_all().await;
            began.elapsed()
        })
    });
    println!(
        "{CALLERS} callers at once: {:.0} ms; with a lock held over each round trip {:.0} ms, {:.0} times as long",
        took[0].as_secs_f64() * 1e3,
        took[1].as_secs_f64() * 1e3,
        took[1].as_secs_f64() / took[0].as_secs_f64()
    );
}
