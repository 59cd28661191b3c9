//! One dial: connect, greet, install, and tell whoever asked.

use std::sync::Arc;

use super::Shared;
use super::error::DialError;
use super::event::{DialTarget, PoolEvent};
use super::lease::Lease;
use super::serve::{self, code_of_loser};
use super::slots::{Dial, Installed};
use super::stats::Happened;
use crate::hello::greet_as_client;
use crate::link::Link;
use crate::transport::LinkClass;

/// Runs in the pool's tracker, so that no caller who goes away takes the dial with him.
pub(super) async fn run(shared: Arc<Shared>, class: LinkClass, target: DialTarget, waiting: Option<Arc<Dial>>) {
    let waiting = waiting.map(Waiting);
    let stop = shared.stop.clone();
    let patience = shared.config.dial_timeout;
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => Err(DialError::Closing),
        timed = tokio::time::timeout(patience, establish(&shared, class, &target)) => {
            timed.unwrap_or(Err(DialError::Timeout { addr: target.addr, patience }))
        }
    };
    let outcome = outcome.map_err(Arc::new);
    if let (LinkClass::Data, Some(node)) = (class, &target.node) {
        shared.counters.note(node, Happened::Dialled);
        if outcome.is_err() {
            shared.counters.note(node, Happened::Failed);
        }
    }
    let outcome = match outcome {
        Ok(link) => Ok(install(&shared, link).await),
        Err(error) => Err(error),
    };
    if let (Some(waiting), Some(node)) = (waiting, &target.node) {
        shared.slots(class).end_dial(node, &waiting.0);
        waiting.0.resolve(outcome.map(Lease::new));
    } else {
        // The owner is gone only at the very end, when nobody wants to know.
        let _ = shared.events.send(PoolEvent::Dialled { target, outcome }).await;
    }
}

/// Everybody who waits for a dial. However the dial ends, with its runtime too, they are told.
struct Waiting(Arc<Dial>);

impl Drop for Waiting {
    fn drop(&mut self) {
        // After an outcome this does nothing: the first one stays.
        self.0.resolve(Err(Arc::new(DialError::Closing)));
    }
}

pub(super) async fn establish(shared: &Shared, class: LinkClass, target: &DialTarget) -> Result<Link, DialError> {
    let _permit = shared.dials.acquire().await.map_err(|_closed| DialError::Closing)?;
    let connection = shared.transport.connect(target.addr, class).await?;
    let remote = greet_as_client(&*connection, &shared.hello(), class, target.node.as_ref()).await?;
    Ok(Link::new(shared.new_link_id(), connection, remote, class, true))
}

/// Puts a link into its slot and starts its task; returns the link to use.
pub(super) async fn install(shared: &Arc<Shared>, link: Link) -> Link {
    let own = shared.hello().node;
    if link.class() == LinkClass::Private {
        // Shared with nobody, it takes no slot.
        shared.spawn(serve::run_link(Arc::clone(shared), link.clone()));
        return link;
    }
    match shared.slots(link.class()).install(&own, &link) {
        Installed::Current { replaced } => {
            if let Some(loser) = replaced {
                shared.spawn(serve::retire(Arc::clone(shared), loser.clone(), code_of_loser(&link, &loser)));
            }
            if link.class() == LinkClass::Control {
                // As above: an owner that is gone wants no news.
                let _ = shared.events.send(PoolEvent::LinkUp(link.clone())).await;
            }
            shared.spawn(serve::run_link(Arc::clone(shared), link.clone()));
            link
        }
        Installed::Duplicate { winner } => {
            let code = code_of_loser(&winner, &link);
            shared.spawn(serve::run_link(Arc::clone(shared), link.clone()));
            shared.spawn(serve::retire(Arc::clone(shared), link, code));
            winner
        }
    }
}
