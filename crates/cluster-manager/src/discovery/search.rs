//! The search: asks a discovery again and again, and has whoever is new joined through.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_failure::{Backoff, BackoffConfig, Jitter};
use cluster_gossip::SharedNodeRegistry;
use cluster_pool::{Resolver, Spawner};
use cluster_types::{Claim, Seed as RandomSeed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Discovery, DiscoveryError};
use crate::clock::Clock;
use crate::driver::Command;
use crate::join::Seed;

/// A discovery that has not answered by then is asked again.
const FIND_PATIENCE: Duration = Duration::from_secs(10);

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
    /// What was wrong the last time, if something was.
    pub last_error: Option<String>,
}

/// What searches stand on.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) own: Claim,
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
            let search = Search { ground: Arc::clone(&ground), discovery, status: Arc::clone(&status) };
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

struct Search {
    ground: Arc<Ground>,
    discovery: Arc<dyn Discovery>,
    status: Arc<Mutex<DiscoveryStatus>>,
}

impl Search {
    async fn run(self, seed: RandomSeed) {
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
    async fn look(&self) {
        let timed = tokio::time::timeout(FIND_PATIENCE, self.find()).await;
        let late = || DiscoveryError::Unavailable {
            what: self.discovery.describe(),
            reason: format!("no answer within {FIND_PATIENCE:?}"),
        };
        let (places, doubt) = match timed.unwrap_or_else(|_elapsed| Err(late())) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "a discovery failed; it is asked again");
                let mut status = lock(&self.status);
                status.failures += 1;
                status.last_error = Some(error.to_string());
                return;
            }
        };
        let strangers = self.strangers(&places);
        {
            let mut status = lock(&self.status);
            status.answers += 1;
            (status.found, status.strangers, status.last_error) = (places.len(), strangers.len(), doubt);
        }
        let Some(commands) = self.ground.commands.upgrade().filter(|_| !strangers.is_empty()) else { return };
        tracing::debug!(?strangers, "found by a discovery");
        // A node that has stopped joins nobody.
        let _ = commands.send(Command::Discovered { seeds: strangers }).await;
    }

    /// Every place that is named, and what is wrong with names that lead nowhere.
    async fn find(&self) -> Result<(BTreeSet<SocketAddr>, Option<String>), DiscoveryError> {
        let (mut places, mut doubt) = (BTreeSet::new(), None);
        let mut names = 0;
        for seed in self.discovery.find().await? {
            match seed {
                Seed::Addr(addr) => drop(places.insert(addr)),
                Seed::Name(name) if names < NAMES_MAX => {
                    names += 1;
                    match self.ground.resolver.resolve(&name).await {
                        Ok(found) => places.extend(found),
                        Err(reason) => doubt = Some(format!("{name} cannot be resolved: {reason}")),
                    }
                }
                Seed::Name(_) => {}
            }
            if places.len() >= ADDRESSES_MAX {
                break;
            }
        }
        Ok((places, doubt))
    }

    /// Where nobody is known to be, or to have been: whoever is lost is looked for by the links, and who left is let go.
    fn strangers(&self, places: &BTreeSet<SocketAddr>) -> Vec<Seed> {
        let members = self.ground.registry.snapshot();
        let known: BTreeSet<SocketAddr> = members.iter().map(|member| member.claim.addr).collect();
        let strange = |addr: &&SocketAddr| **addr != self.ground.own.addr && !known.contains(*addr);
        places.iter().filter(strange).copied().map(Seed::Addr).collect()
    }
}
