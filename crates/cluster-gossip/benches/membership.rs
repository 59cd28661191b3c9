//! How many messages a second one core handles in a cluster of a thousand, beside what decoding and encoding alone costs.

use std::hint::black_box;
use std::time::Duration;

use cluster_gossip::swim::Acquainted;
use cluster_gossip::wire::{Datagram, DatagramKind, DatagramWriter, Update};
use cluster_gossip::{PeerInfo, Swim, SwimConfig};
use cluster_types::{Claim, Incarnation, Instant, Life, NodeId, Seed};
use divan::counter::ItemsCount;

const NODES: usize = 1_000;
const BOOT_MS: u64 = 1_795_000_000_000;

fn main() {
    divan::main();
}

fn claim(i: usize) -> Claim {
    let node = NodeId::new(&format!("node-{i:04}")).expect("a name");
    let addr = std::net::SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 7_000));
    Claim::alive(node, Life::new(BOOT_MS, i as u32), Incarnation::from_unix_ms(BOOT_MS), addr)
}

/// One of a thousand, linked to its neighbours; and one of them.
fn core() -> (Swim, NodeId) {
    let claims: Vec<Claim> = (0..NODES).map(claim).collect();
    let cluster = "bench".parse().expect("a name");
    let now = Instant::ORIGIN;
    let all = Acquainted::new(SwimConfig::lan(), &cluster, &claims, Seed::new(1), now);
    let mut swim = all.core_of(claim(0), BOOT_MS, Seed::new(2), now);
    swim.handle_timeout(now);
    let neighbours = swim.wanted_links();
    for (node, _) in &neighbours {
        let claim = claims.iter().find(|claim| claim.node == *node).expect("one of ours");
        swim.handle_link_up(now, PeerInfo::from(claim));
    }
    drain(&mut swim);
    (swim, neighbours[0].0.clone())
}

fn drain(swim: &mut Swim) {
    while let Some(output) = swim.poll_output() {
        black_box(output);
    }
}

fn message(kind: DatagramKind, updates: usize) -> Vec<u8> {
    let mut writer = DatagramWriter::new(kind, 7, None);
    for i in 0..updates {
        assert!(writer.push(&Update::unproven(claim(i + 500))));
    }
    writer.finish()
}

/// Time goes on a little with each message, so that nothing is free because nothing changes.
fn handle(bencher: divan::Bencher<'_, '_>, bytes: &[u8]) {
    let (mut swim, from) = core();
    let mut now = Instant::ORIGIN;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        now += Duration::from_micros(1);
        swim.handle_datagram(now, &from, black_box(bytes));
        drain(&mut swim);
    });
}

/// A ping comes in, its answer goes out.
#[divan::bench]
fn ping_and_answer(bencher: divan::Bencher<'_, '_>) {
    handle(bencher, &message(DatagramKind::Ping, 0));
}

/// An ack comes in.
#[divan::bench]
fn ack(bencher: divan::Bencher<'_, '_>) {
    handle(bencher, &message(DatagramKind::Ack, 0));
}

/// Gossip with five pieces of old news.
#[divan::bench]
fn gossip_of_five(bencher: divan::Bencher<'_, '_>) {
    handle(bencher, &message(DatagramKind::Gossip, 5));
}

/// The baseline: the bytes of a ping read, and those of an answer written.
#[divan::bench]
fn baseline_decode_and_encode(bencher: divan::Bencher<'_, '_>) {
    let bytes = message(DatagramKind::Ping, 0);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let datagram = Datagram::decode(black_box(&bytes)).expect("ours");
        DatagramWriter::ack(datagram.seq, Some(Duration::from_secs(10)), false).finish()
    });
}
