//! The end of a node: six phases, each with its limit.

use std::sync::PoisonError;
use std::time::Duration;

use cluster_gossip::swim::FarewellProgress;
use tokio::sync::oneshot;
use tokio::time::Instant as Moment;
use tracing::Instrument;

use super::Cluster;
use crate::driver::Command;
use crate::shutdown::{Phase, PhaseReport, ShutdownReport};

/// What closing takes beside waiting for open streams. It is granted even where no time is left: cut short, the peers would
/// wait for the idle time, and the port would stay taken.
const CLOSING_GRACE: Duration = Duration::from_millis(500);

/// What the end of a thread takes that has nothing left to do.
const THREAD_GRACE: Duration = Duration::from_millis(100);

impl Cluster {
    /// Leaves, and ends everything in six phases within `timeout`, and 0.6 s for closing, which is granted in any case. A second call
    /// waits for the first and returns its report.
    ///
    /// # Cancel safety
    /// Not safe to resume: dropped half way, the rest is done when the handle is dropped.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let mut slot = self.0.shutdown.lock().await;
        if let Some(report) = &*slot {
            return report.clone();
        }
        let span = tracing::info_span!("shutdown", node = %self.0.own.node);
        let report = self.run_phases(timeout).instrument(span).await;
        *slot = Some(report.clone());
        report
    }

    async fn run_phases(&self, timeout: Duration) -> ShutdownReport {
        // More than a year is for ever, and some clocks end.
        let deadline = Moment::now() + timeout.min(Duration::from_secs(365 * 24 * 60 * 60));
        // Before anybody is told goodbye: whoever is there now is to be found again.
        self.0.memory.finish();
        let mut report = ShutdownReport::default();
        for phase in Phase::ALL {
            let started = Moment::now();
            let limit = deadline.min(started + phase.limit());
            let (ok, acks) = self.run_phase(phase, limit).await;
            let took = started.elapsed();
            tracing::info!(phase = phase.as_str(), ?took, ok, "shutdown phase");
            report.phases.push(PhaseReport { phase, took, ok, acks });
        }
        report
    }

    async fn run_phase(&self, phase: Phase, limit: Moment) -> (bool, Option<(usize, usize)>) {
        match phase {
            Phase::Leave => {
                let (ok, progress) = self.say_goodbye(limit).await;
                (ok, Some((progress.acknowledged, progress.asked)))
            }
            Phase::Gossip => {
                let (done, stopped) = oneshot::channel();
                self.0.searches.stop();
                let stop = async {
                    if self.command(Command::Stop { done }).await.is_some() {
                        // An error means that it has stopped already.
                        let _ = stopped.await;
                    }
                };
                // Both at once: a loop that is not told, because a search takes its time, would turn for ever.
                let both = async { tokio::join!(biased; stop, self.0.searches.ended()) };
                (tokio::time::timeout_at(limit, both).await.is_ok(), None)
            }
            // The health checker is part of the membership loop, which has ended.
            Phase::Health => (true, None),
            Phase::Connections => (self.close_connections(limit).await, None),
            Phase::Registry => {
                self.0.registry.clear();
                (true, None)
            }
            Phase::Events => {
                self.0.registry.close();
                (true, None)
            }
        }
    }

    async fn say_goodbye(&self, limit: Moment) -> (bool, FarewellProgress) {
        let (done, acknowledged) = oneshot::channel();
        let leave = async {
            self.command(Command::Leave { done }).await?;
            acknowledged.await.ok()
        };
        match tokio::time::timeout_at(limit, leave).await {
            Ok(Some(progress)) => (true, progress),
            Ok(None) => (true, FarewellProgress::default()),
            Err(_elapsed) => {
                cluster_sites::reachable!(crate::sites::LEAVE_CUT_SHORT);
                (false, self.farewell_progress().await)
            }
        }
    }

    async fn farewell_progress(&self) -> FarewellProgress {
        let (reply, progress) = oneshot::channel();
        let ask = async {
            self.command(Command::Farewell { reply }).await?;
            progress.await.ok()
        };
        tokio::time::timeout(Duration::from_millis(100), ask).await.ok().flatten().unwrap_or_default()
    }

    /// Closes the links and ends the loop's thread.
    async fn close_connections(&self, limit: Moment) -> bool {
        let pool = self.0.pool.clone();
        let now = Moment::now();
        let patience = limit.saturating_duration_since(now).saturating_sub(CLOSING_GRACE);
        let limit = limit.max(now + CLOSING_GRACE);
        // What waits for members that can be reached goes out; half of the time is for that.
        let flush = async {
            for peer in self.0.peers.all().iter().filter(|peer| peer.is_connected()) {
                peer.flushed().await;
            }
        };
        let flushed = tokio::time::timeout(patience / 2, flush).await.is_ok();
        self.0.peers.close();
        // Beside each other: a disk that hangs takes nothing from the links.
        let saving = async { tokio::time::timeout_at(limit, self.0.memory.ended()).await.is_ok() };
        let closing = async {
            let ended = tokio::time::timeout_at(limit, self.0.peers.ended()).await.is_ok();
            let patience = limit.saturating_duration_since(Moment::now()).saturating_sub(CLOSING_GRACE);
            // On the I/O thread, where the links' tasks are.
            let (closed, closing) = oneshot::channel();
            self.0.spawner.spawn(Box::pin(async move {
                // Whoever asked may have stopped waiting; the pool closes all the same.
                let _ = closed.send(pool.close(patience).await);
            }));
            ended & matches!(tokio::time::timeout_at(limit, closing).await, Ok(Ok(true)))
        };
        let (saved, closed) = tokio::join!(saving, closing);
        let clean = flushed & saved & closed;
        let taken = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((release, running)) = taken else { return clean };
        // The loop may have ended by itself.
        let _ = release.send(());
        // It has nothing left to do: also where the limit is reached, that takes no time worth a word.
        let limit = limit.max(Moment::now() + THREAD_GRACE);
        clean & tokio::time::timeout_at(limit, running.ended()).await.unwrap_or(false)
    }
}
