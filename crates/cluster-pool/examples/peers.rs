//! Two nodes that talk: a message with its outcome, a request with its reply, and a peer that explains why nothing arrives.
//!
//! ```sh
//! cargo run -p cluster-pool --example peers
//! ```
//! prints
//! ```text
//! b has taken: good morning
//! the message was delivered
//! the answer is 42
//! nobody is left: no reply, and certainly nothing was done
//! ```
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_pool::identity::authority::Validity;
use cluster_pool::{
    Authority, Channel, ConnectionPool, Fate, Hello, Message, Peer, PeerConfig, PoolConfig, QuicConfig, QuicTransport,
    Received, Router, Serving, Transport, message_fn, request_fn,
};
use cluster_types::{Incarnation, Life};
use tokio::task::JoinSet;

const GREETINGS: Channel = Channel(1);
const QUESTIONS: Channel = Channel(2);

type Failure = Box<dyn std::error::Error>;

fn node(authority: &Authority, name: &str, now: u64, router: &Router) -> Result<ConnectionPool, Failure> {
    let credentials = authority.issue(&name.parse()?, Validity::days(now, 1))?;
    let transport = QuicTransport::bind("127.0.0.1:0".parse()?, QuicConfig::default(), &credentials)?;
    let hello = Hello {
        node: name.parse()?,
        client: false,
        cluster: credentials.cluster().clone(),
        life: Life::new(now, 1),
        incarnation: Incarnation::from_unix_ms(now),
        addr: transport.local_addr(),
        dial: 0,
        draining: false,
        facts: cluster_types::Facts::NONE,
        meta_version: 0,
        proof: Vec::new(),
    };
    let serving = Serving { streams: Arc::new(router.clone()), ..Serving::default() };
    // Without membership nothing comes on control links, which is what the receiver is for.
    let (pool, _events) = ConnectionPool::start(Arc::new(transport), hello, PoolConfig::new(), serving);
    Ok(pool)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let now = std::time::UNIX_EPOCH.elapsed()?.as_secs();
    // On real machines: `Pki`, a directory of keys.
    let authority = Authority::generate("demo".parse()?, now)?;
    let greet = message_fn(|from, message: Received| async move {
        println!(
            "{} has taken: {}",
            if from.is_outbound() { "a" } else { "b" },
            String::from_utf8_lossy(&message.body)
        );
        Ok(())
    });
    let answer = request_fn(|_, question: Bytes| async move { Ok(Bytes::from((question.len() * 3).to_string())) });
    let serving = Router::builder().on_message(GREETINGS, greet).on_request(QUESTIONS, answer).build()?;
    let (a, b) = (node(&authority, "a", now, &Router::new())?, node(&authority, "b", now, &serving)?);

    let (peer, driver) = Peer::new(&a, &Router::new(), "b".parse()?, b.local_addr(), PeerConfig::new())?;
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.drive());

    let ticket = peer.send(Message::new(GREETINGS, "good morning")).await?;
    println!("the message was {}", ticket.await);
    let reply = peer.request(QUESTIONS, "how many roads", Duration::from_secs(5)).await?;
    println!("the answer is {}", String::from_utf8_lossy(&reply.body));

    b.close(Duration::from_secs(1)).await;
    if let Err(error) = peer.request(QUESTIONS, "anybody?", Duration::from_millis(200)).await
        && error.fate() == Fate::NotSent
    {
        println!("nobody is left: no reply, and certainly nothing was done");
    }
    peer.close();
    a.close(Duration::from_secs(1)).await;
    Ok(())
}
