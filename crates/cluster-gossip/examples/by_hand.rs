//! Two membership cores driven by hand: one joins through the other, then falls silent. No socket, no clock.
//! `cargo run -p cluster-gossip --example by_hand`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use cluster_gossip::{Output, PeerInfo, Swim, SwimConfig};
use cluster_types::{Claim, Incarnation, Instant, Life, Metadata, Seed};

const BOOT_MS: u64 = 1_795_000_000_000;

fn core(name: &str, port: u16) -> Result<Swim, Box<dyn Error>> {
    let addr = SocketAddr::from(([10, 0, 0, 1], port));
    let own = Claim::alive(name.parse()?, Life::new(BOOT_MS, 1), Incarnation::from_unix_ms(BOOT_MS), addr);
    let seed = Seed::new(u64::from(port));
    Ok(Swim::new(SwimConfig::lan(), &"demo".parse()?, own, Metadata::default(), BOOT_MS, seed, Instant::ORIGIN))
}

fn info(swim: &Swim) -> PeerInfo {
    PeerInfo::from(swim.own())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut a, mut b) = (core("a", 1)?, core("b", 2)?);
    let mut now = Instant::ORIGIN;
    a.handle_link_up(now, info(&b));
    b.handle_link_up(now, info(&a));
    b.join(&"a".parse()?);

    // A driver in ten lines: b is heard for the first ten seconds only.
    while now < Instant::after_origin(Duration::from_secs(60)) {
        let b_runs = now < Instant::after_origin(Duration::from_secs(10));
        while let Some(output) = a.poll_output() {
            match output {
                Output::Datagram { bytes, .. } if b_runs => b.handle_datagram(now, &"a".parse()?, &bytes),
                Output::Publish(statement) => {
                    println!("{now:?} a holds {} {}", statement.claim().node, statement.member.state())
                }
                _ => {}
            }
        }
        while let Some(output) = b.poll_output().filter(|_| b_runs) {
            match output {
                Output::Datagram { bytes, .. } => a.handle_datagram(now, &"b".parse()?, &bytes),
                Output::Request { token, kind, body, .. } => {
                    let answer = a.handle_request(now, &info(&b), kind, &body).ok_or("refused".to_owned());
                    b.handle_answer(now, token, answer);
                }
                _ => {}
            }
        }
        let next = if b_runs { a.next_deadline().min(b.next_deadline()) } else { a.next_deadline() };
        now = now.max(next);
        a.handle_timeout(now);
        if b_runs {
            b.handle_timeout(now);
        }
    }
    Ok(())
}
