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

#[tokio::test]
async fn nothing_is_left_of_nodes_that_are_gone() {
    let authority = Cluster::local_authority("test").expect("an authority");
    // What is made once for a process is there after it.
    round(&authority, true).await;
    let before = descriptors();
    for told in [true, false, true, false] {
        round(&authority, told).await;
    }
    let gone = async {
        while threads() > 0 || descriptors() > before {
            tokio::time::sleep(LOOK).await;
        }
    };
    let left = || format!("{} threads, {} descriptors, {before} before", threads(), descriptors());
    tokio::time::timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{}", left()));
    assert_eq!(descriptors(), before, "fewer than before: the count counts something else");
}
