//! The accepting side, and the task that every link has while it lives.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster_sites::{buggify, reachable, sometimes};
use cluster_types::limits::CONTROL_FRAME_LEN_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::event::{InboundRequest, PoolEvent};
use super::limits::{Holder, Permit};
use super::pulse::Pulse;
use super::reached::Limit;
use super::slots::Arriving;
use super::{Shared, dial};
use crate::frame::{read_frame, write_frame};
use crate::hello::{Admission, Hello, Refusal, greet_as_server};
use crate::identity::Fingerprint;
use crate::link::{Link, LinkRecv, LinkStream};
use crate::planted::Bug;
use crate::quic::{DATA_STREAMS, DATA_STREAMS_MAX};
use crate::sites;
use crate::transport::{CloseCode, ConnectionError, Incoming, LinkClass};

/// A link that lost against another is closed when it has been without streams for this long: what the peer opened before
/// it knew is on its way by then.
const LOSER_GRACE: Duration = Duration::from_millis(500);
/// And after this at the latest, whatever hangs on it.
const LOSER_PATIENCE: Duration = Duration::from_secs(10);
/// An answer that the owner does not give in this time is not given.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn accept_loop(shared: Arc<Shared>) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            incoming = shared.transport.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        match Arc::clone(&shared.handshakes).try_acquire_owned() {
            Ok(permit) => shared.spawn(greet(Arc::clone(&shared), incoming, permit)),
            Err(_full) => {
                let from = incoming.remote_addr;
                shared.refused_handshakes.fetch_add(1, Ordering::Relaxed);
                shared.complaints.say(|more| tracing::warn!(%from, more, "too many handshakes at once: refused"));
                (incoming.refuse)();
            }
        }
    }
}

/// Closes data connections that nobody uses.
pub(super) async fn close_idle(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(shared.config.idle_check_interval) => {}
        }
        let unused = |link: &Link| {
            let timeout = shared.config.idle_timeout;
            // Not at once: a close overtakes what was said last.
            let timeout = if buggify!(sites::IDLE_EVICTED_EARLY) { timeout / 8 } else { timeout };
            link.is_idle() && link.last_used().elapsed() >= timeout
        };
        for link in shared.evictable().into_iter().filter(unused) {
            reachable!(sites::IDLE_EVICTED);
            shared.evict(&link, CloseCode::DONE);
        }
    }
}

/// A firewall that refuses may refuse every packet: one refusal is told, and the rest of this time's are not.
const REFUSED_EVERY: Duration = Duration::from_millis(200);

/// Tells the owner of addresses that the system refuses to send to.
pub(super) async fn tell_refused(shared: Arc<Shared>) {
    loop {
        let addr = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            addr = shared.transport.send_refused() => addr,
        };
        // A hint: an owner that is behind does without.
        if shared.events.try_send(PoolEvent::SendRefused { addr }).is_err() {
            shared.reached.note(Limit::UnreachableHints);
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(REFUSED_EVERY) => {}
        }
    }
}

async fn greet(shared: Arc<Shared>, incoming: Incoming, _permit: OwnedSemaphorePermit) {
    let from = incoming.remote_addr;
    let patience = shared.config.dial_timeout;
    let stop = shared.stop.clone();
    let greeted = async {
        let connection = incoming.handshake.await.map_err(|e| super::DialError::from(e).chain())?;
        let certificate = connection.remote_fingerprint();
        let gate = Gate { shared: Arc::clone(&shared), certificate, place: Mutex::default() };
        let (remote, class) = greet_as_server(&*connection, &shared.hello(), &gate)
            .await
            .map_err(|e| super::DialError::from(e).chain())?;
        if class != LinkClass::Control {
            connection.set_stream_limit(DATA_STREAMS);
        }
        let place = gate.place.into_inner().unwrap_or_else(PoisonError::into_inner);
        let for_link = shared.for_a_link();
        Ok::<_, String>((Link::new(shared.new_link_id(), connection, remote, class, false, for_link), place))
    };
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        timed = tokio::time::timeout(patience, greeted) => timed,
    };
    match outcome {
        Ok(Ok((link, place))) => {
            let kept = match place {
                Some(Place::OfThePeer(arriving)) => Some(arriving),
                Some(Place::OfItsOwn(permit)) => {
                    link.hold_place(permit);
                    None
                }
                None => None,
            };
            dial::install(&shared, link, kept).await;
        }
        Ok(Err(reason)) => shared.complaints.say(|more| tracing::warn!(%from, %reason, more, "a peer did not get in")),
        Err(_elapsed) => shared
            .complaints
            .say(|more| tracing::warn!(%from, ?patience, more, "a peer began a handshake and did not finish it")),
    }
}

/// Nobody gets in while draining, and no data connection for which there is no place; otherwise the owner decides.
#[derive(Debug)]
struct Gate {
    shared: Arc<Shared>,
    /// Which one the peer showed.
    certificate: Fingerprint,
    /// The place that whoever is let in takes.
    place: Mutex<Option<Place>>,
}

/// Where a data connection that comes in goes.
#[derive(Debug)]
enum Place {
    /// Its peer's slot, which keeps the place.
    OfThePeer(Arriving),
    /// Nobody's slot: it is private.
    OfItsOwn(Permit),
}

#[async_trait]
impl Admission for Gate {
    async fn admit(&self, hello: &Hello, class: LinkClass) -> Result<(), Refusal> {
        if self.shared.draining.load(Ordering::Acquire) {
            reachable!(sites::REFUSED_DRAINING);
            return Err(Refusal::Draining);
        }
        self.shared.serving.admission.admit(hello, class).await?;
        let (shared, node) = (&self.shared, &hello.node);
        let place = match class {
            LinkClass::Control => return Ok(()),
            LinkClass::Data | LinkClass::Private if hello.client => {
                let holder = Holder::Client(self.certificate);
                shared.with_room(|| shared.limits.reserve(holder.clone())).map(Place::OfItsOwn)
            }
            LinkClass::Data => shared.with_room(|| shared.data.expect(node, &shared.limits)).map(Place::OfThePeer),
            LinkClass::Private => {
                shared.with_room(|| shared.limits.reserve(Holder::Node(node.clone()))).map(Place::OfItsOwn)
            }
        };
        sometimes!(sites::REFUSED_FULL, place.is_err());
        let place = place.map_err(|_full| {
            shared.reached.note(Limit::Peers);
            Refusal::Full
        })?;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(())
    }
}

/// What the peer is told about a link that lost against `winner`.
pub(super) fn code_of_loser(winner: &Link, loser: &Link) -> CloseCode {
    if winner.life() == loser.life() { CloseCode::DUPLICATE } else { CloseCode::SUPERSEDED }
}

/// Lets a link that lost finish what it has, then closes it.
pub(super) async fn retire(shared: Arc<Shared>, loser: Link, code: CloseCode) {
    if shared.config.has(Bug::KeepLoser) {
        return;
    }
    loser.wind_down();
    if shared.config.has(Bug::DropLoserStreams) {
        return loser.close(code);
    }
    let drained = async {
        loop {
            loser.wait_idle().await;
            tokio::time::sleep(LOSER_GRACE).await;
            if loser.active_streams() == 0 {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        _ = loser.connection().closed() => {}
        ended = tokio::time::timeout(LOSER_PATIENCE, drained) => {
            sometimes!(sites::LOSER_CUT, ended.is_err());
        }
    }
    loser.close(code);
}

/// Reads everything that comes on a link until it ends, then takes it out of the pool and says so.
pub(super) async fn run_link(shared: Arc<Shared>, link: Link) {
    let _open = shared.open.enter(&link);
    let pulse = Pulse::default();
    // Each lives as long as the link: none is begun anew for each thing that comes.
    let ended = tokio::select! {
        biased;
        () = shared.stop.cancelled() => {
            link.close(CloseCode::SHUTDOWN);
            // Its owner is the one who ends it, and wants no news.
            shared.slots(link.class()).remove(&link, false);
            return shared.counters.note_end(&link);
        }
        error = link.connection().closed() => error,
        never = heed_revocations(&shared, &link) => match never {},
        error = read_datagrams(&shared, &link, &pulse) => error,
        error = pulse.watch(&link), if link.class() != LinkClass::Control => error,
        error = accept_streams(&shared, &link) => error,
    };
    let ended = link.note_dead(ended);
    // Counted before it is put away: in between it would be counted nowhere.
    shared.counters.note_end(&link);
    let was_current = shared.slots(link.class()).remove(&link, shared.config.has(Bug::EndHitsSuccessor));
    tracing::debug!(?link, reason = %ended, "link ended");
    if was_current && link.class() == LinkClass::Control {
        let farewell = ended == ConnectionError::ClosedByPeer { code: CloseCode::SHUTDOWN };
        // An owner that is gone wants no news.
        let _ = shared.events.send(PoolEvent::LinkDown { link, reason: ended.to_string(), farewell }).await;
    }
}

async fn read_datagrams(shared: &Shared, link: &Link, pulse: &Pulse) -> ConnectionError {
    loop {
        match link.connection().read_datagram().await {
            Ok(bytes) if link.class() == LinkClass::Control => note_datagram(shared, link, bytes),
            Ok(bytes) => pulse.handle(link, &bytes),
            Err(error) => return error,
        }
    }
}

/// Closes the link when its peer is not accepted any more; whether it is, is looked at first of all.
async fn heed_revocations(shared: &Shared, link: &Link) -> std::convert::Infallible {
    let mut revoked = shared.revoked.reader();
    loop {
        if revoked.latest().covers(link.remote_identity(), link.remote_fingerprint()) {
            link.close(CloseCode::REVOKED);
        }
        if !revoked.changed().await {
            // The pool is gone, and with it whoever could revoke.
            std::future::pending::<()>().await;
        }
    }
}

async fn accept_streams(shared: &Arc<Shared>, link: &Link) -> ConnectionError {
    let serving = Arc::new(Semaphore::new(shared.config.streams_served_max));
    let mut is_raised = link.class() == LinkClass::Control;
    // Kept from one turn to the next: waiting anew for what hardly ever comes costs every request its share.
    let mut uni = pin!(link.accept_uni());
    loop {
        let accepted = accept(link, uni.as_mut(), &serving).await;
        if let Ok((Inbound::Uni(_), _)) = accepted {
            uni.set(link.accept_uni());
        }
        match accepted {
            Ok((stream, permit)) => shared.spawn(serve_stream(Arc::clone(shared), link.clone(), stream, permit)),
            Err(error) => return error,
        }
        // A peer that uses most of what it was granted gets more: slots cost memory, so they are not granted up front.
        if !is_raised && link.active_streams() * 4 >= 3 * DATA_STREAMS as usize {
            is_raised = true;
            link.connection().set_stream_limit(DATA_STREAMS_MAX);
        }
    }
}

/// Takes a permit before the stream, so that a peer with a thousand streams waits in the transport.
async fn accept(
    link: &Link,
    uni: Pin<&mut impl Future<Output = Result<LinkRecv, ConnectionError>>>,
    serving: &Arc<Semaphore>,
) -> Result<(Inbound, OwnedSemaphorePermit), ConnectionError> {
    let permit = Arc::clone(serving).acquire_owned().await;
    let permit = permit.map_err(|_closed| ConnectionError::ClosedHere { code: CloseCode::DONE })?;
    let stream = tokio::select! {
        stream = link.accept_bi() => Inbound::Bi(stream?),
        stream = uni => Inbound::Uni(stream?),
    };
    Ok((stream, permit))
}

/// A stream that the peer has opened.
enum Inbound {
    Bi(LinkStream),
    Uni(LinkRecv),
}

fn note_datagram(shared: &Shared, link: &Link, bytes: bytes::Bytes) {
    let event = PoolEvent::Datagram { link: link.clone(), bytes };
    if shared.events.try_send(event).is_err() {
        shared.dropped_datagrams.fetch_add(1, Ordering::Relaxed);
    }
}

async fn serve_stream(shared: Arc<Shared>, link: Link, stream: Inbound, _permit: OwnedSemaphorePermit) {
    let stop = shared.stop.clone();
    let streams = &shared.serving.streams;
    if shared.draining.load(Ordering::Acquire) && link.class() != LinkClass::Control {
        // Nobody has looked at it, and whoever opened it is told so.
        return turn_away(stream, CloseCode::DRAINING);
    }
    let work = async {
        match (link.class(), stream) {
            (LinkClass::Control, Inbound::Bi(stream)) => serve_request(&shared, &link, stream).await,
            (LinkClass::Control, Inbound::Uni(mut stream)) => stream.half.stop(CloseCode::UNSUPPORTED),
            (LinkClass::Data | LinkClass::Private, Inbound::Bi(stream)) => streams.handle(&link, stream).await,
            (LinkClass::Data | LinkClass::Private, Inbound::Uni(stream)) => streams.handle_uni(&link, stream).await,
        }
    };
    tokio::select! {
        biased;
        // First: what is done at once need not watch for the end.
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Reads one frame, hands it to the owner, writes the answer. Whatever goes wrong ends this stream and nothing else.
async fn serve_request(shared: &Shared, link: &Link, mut stream: LinkStream) {
    let patience = shared.config.first_frame_timeout;
    let frame = match tokio::time::timeout(patience, read_frame(&mut *stream.recv, CONTROL_FRAME_LEN_MAX)).await {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => {
            tracing::warn!(peer = %link.node(), %error, "a control stream could not be read");
            return end(stream, CloseCode::PROTOCOL);
        }
        Err(_elapsed) => {
            tracing::warn!(peer = %link.node(), ?patience, "a control stream was opened and nothing said on it");
            return end(stream, CloseCode::PROTOCOL);
        }
    };
    let (answer, answered) = oneshot::channel();
    let request = InboundRequest { link: link.clone(), frame, answer };
    if shared.events.try_send(PoolEvent::Request(request)).is_err() {
        shared.reached.note(Limit::ControlRequests);
        return end(stream, CloseCode::OVERLOADED);
    }
    match tokio::time::timeout(ANSWER_PATIENCE, answered).await {
        Ok(Ok(answer)) => {
            if write_frame(&mut *stream.send, answer.kind, &answer.body).await.is_ok() {
                stream.send.finish();
            }
        }
        Ok(Err(_dropped)) => end(stream, CloseCode::UNSUPPORTED),
        Err(_elapsed) => end(stream, CloseCode::OVERLOADED),
    }
}

fn turn_away(stream: Inbound, code: CloseCode) {
    match stream {
        Inbound::Bi(stream) => end(stream, code),
        Inbound::Uni(mut stream) => stream.half.stop(code),
    }
}

fn end(mut stream: LinkStream, code: CloseCode) {
    stream.recv.stop(code);
    stream.send.reset(code);
}
