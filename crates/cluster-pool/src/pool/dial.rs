//! One dial: connect, greet, install, and tell whoever asked.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Shared;
use super::error::DialError;
use super::event::{DialTarget, PoolEvent};
use super::lease::Lease;
use super::limits::Permit;
use super::serve::{self, code_of_loser};
use super::slots::{Arriving, Dial, Installed};
use super::stats::Happened;
use crate::hello::{Hello, greet_as_client};
use crate::link::Link;
use crate::planted::Bug;
use crate::transport::{CloseCode, ConnectError, LinkClass};

/// Runs in the pool's tracker, so that no caller who goes away takes the dial with him. A dial that others wait for has a place, which is
/// kept until its link is in it.
pub(super) async fn run(
    shared: Arc<Shared>,
    class: LinkClass,
    target: DialTarget,
    waiting: Option<(Arc<Dial>, Arriving)>,
) {
    let (waiting, kept) = waiting.map(|(dial, kept)| (Waiting(dial), kept)).unzip();
    let outcome = attempt(&shared, class, &target).await.map_err(Arc::new);
    if let (LinkClass::Data, Some(node)) = (class, &target.node) {
        shared.counters.note(node, Happened::Dialled);
        if outcome.is_err() {
            shared.counters.note(node, Happened::Failed);
        }
    }
    let outcome = match outcome {
        Ok(link) => Ok(install(&shared, link, kept).await),
        Err(error) => {
            // Free before anybody is told.
            drop(kept);
            Err(error)
        }
    };
    if let (Some(waiting), Some(node)) = (waiting, &target.node) {
        let leaks = outcome.is_err() && shared.config.has(Bug::PermitLeak);
        shared.slots(class).end_dial(node, &waiting.0, leaks);
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

/// Connects and greets, unless that takes too long or the pool closes.
pub(super) async fn attempt(shared: &Shared, class: LinkClass, target: &DialTarget) -> Result<Link, DialError> {
    let patience = shared.config.dial_timeout;
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(DialError::Closing),
        timed = tokio::time::timeout(patience, establish(shared, class, target)) => {
            timed.unwrap_or_else(|_elapsed| {
                cluster_sites::reachable!(crate::sites::DIAL_TIMED_OUT);
                Err(DialError::Timeout { addr: target.addr, patience })
            })
        }
    }
}

async fn establish(shared: &Shared, class: LinkClass, target: &DialTarget) -> Result<Link, DialError> {
    let _permit = shared.dials.acquire().await.map_err(|_closed| DialError::Closing)?;
    // Not for control: membership would count it as a probe that nobody answered.
    if class == LinkClass::Data && cluster_sites::buggify!(crate::sites::DIAL_FAILS_AT_ONCE) {
        return Err(ConnectError::NoAnswer { addr: target.addr }.into());
    }
    let connection = shared.transport.connect(target.addr, class).await?;
    // Numbered when it is greeted: both sides go by it, should there be another.
    let id = shared.new_link_id();
    let own = Hello { dial: id.0, ..shared.hello() };
    let remote = greet_as_client(&*connection, &own, class, target.node.as_ref()).await?;
    Ok(Link::new(id, connection, remote, class, true, shared.for_a_link()))
}

/// As [`run`], where nobody knows yet who will answer.
pub(super) async fn run_at(shared: Arc<Shared>, addr: SocketAddr, dial: Arc<Dial>, place: Permit) {
    let waiting = Waiting(dial);
    let outcome = match attempt(&shared, LinkClass::Data, &DialTarget { addr, node: None }).await {
        Ok(link) => settle(&shared, link, place).await,
        Err(error) => Err(error),
    };
    shared.addresses.end_dial(addr, outcome.as_ref().ok().map(|lease| lease.node().clone()));
    waiting.0.resolve(outcome.map_err(Arc::new));
}

/// Gives the place to whoever answered, and the link its slot.
async fn settle(shared: &Arc<Shared>, link: Link, place: Permit) -> Result<Lease, DialError> {
    let node = link.node().clone();
    shared.counters.note(&node, Happened::Dialled);
    match shared.data.settle(&node, place) {
        Ok(arriving) => Ok(Lease::new(install(shared, link, Some(arriving)).await)),
        Err(full) => {
            link.close(CloseCode::OVERLOADED);
            Err(DialError::Full { current: full.current, max: full.max })
        }
    }
}

/// Puts a link into its slot, where a place may have been kept for it, and starts its task; returns the link to use.
pub(super) async fn install(shared: &Arc<Shared>, link: Link, kept: Option<Arriving>) -> Link {
    let own = shared.hello().node;
    if link.class() == LinkClass::Private || link.remote().client {
        // Shared with nobody, it takes no slot; nor does a client's, whom nobody dials.
        shared.spawn(serve::run_link(Arc::clone(shared), link.clone()));
        return link;
    }
    match shared.slots(link.class()).install(&own, &link, kept) {
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
