//! Two nodes in one process meet, and part: `cargo run --package cluster-manager --example hello_cluster`
//!
//! ```text
//! a: joined "b"
//! b: leave        done            2 ms  1 of 1 members acknowledged
//! ```
#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use cluster_manager::{Cluster, Delivery};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let authority = Cluster::local_authority("hello")?;
    let a = Cluster::local("a", &authority).start().await?;
    let b = Cluster::local("b", &authority).start().await?;
    let mut events = a.subscribe();
    b.join([a.local_addr()]).await?;
    while let Some(delivery) = events.recv().await {
        if let Delivery::Event { event, .. } = delivery
            && event.kind.as_str() == "joined"
        {
            println!("a: joined {:?}", event.kind.node());
            break;
        }
    }
    println!("b: {}", b.shutdown(Duration::from_secs(8)).await);
    a.shutdown(Duration::from_secs(8)).await;
    Ok(())
}
