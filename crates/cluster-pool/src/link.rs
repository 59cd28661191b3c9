//! A link: a connection after both hellos. Cheap to clone; never held in a map across an await.

mod watched;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cluster_types::{Blame, Blamed, Life, NodeId};
use tokio::sync::Notify;
use tokio::time::Instant as Moment;
use tokio_util::sync::CancellationToken;

use crate::frame::{Frame, FrameError, read_frame, write_frame};
use crate::hello::Hello;
use crate::identity::{Fingerprint, Identity};
use crate::planted::Bug;
use crate::pool::Permit;
use crate::transport::{BiStream, CloseCode, Connection, ConnectionError, LinkClass, RecvHalf, SendHalf};
use watched::{WatchedRecv, WatchedSend};

/// Tells links apart that go to the same peer, so that a late end of one cannot touch its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u64);

#[derive(Debug)]
struct Inner {
    id: LinkId,
    connection: Arc<dyn Connection>,
    remote: Hello,
    class: LinkClass,
    outbound: bool,
    dead: AtomicBool,
    /// Streams open in either direction.
    active: AtomicUsize,
    idle: Notify,
    /// Users who hold it.
    leases: AtomicUsize,
    /// When it was last in use, unless it is. Held for a copy.
    last_used: Mutex<Moment>,
    /// Calls that were given it because it was there, since somebody last took the number.
    reuses: AtomicU64,
    /// The place of a private link: given back the moment it is over. The others' is their slot's.
    place: Mutex<Option<Permit>>,
    /// Cancelled when it takes nothing new any more.
    winding_down: CancellationToken,
    /// A mistake that is planted.
    bug: Option<Bug>,
}

/// An authenticated, greeted connection to one life of one peer.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.0.outbound { "to" } else { "from" };
        write!(f, "{} link {} {direction} {}", self.0.class.as_str(), self.0.id.0, self.0.remote.node)
    }
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        connection: Arc<dyn Connection>,
        remote: Hello,
        class: LinkClass,
        outbound: bool,
        (winding_down, bug): (CancellationToken, Option<Bug>),
    ) -> Self {
        let (dead, active, idle) = (AtomicBool::new(false), AtomicUsize::new(0), Notify::new());
        let (leases, last_used, place) = (AtomicUsize::new(0), Mutex::new(Moment::now()), Mutex::default());
        Self(Arc::new(Inner {
            id,
            connection,
            remote,
            class,
            outbound,
            dead,
            active,
            idle,
            leases,
            last_used,
            reuses: AtomicU64::new(0),
            place,
            winding_down,
            bug,
        }))
    }

    /// Which link it is.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.0.id
    }

    /// What the peer said of itself.
    #[must_use]
    pub fn remote(&self) -> &Hello {
        &self.0.remote
    }

    /// The peer's name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.remote.node
    }

    /// The peer's life.
    #[must_use]
    pub fn life(&self) -> Life {
        self.0.remote.life
    }

    /// What the link is for.
    #[must_use]
    pub fn class(&self) -> LinkClass {
        self.0.class
    }

    /// Whether this side dialled.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.0.outbound
    }

    /// Who the peer is by its certificate: a member, or a client.
    #[must_use]
    pub fn remote_identity(&self) -> &Identity {
        self.0.connection.remote_identity()
    }

    /// Which certificate the peer showed.
    #[must_use]
    pub fn remote_fingerprint(&self) -> Fingerprint {
        self.0.connection.remote_fingerprint()
    }

    /// The peer's certificate, with those between it and its authority.
    #[must_use]
    pub fn remote_certificate(&self) -> Vec<u8> {
        self.0.connection.remote_certificate()
    }

    /// Whether nothing new should begin on it: its pool is draining, or another link took its place. What is under way goes on.
    #[must_use]
    pub fn is_winding_down(&self) -> bool {
        self.0.winding_down.is_cancelled()
    }

    /// Whether something new may begin on it.
    pub(crate) fn is_of_use(&self) -> bool {
        !self.is_dead() && !self.is_winding_down()
    }

    /// The number its dialler gave it: of two of his the later one is higher.
    pub(crate) fn dial(&self) -> u64 {
        if self.0.outbound { self.0.id.0 } else { self.0.remote.dial }
    }

    /// Whether its end makes room: a client's has a place of its own until then, a peer's slot has that of its link.
    pub(crate) fn holds_place(&self) -> bool {
        !self.0.remote.client || self.0.place.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits until nothing new should begin on it.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn winding_down(&self) {
        self.0.winding_down.cancelled().await;
    }

    pub(crate) fn wind_down(&self) {
        self.0.winding_down.cancel();
    }

    /// Waits for its end.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) -> ConnectionError {
        let error = self.0.connection.closed().await;
        self.note_dead(error)
    }

    /// The address packets come from, which may differ from the one the peer advertises.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.connection.remote_addr()
    }

    /// The transport's estimate of the round-trip time.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.0.connection.rtt()
    }

    /// Whether it is known to be over.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Acquire)
    }

    /// Streams open now, in both directions.
    #[must_use]
    pub fn active_streams(&self) -> usize {
        self.0.active.load(Ordering::Acquire)
    }

    /// Bytes sent and received so far, headers of the transport included.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.0.connection.bytes()
    }

    /// Whether nobody holds it and no stream is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.leases.load(Ordering::Acquire) == 0 && self.active_streams() == 0
    }

    /// When it was last in use.
    pub(crate) fn last_used(&self) -> Moment {
        *self.0.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.0.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Moment::now();
    }

    fn end(&self) {
        self.0.dead.store(true, Ordering::Release);
        drop(self.0.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Takes the place that it has of its own.
    pub(crate) fn hold_place(&self, place: Permit) {
        *self.0.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// A lease begins.
    pub(crate) fn note_leased(&self) {
        self.0.leases.fetch_add(1, Ordering::AcqRel);
    }

    /// A lease ends; says whether it was the last one. (Noted first: once the count is down, somebody may look.)
    pub(crate) fn note_returned(&self) -> bool {
        if self.0.leases.load(Ordering::Acquire) == 1 && self.active_streams() == 0 {
            self.touch();
        }
        self.0.leases.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Somebody got it because it was there.
    pub(crate) fn note_reused(&self) {
        self.0.reuses.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was, to be counted elsewhere from now on.
    pub(crate) fn take_reuses(&self) -> u64 {
        self.0.reuses.swap(0, Ordering::Relaxed)
    }

    /// How often that was.
    pub(crate) fn reuses(&self) -> u64 {
        self.0.reuses.load(Ordering::Relaxed)
    }

    pub(crate) fn connection(&self) -> &dyn Connection {
        &*self.0.connection
    }

    /// Marks it dead before the error goes on to anyone, so that nobody is handed it again.
    pub(crate) fn note_dead(&self, error: ConnectionError) -> ConnectionError {
        self.end();
        error
    }

    /// Sends a datagram; it may be lost, and is dropped when the buffer is full or the path's limit is smaller.
    ///
    /// # Errors
    /// The link is over.
    pub fn send_datagram(&self, bytes: impl Into<Bytes>) -> Result<(), ConnectionError> {
        self.0.connection.send_datagram(bytes.into()).map_err(|e| self.note_dead(e))
    }

    /// Opens a stream. The peer sees it with the first data on it. Waits at the peer's limit: put a deadline on it.
    ///
    /// # Errors
    /// The link is over, and then already out of its pool.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_bi(&self) -> Result<LinkStream, ConnectionError> {
        let guard = self.count_stream();
        let stream = self.0.connection.open_bi().await.map_err(|e| self.note_dead(e))?;
        Ok(LinkStream::new(stream, guard))
    }

    /// Opens a stream on which only this side sends. As [`open_bi`](Self::open_bi).
    ///
    /// # Errors
    /// The link is over, and then already out of its pool.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_uni(&self) -> Result<LinkSend, ConnectionError> {
        let counted = self.count_stream();
        let send = self.0.connection.open_uni().await.map_err(|e| self.note_dead(e))?;
        Ok(LinkSend { half: self.watch_send(send), _counted: counted })
    }

    /// The peer's next stream on which only it sends.
    pub(crate) async fn accept_uni(&self) -> Result<LinkRecv, ConnectionError> {
        let half = self.0.connection.accept_uni().await.map_err(|e| self.note_dead(e))?;
        Ok(LinkRecv { half: self.watch_recv(half), _counted: self.count_stream() })
    }

    /// The peer's next stream.
    pub(crate) async fn accept_bi(&self) -> Result<LinkStream, ConnectionError> {
        let stream = self.0.connection.accept_bi().await.map_err(|e| self.note_dead(e))?;
        Ok(LinkStream::new(stream, self.count_stream()))
    }

    /// Sends one frame and waits for one in return, on a stream of its own.
    ///
    /// # Errors
    /// The link is over, the answer is malformed or longer than `answer_max`, or `patience` is over.
    ///
    /// # Cancel safety
    /// Safe: the peer sees the stream reset.
    pub async fn request(
        &self,
        kind: u16,
        body: &[u8],
        answer_max: usize,
        patience: Duration,
    ) -> Result<Frame, RequestError> {
        let exchange = async {
            let mut stream = self.open_bi().await?;
            write_frame(&mut *stream.send, kind, body).await.map_err(FrameError::from)?;
            stream.send.finish();
            Ok(read_frame(&mut *stream.recv, answer_max).await?)
        };
        let answered = tokio::time::timeout(patience, exchange).await;
        cluster_sites::sometimes!(crate::sites::REQUEST_TIMED_OUT, answered.is_err());
        answered.unwrap_or(Err(RequestError::Timeout { patience }))
    }

    /// Ends the link at once.
    pub fn close(&self, code: CloseCode) {
        self.end();
        self.0.connection.close(code);
    }

    fn watch_send(&self, half: Box<dyn SendHalf>) -> Box<dyn SendHalf> {
        Box::new(WatchedSend { link: self.clone(), half })
    }

    fn watch_recv(&self, half: Box<dyn RecvHalf>) -> Box<dyn RecvHalf> {
        Box::new(WatchedRecv { link: self.clone(), half })
    }

    fn count_stream(&self) -> StreamGuard {
        self.0.active.fetch_add(1, Ordering::AcqRel);
        StreamGuard(self.clone())
    }

    /// Waits until no stream is open in either direction.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.0.idle.notified());
            idle.as_mut().enable();
            if self.active_streams() == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts one open stream of a link until it is dropped.
#[derive(Debug)]
struct StreamGuard(Link);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let link = &self.0;
        if link.active_streams() == 1 && link.0.leases.load(Ordering::Acquire) == 0 {
            link.touch();
        }
        if link.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            link.0.idle.notify_waiters();
        }
    }
}

/// A stream of a link. Dropping it unfinished tells the peer that it was cancelled.
pub struct LinkStream {
    /// The sending half.
    pub send: Box<dyn SendHalf>,
    /// The receiving half.
    pub recv: Box<dyn RecvHalf>,
    _counted: StreamGuard,
}

impl LinkStream {
    fn new((send, recv): BiStream, counted: StreamGuard) -> Self {
        let link = &counted.0;
        Self { send: link.watch_send(send), recv: link.watch_recv(recv), _counted: counted }
    }
}

/// A stream of a link on which only this side sends. Dropping it unfinished tells the peer that it was cancelled.
pub struct LinkSend {
    /// The sending half.
    pub half: Box<dyn SendHalf>,
    _counted: StreamGuard,
}

impl fmt::Debug for LinkSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSend")
    }
}

/// A stream of a link on which only the peer sends.
pub struct LinkRecv {
    /// The receiving half.
    pub half: Box<dyn RecvHalf>,
    _counted: StreamGuard,
}

impl fmt::Debug for LinkRecv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkRecv")
    }
}

impl fmt::Debug for LinkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkStream")
    }
}

/// Why a request got no answer. What the peer did with it is unknown unless it never left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The link is over.
    #[error("the link ended")]
    Link(#[from] ConnectionError),
    /// The answer is malformed or missing.
    #[error("no usable answer")]
    Frame(#[from] FrameError),
    /// No answer in time.
    #[error("no answer within {patience:?}")]
    Timeout {
        /// How long was waited.
        patience: Duration,
    },
}

impl Blamed for RequestError {
    fn blame(&self) -> Blame {
        match self {
            Self::Link(e) => e.blame(),
            Self::Frame(e) => e.blame(),
            Self::Timeout { .. } => Blame::EnvironmentFailed,
        }
    }
}
