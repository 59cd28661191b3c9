//! What runs on each node of a simulation, and what it knows of itself.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cluster_manager::{Cluster, NodeId};
use cluster_pool::Spawner;
use cluster_types::Seed;

use crate::host::gate::Gate;
use crate::panics::poll_catching;

/// A node, as its workload and the invariants see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SimNode {
    pub(crate) index: usize,
    pub(crate) cluster: Cluster,
    pub(crate) seed: Seed,
    pub(crate) tasks: Gate,
}

impl SimNode {
    /// Its number, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Its handle on the cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeId {
        self.cluster.node()
    }

    /// The other members that it holds to be alive or suspect, by name.
    #[must_use]
    pub fn peers(&self) -> Vec<NodeId> {
        let members = self.cluster.members().into_iter().filter(|member| member.state.is_live());
        members.map(|member| member.node).filter(|node| node != self.name()).collect()
    }

    /// Randomness that repeats with the seed, another for each node and each start of it.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// Spawns a task that belongs to this node's process: it stops, goes on and dies with it, and a panic in it fails the seed.
    /// `tokio::spawn` would put it outside of every process, where a crash does not reach it; that is found at the end.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Spawner::spawn(&self.tasks, Box::pin(task));
    }

    /// Waits in virtual time.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// How a workload may end.
pub trait WorkloadEnd {
    /// What went wrong, in words.
    fn error(self) -> Option<String>;
}

impl WorkloadEnd for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: Debug> WorkloadEnd for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}

pub(crate) type Workload = Arc<dyn Fn(SimNode) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

/// A workload whose end, good, bad or a panic, is an error or none.
pub(crate) fn boxed<F, E>(workload: impl Fn(SimNode) -> F + Send + Sync + 'static) -> Workload
where
    F: Future<Output = E> + Send + 'static,
    E: WorkloadEnd,
{
    let workload = Arc::new(workload);
    Arc::new(move |node| {
        let workload = Arc::clone(&workload);
        // Called within, so that a panic before its first await is caught as well.
        Box::pin(Caught(Box::pin(async move { workload(node).await.error() })))
    })
}

struct Caught(Pin<Box<dyn Future<Output = Option<String>> + Send>>);

impl Future for Caught {
    type Output = Option<String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<String>> {
        poll_catching(self.0.as_mut(), cx).unwrap_or_else(|words| Poll::Ready(Some(words)))
    }
}
