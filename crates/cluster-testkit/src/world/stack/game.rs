//! Ping-pong between two nodes of a stack world, over their peers: balls as messages, hit again when nobody knows whether one arrived.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_manager::{Channel, Cluster, Message, NodeId, Outcome, Peer};
use cluster_pool::Received;

use super::counts::Counts;
use super::ledger::Run;
use crate::{reachable, sometimes};

/// The channel of the balls. No handler takes them: they come out of the peers' inboxes.
const BALL: Channel = Channel(2);

/// A ball that is not back after this is hit again.
const PATIENCE: Duration = Duration::from_millis(500);

/// A game that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Game {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) rounds: u64,
}

/// Games that were not played to their end. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Games(Arc<Mutex<Vec<Game>>>);

impl Games {
    fn lock(&self) -> MutexGuard<'_, Vec<Game>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The side that serves.
    pub(super) async fn play(self, game: Game, cluster: Cluster, to: NodeId, counts: (Counts, Run)) {
        self.lock().push(game);
        let Ok(peer) = cluster.peer(&to) else { return };
        let player = Player { peer, at: game.to, counts: counts.0, run: counts.1 };
        for round in 0..game.rounds {
            if player.rally(round).await.is_none() {
                return;
            }
        }
        reachable!("a game of ping-pong is played to its end");
        // One of them, should there be several alike.
        let mut games = self.lock();
        if let Some(at) = games.iter().position(|other| *other == game) {
            games.remove(at);
        }
    }

    /// Those that were not played to their end.
    pub(super) fn unfinished(&self) -> Vec<Game> {
        self.lock().clone()
    }
}

/// The side that returns, for as long as its node runs.
pub(super) async fn give_back(cluster: Cluster, (at, to): (usize, NodeId), counts: (Counts, Run)) {
    let Ok(peer) = cluster.peer(&to) else { return };
    let player = Player { peer, at, counts: counts.0, run: counts.1 };
    while let Some(ball) = player.catch().await {
        if player.hit(ball.body.to_vec()).await.is_none() {
            return;
        }
    }
}

/// One side of a game.
struct Player {
    peer: Peer,
    /// Who is on the other side.
    at: usize,
    counts: Counts,
    run: Run,
}

impl Player {
    async fn catch(&self) -> Option<Received> {
        let ball = self.peer.receive().await?;
        self.counts.caught(self.run);
        Some(ball)
    }

    /// One ball there and back; `None` when there is nobody to play with any more.
    async fn rally(&self, round: u64) -> Option<()> {
        self.hit(round.to_le_bytes().to_vec()).await?;
        loop {
            match tokio::time::timeout(PATIENCE, self.catch()).await {
                Ok(ball) if ball.as_ref()?.body == round.to_le_bytes()[..] => return Some(()),
                // An old one that was hit twice.
                Ok(_) => {}
                Err(_elapsed) => self.hit(round.to_le_bytes().to_vec()).await?,
            }
        }
    }

    /// Hits until the ball is known to have arrived, or that it may have.
    async fn hit(&self, ball: Vec<u8>) -> Option<()> {
        loop {
            let Ok(ticket) = self.peer.send(Message::new(BALL, ball.clone())).await else {
                self.counts.rejected(self.run);
                return None;
            };
            self.counts.queued(self.run);
            self.counts.hit(self.at);
            let outcome = ticket.await;
            self.counts.ended(self.run, &outcome);
            sometimes!(matches!(outcome, Outcome::MaybeDelivered(_)), "nobody knows whether a message was delivered");
            if !matches!(outcome, Outcome::NotSent(_)) {
                return Some(());
            }
            // It has waited in vain, or the other side does not listen yet.
            tokio::time::sleep(PATIENCE).await;
        }
    }
}
