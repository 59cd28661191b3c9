//! The paths between nodes: packets that arrive in order or not at all, and streams that try again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use cluster_types::Seed;
use cluster_types::seed::Draws;

use crate::contender::Links;

/// Headers of IP and UDP.
pub(super) const UDP: usize = 28;

/// What a datagram of QUIC adds, headers of IP and UDP included: as ours is charged.
pub(super) const QUIC: usize = 75;

/// Headers of IP and TCP.
const TCP: usize = 40;

/// Payload of one segment.
const SEGMENT: usize = 1_400;

/// What a message on a stream costs, both directions: its segments, an acknowledgement for every other one, and for a stream of
/// its own three packets to open and four to close it.
pub(super) fn stream_bytes(len: usize, opens: bool) -> u64 {
    let segments = len.div_ceil(SEGMENT);
    let packets = segments + segments.div_ceil(2) + if opens { 7 } else { 0 };
    (len + packets * TCP) as u64
}

/// How often a packet of a stream is sent at most.
const TRIES: u32 = 6;

pub(super) struct Paths {
    links: Links,
    draws: Draws,
    /// When the last packet of a path arrives: packets of one path do not overtake each other, as in our engine world.
    last: HashMap<(usize, usize), Duration>,
    deaf: BTreeSet<usize>,
    mumbling: BTreeMap<usize, f64>,
}

impl Paths {
    pub(super) fn new(links: Links, seed: Seed) -> Self {
        Self { links, draws: seed.stream(), last: HashMap::new(), deaf: BTreeSet::new(), mumbling: BTreeMap::new() }
    }

    pub(super) fn deafen(&mut self, nodes: &[usize]) {
        self.deaf.extend(nodes);
    }

    pub(super) fn mumble(&mut self, nodes: &[usize], loss: f64) {
        self.mumbling.extend(nodes.iter().map(|node| (*node, loss)));
    }

    pub(super) fn mend(&mut self) {
        self.deaf.clear();
        self.mumbling.clear();
    }

    /// When a packet arrives; `None` when it is lost.
    pub(super) fn packet(&mut self, now: Duration, from: usize, to: usize) -> Option<Duration> {
        let Links { low, high, loss } = self.links;
        let delay = low + (high - low).mul_f64(self.draws.fraction());
        let loss = self.mumbling.get(&from).map_or(loss, |more| more.max(loss));
        if self.deaf.contains(&to) || self.draws.fraction() < loss {
            return None;
        }
        let last = self.last.entry((from, to)).or_default();
        *last = (now + delay).max(*last);
        Some(*last)
    }

    /// When a message on a stream arrives: the two packets of a handshake before it where the stream is opened for it. What is lost is
    /// sent again after a second, or 200 ms and a round trip once the stream is open, then after twice as long.
    pub(super) fn stream(&mut self, now: Duration, from: usize, to: usize, opens: bool) -> Option<Duration> {
        let open = Duration::from_millis(200) + self.links.high * 2;
        let handshake = Duration::from_secs(1);
        let legs: &[(usize, usize, Duration)] =
            &[(from, to, handshake), (to, from, handshake), (from, to, open)][if opens { 0 } else { 2 }..];
        legs.iter().try_fold(now, |at, (from, to, pause)| self.insist(at, *from, *to, *pause))
    }

    fn insist(&mut self, now: Duration, from: usize, to: usize, pause: Duration) -> Option<Duration> {
        (0..TRIES).find_map(|tries| self.packet(now + pause * (2_u32.pow(tries) - 1), from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn paths(loss: f64) -> Paths {
        Paths::new(Links::lan(loss), Seed::new(1))
    }

    #[test]
    fn packets_take_their_time_and_do_not_overtake() {
        let mut paths = paths(0.0);
        let mut last = Duration::ZERO;
        for us in 0..1_000 {
            let now = Duration::from_micros(us);
            let at = paths.packet(now, 0, 1).expect("nothing is lost");
            assert!(
                at >= last
                    && at >= now + Duration::from_millis(1)
                    && at <= now + Duration::from_millis(2) + Duration::from_micros(us)
            );
            last = at;
        }
    }

    #[test]
    fn the_share_that_is_asked_for_is_lost() {
        let mut paths = paths(0.15);
        let lost = (0..10_000).filter(|_| paths.packet(SECOND, 0, 1).is_none()).count();
        assert!((1_400..1_600).contains(&lost), "{lost}");
        paths.mumble(&[0], 0.8);
        let lost = (0..10_000).filter(|_| paths.packet(SECOND, 0, 1).is_none()).count();
        assert!((7_850..8_150).contains(&lost), "{lost}");
        let others = (0..10_000).filter(|_| paths.packet(SECOND, 1, 0).is_none()).count();
        assert!((1_400..1_600).contains(&others), "{others}");
    }

    #[test]
    fn a_stream_needs_three_legs_and_insists() {
        let mut well = paths(0.0);
        let at = well.stream(SECOND, 0, 1, true).expect("nothing is lost");
        assert!(at >= SECOND + Duration::from_millis(3) && at <= SECOND + Duration::from_millis(6));
        let mut ill = paths(0.5);
        let slow = (0..100).filter_map(|_| ill.stream(SECOND, 0, 1, true)).filter(|at| *at > 2 * SECOND).count();
        assert!(slow > 50, "{slow}");
    }

    #[test]
    fn the_deaf_hear_nothing_and_open_no_stream() {
        let mut paths = paths(0.0);
        paths.deafen(&[1]);
        assert_eq!(paths.packet(SECOND, 0, 1), None);
        assert!(paths.packet(SECOND, 1, 0).is_some());
        assert_eq!(paths.stream(SECOND, 1, 0, true), None);
        paths.mend();
        assert!(paths.stream(SECOND, 1, 0, true).is_some());
    }
}
