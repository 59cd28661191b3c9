//! What is left of nodes that are gone: nothing. Counts the descriptors of its whole process, so it is alone in it.

use std::time::Duration;

use cluster_manager::{Authority, Cluster, Delivery, FileDiscovery};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// Open descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("readable").count()
}

/// Threads of nodes.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("readable").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("cluster ")).count()
}

/// Two nodes that meet, talk, search and go: told to, or just dropped.
async fn round(authority: &Authority, told: bool) {
    let a = Cluster::local("a", authority).start().await.expect("it starts");
    let search = FileDiscovery::new("/nowhere/seeds");
    let b = Cluster::local("b", authority).discover(search).start().await.expect("it starts");
    let mut events = a.subscribe();
    b.join([a.local_addr()]).await.expect("joined");
    let met = async {
        while let Some(delivery) = events.recv().await {
            if matches!(delivery, Delivery::Event { event, .. } if event.kind.as_str() == "joined") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("they meet");
    let link = a.link(b.node()).await.expect("a link");
    drop(link.open_bi().await.expect("a stream"));
    drop(link);
    if told {
        assert!(b.shutdown(PATIENCE).await.is_clean());
        assert!(a.shutdown(PATIENCE).await.is_clean());
    }
}

/// Descriptors once no thread of a node is left and their number has stayed the same for a while.
async fn at_rest() -> usize {
    let settled = async {
        let (mut last, mut same) = (descriptors(), 0);
        while threads() > 0 || same < 50 {
            tokio::time::sleep(LOOK).await;
            let now = descriptors();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("it comes to rest")
}

#[tokio::test]
async fn nothing_is_left_of_nodes_that_are_gone() {
    let authority = Cluster::local_authority("test").expect("an authority");
    // What is made once for a process is there after it.
    round(&authority, true).await;
    let before = at_rest().await;
    for told in [true, false, true, false] {
        round(&authority, told).await;
    }
    assert_eq!(at_rest().await, before, "descriptors are left, or the count counts something else");
}
