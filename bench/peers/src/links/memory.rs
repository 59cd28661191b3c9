//! What an idle pair of connections costs: the slope of resident memory over a hundred to a thousand of them, both ends in this
//! process, after one request on each.

use std::time::Duration;

use cluster_pool::PoolConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Flavour;
use super::echo::{ECHO, nodes};

fn resident_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: f64 = text.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("resident pages");
    pages * 4.0
}

/// The first frame of a request on the echo channel, as docs/wire.md has it.
fn request() -> Vec<u8> {
    let mut frame = vec![1, 70, 0, 10, 0, 0, 0];
    frame.extend_from_slice(&ECHO.0.to_le_bytes());
    frame.extend_from_slice(&1_000u32.to_le_bytes());
    frame.extend_from_slice(b"idle");
    frame
}

pub(crate) fn measure() {
    let runtime = Flavour::CurrentThread.runtime();
    runtime.block_on(async {
        let idle = Duration::from_secs(3_600);
        let config = PoolConfig::new().with_max_total(4_000).with_max_per_peer(4_000).with_idle(idle, idle);
        let super::echo::Pair { a, b, .. } = nodes(config).await;
        let (mut leases, mut points) = (Vec::new(), Vec::new());
        for pairs in (100..=1_000).step_by(100) {
            while leases.len() < pairs {
                let lease = a.pool.open_new(&b.name, b.addr).await.expect("there is room");
                let mut stream = lease.open_bi().await.expect("it is open");
                stream.send.write_all(&request()).await.expect("it is open");
                stream.send.finish();
                let mut reply = Vec::new();
                stream.recv.read_to_end(&mut reply).await.expect("answered");
                assert!(reply.ends_with(b"idle"));
                leases.push(lease);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            points.push((pairs as f64, resident_kib()));
        }
        let n = points.len() as f64;
        let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
            / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
        println!("{slope:.1} KiB a pair, {:.0} KiB with a thousand", points[9].1);
    });
}
