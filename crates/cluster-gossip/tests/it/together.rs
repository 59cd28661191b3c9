//! What cores do together: meet, tell, part, and agree that somebody is gone.

use cluster_gossip::Output;
use cluster_gossip::swim::FarewellProgress;
use cluster_gossip::wire::DatagramKind::{Gossip, Leave, LeaveAck, Ping};
use cluster_gossip::wire::Request;
use cluster_types::{Incarnation, Instant, Metadata, State};

use crate::cores::{Cores, info, metadata};
use crate::hand::{BOOT_MS, Hand, alive, ms, node, raised, state};

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn who_joins_through_one_knows_all_and_is_known_to_all() {
    let mut cores = Cores::met(&FIVE);
    cores.add("f", Metadata::default());
    cores.join("f", "c");
    let joined = cores.others.iter().filter(|seen| matches!(&seen.what, Output::Joined { via } if *via == node("c")));
    assert_eq!(joined.count(), 1);
    for other in FIVE {
        assert_eq!(cores.state("f", other), Some(State::Alive), "at once, from the answer");
    }
    cores.pass(ms(1_000));
    for other in FIVE {
        assert_eq!(cores.state(other, "f"), Some(State::Alive), "{other}");
        assert!(cores.core(other).is_neighbour(&node("f")));
    }
    assert!(!cores.core("f").is_neighbour(&node("f")) && !cores.core("f").is_neighbour(&node("x")));
}

#[test]
fn metadata_short_and_long_reaches_all_and_each_change_is_one_version() {
    let mut cores = Cores::met(&FIVE);
    // The longest that goes with the entry, and the shortest that is fetched.
    for (name, len) in [("f", 10), ("g", 255), ("h", 256), ("i", 5_000)] {
        cores.add(name, metadata(len));
        assert_eq!(cores.core(name).own().meta_version, 1);
        cores.join(name, "b");
    }
    cores.pass(ms(10_000));
    for (name, len) in [("f", 10), ("g", 255), ("h", 256), ("i", 5_000)] {
        for other in FIVE {
            let held = cores.cores[&node(other)].member(&node(name)).unwrap();
            assert_eq!(held.metadata, metadata(len), "{other} of {name}");
        }
    }
    assert_eq!(cores.core("a").own().meta_version, 0, "nothing to say is no version");
    let now = cores.now;
    for (version, len) in [(1, 7), (2, 9), (3, 0)] {
        let said = if len == 0 { Metadata::default() } else { metadata(len) };
        cores.core("a").set_metadata(now, said.clone());
        assert_eq!(cores.core("a").own().meta_version, version);
        assert_eq!(*cores.core("a").own_metadata(), said);
        cores.carry();
    }
    cores.pass(ms(5_000));
    for other in &FIVE[1..] {
        let held = cores.cores[&node(other)].member(&node("a")).unwrap();
        assert_eq!((held.claim.meta_version, &held.metadata), (3, &Metadata::default()), "{other}");
    }
}

#[test]
fn a_farewell_is_known_to_all_at_once_and_counted() {
    let mut cores = Cores::met(&FIVE);
    let now = cores.now;
    assert_eq!(cores.core("b").farewell(), None);
    cores.core("b").leave(now);
    cores.carry();
    let all = FarewellProgress { asked: 4, acknowledged: 4, waiting: 0 };
    assert_eq!(cores.core("b").farewell(), Some(all));
    assert_eq!((cores.count(Leave), cores.count(LeaveAck)), (4, 4));
    for other in ["a", "c", "d", "e"] {
        let held = cores.held(other, "b").unwrap();
        assert_eq!((held.state, held.incarnation), (State::Left, alive("b").incarnation));
    }
    cores.core("b").leave(now);
    cores.pass(ms(3_000));
    assert_eq!(cores.count(Leave), 4, "said and heard: no more of it");
    assert!(!cores.datagrams.iter().any(|seen| seen.by == "b" && seen.what.1.kind == Ping), "who leaves probes nobody");
}

#[test]
fn a_farewell_is_repeated_to_the_silent_until_they_are_gone() {
    let mut cores = Cores::met(&FIVE);
    cores.down.insert(node("e"));
    let now = cores.now;
    cores.core("b").leave(now);
    cores.pass(ms(1_050));
    assert_eq!(cores.core("b").farewell(), Some(FarewellProgress { asked: 4, acknowledged: 3, waiting: 1 }));
    let to_silent = cores.datagrams.iter().filter(|seen| seen.what.0 == "e" && seen.what.1.kind == Leave);
    assert_eq!(to_silent.map(|seen| seen.by.as_str()).filter(|by| *by == "b").count(), 11, "every 100 ms");
    let now = cores.now;
    cores.core("b").handle_link_down(now, &node("e"), alive("e").life);
    assert_eq!(cores.core("b").farewell(), Some(FarewellProgress { asked: 4, acknowledged: 3, waiting: 0 }));
    cores.forget();
    cores.pass(ms(1_000));
    assert_eq!(cores.count(Leave), 0);
}

/// Its own farewell was lost, and it is gone: others tell of it.
#[test]
fn nobody_waits_for_the_acknowledgement_of_one_that_has_left_or_failed() {
    for gone in [State::Left, State::Failed] {
        let mut hand = Hand::with(&["a", "b"]);
        hand.pass(ms(10_000), &["a"]);
        hand.swim.leave(hand.now);
        assert_eq!(hand.swim.farewell().unwrap().waiting, 2);
        hand.hear("a", &[state(raised(alive("b"), 1), gone)]);
        let acknowledged = usize::from(gone == State::Left);
        assert_eq!(hand.swim.farewell(), Some(FarewellProgress { asked: 2, acknowledged, waiting: 1 }), "{gone}");
    }
}

#[test]
fn all_can_leave_at_once() {
    let mut cores = Cores::met(&FIVE);
    let now = cores.now;
    for name in FIVE {
        cores.core(name).leave(now);
    }
    cores.carry();
    for name in FIVE {
        assert_eq!(cores.core(name).farewell().unwrap().waiting, 0, "{name}");
    }
}

#[test]
fn who_lost_its_name_leaves_without_a_word() {
    let mut cores = Cores::met(&["a", "b"]);
    let now = cores.now;
    // A newcomer that was turned away, and has found who holds the name.
    let holder = "10.0.9.9:1".parse().unwrap();
    cores.core("a").find_rival(now, holder, true);
    cores.core("a").handle_rival(holder, Some((cluster_types::Life::new(1, 9), Incarnation::from_raw(9))));
    cores.core("a").leave(now);
    cores.pass(ms(500));
    assert_eq!(cores.core("a").farewell(), Some(FarewellProgress::default()));
    assert_eq!((cores.count(Leave), cores.state("b", "a")), (0, Some(State::Alive)));
}

#[test]
fn at_rest_there_are_probes_and_a_comparison_now_and_then_and_nothing_else() {
    let mut cores = Cores::met(&FIVE);
    cores.pass(ms(60_000));
    cores.forget();
    cores.pass(ms(600_000));
    assert_eq!((cores.count(Gossip), cores.published.len()), (0, 0));
    let pings = cores.count(Ping);
    assert!((2_950..=3_050).contains(&pings), "each of five once a second: {pings}");
    for name in FIVE {
        let asked = cores.asked(name, &Request::Sync { root: Default::default() });
        // Every 30 s, a quarter more or less.
        assert!((16..=27).contains(&asked.len()), "{name}: {}", asked.len());
        for pair in asked.windows(2) {
            let apart = pair[1].since(pair[0]);
            assert!((ms(22_500)..=ms(37_500)).contains(&apart), "{apart:?}");
        }
    }
    assert_eq!(
        cores.requests.len(),
        cores.requests.iter().filter(|r| r.what.1 == Request::Sync { root: Default::default() }.encode().0).count()
    );
}

#[test]
fn a_crash_is_declared_by_all_after_p_with_evidence() {
    let mut cores = Cores::met(&FIVE);
    cores.pass(ms(10_000));
    cores.forget();
    let began = cores.now;
    cores.down.insert(node("c"));
    cores.pass(ms(10_000));
    for other in ["a", "b", "d", "e"] {
        assert_eq!(cores.state(other, "c"), Some(State::Failed), "{other}");
        let said = cores.published.iter().filter(|seen| seen.by == other);
        let (at, evidence) = said
            .filter(|seen| seen.what.claim().state == State::Failed)
            .map(|seen| (seen.at, seen.what.evidence.clone().unwrap()))
            .next()
            .unwrap();
        let took = at.since(began);
        assert!((ms(5_300)..=ms(7_300)).contains(&took), "{other}: {took:?}");
        assert!(evidence.accusers.len() >= 3 && evidence.votes_needed == 3, "{evidence:?}");
        assert!(evidence.silence >= ms(5_300), "{evidence:?}");
        let closed = |seen: &&crate::cores::Seen<Output>| {
            seen.by == other && matches!(&seen.what, Output::Disconnect { node: n } if *n == node("c"))
        };
        assert_eq!(cores.others.iter().filter(closed).count(), 1, "its link is closed");
        assert_eq!(cores.core(other).lost_members().len(), 1);
    }
}

#[test]
fn a_new_link_is_followed_by_a_comparison_soon() {
    let mut cores = Cores::met(&FIVE);
    cores.pass(ms(60_000));
    cores.forget();
    let began = cores.now;
    cores.link("a", "b");
    cores.carry();
    cores.pass(ms(600));
    for name in ["a", "b"] {
        let asked = cores.asked(name, &Request::Sync { root: Default::default() });
        assert!(asked.iter().any(|at| (ms(250)..=ms(500)).contains(&at.since(began))), "{name}: {asked:?}");
    }
}

#[test]
fn a_failed_dial_is_looked_into_where_there_is_no_link() {
    let silent = |linked: bool| {
        let mut hand = Hand::with(&["a", "b", "c"]);
        if !linked {
            hand.swim.handle_link_down(hand.now, &node("a"), alive("a").life);
            // The end of a link is looked into by itself; an answer through the others ends that.
            hand.hear("b", &[raised(alive("a"), 1)]);
            hand.pass(ms(1_500), &["b", "c"]);
            hand.read();
        }
        let before = hand.swim.stats().unanswered;
        hand.swim.handle_unreachable(hand.now, &node("a"));
        let answering: &[&str] = if linked { &["a", "b", "c"] } else { &["b", "c"] };
        hand.pass(ms(5_000), answering);
        hand.swim.stats().unanswered - before
    };
    assert_eq!(silent(true), 0, "a link proves more than a dial");
    assert!(silent(false) > 0);
    let mut hand = Hand::with(&["a"]);
    hand.swim.handle_unreachable(hand.now, &node("stranger"));
    assert!(hand.read().is_empty());
}

#[test]
fn what_is_plausible_follows_the_wall_clock() {
    let mut hand = Hand::with(&["a", "b"]);
    let two_days = 2 * 24 * 3_600 * 1_000;
    let future = cluster_types::Claim { incarnation: Incarnation::from_unix_ms(BOOT_MS + two_days), ..alive("b") };
    hand.hear("a", std::slice::from_ref(&future));
    assert_eq!(hand.swim.stats().implausible, 1);
    hand.swim.set_wall_clock(hand.now, BOOT_MS + two_days);
    hand.hear("a", &[future]);
    assert_eq!(hand.swim.stats().implausible, 1);
}

#[test]
fn stale_news_is_put_right_where_somebody_still_acts_on_it() {
    let claim = |by, s| state(raised(alive("x"), by), s);
    let cases = [
        // held, said, corrected
        (claim(5, State::Left), claim(4, State::Alive), true),
        (claim(5, State::Left), claim(4, State::Suspect), true),
        (claim(5, State::Alive), claim(4, State::Suspect), true),
        (claim(5, State::Alive), claim(4, State::Failed), true),
        (claim(5, State::Alive), claim(4, State::Left), false),
        (claim(5, State::Alive), claim(4, State::Alive), false),
        (claim(5, State::Left), claim(4, State::Failed), false),
        (claim(5, State::Left), claim(4, State::Left), false),
        (claim(5, State::Suspect), claim(5, State::Alive), false),
        (claim(5, State::Left), claim(5, State::Left), false),
    ];
    for (held, said, corrected) in cases {
        let mut hand = Hand::with(&["a", "b"]);
        hand.hear("b", &[claim(0, State::Alive)]);
        hand.hear("b", std::slice::from_ref(&held));
        assert_eq!(hand.swim.member(&node("x")).unwrap().claim, held);
        hand.read();
        hand.hear("a", std::slice::from_ref(&said));
        let told = hand
            .sent()
            .into_iter()
            .any(|(to, datagram)| to == "a" && datagram.updates.iter().any(|update| update.claim == held));
        assert_eq!(told, corrected, "held {held:?}, said {said:?}");
    }
}

#[test]
fn a_request_of_a_stranger_to_join_for_somebody_else_is_refused() {
    let mut cores = Cores::met(&["a", "b"]);
    let entry = cluster_gossip::wire::Entry {
        update: cluster_gossip::wire::Update::unproven(alive("x")),
        metadata: None,
        gone_for: ms(0),
    };
    let (kind, body) = Request::Join(entry).encode();
    let now = cores.now;
    let before = cores.core("a").stats().malformed;
    assert!(cores.core("a").handle_request(now, &info("b"), kind, &body).is_none());
    assert_eq!(cores.core("a").stats().malformed, before + 1);
    assert_eq!(cores.state("a", "x"), None);
    assert!(cores.core("a").handle_request(Instant::ORIGIN, &info("x"), kind, &body).is_some());
}
