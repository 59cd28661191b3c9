//! What nodes stand on and did not make: translated addresses, certificates that end, services that tell where names are.

use cluster_types::seed::Draws;

use super::super::{Act, NameFault, Scenario};
use super::{few, ms, one_of, secs, settled};

/// QUIC moves a link to the new address with the next packet: nobody is declared failed for it.
pub(super) fn rebound(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..10 {
        let node = one_of(draws, nodes);
        let to = (node + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
        scenario = scenario.at(at, Act::Rebind(node));
        match draws.below(4) {
            // In the middle of what is sent, and of handshakes.
            0 => scenario = scenario.at(at.saturating_sub(ms(5)), Act::Transfer { from: node, to, bytes: 200_000 }),
            1 => scenario = scenario.at(at.saturating_sub(ms(2)), Act::CloseLinks { node, to }),
            _ => {}
        }
        at += ms(500 + draws.below(5_000));
    }
    scenario.then_quiet(secs(40)).expecting(|e| e.no_failures = true)
}

/// What is linked stays linked. Who loses a link meanwhile gets it back with a new certificate; the last one gets none.
pub(super) fn expiry(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario::new("").cluster(nodes);
    let mut at = settled(draws);
    for _ in 0..3 {
        let node = one_of(draws, nodes);
        let to = (node + 1 + draws.below(nodes as u64 - 1) as usize) % nodes;
        let valid_s = 1 + draws.below(4);
        let over = at + secs(valid_s);
        scenario = scenario.at(at, Act::Rotate { node, valid_s });
        // Renewed in time, or when a link has been missed for a while.
        let renewed = if draws.below(3) == 0 { over - ms(200) } else { over + ms(2_000 + draws.below(15_000)) };
        let closed = over + ms(500 + draws.below(1_000));
        scenario = scenario.at(renewed, Act::Rotate { node, valid_s: 86_400 }).at(closed, Act::CloseLinks { node, to });
        at = renewed.max(closed) + ms(5_000 + draws.below(5_000));
    }
    let (lost, to) = (nodes, one_of(draws, nodes));
    scenario = scenario.at(secs(1), Act::Start { node: lost, seeds: vec![0] });
    scenario =
        scenario.at(at, Act::Rotate { node: lost, valid_s: 2 }).at(at + secs(5), Act::CloseLinks { node: lost, to });
    scenario.then_quiet(secs(50))
}

/// Who asks in vain asks again, and is in when it is told; who runs needs no names.
pub(super) fn names(draws: &mut Draws) -> Scenario {
    let nodes = few(draws);
    let mut scenario = Scenario { names: true, ..Scenario::new("").cluster(nodes) };
    let mut at = settled(draws);
    let mut kinds = [
        NameFault::Hang,
        NameFault::Late(3_000 + draws.below(4_000)),
        NameFault::Unknown,
        NameFault::Wrong(vec![1_000, nodes, one_of(draws, nodes)]),
        NameFault::Wrong(vec![1_000]),
    ];
    draws.shuffle(&mut kinds);
    for (n, fault) in kinds.into_iter().enumerate() {
        let span = ms(500 + draws.below(12_000));
        let join = at + ms(draws.below(400));
        let seeds = vec![one_of(draws, nodes), one_of(draws, nodes)];
        scenario = scenario.at(at, Act::Names(Some(fault))).at(join, Act::Start { node: nodes + n, seeds });
        scenario = scenario.at(at + span.max(ms(500)), Act::Names(None));
        at += span + secs(15);
    }
    scenario.then_quiet(secs(30)).expecting(|e| {
        e.calm = true;
        e.met_within_ms = Some(5_000);
    })
}
