//! The congestion window of control links: Cubic's, and never below a floor.
//!
//! A control link carries a few hundred bytes a second, and what it carries says who is alive. A path that was dead for seconds leaves Cubic with
//! two packets and quinn with a probe time-out of seconds; the probes of membership then wait behind packets that were lost long ago, and whoever
//! comes back is not heard for as long as it was gone. What membership sends is bounded by its own periods and not by acknowledgements, as in
//! every SWIM over plain UDP.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};

/// As much as the datagrams that wait for a control link.
pub(super) const FLOOR: u64 = 64 * 1_100;

/// Makes windows with a floor.
#[derive(Debug, Default)]
pub(super) struct FlooredConfig(Arc<CubicConfig>);

impl ControllerFactory for FlooredConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored(Arc::clone(&self.0).build(now, current_mtu)))
    }
}

struct Floored(Box<dyn Controller>);

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.0.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.0.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.0.on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.0.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.0.window().max(FLOOR)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.0.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self(self.0.clone_box()))
    }

    fn initial_window(&self) -> u64 {
        self.0.initial_window().max(FLOOR)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
