//! What a teller may say about whom, where statements are signed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_gossip::seal::{CertificateTag, Checked, Proof, statement_of, statement_of_vote};
use cluster_gossip::wire::{Answer, DatagramKind, Request, Update, Vote};
use cluster_gossip::{PeerInfo, Seal};
use cluster_types::{Claim, Incarnation, Life, NodeId, State};

use crate::hand::{Hand, alive, ms, node, raised, state};

/// Signs by writing its name before what it signs; knows the certificates of so many.
#[derive(Debug)]
struct Names {
    own: NodeId,
    known: Mutex<BTreeSet<u64>>,
}

fn tag(name: &str) -> u64 {
    name.bytes().fold(1, |tag, byte| tag * 257 + u64::from(byte))
}

fn signed(name: &str, statement: &[u8]) -> Proof {
    let sum = statement.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    Proof::new(CertificateTag(tag(name)), &[name.as_bytes(), &sum.to_le_bytes()].concat())
}

impl Seal for Names {
    fn sign(&self, statement: &[u8]) -> Option<Proof> {
        Some(signed(self.own.as_str(), statement))
    }

    fn check(&self, signer: &NodeId, statement: &[u8], proof: &Proof) -> Checked {
        if !self.known.lock().unwrap().contains(&proof.certificate().0) {
            return Checked::Unknown;
        }
        if *proof == signed(signer.as_str(), statement) { Checked::Proven } else { Checked::Forged }
    }

    fn certificate(&self, certificate: CertificateTag) -> Option<Vec<u8>> {
        (certificate.0 == tag(self.own.as_str())).then(|| self.own.as_str().as_bytes().to_vec())
    }

    fn learn(&self, certificate: &[u8]) -> bool {
        let name = std::str::from_utf8(certificate).unwrap_or_default();
        self.known.lock().unwrap().insert(tag(name))
    }
}

const PEERS: [&str; 4] = ["a", "b", "c", "x"];

/// Linked to four, whose certificates it holds; and to nobody else.
fn sealed() -> Hand {
    let known = Mutex::new(PEERS.iter().chain(&["m"]).map(|name| tag(name)).collect());
    let mut hand = Hand::sealed(&PEERS, Arc::new(Names { own: node("m"), known }));
    hand.pass(ms(10_000), &PEERS);
    hand.read();
    hand
}

fn held(hand: &Hand, name: &str) -> Option<(State, Incarnation)> {
    hand.swim.member(&node(name)).map(|member| (member.state(), member.claim.incarnation))
}

fn word(claim: Claim) -> Update {
    let proof = Some(signed(claim.node.as_str(), &statement_of(&claim)));
    Update { claim, vote: None, proof }
}

fn vote_of(accuser: &str, subject: Claim, silence: Duration) -> Update {
    let claim = state(subject, State::Suspect);
    let Claim { node: accuser, life, .. } = alive(accuser);
    let vote = Vote { accuser, life, sign_ms: 5, silence, unanswered: silence, age: Duration::ZERO };
    let proof = Some(signed(vote.accuser.as_str(), &statement_of_vote(&claim, &vote)));
    Update { claim, vote: Some(vote), proof }
}

fn tell(hand: &mut Hand, from: &str, update: Update) {
    hand.receive(from, DatagramKind::Gossip, 0, None, &[update]);
}

/// What is asked of peers.
fn asked(hand: &mut Hand) -> Vec<(String, Request)> {
    let request = |output| match output {
        cluster_gossip::Output::Request { to, kind, body, .. } => {
            Some((to.to_string(), Request::decode(kind, &body).expect("a request").value))
        }
        _ => None,
    };
    hand.read().into_iter().filter_map(request).collect()
}

#[test]
fn a_farewell_counts_when_it_is_its_own_or_signed() {
    let mut hand = sealed();
    let left = state(raised(alive("x"), 1), State::Left);
    for forged in [None, Some(signed("a", &statement_of(&left))), Some(signed("x", b"something else"))] {
        tell(&mut hand, "a", Update { claim: left.clone(), vote: None, proof: forged });
        assert_eq!(held(&hand, "x").unwrap().0, State::Alive);
    }
    let stats = hand.swim.stats();
    assert_eq!((stats.unproven, stats.forged, hand.swim.offences(&node("a"))), (1, 2, 2), "unsigned is no lie");
    tell(&mut hand, "a", word(left.clone()));
    assert_eq!(held(&hand, "x").unwrap().0, State::Left);
    // Over its own link it needs no signature.
    let mut hand = sealed();
    tell(&mut hand, "x", Update::unproven(left));
    assert_eq!(held(&hand, "x").unwrap().0, State::Left);
}

#[test]
fn a_members_word_is_its_own_and_nobody_elses() {
    let mut hand = sealed();
    let elsewhere = Claim { addr: "10.9.9.9:9".parse().unwrap(), ..raised(alive("x"), 1) };
    let reborn = Claim { life: Life::new(1_895_000_000_000, 9), ..raised(alive("x"), 9) };
    for claim in [raised(alive("x"), 1), elsewhere, reborn.clone(), Claim { meta_version: 1, ..alive("x") }] {
        let before = hand.swim.member(&node("x")).cloned();
        tell(&mut hand, "b", Update::unproven(claim.clone()));
        assert_eq!(hand.swim.member(&node("x")).cloned(), before, "{claim:?}");
    }
    assert_eq!(hand.swim.offences(&node("b")), 0, "whoever joined through others has no signatures");
    tell(&mut hand, "b", word(reborn.clone()));
    assert_eq!(hand.swim.member(&node("x")).unwrap().claim, reborn);
    // And told on with its signature.
    hand.pass(ms(300), &PEERS);
    let told = hand.sent().into_iter().flat_map(|(_, datagram)| datagram.updates);
    let told: Vec<Update> = told.filter(|update| update.claim == reborn).collect();
    assert!(!told.is_empty() && told.iter().all(|update| *update == word(reborn.clone())), "{told:?}");
    // Somebody unknown is taken in without.
    tell(&mut hand, "b", Update::unproven(alive("y")));
    assert_eq!(held(&hand, "y").unwrap().0, State::Alive);
}

#[test]
fn an_accusation_counts_in_the_name_of_whoever_signed_it() {
    let mut hand = sealed();
    let genuine = vote_of("b", alive("x"), ms(2_000));
    let votes = |hand: &Hand| hand.swim.explain(hand.now, &node("x")).unwrap().votes.len();
    let others = [
        Update { proof: None, ..genuine.clone() },
        Update { proof: Some(signed("a", b"")), ..genuine.clone() },
        Update {
            claim: raised(genuine.claim.clone(), 0),
            vote: vote_of("c", alive("x"), ms(1)).vote,
            ..genuine.clone()
        },
        Update { vote: vote_of("b", alive("x"), ms(40_000)).vote, ..genuine.clone() },
    ];
    for other in others {
        tell(&mut hand, "a", other.clone());
        assert_eq!((votes(&hand), held(&hand, "x").unwrap().0), (0, State::Alive), "{other:?}");
    }
    assert_eq!(hand.swim.offences(&node("a")), 3);
    tell(&mut hand, "a", genuine.clone());
    assert_eq!((votes(&hand), held(&hand, "x").unwrap().0), (1, State::Suspect));
    // Told on as it was signed.
    let told = hand.sent().into_iter().flat_map(|(_, datagram)| datagram.updates);
    let told: Vec<_> = told.filter(|update| update.vote.is_some()).map(|update| update.proof).collect();
    assert!(!told.is_empty() && told.iter().all(|proof| *proof == genuine.proof), "{told:?}");
    // In its own name it knows best what it said.
    let mut hand = sealed();
    tell(&mut hand, "a", vote_of("m", alive("x"), ms(2_000)));
    assert_eq!(held(&hand, "x").unwrap().0, State::Alive);
}

/// Accused of more than it ever said, a member could never refute it. Its word is asked for, once a second.
#[test]
fn nobody_is_accused_beyond_its_own_word() {
    let mut hand = sealed();
    for beyond in [raised(alive("x"), 3), Claim { life: Life::new(1, 77), ..raised(alive("x"), 1) }] {
        hand.pass(ms(2_000), &PEERS);
        hand.read();
        for _ in 0..3 {
            tell(&mut hand, "a", vote_of("b", beyond.clone(), ms(2_000)));
            tell(&mut hand, "a", Update::unproven(state(beyond.clone(), State::Failed)));
        }
        assert_eq!(held(&hand, "x").unwrap().0, State::Alive);
        let words: Vec<_> = asked(&mut hand).into_iter().filter(|(_, r)| *r == Request::Metadata(node("x"))).collect();
        assert_eq!(words.len(), 1, "{words:?}");
    }
    // It has said more meanwhile, and the accusation was true.
    tell(&mut hand, "c", word(raised(alive("x"), 3)));
    tell(&mut hand, "a", vote_of("b", raised(alive("x"), 3), ms(2_000)));
    assert_eq!(held(&hand, "x").unwrap().0, State::Suspect);
    // Whoever asks for its word now gets it, with its signature.
    let peer = PeerInfo::from(&alive("c"));
    let (kind, body) = Request::Metadata(node("x")).encode();
    let (kind, body) = hand.swim.handle_request(hand.now, &peer, kind, &body).unwrap();
    let Answer::Entries(entries) = Answer::decode(kind, &body).unwrap().value else { panic!("no entries") };
    assert_eq!(entries[0].update, word(raised(alive("x"), 3)));
}

/// A certificate that is not held is asked of whoever told; what was signed with it counts when it has come.
#[test]
fn what_an_unknown_certificate_signed_waits_for_it() {
    let mut hand = sealed();
    tell(&mut hand, "b", Update::unproven(alive("far")));
    hand.read();
    let vote = vote_of("far", alive("x"), ms(2_000));
    tell(&mut hand, "b", vote.clone());
    tell(&mut hand, "c", vote);
    assert_eq!(held(&hand, "x").unwrap().0, State::Alive);
    let wanted = Request::Certificates(vec![CertificateTag(tag("far"))]);
    let mut requests = hand.read().into_iter().filter_map(|output| match output {
        cluster_gossip::Output::Request { to, token, kind, body } => {
            let request = Request::decode(kind, &body).expect("a request").value;
            (request == wanted).then(|| (to.to_string(), token))
        }
        _ => None,
    });
    let (first, second) = (requests.next().unwrap(), requests.next().unwrap());
    assert_eq!((first.0.as_str(), second.0.as_str(), requests.next()), ("b", "c", None));
    drop(requests);
    let (kind, body) = Answer::Certificates(vec![b"far".to_vec()]).encode();
    hand.swim.handle_answer(hand.now, first.1, Ok((kind, body)));
    assert_eq!(held(&hand, "x").unwrap().0, State::Suspect);
    // What nobody shows a certificate for is nobody's lie, and is forgotten.
    assert_eq!(hand.swim.offences(&node("b")), 0);
    // This node shows its own.
    let peer = PeerInfo::from(&alive("c"));
    let (kind, body) = Request::Certificates(vec![CertificateTag(tag("m")), CertificateTag(7)]).encode();
    let (kind, body) = hand.swim.handle_request(hand.now, &peer, kind, &body).unwrap();
    assert_eq!(Answer::decode(kind, &body).unwrap().value, Answer::Certificates(vec![b"m".to_vec()]));
}

/// One voice that somebody unknown is dead is hearsay; two are news.
#[test]
fn that_a_stranger_has_failed_two_must_say() {
    let mut hand = sealed();
    let failed = Update::unproven(state(alive("y"), State::Failed));
    for _ in 0..3 {
        tell(&mut hand, "a", failed.clone());
        assert_eq!(held(&hand, "y"), None);
    }
    tell(&mut hand, "b", failed.clone());
    assert_eq!(held(&hand, "y").unwrap().0, State::Failed);
    let mut hand = sealed();
    tell(&mut hand, "a", failed.clone());
    hand.pass(ms(37_800), &PEERS);
    tell(&mut hand, "a", failed);
    assert_eq!(held(&hand, "y").unwrap().0, State::Failed, "for so long nobody has said otherwise");
}

/// Who goes on lying is not listened to for a minute, except about itself.
#[test]
fn a_member_that_goes_on_lying_is_not_listened_to() {
    let mut hand = sealed();
    let lie = |nth: u64| {
        let claim = state(raised(alive("x"), nth), State::Left);
        Update { claim, vote: None, proof: Some(signed("x", b"made up")) }
    };
    for nth in 1..=8 {
        tell(&mut hand, "a", lie(nth));
    }
    assert_eq!(hand.swim.muted_until(&node("a")), None, "eight are tolerated in a minute");
    tell(&mut hand, "a", lie(9));
    assert_eq!(hand.swim.muted_until(&node("a")), Some(hand.now + Duration::from_secs(60)));
    tell(&mut hand, "a", Update::unproven(alive("y")));
    assert_eq!((held(&hand, "y"), hand.swim.stats().muted), (None, 1));
    tell(&mut hand, "a", word(raised(alive("a"), 1)));
    assert_eq!(held(&hand, "a").unwrap().1, raised(alive("a"), 1).incarnation, "of itself it may speak");
    hand.pass(ms(61_000), &PEERS);
    tell(&mut hand, "a", Update::unproven(alive("y")));
    assert_eq!(held(&hand, "y").unwrap().0, State::Alive);
}

/// A node that is accused of more than it said tells its word to whoever says so, and does not follow him upwards.
#[test]
fn an_accusation_beyond_ones_own_word_is_answered_with_that_word() {
    let mut hand = sealed();
    let before = hand.swim.own().incarnation;
    tell(&mut hand, "a", vote_of("b", raised(alive("m"), 1 << 19), ms(2_000)));
    assert_eq!(hand.swim.own().incarnation, before);
    let own = hand.swim.own().clone();
    let told = |hand: &mut Hand| {
        hand.sent().iter().filter(|(to, d)| to == "a" && d.updates.iter().any(|u| u.claim == own)).count()
    };
    assert_eq!(told(&mut hand), 1);
    // Two that insist do not do so as fast as the path carries it.
    for _ in 0..5 {
        tell(&mut hand, "a", vote_of("b", raised(alive("m"), 1 << 19), ms(2_000)));
    }
    assert_eq!(told(&mut hand), 0);
    // At its own incarnation it refutes.
    tell(&mut hand, "a", vote_of("b", alive("m"), ms(2_000)));
    assert!(hand.swim.own().incarnation > before);
}

/// A newcomer may be told of a stranger what the stranger could never refute. Its own word is better, over its own link or signed.
#[test]
fn the_own_word_of_somebody_is_better_than_an_accusation_beyond_it() {
    for over_its_link in [true, false] {
        let mut hand = sealed();
        tell(&mut hand, "a", Update::unproven(state(raised(alive("y"), 1 << 19), State::Suspect)));
        assert_eq!(held(&hand, "y").unwrap().0, State::Suspect);
        hand.read();
        if over_its_link {
            hand.link("y");
        } else {
            let token = certificate_of(&mut hand, "y");
            hand.swim.handle_answer(hand.now, token, Ok(Answer::Certificates(vec![b"y".to_vec()]).encode()));
            tell(&mut hand, "b", word(alive("y")));
        }
        assert_eq!(held(&hand, "y"), Some((State::Alive, alive("y").incarnation)));
        let taken_back = |output: &cluster_gossip::Output| match output {
            cluster_gossip::Output::Publish(statement) => statement.withdraws && *statement.member.node() == node("y"),
            _ => false,
        };
        assert!(hand.read().iter().any(taken_back), "subscribers hear it");
    }
    // At the incarnation that it has said, an accusation stands until it is refuted.
    let mut hand = sealed();
    tell(&mut hand, "a", Update::unproven(state(alive("y"), State::Suspect)));
    hand.link("y");
    assert_eq!(held(&hand, "y").unwrap().0, State::Suspect);
}

/// Has the core ask for somebody's certificate; the request.
fn certificate_of(hand: &mut Hand, name: &str) -> cluster_gossip::RequestToken {
    tell(hand, "b", vote_of(name, alive("x"), ms(2_000)));
    let tokens = hand.read().into_iter().filter_map(|output| match output {
        cluster_gossip::Output::Request { token, kind: 38, .. } => Some(token),
        _ => None,
    });
    tokens.last().expect("a request")
}

/// A member has a new certificate, and its link is from before: what it says counts here at once, and for the others when it is known whose it is.
#[test]
fn a_word_under_a_new_certificate_is_told_on_when_that_has_come() {
    let mut hand = sealed();
    let renewed = raised(alive("x"), 1);
    let proof = Proof::new(CertificateTag(tag("x'")), b"as x signs now");
    tell(&mut hand, "x", Update { claim: renewed.clone(), vote: None, proof: Some(proof) });
    assert_eq!(held(&hand, "x").unwrap().1, renewed.incarnation);
    let asked = asked(&mut hand);
    assert!(asked.contains(&("x".to_owned(), Request::Certificates(vec![CertificateTag(tag("x'"))]))), "{asked:?}");
    // A proof for what is held already is told on.
    hand.pass(ms(3_000), &PEERS);
    hand.read();
    tell(&mut hand, "x", word(renewed.clone()));
    let told = hand.sent().into_iter().flat_map(|(_, datagram)| datagram.updates);
    assert!(told.filter(|update| update.claim == renewed).any(|update| update == word(renewed.clone())));
}

/// Of a former life with the incarnation that the present one began with: old news, and no lie of whoever tells it.
#[test]
fn an_accusation_of_a_former_life_is_old_news_and_no_lie() {
    let mut hand = sealed();
    let former = alive("x");
    let present = Claim { life: Life::new(1_895_000_000_000, 9), ..alive("x") };
    hand.swim.handle_link_up(hand.now, PeerInfo::from(&present));
    tell(&mut hand, "a", word(raised(present.clone(), 1)));
    tell(&mut hand, "a", vote_of("c", raised(present, 1), ms(2_000)));
    assert_eq!(held(&hand, "x").unwrap().0, State::Suspect);
    tell(&mut hand, "a", vote_of("b", raised(former, 1), ms(2_000)));
    assert_eq!(hand.swim.explain(hand.now, &node("x")).unwrap().votes.len(), 1, "of another process");
    assert_eq!((hand.swim.offences(&node("a")), hand.swim.stats().forged), (0, 0));
}

/// A key that cannot sign: what its holder says itself counts here, and is not passed on, since nobody could believe it.
#[test]
fn an_unsigned_accusation_counts_over_its_own_link_and_goes_no_further() {
    let mut hand = sealed();
    let unsigned = Update { proof: None, ..vote_of("b", alive("x"), ms(2_000)) };
    tell(&mut hand, "a", unsigned.clone());
    assert_eq!(held(&hand, "x").unwrap().0, State::Alive);
    tell(&mut hand, "b", unsigned);
    assert_eq!(held(&hand, "x").unwrap().0, State::Suspect);
    hand.pass(ms(1_000), &["a", "b", "c"]);
    let told: Vec<Update> = hand.sent().into_iter().flat_map(|(_, datagram)| datagram.updates).collect();
    let of_b = |update: &&Update| update.vote.as_ref().is_some_and(|vote| vote.accuser == node("b"));
    assert_eq!(told.iter().filter(of_b).count(), 0, "{told:?}");
}

/// Who links up with somebody about to leave hears no word that it could take for a forged one.
#[test]
fn a_hello_of_a_leaver_is_no_lie() {
    let known = Mutex::new(BTreeSet::from([tag("x")]));
    let mut leaver = Hand::named("x", &["m"], Arc::new(Names { own: node("x"), known }));
    leaver.swim.leave(leaver.now);
    let hello = leaver.swim.as_peer();
    assert_eq!(hello.proof, None, "it signs that it leaves, and a hello says that it is there");
    let mut hand = sealed();
    hand.swim.handle_link_up(hand.now, PeerInfo { incarnation: raised(alive("x"), 1).incarnation, ..hello });
    assert_eq!((hand.swim.offences(&node("x")), hand.swim.stats().forged), (0, 0));
}

/// What one has told of strangers is forgotten, when nobody else says so and when they turn out to live.
#[test]
fn hearsay_does_not_keep() {
    let mut hand = sealed();
    for i in 0..1_100 {
        tell(&mut hand, "a", Update::unproven(state(alive(&format!("ghost{i}")), State::Failed)));
    }
    let failed = Update::unproven(state(alive("y"), State::Failed));
    for from in ["b", "c"] {
        tell(&mut hand, from, failed.clone());
    }
    assert_eq!(held(&hand, "y"), None, "there is no room for more");
    hand.pass(ms(80_000), &PEERS);
    tell(&mut hand, "b", failed.clone());
    assert_eq!(held(&hand, "y"), None);
    tell(&mut hand, "c", failed);
    assert_eq!(held(&hand, "y").unwrap().0, State::Failed);
}
