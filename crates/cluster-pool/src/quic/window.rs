//! The congestion window of control links: Cubic's, and never below a floor.
//!
//! A control link carries a few hundred bytes a second, and what it carries says who is alive. A path that was dead for seconds leaves Cubic with
//! two packets and quinn with a probe time-out of seconds; the probes of membership then wait behind packets that were lost long ago, and whoever
//! comes back is not heard for as long as it was gone. What membership sends is bounded by its own periods and not by acknowledgements, as in
//! every SWIM over plain UDP.
//!
//! What kind of link a connection that came in is says its hello. Until then it has the floor, and a data link loses it there: what users send
//! must give way on a thin path.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};

use super::config::DATAGRAMS_WAITING;

/// As much as the datagrams that wait for a control link.
const FLOOR: u64 = DATAGRAMS_WAITING as u64;

/// Makes windows with a floor.
#[derive(Debug, Default)]
pub(super) struct FlooredConfig(Arc<CubicConfig>);

impl ControllerFactory for FlooredConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored { inner: Arc::clone(&self.0).build(now, current_mtu), lifted: Arc::default() })
    }
}

/// Takes the floor away from a connection, given the state of its controller: a copy, as quinn gives it.
pub(super) fn lift(state: Box<dyn Controller>) {
    if let Ok(floored) = state.into_any().downcast::<Floored>() {
        floored.lifted.store(true, Ordering::Relaxed);
    }
}

struct Floored {
    inner: Box<dyn Controller>,
    /// Shared by all copies.
    lifted: Arc<AtomicBool>,
}

impl Floored {
    fn at_least(&self, window: u64) -> u64 {
        if self.lifted.load(Ordering::Relaxed) { window } else { window.max(FLOOR) }
    }
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.at_least(self.inner.window())
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), lifted: Arc::clone(&self.lifted) })
    }

    fn initial_window(&self) -> u64 {
        self.at_least(self.inner.initial_window())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "quinn wants a moment, and any will do")]
    fn the_window_has_a_floor_until_it_is_lifted_for_every_copy() {
        let now = Instant::now();
        let mut window = Arc::<FlooredConfig>::default().build(now, 1_200);
        assert_eq!(window.initial_window(), 70_400);
        for second in 1..5 {
            window.on_congestion_event(now + Duration::from_secs(second), now, true, 1_200);
        }
        assert_eq!((window.window(), window.metrics().congestion_window), (70_400, 70_400));
        lift(window.clone_box());
        // What Cubic has left after such losses: two packets.
        assert_eq!((window.window(), window.clone_box().window()), (2_400, 2_400));
        assert_eq!(window.metrics().congestion_window, 2_400);
    }
}
