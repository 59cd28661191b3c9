//! Pools and peers with their steps in any order: shuttle runs the real ones over memory, one step of one task at a time, and draws who is
//! next. A step ends at an await, and within the pool at each `crossing!()`, where on a machine with several cores another thread may come
//! between. What fails prints its schedule; `SHUTTLE_RANDOM_SEED` draws others than the gate's.

mod peers;
mod pools;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_pool::identity::authority::Validity;
use cluster_pool::{
    Authority, ConnectionPool, Credentials, Hello, LinkClass, PoolConfig, PoolEvent, Serving, Spawner, Task, Transport,
};
use cluster_testkit::{MemoryNet, MemoryTransport};
use cluster_types::{Incarnation, Life, NodeId};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::AtomicBool;
use tokio::sync::mpsc;

/// Longer than any time in here: whoever has so much patience is not told that it is over.
const LONG: Duration = Duration::from_secs(100_000);

/// How far the clock goes in a step of its own.
const TICK: Duration = Duration::from_millis(10);

/// A schedule with more steps than this goes round in circles. The longest that ended had a tenth of them.
const STEPS_MAX: usize = 200_000;

/// Runs a test in so many orders, and the half of it again in orders that change hands at three moments only, which is what most races need
/// (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", 2010).
fn in_any_order<F: Future<Output = ()>>(orders: usize, test: impl Fn(Stage) -> F + Clone + Send + Sync + 'static) {
    run(RandomScheduler::new_from_seed(14, orders), test.clone(), shuttle::FailurePersistence::Print);
    run(PctScheduler::new_from_seed(14, 3, orders / 2), test, shuttle::FailurePersistence::Print);
}

/// Whether the test fails in some order: for mistakes that are planted.
fn fails_in_some_order<F: Future<Output = ()>>(
    orders: usize,
    test: impl Fn(Stage) -> F + Clone + Send + Sync + 'static,
) -> bool {
    let all = || run(RandomScheduler::new_from_seed(14, orders), test, shuttle::FailurePersistence::None);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(all)).is_err()
}

fn run<F: Future<Output = ()>>(
    scheduler: impl Scheduler + 'static,
    test: impl Fn(Stage) -> F + Send + Sync + 'static,
    failures: shuttle::FailurePersistence,
) {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config.failure_persistence = failures;
    config.max_steps = shuttle::MaxSteps::FailAfter(STEPS_MAX);
    // Dropped with the thread's other locals after a failure.
    let _crossings = cluster_sites::at_crossings(let_others_run);
    let authority = Authority::generate("test".parse().unwrap(), 1_795_000_000).unwrap();
    let credentials =
        ["a", "b", "c"].map(|name| authority.issue(&name.parse().unwrap(), Validity::days(1_795_000_000, 30)).unwrap());
    let credentials = Arc::new(credentials);
    shuttle::Runner::new(scheduler, config).run(move || {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let clock = Arc::new(clock);
        let _entered = clock.enter();
        drop(shuttle::future::spawn(pass_time(Arc::clone(&clock))));
        shuttle::future::block_on(test(Stage { net: MemoryNet::new(), credentials: Arc::clone(&credentials) }));
        assert_eq!(cluster_sites::take_broken_here(), [], "what holds always");
    });
}

/// A step that does nothing and wants nothing: only somebody else's turn may come before the next one.
fn let_others_run() {
    if shuttle::current::try_get_current_task().is_some() {
        AtomicBool::new(false).load(shuttle::sync::atomic::Ordering::SeqCst);
    }
}

/// Time passes, as fast as it is this task's turn: what waits for a moment is woken at it.
async fn pass_time(clock: Arc<tokio::runtime::Runtime>) {
    loop {
        clock.block_on(tokio::time::advance(TICK));
        shuttle::future::yield_now().await;
    }
}

/// Waits until something holds; a schedule in which it never does has too many steps.
async fn until(mut state: impl FnMut() -> bool) {
    while !state() {
        shuttle::future::yield_now().await;
    }
}

/// Lets others have a few turns.
async fn dawdle(turns: usize) {
    for _ in 0..turns {
        shuttle::future::yield_now().await;
    }
}

#[derive(Debug)]
struct Shuttled;

impl Spawner for Shuttled {
    fn spawn(&self, task: Task) {
        drop(shuttle::future::spawn(task));
    }
}

/// Where the nodes of one order live.
struct Stage {
    net: MemoryNet,
    credentials: Arc<[Credentials; 3]>,
}

/// A node with links.
struct Node {
    pool: ConnectionPool,
    transport: Arc<MemoryTransport>,
    name: NodeId,
    addr: SocketAddr,
    /// Held: without control links nothing comes.
    _events: mpsc::Receiver<PoolEvent>,
}

impl Stage {
    /// Settings for a pool that gives up on whoever does not answer before the schedule is long.
    fn config(bug: Option<cluster_pool::planted::Bug>) -> PoolConfig {
        let mut config = PoolConfig::default();
        config.dial_timeout = Duration::from_millis(500);
        config.bug = bug;
        config
    }

    /// The node of a number, started.
    fn node(&self, number: usize, config: PoolConfig, serving: Serving) -> Node {
        let credentials = &self.credentials[number];
        let transport = Arc::new(self.net.transport(credentials));
        let (name, addr) = (credentials.name().clone(), transport.local_addr());
        let hello = Hello {
            node: name.clone(),
            client: false,
            cluster: credentials.cluster().clone(),
            life: Life::new(1, 1),
            incarnation: Incarnation::from_raw(1),
            addr,
            dial: 0,
            draining: false,
            facts: cluster_types::Facts::NONE,
            meta_version: 0,
            proof: Vec::new(),
        };
        let spawner = Arc::new(Shuttled);
        let (pool, events) = ConnectionPool::start_on(spawner, Arc::clone(&transport) as _, hello, config, serving);
        Node { pool, transport, name, addr, _events: events }
    }
}

impl Node {
    /// Closes the link that there is with another node, if there is one.
    fn cut(&self, other: &NodeId) {
        if let Some(link) = self.pool.current(LinkClass::Data, other) {
            link.close(cluster_pool::CloseCode::DONE);
        }
    }

    /// Places, links that are up, and links that have not ended.
    fn totals(&self) -> [usize; 3] {
        let stats = self.pool.stats();
        [stats.places, stats.total.connected, self.pool.open_links(LinkClass::Data)]
    }

    /// Ends it, and nothing is left.
    async fn end(&self) {
        assert!(self.pool.close(LONG).await, "everything ends by itself");
        assert_eq!(self.totals(), [0, 0, 0], "places, links, links that have not ended");
    }
}
