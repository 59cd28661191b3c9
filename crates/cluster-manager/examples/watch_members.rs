//! A node that watches: a snapshot first, then every change, numbered. Three others come, say what they are, and go.
//! `cargo run --package cluster-manager --example watch_members`
//!
//! ```text
//! 0: only watcher
//! 1: web-1 joined, role web
//! ...
//! 9: web-1 left
//! ```
#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use cluster_manager::{Authority, Cluster, Delivery, Event, EventKind, MemberTable, Subscription};

/// Follows the members until `last` has left. A reader that falls behind is told how far, and goes on from a snapshot.
async fn watch(mut events: Subscription<MemberTable, Event>, last: &str) {
    while let Some(delivery) = events.recv().await {
        match delivery {
            Delivery::Snapshot { seq, state } => {
                let names: Vec<&str> = state.iter().map(|member| member.node().as_str()).collect();
                println!("{seq}: only {}", names.join(", "));
            }
            Delivery::Event { seq, event } => {
                let node = event.kind.node().map(ToString::to_string).unwrap_or_default();
                match &event.kind {
                    EventKind::Joined(member) | EventKind::Updated(member) => {
                        let role = member.metadata.value("role").unwrap_or("not known yet");
                        println!("{seq}: {node} {}, role {role}", event.kind.as_str());
                    }
                    kind => println!("{seq}: {node} {}", kind.as_str()),
                }
                if matches!(&event.kind, EventKind::Left(_)) && node == last {
                    return;
                }
            }
            Delivery::Lagged { missed } => println!("({missed} events were missed)"),
        }
    }
}

async fn visit(name: &str, through: &Cluster, authority: &Authority) -> Result<(), Box<dyn std::error::Error>> {
    let role = ("role".to_owned(), name.split('-').next().unwrap_or(name).to_owned());
    let mut metadata = Ok(());
    let builder = Cluster::local(name, authority).configure(|config| metadata = config.set_metadata([role]));
    metadata?;
    let node = builder.start().await?;
    node.join([through.local_addr()]).await?;
    node.shutdown(Duration::from_secs(8)).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let authority = Cluster::local_authority("example")?;
    let watcher = Cluster::local("watcher", &authority).start().await?;
    let visitors = async {
        for name in ["web-1", "web-2", "db-1"] {
            visit(name, &watcher, &authority).await?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (visited, ()) = tokio::join!(visitors, watch(watcher.subscribe(), "db-1"));
    visited?;
    watcher.shutdown(Duration::from_secs(8)).await;
    Ok(())
}
