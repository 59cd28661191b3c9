//! Two ends of a connection inside this process.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster_pool::identity::{Fingerprint, Identity};
use cluster_pool::transport::{BiStream, RecvHalf, SendHalf};
use cluster_pool::{CloseCode, Connection, ConnectionError, Credentials};
use tokio::sync::Notify;

use super::pipe::{Announce, Credit, MemoryRecv, MemorySend, Pipe};

/// Datagrams that wait to be read; the oldest makes room, as in production.
const DATAGRAMS_MAX: usize = 64;

/// The longest datagram, in bytes.
const DATAGRAM_LEN_MAX: usize = 1_200;

/// Nothing takes time here; a round trip of zero would look like no measurement.
const RTT: Duration = Duration::from_micros(100);

type Inbound = (Pipe, Pipe, Credit);

#[derive(Debug, Default)]
struct State {
    ended: Option<ConnectionError>,
    datagrams: VecDeque<Bytes>,
    /// Streams of one direction each, by the peer.
    uni: VecDeque<UniInbound>,
    bi: VecDeque<BiInbound>,
    /// Streams that this end may have open, and has.
    limit: u32,
    open: u32,
    pipes: Vec<Pipe>,
    bytes: (u64, u64),
}

/// A stream that the peer has opened, until it is accepted.
struct BiInbound(Inbound);

impl std::fmt::Debug for BiInbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BiInbound")
    }
}

struct UniInbound(Pipe, Credit);

impl std::fmt::Debug for UniInbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UniInbound")
    }
}

/// One end.
#[derive(Debug)]
pub(super) struct MemoryConnection {
    remote: Credentials,
    remote_addr: SocketAddr,
    state: Mutex<State>,
    changed: Notify,
    other: OnceLock<Weak<Self>>,
}

/// Both ends: the dialler's, which may open any number of streams of its class, and the acceptor's.
pub(super) fn pair(
    (near, near_addr): (&Credentials, SocketAddr),
    (far, far_addr): (&Credentials, SocketAddr),
    streams: u32,
) -> (Arc<MemoryConnection>, Arc<MemoryConnection>) {
    let end = |remote: &Credentials, remote_addr, limit| {
        Arc::new(MemoryConnection {
            remote: remote.clone(),
            remote_addr,
            state: Mutex::new(State { limit, ..State::default() }),
            changed: Notify::new(),
            other: OnceLock::new(),
        })
    };
    // Until the acceptor knows the class, it grants what a control link has.
    let (near, far) = (end(far, far_addr, 4), end(near, near_addr, streams));
    // Set once, here.
    let _ = (near.other.set(Arc::downgrade(&far)), far.other.set(Arc::downgrade(&near)));
    (near, far)
}

/// A stream that counts against its opener's limit until the acceptor has let go of it.
struct Open(Weak<MemoryConnection>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(opener) = self.0.upgrade() {
            opener.lock().open -= 1;
            opener.changed.notify_waiters();
        }
    }
}

impl MemoryConnection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn credentials(&self) -> &Credentials {
        &self.remote
    }

    fn other(&self) -> Option<Arc<Self>> {
        self.other.get().and_then(Weak::upgrade)
    }

    /// Ends both ends, with what each is told.
    pub(super) fn end(&self, here: ConnectionError, there: ConnectionError) {
        self.end_here(here);
        if let Some(other) = self.other() {
            other.end_here(there);
        }
    }

    fn end_here(&self, why: ConnectionError) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(why);
        let pipes = std::mem::take(&mut state.pipes);
        let inbound = (std::mem::take(&mut state.bi), std::mem::take(&mut state.uni));
        drop(state);
        // Each gives back what it took of the other end, which must not be locked meanwhile.
        drop(inbound);
        pipes.iter().for_each(Pipe::kill);
        self.changed.notify_waiters();
    }

    fn keep(&self, pipes: &[&Pipe]) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return pipes.iter().for_each(|pipe| pipe.kill());
        }
        if state.pipes.len() > 256 {
            state.pipes.retain(|pipe| !pipe.is_over());
        }
        state.pipes.extend(pipes.iter().copied().cloned());
    }

    /// Waits until `take` finds something, or the connection ends.
    async fn wait<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> Result<T, ConnectionError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(ended) = &state.ended {
                    return Err(ended.clone());
                }
                if let Some(found) = take(&mut state) {
                    return Ok(found);
                }
            }
            changed.await;
        }
    }

    /// The right to one more stream.
    async fn place(self: &Arc<Self>) -> Result<Credit, ConnectionError> {
        self.wait(|state| {
            let room = state.open < state.limit;
            state.open += u32::from(room);
            room.then_some(())
        })
        .await?;
        Ok(Arc::new(Open(Arc::downgrade(self))))
    }

    fn itself(&self) -> Option<Arc<Self>> {
        self.other()?.other()
    }

    /// Puts something before the other end.
    fn give(&self, give: impl FnOnce(&mut State)) {
        if let Some(other) = self.other() {
            let mut state = other.lock();
            if state.ended.is_none() {
                give(&mut state);
            }
            drop(state);
            other.changed.notify_waiters();
        }
    }

    fn gone(&self) -> ConnectionError {
        self.lock().ended.clone().unwrap_or(ConnectionError::TimedOut)
    }
}

#[async_trait]
impl Connection for MemoryConnection {
    fn remote_identity(&self) -> &Identity {
        self.remote.identity()
    }

    fn remote_fingerprint(&self) -> Fingerprint {
        self.remote.fingerprint()
    }

    fn remote_certificate(&self) -> Vec<u8> {
        self.remote.certificate_chain()
    }

    fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    fn rtt(&self) -> Duration {
        RTT
    }

    fn bytes(&self) -> (u64, u64) {
        self.lock().bytes
    }

    async fn open_bi(&self) -> Result<BiStream, ConnectionError> {
        let own = self.itself().ok_or_else(|| self.gone())?;
        let credit = own.place().await?;
        let (there, back) = (Pipe::default(), Pipe::default());
        self.keep(&[&there, &back]);
        if let Some(other) = self.other() {
            other.keep(&[&there, &back]);
        }
        let announce: Announce = {
            let (there, back) = (there.clone(), back.clone());
            Box::new(move || own.give(|state| state.bi.push_back(BiInbound((there, back, credit)))))
        };
        Ok((Box::new(MemorySend::new(there, Some(announce), None)), Box::new(MemoryRecv::new(back, None))))
    }

    async fn accept_bi(&self) -> Result<BiStream, ConnectionError> {
        let BiInbound((here, back, credit)) = self.wait(|state| state.bi.pop_front()).await?;
        let recv = MemoryRecv::new(here, Some(Arc::clone(&credit)));
        Ok((Box::new(MemorySend::new(back, None, Some(credit))), Box::new(recv)))
    }

    async fn open_uni(&self) -> Result<Box<dyn SendHalf>, ConnectionError> {
        let own = self.itself().ok_or_else(|| self.gone())?;
        let credit = own.place().await?;
        let there = Pipe::default();
        self.keep(&[&there]);
        if let Some(other) = self.other() {
            other.keep(&[&there]);
        }
        let announced = there.clone();
        let announce: Announce = Box::new(move || own.give(|state| state.uni.push_back(UniInbound(announced, credit))));
        Ok(Box::new(MemorySend::new(there, Some(announce), None)))
    }

    async fn accept_uni(&self) -> Result<Box<dyn RecvHalf>, ConnectionError> {
        let UniInbound(here, credit) = self.wait(|state| state.uni.pop_front()).await?;
        Ok(Box::new(MemoryRecv::new(here, Some(credit))))
    }

    fn send_datagram(&self, bytes: Bytes) -> Result<(), ConnectionError> {
        let mut state = self.lock();
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        state.bytes.0 += bytes.len() as u64;
        drop(state);
        if bytes.len() > DATAGRAM_LEN_MAX {
            return Ok(());
        }
        self.give(|state| {
            if state.datagrams.len() >= DATAGRAMS_MAX {
                state.datagrams.pop_front();
            }
            state.bytes.1 += bytes.len() as u64;
            state.datagrams.push_back(bytes);
        });
        Ok(())
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        self.wait(|state| state.datagrams.pop_front()).await
    }

    fn datagram_len_max(&self) -> usize {
        DATAGRAM_LEN_MAX
    }

    fn set_stream_limit(&self, limit: u32) {
        self.give(|state| state.limit = limit);
    }

    fn close(&self, code: CloseCode) {
        self.end(ConnectionError::ClosedHere { code }, ConnectionError::ClosedByPeer { code });
    }

    async fn closed(&self) -> ConnectionError {
        match self.wait(|_| None::<std::convert::Infallible>).await {
            Err(ended) => ended,
            Ok(never) => match never {},
        }
    }
}

impl Drop for MemoryConnection {
    /// Nobody holds it any more: it ends, as in production.
    fn drop(&mut self) {
        self.close(CloseCode::DONE);
    }
}
