//! One direction of a stream: bytes in order, an end, and the ways in which either side can give up.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use cluster_pool::CloseCode;
use cluster_pool::transport::{RecvHalf, SendHalf, StreamEnded};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a writer may be ahead of its reader, as a stream's window in production.
const WINDOW: usize = 256 * 1024;

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    finished: bool,
    reset: Option<CloseCode>,
    stopped: Option<CloseCode>,
    /// The connection is over.
    dead: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

impl State {
    fn wake_all(&mut self) {
        [&mut self.reader, &mut self.writer, &mut self.watcher]
            .into_iter()
            .filter_map(Option::take)
            .for_each(Waker::wake);
    }
}

/// A direction of a stream. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<State>>);

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.wake_all();
    }

    /// The connection is over.
    pub(super) fn kill(&self) {
        self.change(|state| state.dead = true);
    }

    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.dead || state.reset.is_some() || (state.finished && state.bytes.is_empty()) || state.stopped.is_some()
    }
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is over")
}

/// Runs when something is first put on a stream: its peer sees it then.
pub(super) type Announce = Box<dyn FnOnce() + Send + Sync>;

/// Held by whoever uses a stream; the peer may open another one when it is gone.
pub(super) type Credit = Arc<dyn Send + Sync>;

pub(super) struct MemorySend {
    pipe: Pipe,
    announce: Option<Announce>,
    ended: bool,
    _credit: Option<Credit>,
}

impl MemorySend {
    pub(super) const fn new(pipe: Pipe, announce: Option<Announce>, credit: Option<Credit>) -> Self {
        Self { pipe, announce, ended: false, _credit: credit }
    }

    fn announce(&mut self) {
        if let Some(announce) = self.announce.take() {
            announce();
        }
    }
}

impl SendHalf for MemorySend {
    fn finish(&mut self) {
        self.announce();
        self.ended = true;
        self.pipe.change(|state| state.finished = true);
    }

    fn reset(&mut self, code: CloseCode) {
        self.announce();
        self.ended = true;
        self.pipe.change(|state| {
            if !(state.finished && state.bytes.is_empty()) {
                state.reset.get_or_insert(code);
                state.bytes.clear();
            }
        });
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseCode>> {
        let mut state = self.pipe.lock();
        if let Some(code) = state.stopped {
            return Poll::Ready(Some(code));
        }
        if state.dead || (state.finished && state.bytes.is_empty()) {
            return Poll::Ready(None);
        }
        state.watcher = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for MemorySend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.announce();
        let mut state = self.pipe.lock();
        if state.dead {
            return Poll::Ready(Err(dead()));
        }
        if let Some(code) = state.stopped {
            return Poll::Ready(Err(StreamEnded(code).into()));
        }
        if state.finished || state.reset.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bytes.len().min(WINDOW.saturating_sub(state.bytes.len()));
        if len == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend(&bytes[..len]);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemorySend {
    fn drop(&mut self) {
        // One that nothing was ever put on is nobody's business.
        if !self.ended && self.announce.is_none() {
            self.reset(CloseCode::CANCELLED);
        }
    }
}

pub(super) struct MemoryRecv {
    pipe: Pipe,
    ended: bool,
    _credit: Option<Credit>,
}

impl MemoryRecv {
    pub(super) const fn new(pipe: Pipe, credit: Option<Credit>) -> Self {
        Self { pipe, ended: false, _credit: credit }
    }
}

impl RecvHalf for MemoryRecv {
    fn stop(&mut self, code: CloseCode) {
        self.ended = true;
        self.pipe.change(|state| {
            if !state.finished || !state.bytes.is_empty() {
                state.stopped.get_or_insert(code);
            }
            state.bytes.clear();
        });
    }
}

impl AsyncRead for MemoryRecv {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.pipe.lock();
        let ended = if state.dead {
            Err(dead())
        } else if let Some(code) = state.reset {
            Err(StreamEnded(code).into())
        } else if !state.bytes.is_empty() {
            let len = state.bytes.len().min(buf.remaining());
            let (front, back) = state.bytes.as_slices();
            let first = len.min(front.len());
            buf.put_slice(&front[..first]);
            buf.put_slice(&back[..len - first]);
            state.bytes.drain(..len);
            if state.bytes.is_empty() && state.finished {
                state.wake_all();
            } else if let Some(writer) = state.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(()));
        } else if state.finished {
            Ok(())
        } else {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        self.ended = true;
        Poll::Ready(ended)
    }
}

impl Drop for MemoryRecv {
    fn drop(&mut self) {
        if !self.ended {
            self.stop(CloseCode::CANCELLED);
        }
    }
}
