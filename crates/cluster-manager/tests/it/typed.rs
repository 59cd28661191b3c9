//! Messages and requests with types of their own, between members; both sides told where they mean different things.

use cluster_manager::{Ask, Channel, Cluster, Fate, MessageError, Outcome, Router, Turned, Typed};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::handle::{PATIENCE, about, until};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Deposit {
    account: String,
    cents: u64,
}

impl Typed for Deposit {
    const CHANNEL: Channel = Channel(10);
}

#[derive(Debug, Serialize, Deserialize)]
enum Balance {
    Of(String),
    OfEverybody,
}

impl Ask for Balance {
    const CHANNEL: Channel = Channel(11);
    type Reply = Vec<(String, u64)>;
}

/// The same channel as [`Balance`], from a later version of the program.
#[derive(Debug, Serialize, Deserialize)]
enum LaterBalance {
    Of(String),
    OfEverybody,
    Since(u64),
}

impl Ask for LaterBalance {
    const CHANNEL: Channel = Channel(11);
    /// And a reply of another form.
    type Reply = (u64, String, String);
}

async fn pair() -> (Cluster, Cluster, mpsc::Receiver<(String, Deposit)>) {
    let authority = Cluster::local_authority("test").expect("an authority");
    let (told, heard) = mpsc::channel(10);
    let take = move |from: cluster_manager::pool::Link, deposit: Deposit| {
        let told = told.clone();
        async move {
            if deposit.cents == 0 {
                return Err(Turned::away("nothing is no deposit"));
            }
            told.send((from.node().to_string(), deposit)).await.map_err(|e| Turned::failed(e.to_string()))
        }
    };
    let tell_balance = |_, asked: Balance| async move {
        match asked {
            Balance::Of(account) => Ok(vec![(account, 12)]),
            Balance::OfEverybody => Ok(Vec::new()),
        }
    };
    let router = Router::builder().on(take).answer(tell_balance).build().expect("one handler each");
    let a = Cluster::local("a", &authority).start().await.expect("it starts");
    let b = Cluster::local("b", &authority).router(router).start().await.expect("it starts");
    let mut events = a.subscribe();
    b.join([a.local_addr()]).await.expect("joined");
    until(&mut events, "the newcomer", about("joined", "b")).await;
    (a, b, heard)
}

#[tokio::test]
async fn values_go_as_they_are_and_come_as_they_were() {
    let (a, b, mut heard) = pair().await;
    let deposit = Deposit { account: "ann".into(), cents: 250 };
    let ticket = a.tell(b.node(), &deposit).await.expect("taken");
    assert_eq!(heard.recv().await.expect("it arrives"), ("a".to_owned(), deposit));
    assert_eq!(ticket.await, Outcome::Delivered { life: b.life() });
    let asked = Balance::Of("ann".into());
    assert_eq!(a.ask(b.node(), &asked, PATIENCE).await.expect("answered"), [("ann".to_owned(), 12)]);
    assert!(a.ask(b.node(), &Balance::OfEverybody, PATIENCE).await.expect("answered").is_empty());
    let ticket = a.tell(b.node(), &Deposit { account: "ann".into(), cents: 0 }).await.expect("taken");
    let Outcome::NotSent(why) = ticket.await else { panic!("it was turned away") };
    assert!(format!("{why:?}").contains("Refused"), "{why:?}");
    a.shutdown(PATIENCE).await;
    b.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn who_means_another_type_by_a_channel_is_told_so() {
    let (a, b, _heard) = pair().await;
    // A variant that the other side does not know yet: nothing was done.
    let error = a.ask(b.node(), &LaterBalance::Since(3), PATIENCE).await.expect_err("not known over there");
    assert_eq!(error.fate(), Fate::NotSent);
    let words = error.to_string();
    assert!(words.contains("bytes are no Balance") && words.contains("same version"), "{words}");
    // One that it knows, and a reply that this side does not: it was done.
    let error = a.ask(b.node(), &LaterBalance::Of("ann".into()), PATIENCE).await.expect_err("not to be read");
    assert!(matches!(error, MessageError::Unreadable { .. }), "{error}");
    assert_eq!(error.fate(), Fate::MaybeDelivered);
    assert!(error.to_string().starts_with("the reply of b: "), "{error}");
    a.shutdown(PATIENCE).await;
    b.shutdown(PATIENCE).await;
}
