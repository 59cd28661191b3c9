//! The same UDP pings in turmoil and in our simulated network: ten hosts, each asks the next every ten virtual milliseconds
//! and is answered, over paths of one millisecond.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster_testkit::Trace;
use cluster_testkit::net::{Latency, LinkModel, SimNet};
use cluster_types::Seed;

const HOSTS: usize = 10;
const EVERY: Duration = Duration::from_millis(10);
const SPAN: Duration = Duration::from_secs(60);
const PORT: u16 = 7_000;

/// Blocks alternate, so that a busy machine is busy for both.
pub(crate) fn compare() {
    println!("| | pings answered | packets/s | times real time |\n|---|---|---|---|");
    for _ in 0..3 {
        print("ours", &ours);
        print("turmoil", &turmoil);
    }
}

fn print(name: &str, run: &dyn Fn() -> u64) {
    let began = Instant::now();
    let answered = run();
    let took = began.elapsed().as_secs_f64();
    println!("| {name} | {answered} | {:.0} | {:.0} |", 2.0 * answered as f64 / took, SPAN.as_secs_f64() / took);
}

fn ours() -> u64 {
    let answered = Arc::new(AtomicU64::new(0));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("no I/O");
    runtime.block_on(async {
        let model = LinkModel::lan().with_latency(Latency::Constant(Duration::from_millis(1)));
        let net = SimNet::new(Seed::new(1), model, Trace::default());
        let addr = |i: usize| SocketAddr::from(([10, 0, 0, i as u8], PORT));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(net.clone().carry());
        for i in 0..HOSTS {
            let (socket, count) = (net.bind(i, addr(i)), Arc::clone(&answered));
            tasks.spawn(async move {
                let mut tick = tokio::time::interval(EVERY);
                loop {
                    tokio::select! {
                        biased;
                        (bytes, from) = socket.recv_from() => match bytes.as_slice() {
                            b"ping" => socket.send_to(b"pong", from),
                            _ => {
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        },
                        _ = tick.tick() => socket.send_to(b"ping", addr((i + 1) % HOSTS)),
                    }
                }
            });
        }
        tokio::time::sleep(SPAN).await;
    });
    answered.load(Ordering::Relaxed)
}

fn turmoil() -> u64 {
    let answered = Arc::new(AtomicU64::new(0));
    let latency = Duration::from_millis(1);
    let mut sim = turmoil::Builder::new()
        .simulation_duration(SPAN * 2)
        .min_message_latency(latency)
        .max_message_latency(latency)
        .rng_seed(1)
        .build();
    for i in 0..HOSTS {
        let count = Arc::clone(&answered);
        sim.host(format!("h{i}"), move || {
            let count = Arc::clone(&count);
            async move {
                let socket = turmoil::net::UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?;
                let next = turmoil::lookup(format!("h{}", (i + 1) % HOSTS));
                let mut tick = tokio::time::interval(EVERY);
                let mut bytes = [0; 16];
                loop {
                    tokio::select! {
                        biased;
                        received = socket.recv_from(&mut bytes) => {
                            let (len, from) = received?;
                            if &bytes[..len] == b"ping" {
                                socket.send_to(b"pong", from).await?;
                            } else {
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        _ = tick.tick() => {
                            socket.send_to(b"ping", (next, PORT)).await?;
                        }
                    }
                }
            }
        });
    }
    sim.client("clock", async {
        tokio::time::sleep(SPAN).await;
        Ok(())
    });
    sim.run().expect("turmoil runs");
    answered.load(Ordering::Relaxed)
}
