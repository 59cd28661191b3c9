//! What takes a while: it is done beside the loop, in a task of its own, and its outcome comes back as an input.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_gossip::RequestToken;
use cluster_types::NodeId;
use cluster_types::limits::CONTROL_FRAME_LEN_MAX;

use super::Driver;

/// A request to a peer that is not answered in this time has failed.
const REQUEST_PATIENCE: Duration = Duration::from_secs(3);

/// How long a name may take to be looked up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// How long whoever is there has to answer: a handshake over the longest path, with a loss.
const RIVAL_PATIENCE: Duration = Duration::from_secs(3);

impl Driver {
    pub(super) fn spawn_request(&self, to: &NodeId, token: RequestToken, kind: u16, body: Vec<u8>) {
        let Some(link) = self.links.get(to).cloned() else {
            // Not lost, however many answers wait: the loop hears of it as of any other failure.
            let answers = self.answer_sender.clone();
            return self.spawner.spawn(Box::pin(self.tasks.track_future(async move {
                // As below.
                let _ = answers.send((token, Err("there is no link".into()))).await;
            })));
        };
        let answers = self.answer_sender.clone();
        self.spawner.spawn(Box::pin(self.tasks.track_future(async move {
            let answer = link.request(kind, &body, CONTROL_FRAME_LEN_MAX, REQUEST_PATIENCE).await;
            cluster_sites::sometimes!(crate::sites::CONTROL_REQUEST_FAILED, answer.is_err());
            let outcome = answer.map(|frame| (frame.kind, frame.body)).map_err(|e| e.to_string());
            // The loop is gone only when nobody wants to know.
            let _ = answers.send((token, outcome)).await;
        })));
    }

    pub(super) fn spawn_visit(&self, addr: SocketAddr) {
        let (pool, rivals, own) = (self.pool.clone(), self.rival_sender.clone(), self.engine.swim().own().node.clone());
        self.spawner.spawn(Box::pin(self.tasks.track_future(async move {
            let found = pool.who_is_at(addr, RIVAL_PATIENCE).await.filter(|hello| hello.node == own && !hello.client);
            // As below.
            let _ = rivals.send((addr, found.map(|hello| (hello.life, hello.incarnation)))).await;
        })));
    }

    pub(super) fn spawn_lookup(&self, name: String) {
        let (resolver, resolved) = (Arc::clone(&self.resolver), self.resolved_sender.clone());
        self.spawner.spawn(Box::pin(self.tasks.track_future(async move {
            let found = tokio::time::timeout(LOOKUP_PATIENCE, resolver.resolve(&name)).await;
            let found = found.unwrap_or_else(|_elapsed| Err(format!("no answer within {LOOKUP_PATIENCE:?}")));
            // As below.
            let _ = resolved.send((name, found)).await;
        })));
    }
}
