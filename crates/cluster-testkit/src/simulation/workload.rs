//! What runs on each node of a simulation, and what it knows of itself.

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cluster_manager::{Cluster, NodeId};
use cluster_types::Seed;

/// A node, as its workload and the invariants see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SimNode {
    pub(crate) index: usize,
    pub(crate) cluster: Cluster,
    pub(crate) seed: Seed,
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
    Arc::new(move |node| {
        let work = workload(node);
        Box::pin(Caught(Box::pin(async move { work.await.error() })))
    })
}

/// A panic in a task would be told to nobody who asks.
struct Caught(Pin<Box<dyn Future<Output = Option<String>> + Send>>);

impl Future for Caught {
    type Output = Option<String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<String>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Some(format!("it panicked: {}", words(&*panic)))),
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
