//! What agents say to each other for people: texts, which an agent writes among its events, and echoes.

use cluster_manager::pool::Link;
use cluster_manager::{Ask, Channel, NodeId, Router, Turned, Typed};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::Failure;

/// Texts that may wait for a slow reader of the agent's output; more are turned away, and their senders told.
const WAITING_MAX: usize = 256;

/// A line for a person: `cluster send`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Text(pub(crate) String);

impl Typed for Text {
    const CHANNEL: Channel = Channel(1);
}

/// Comes back as it went: `cluster request`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Echo(pub(crate) String);

impl Ask for Echo {
    const CHANNEL: Channel = Channel(2);
    type Reply = String;
}

/// A text that came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) from: NodeId,
    pub(crate) text: String,
}

/// What serves them, and where the texts come out.
pub(crate) fn router() -> Result<(Router, mpsc::Receiver<Heard>), Failure> {
    let (told, heard) = mpsc::channel(WAITING_MAX);
    let take = move |from: Link, Text(text): Text| {
        let told = told.try_send(Heard { from: from.node().clone(), text });
        async move { told.map_err(|_full| Turned::away("whoever reads this agent's output is too slow")) }
    };
    let echo = |_from: Link, Echo(text): Echo| async move { Ok(text) };
    // Neither blocks: they run where the links' tasks do.
    let router = Router::builder().on(take).answer(echo).build();
    Ok((router.map_err(|e| Failure::from_error(&e))?, heard))
}
