//! The conformance suite over every transport there is.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster_pool::identity::authority::Validity;
use cluster_pool::{Authority, Credentials, QuicConfig, QuicTransport, Transport};
use cluster_testkit::conformance::{Pair, check};
use cluster_testkit::net::SimNet;
use cluster_testkit::{LinkModel, MemoryNet, Trace};
use cluster_types::Seed;

const UNIX_S: u64 = 1_795_000_000;

fn credentials(unix_s: u64) -> [Credentials; 2] {
    let authority = Authority::generate("conformance".parse().unwrap(), unix_s).unwrap();
    ["near", "far"].map(|name| authority.issue(&name.parse().unwrap(), Validity::days(unix_s, 1)).unwrap())
}

fn pair(near: impl Transport + 'static, far: impl Transport + 'static, nobody: &str) -> Pair {
    let names = ("near".parse().unwrap(), "far".parse().unwrap());
    Pair { near: Arc::new(near), far: Arc::new(far), names, nobody: nobody.parse().unwrap() }
}

#[tokio::test(start_paused = true)]
async fn the_transport_in_memory_conforms() {
    let [near, far] = credentials(UNIX_S);
    let net = MemoryNet::new();
    check(|| async { pair(net.transport(&near), net.transport(&far), "127.0.0.1:65000") }).await;
}

#[tokio::test]
async fn quic_over_loopback_conforms() {
    let [near, far] = credentials(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bind = |credentials| QuicTransport::bind(any, QuicConfig::default(), credentials).unwrap();
    check(|| async { pair(bind(&near), bind(&far), "127.0.0.1:9") }).await;
}

/// And over paths that delay, lose, repeat and reorder.
#[tokio::test(start_paused = true)]
async fn quic_over_the_simulated_network_conforms() {
    let [near, far] = credentials(UNIX_S);
    for (seed, model) in [(1, LinkModel::lan()), (2, LinkModel::wan()), (3, LinkModel::lan().with_loss(0.05))] {
        let net = SimNet::new(Seed::new(seed), model, Trace::default());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(net.clone().carry());
        let mut next = 0u16;
        check(|| {
            let mut bind = |host: usize, credentials: &Credentials| {
                next += 1;
                let addr = SocketAddr::from(([10, 0, 0, host as u8], next));
                let config = QuicConfig {
                    rng_seed: Some([host as u8; 32]),
                    unix_time: Some(Arc::new(|| std::time::Duration::from_secs(UNIX_S))),
                    ..QuicConfig::default()
                };
                let socket = Arc::new(net.bind(host, addr));
                QuicTransport::over(socket, Arc::new(quinn::TokioRuntime), config, credentials).unwrap()
            };
            let transports = (bind(1, &near), bind(2, &far));
            async move { pair(transports.0, transports.1, "10.0.0.9:9") }
        })
        .await;
    }
}
