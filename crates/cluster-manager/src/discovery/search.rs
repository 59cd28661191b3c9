//! The search: asks a discovery again and again, and has whoever is new joined through.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_failure::{Backoff, BackoffConfig, Jitter};
use cluster_gossip::SharedNodeRegistry;
use cluster_pool::{Resolver, Spawner};
use cluster_types::{Claim, Seed as RandomSeed};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::strangers::Strangers;
use super::{Discovery, DiscoveryError};
use crate::clock::Clock;
use crate::driver::Command;
use crate::join::Seed;

/// A discovery that has not answered by then is asked again.
const FIND_PATIENCE: Duration = Duration::from_secs(10);

/// How long a name of its answer may take to be looked up. What the others lead to is not lost for it.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// Names that one answer may hold, and addresses in all.
const NAMES_MAX: usize = 256;
const ADDRESSES_MAX: usize = 4_096;

/// The shortest time between two questions.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// While alone: the first wait.
const ALONE_FIRST: Duration = Duration::from_secs(1);

/// How a discovery fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiscoveryStatus {
    /// What it asks.
    pub what: String,
    /// How often it has answered.
    pub answers: u64,
    /// How often it has not.
    pub failures: u64,
    /// Places that it named last.
    pub found: usize,
    /// Of these, the ones where no member is known to be.
    pub strangers: usize,
    /// Names and places of its answers that were not looked at, because there were too many, since the start.
    pub left_out: u64,
    /// What was wrong the last time, if something was.
    pub last_error: Option<String>,
}

/// What searches stand on.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) own: Claim,
    /// Where it is bound, which may be another place than the one it advertises.
    pub(crate) bound: SocketAddr,
    pub(crate) registry: SharedNodeRegistry,
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Weak: a search keeps no node alive that everybody has let go of.
    pub(crate) commands: mpsc::WeakSender<Command>,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) clock: Clock,
    pub(crate) seed: RandomSeed,
}

/// The searches of one node. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Searches {
    statuses: Vec<Arc<Mutex<DiscoveryStatus>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Searches {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Searches {
    /// Begins to search.
    pub(crate) fn start(ground: Ground, discoveries: Vec<Arc<dyn Discovery>>) -> Self {
        let (ground, stop, tasks) = (Arc::new(ground), CancellationToken::new(), TaskTracker::new());
        let begin = |(nth, discovery): (usize, Arc<dyn Discovery>)| {
            let status = DiscoveryStatus { what: discovery.describe(), ..DiscoveryStatus::default() };
            let status = Arc::new(Mutex::new(status));
            let (seed, until) = (ground.seed.derive("search", nth as u64), stop.clone());
            let strangers = Strangers::new(ground.seed.derive("strangers", nth as u64));
            let search = Search { ground: Arc::clone(&ground), discovery, status: Arc::clone(&status), strangers };
            ground.spawner.spawn(Box::pin(tasks.track_future(async move {
                let search = search.run(seed);
                // Whatever it is at, it ends there.
                until.run_until_cancelled(search).await;
            })));
            status
        };
        let statuses = discoveries.into_iter().enumerate().map(begin).collect();
        Self { statuses, stop, tasks }
    }

    /// How each fares.
    pub(crate) fn statuses(&self) -> Vec<DiscoveryStatus> {
        self.statuses.iter().map(|status| lock(status).clone()).collect()
    }

    /// Tells them to end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until they have.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn lock(status: &Mutex<DiscoveryStatus>) -> MutexGuard<'_, DiscoveryStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an answer leads to.
struct Places {
    places: BTreeSet<SocketAddr>,
    /// How many there was no room for.
    left_out: u64,
    /// What is wrong with names that lead nowhere.
    doubt: Option<String>,
}

struct Search {
    ground: Arc<Ground>,
    discovery: Arc<dyn Discovery>,
    status: Arc<Mutex<DiscoveryStatus>>,
    strangers: Strangers,
}

impl Search {
    async fn run(mut self, seed: RandomSeed) {
        let period = self.discovery.period().clamp(PERIOD_MIN, Duration::from_secs(24 * 60 * 60));
        let alone = BackoffConfig::new(ALONE_FIRST.min(period), period, Jitter::Equal);
        let mut alone = Backoff::new(alone.unwrap_or_else(|_| BackoffConfig::join()), seed);
        let mut draws = seed.derive("period", 0).stream();
        loop {
            self.look().await;
            let now = self.ground.clock.now();
            let wait = if self.has_company() {
                alone.reset();
                // Spread, so that nodes that started together do not ask together.
                period.mul_f64(0.75 + draws.fraction() / 2.0)
            } else {
                alone.note_failure(now)
            };
            tokio::time::sleep_until(self.ground.clock.at(now + wait)).await;
        }
    }

    fn has_company(&self) -> bool {
        let members = self.ground.registry.snapshot();
        members.iter().any(|member| member.state().is_live() && *member.node() != self.ground.own.node)
    }

    /// One question, and what comes of it.
    async fn look(&mut self) {
        let seeds = match self.ask().await {
            Ok(seeds) => seeds,
            Err(error) => return self.note_failure(&error),
        };
        let Places { places, left_out, doubt } = self.places(seeds).await;
        let now = self.ground.clock.now();
        let strange = self.strange(&places);
        let offered = self.strangers.pick(now, &strange);
        {
            let mut status = lock(&self.status);
            status.answers += 1;
            status.left_out = status.left_out.saturating_add(left_out);
            (status.found, status.strangers, status.last_error) = (places.len(), strange.len(), doubt);
        }
        let Some(commands) = self.ground.commands.upgrade().filter(|_| !offered.is_empty()) else { return };
        tracing::debug!(?offered, "found by a discovery");
        let seeds = offered.into_iter().map(Seed::Addr).collect();
        // A node that has stopped joins nobody.
        let _ = commands.send(Command::Discovered { seeds }).await;
    }

    /// What the discovery answers. It is its user's code: a panic in it is a failure like any.
    async fn ask(&self) -> Result<Vec<Seed>, DiscoveryError> {
        let unavailable = |reason: String| DiscoveryError::Unavailable { what: self.what(), reason };
        let finding = AssertUnwindSafe(async { self.discovery.find().await }).catch_unwind();
        match tokio::time::timeout(FIND_PATIENCE, finding).await {
            Ok(Ok(found)) => found,
            Ok(Err(_panic)) => Err(unavailable("it panicked".to_owned())),
            Err(_elapsed) => Err(unavailable(format!("no answer within {FIND_PATIENCE:?}"))),
        }
    }

    fn what(&self) -> String {
        lock(&self.status).what.clone()
    }

    fn note_failure(&self, error: &DiscoveryError) {
        let words = error.to_string();
        let mut status = lock(&self.status);
        status.failures += 1;
        let is_news = status.last_error.as_ref() != Some(&words);
        status.last_error = Some(words);
        drop(status);
        if is_news {
            tracing::warn!(%error, "a discovery failed; it is asked again");
        }
    }

    /// Every place that is named. All names are looked up at once.
    async fn places(&self, seeds: Vec<Seed>) -> Places {
        let (mut places, mut names) = (BTreeSet::new(), BTreeSet::new());
        for seed in seeds {
            match seed {
                Seed::Addr(addr) => drop(places.insert(addr)),
                Seed::Name(name) => drop(names.insert(name)),
            }
        }
        let mut left_out = names.len().saturating_sub(NAMES_MAX) + self.discovery.take_left_out();
        let resolved = names.into_iter().take(NAMES_MAX).map(|name| async move {
            let lookup = tokio::time::timeout(NAME_PATIENCE, self.ground.resolver.resolve(&name)).await;
            let found = lookup.unwrap_or_else(|_elapsed| Err(format!("no answer within {NAME_PATIENCE:?}")));
            found.map_err(|reason| format!("{name} cannot be resolved: {reason}"))
        });
        let mut doubt = None;
        for found in join_all(resolved).await {
            match found {
                Ok(found) => places.extend(found),
                Err(reason) => doubt = Some(reason),
            }
        }
        left_out += places.len().saturating_sub(ADDRESSES_MAX);
        Places { places: places.into_iter().take(ADDRESSES_MAX).collect(), left_out: left_out as u64, doubt }
    }

    /// Where no member is that takes part, and not this node either.
    fn strange(&self, places: &BTreeSet<SocketAddr>) -> BTreeSet<SocketAddr> {
        let members = self.ground.registry.snapshot();
        let live = members.iter().filter(|member| member.state().is_live()).map(|member| member.claim.addr);
        let mut known: BTreeSet<SocketAddr> = live.collect();
        known.extend([self.ground.own.addr, self.ground.bound]);
        places.difference(&known).copied().collect()
    }
}
