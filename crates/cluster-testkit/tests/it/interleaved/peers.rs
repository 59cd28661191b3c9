//! A peer that connects, flaps, is told to connect anew and is closed, while others send through it.

use std::sync::{Arc, Mutex};

use cluster_pool::planted::Bug;
use cluster_pool::{
    Channel, LinkClass, Message, Outcome, Peer, PeerConfig, PeerEvent, PeerEvents, Router, Serving, message_fn,
};
use shuttle::future::spawn;

use super::{Node, Stage, dawdle, fails_in_some_order, in_any_order};

const WORDS: Channel = Channel(1);

/// Messages of each sender.
const WORDS_EACH: u8 = 3;

/// What arrived, in its order: who said it, and its number.
type Heard = Arc<Mutex<Vec<(u8, u8)>>>;

/// What became of a message.
type Told = ((u8, u8), Outcome);

fn listener() -> (Router, Heard) {
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    let take = message_fn(move |_, message| {
        let notes = Arc::clone(&notes);
        async move {
            // The order is that in which handlers begin and, since each ends before the next, in which they end.
            dawdle(1).await;
            notes.lock().unwrap().push((message.body[0], message.body[1]));
            Ok(())
        }
    });
    (Router::builder().on_message(WORDS, take).build().unwrap(), heard)
}

/// Says one word after the other, without waiting for what becomes of them, and then hears what did.
async fn speak(peer: Peer, who: u8) -> Vec<Told> {
    let mut tickets = Vec::new();
    for number in 0..WORDS_EACH {
        match peer.send(Message::new(WORDS, vec![who, number])).await {
            Ok(ticket) => tickets.push(((who, number), ticket)),
            // Closed meanwhile.
            Err(_rejected) => break,
        }
        dawdle(1).await;
    }
    let mut told = Vec::new();
    for (word, ticket) in tickets {
        told.push((word, ticket.await));
    }
    told
}

/// Each link that is told to be up is told to be over before the next, and after the end nothing is told.
async fn follow(mut events: PeerEvents) {
    let (mut up, mut closed) = (false, false);
    while let Some(event) = events.next().await {
        assert!(!closed, "{event:?} after the end");
        match event {
            PeerEvent::Connected { .. } => {
                assert!(!up, "connected twice");
                up = true;
            }
            PeerEvent::Disconnected { .. } => {
                assert!(up, "disconnected twice");
                up = false;
            }
            PeerEvent::ConnectFailed { .. } => up = false,
            PeerEvent::Closed => closed = true,
            _ => {}
        }
    }
    assert!(closed, "the end is told");
}

/// No word twice, those of each sender in their order, and each that was told to be delivered, or not sent, was.
fn judge(heard: &[(u8, u8)], told: &[Told]) {
    for who in [1, 2] {
        let numbers: Vec<u8> = heard.iter().filter(|word| word.0 == who).map(|word| word.1).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "of sender {who} came {numbers:?}");
    }
    for (word, outcome) in told {
        match outcome {
            Outcome::Delivered { .. } => assert!(heard.contains(word), "{word:?} was not delivered"),
            Outcome::NotSent(_) => assert!(!heard.contains(word), "{word:?} was sent"),
            _ => {}
        }
    }
}

/// Two senders, links that are cut from the other side, a dial from there, an owner who connects anew, and, if asked for, one who closes.
async fn a_peer_in_trouble(stage: Stage, closes: bool, bug: Option<Bug>) {
    let (router, heard) = listener();
    let serving = Serving { streams: Arc::new(router), ..Serving::default() };
    let a = Arc::new(stage.node(0, Stage::config(bug), Serving::default()));
    let b: Arc<Node> = Arc::new(stage.node(1, Stage::config(bug), serving));
    let own = Router::new();
    let (peer, driver) = Peer::new(&a.pool, &own, b.name.clone(), b.addr, PeerConfig::default()).unwrap();
    let following = spawn(follow(peer.events()));
    let driving = spawn(driver.drive());
    let speaking = [1, 2].map(|who| spawn(speak(peer.clone(), who)));
    let (cutter, other) = (Arc::clone(&b), a.name.clone());
    let cutting = spawn(async move {
        for _ in 0..2 {
            dawdle(4).await;
            cutter.cut(&other);
        }
    });
    let owner = peer.clone();
    let connecting = spawn(async move {
        dawdle(3).await;
        owner.reconnect();
        dawdle(3).await;
        if closes {
            owner.close();
        }
    });
    let (dialler, name, addr) = (Arc::clone(&b), a.name.clone(), a.addr);
    let dialling = spawn(async move { drop(dialler.pool.get_or_create(&name, addr).await) });

    let mut told = Vec::new();
    for task in speaking {
        told.extend(task.await.unwrap());
    }
    for task in [cutting, connecting, dialling] {
        task.await.unwrap();
    }
    assert!(closes || told.len() == 2 * usize::from(WORDS_EACH), "all are taken: {told:?}");
    peer.close();
    driving.await.unwrap();
    following.await.unwrap();
    // Whatever may still be handled is, before it is looked at.
    a.end().await;
    b.end().await;
    judge(&heard.lock().unwrap(), &told);
    assert_eq!(a.pool.len(LinkClass::Data), 0);
}

#[test]
fn a_peer_loses_doubles_and_reorders_nothing_in_any_order() {
    in_any_order(400, |stage| a_peer_in_trouble(stage, false, None));
}

#[test]
fn a_peer_that_is_closed_while_it_connects_ends_everything_in_any_order() {
    in_any_order(400, |stage| a_peer_in_trouble(stage, true, None));
}

#[test]
fn a_message_that_is_put_back_in_the_wrong_place_shows_in_some_order() {
    let bug = Some(Bug::ReorderAfterReconnect);
    assert!(fails_in_some_order(800, move |stage| a_peer_in_trouble(stage, false, bug)));
}
