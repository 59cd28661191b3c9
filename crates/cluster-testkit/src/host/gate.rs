//! The tasks of one simulated process: run, stopped, or dead.
//!
//! A stopped process is one none of whose tasks is polled: not its timers, not its sockets, not its user's code. What wakes a
//! task meanwhile is remembered, and happens when the process goes on. This is what SIGSTOP does, and not packet loss.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use cluster_pool::{Spawner, Task};
use cluster_types::Seed;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::panics::{Troubles, poll_catching};
use crate::{reachable, sometimes};

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const DEAD: u8 = 2;
/// Only what the transport has spawned runs.
const HALF: u8 = 3;

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    mode: AtomicU8,
    /// Tasks that were to run while stopped, in the order in which they were woken.
    parked: Mutex<Vec<Waker>>,
    /// In the order in which they were spawned; those that have ended are dropped when the list has doubled.
    tasks: Mutex<Vec<Tracked>>,
    live: AtomicUsize,
    /// Of these, the transport's own.
    live_transport: AtomicUsize,
    troubles: Troubles,
    /// Whose tasks, in words.
    whose: String,
    /// Draws which tasks wait a turn; those that are woken first run first when nothing is said.
    order: Option<Seed>,
    turns: AtomicU64,
}

/// Of so many turns of its tasks a gate puts one off: others that are ready run first.
const PUT_OFF: u64 = 6;

#[derive(Debug)]
struct Tracked {
    handle: AbortHandle,
    /// Where it was spawned, where backtraces are asked for (`RUST_BACKTRACE=1`).
    origin: Backtrace,
}

/// Lets the tasks of one process run, or not. Clones are the same gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Inner>);

impl Gate {
    pub(crate) fn new(runtime: Handle, whose: String, troubles: Troubles) -> Self {
        Self(Arc::new(Inner {
            runtime,
            mode: AtomicU8::new(RUNNING),
            parked: Mutex::default(),
            tasks: Mutex::default(),
            live: AtomicUsize::new(0),
            live_transport: AtomicUsize::new(0),
            troubles,
            whose,
            order: None,
            turns: AtomicU64::new(0),
        }))
    }

    /// As [`new`](Self::new), with tasks that run in an order that the seed draws, and not in the one in which they are woken.
    pub(crate) fn shuffled(runtime: Handle, whose: String, troubles: Troubles, order: Seed) -> Self {
        let mut gate = Self::new(runtime, whose, troubles);
        if let Some(inner) = Arc::get_mut(&mut gate.0) {
            inner.order = Some(order);
        }
        gate
    }

    /// Whether the task whose turn it is lets the others go first.
    fn puts_off(&self) -> bool {
        let Some(order) = self.0.order else { return false };
        let put_off = order.below(self.0.turns.fetch_add(1, Ordering::Relaxed), PUT_OFF) == 0;
        if put_off {
            reachable!("a task lets others go first");
        }
        put_off
    }

    /// Nothing behind it runs until [`resume`](Self::resume).
    pub(crate) fn stop(&self) {
        self.halt(STOPPED);
    }

    /// Nothing but the transport's own tasks runs until [`resume`](Self::resume).
    pub(crate) fn half_stop(&self) {
        self.halt(HALF);
    }

    fn halt(&self, mode: u8) {
        // The dead stay dead.
        if self.0.mode.load(Ordering::Acquire) != DEAD {
            self.0.mode.store(mode, Ordering::Release);
        }
    }

    pub(crate) fn resume(&self) {
        let halted = [STOPPED, HALF].contains(&self.0.mode.load(Ordering::Acquire));
        if halted {
            self.0.mode.store(RUNNING, Ordering::Release);
            let parked = std::mem::take(&mut *self.0.parked.lock().unwrap_or_else(PoisonError::into_inner));
            sometimes!(!parked.is_empty(), "a stopped process has been woken meanwhile");
            parked.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends everything behind it; what it held is dropped when the runtime next turns.
    pub(crate) fn kill(&self) {
        self.0.mode.store(DEAD, Ordering::Release);
        let tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(|task| task.handle.abort());
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.mode.load(Ordering::Acquire) == DEAD
    }

    /// Where the tasks were spawned that have not ended, a line each; nothing where backtraces are not asked for.
    pub(crate) fn origins(&self) -> Vec<String> {
        let tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let live = tasks.iter().filter(|task| !task.handle.is_finished());
        live.filter(|task| task.origin.status() == BacktraceStatus::Captured).map(|task| places(&task.origin)).collect()
    }

    /// How many tasks have not ended.
    pub(crate) fn live(&self) -> usize {
        self.0.live.load(Ordering::Acquire)
    }

    /// How many tasks have not ended, but for the transport's own: a connection that was closed drains for a while.
    pub(crate) fn live_but_transport(&self) -> usize {
        self.live() - self.0.live_transport.load(Ordering::Acquire)
    }
}

impl Gate {
    fn spawn_as(&self, task: Task, transport: bool) {
        if self.0.mode.load(Ordering::Acquire) == DEAD {
            return;
        }
        self.0.live.fetch_add(1, Ordering::AcqRel);
        self.0.live_transport.fetch_add(usize::from(transport), Ordering::AcqRel);
        let handle = self.0.runtime.spawn(Gated { task, transport, gate: self.clone() }).abort_handle();
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.handle.is_finished());
        }
        tasks.push(Tracked { handle, origin: Backtrace::capture() });
    }
}

impl Spawner for Gate {
    fn spawn(&self, task: Task) {
        self.spawn_as(task, false);
    }
}

/// The places of a backtrace that are ours, the nearest first.
fn places(origin: &Backtrace) -> String {
    let text = origin.to_string();
    let ours = |line: &&str| line.contains("cluster-") && !line.contains("host/gate.rs");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(ours).take(4).collect();
    lines.join(" < ")
}

/// A task behind a gate.
struct Gated {
    task: Task,
    /// One of the transport's own.
    transport: bool,
    gate: Gate,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mode = match self.gate.0.mode.load(Ordering::Acquire) {
            HALF if self.transport => RUNNING,
            HALF => STOPPED,
            mode => mode,
        };
        match mode {
            RUNNING if self.gate.puts_off() => {
                // At the end of the queue of those that are ready.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            RUNNING => poll_catching(self.task.as_mut(), cx).unwrap_or_else(|words| {
                self.gate.0.troubles.add(format!("a task of {}: {words}", self.gate.0.whose));
                Poll::Ready(())
            }),
            STOPPED => {
                let mut parked = self.gate.0.parked.lock().unwrap_or_else(PoisonError::into_inner);
                // A task that is woken again and again while stopped waits once.
                if !parked.iter().any(|waker| waker.will_wake(cx.waker())) {
                    parked.push(cx.waker().clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.gate.0.live.fetch_sub(1, Ordering::AcqRel);
        self.gate.0.live_transport.fetch_sub(usize::from(self.transport), Ordering::AcqRel);
    }
}

/// quinn's tasks belong to the process as well.
impl Runtime for Gate {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, task: Task) {
        self.spawn_as(task, true);
    }

    fn wrap_udp_socket(&self, _socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::other("a simulated process has no real sockets"))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::time::{Instant as Moment, advance, sleep};

    /// A task that notes when its timer of a second fired, each time.
    fn ticking(gate: &Gate) -> Arc<Mutex<Vec<Duration>>> {
        let noted: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (notes, began) = (Arc::clone(&noted), Moment::now());
        Spawner::spawn(
            gate,
            Box::pin(async move {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    notes.lock().unwrap().push(began.elapsed());
                }
            }),
        );
        noted
    }

    async fn pass(seconds: u64) {
        for _ in 0..seconds {
            advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn late_timers_fire_on_resume() {
        let gate = Gate::new(Handle::current(), "a test".into(), Troubles::default());
        let noted = ticking(&gate);
        tokio::task::yield_now().await;
        pass(2).await;
        gate.stop();
        pass(5).await;
        assert_eq!(noted.lock().unwrap().len(), 2);
        gate.resume();
        tokio::task::yield_now().await;
        assert_eq!(noted.lock().unwrap().len(), 3, "the timer that ran out meanwhile fires once, late");
        assert_eq!(noted.lock().unwrap()[2], Duration::from_secs(7));
    }

    /// Twenty tasks are ready at once: in which order they ran.
    async fn order(gate: &Gate) -> Vec<usize> {
        let ran: Arc<Mutex<Vec<usize>>> = Arc::default();
        for n in 0..20 {
            let ran = Arc::clone(&ran);
            Spawner::spawn(gate, Box::pin(async move { ran.lock().unwrap().push(n) }));
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        ran.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_tasks_of_a_gate_run_in_an_order_that_the_seed_draws() {
        let gate = |seed| Gate::shuffled(Handle::current(), "a test".into(), Troubles::default(), Seed::new(seed));
        let in_turn: Vec<usize> = (0..20).collect();
        assert_eq!(order(&Gate::new(Handle::current(), "a test".into(), Troubles::default())).await, in_turn);
        let (drawn, again, other) = (order(&gate(3)).await, order(&gate(3)).await, order(&gate(7)).await);
        assert_eq!(drawn, again);
        assert!(drawn != in_turn && other != drawn, "{drawn:?} {other:?}");
        let mut sorted = drawn;
        sorted.sort_unstable();
        assert_eq!(sorted, in_turn, "each ran once");
    }

    #[tokio::test(start_paused = true)]
    async fn half_stopped_only_the_transport_runs() {
        let gate = Gate::new(Handle::current(), "a test".into(), Troubles::default());
        let noted = ticking(&gate);
        let turns: Arc<AtomicUsize> = Arc::default();
        let turning = Arc::clone(&turns);
        let transport = async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                turning.fetch_add(1, Ordering::Relaxed);
            }
        };
        Runtime::spawn(&gate, Box::pin(transport));
        tokio::task::yield_now().await;
        pass(2).await;
        gate.half_stop();
        pass(3).await;
        assert_eq!((noted.lock().unwrap().len(), turns.load(Ordering::Relaxed)), (2, 5));
        gate.resume();
        pass(1).await;
        assert_eq!(turns.load(Ordering::Relaxed), 6);
        assert!(noted.lock().unwrap().len() > 2, "it goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn the_dead_run_no_more_and_let_go_of_everything() {
        let gate = Gate::new(Handle::current(), "a test".into(), Troubles::default());
        let noted = ticking(&gate);
        tokio::task::yield_now().await;
        pass(1).await;
        assert_eq!((gate.live(), Arc::strong_count(&noted)), (1, 2));
        gate.kill();
        pass(1).await;
        assert_eq!((gate.live(), Arc::strong_count(&noted)), (0, 1));
        assert_eq!(noted.lock().unwrap().len(), 1);
        Spawner::spawn(&gate, Box::pin(async {}));
        gate.resume();
        assert_eq!(gate.live(), 0, "nothing starts in a dead process");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_task_is_told() {
        let troubles = Troubles::default();
        let gate = Gate::new(Handle::current(), "node 3".into(), troubles.clone());
        Spawner::spawn(&gate, Box::pin(async { panic!("nothing is {}", 7) }));
        tokio::task::yield_now().await;
        assert_eq!((troubles.all(), gate.live()), (vec!["a task of node 3: it panicked: nothing is 7".to_owned()], 0));
    }
}
