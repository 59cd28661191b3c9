//! Latency at a fixed load: requests begin at their times, however long those before them take, and each is measured from the time
//! at which it should have begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Ask, FLAVOURS, echo, grpc};

const PER_SECOND: u32 = 4_000;
const FOR: Duration = Duration::from_secs(6);

async fn load(ask: &Ask) -> Vec<Duration> {
    let (began, every) = (Instant::now(), Duration::from_secs(1) / PER_SECOND);
    let mut requests = tokio::task::JoinSet::new();
    let mut latencies = Vec::new();
    for n in 0..PER_SECOND * FOR.as_secs() as u32 {
        let due = began + every * n;
        // The timer is a millisecond coarse: what is due in between begins together.
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let ask = Arc::clone(ask);
        requests.spawn(async move {
            ask(Bytes::from_static(&[7; 64])).await;
            due.elapsed()
        });
        while let Some(done) = requests.try_join_next() {
            latencies.push(done.expect("no panic"));
        }
    }
    latencies.extend(requests.join_all().await);
    latencies.sort();
    latencies
}

pub(crate) fn compare() {
    println!("{PER_SECOND} requests/s for {} s, both ends in this process\n", FOR.as_secs());
    println!("| over | runtime | p50 ms | p99 ms | p99.9 ms |\n|---|---|---:|---:|---:|");
    for flavour in FLAVOURS {
        let runtime = flavour.runtime();
        let contenders = runtime.block_on(async {
            [("peer", echo::peer().await), ("bare quinn", echo::bare().await), ("tonic over TLS", grpc::grpc().await)]
        });
        for (name, echo) in &contenders {
            let latencies = runtime.block_on(load(&echo.ask));
            let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
            println!("| {name} | {} | {:.2} | {:.2} | {:.2} |", flavour.name(), at(0.5), at(0.99), at(0.999));
        }
    }
}
