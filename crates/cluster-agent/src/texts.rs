//! What agents say to each other for people: texts, which an agent writes among its events, and echoes.

use cluster_manager::pool::Link;
use cluster_manager::{Ask, Channel, NodeId, Router, Turned, Typed};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::Failure;

/// Texts that are kept for slow readers; one that falls further behind is told how many it missed.
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

/// What serves them, and where the texts come out, for any number of readers.
pub(crate) fn router() -> Result<(Router, broadcast::Sender<Arc<Heard>>), Failure> {
    let (texts, _nobody_yet) = broadcast::channel(WAITING_MAX);
    let told = texts.clone();
    let take = move |from: Link, Text(text): Text| {
        tracing::info!(from = %from.node(), len = text.len(), "a text");
        let told = told.send(Arc::new(Heard { from: from.node().clone(), text }));
        async move { told.map(drop).map_err(|_nobody| Turned::away("nobody reads this agent's output")) }
    };
    let echo = |_from: Link, Echo(text): Echo| async move { Ok(text) };
    // Neither blocks: they run where the links' tasks do.
    let router = Router::builder().on(take).answer(echo).build();
    Ok((router.map_err(|e| Failure::from_error(&e))?, texts))
}
