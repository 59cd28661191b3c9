//! The halves of a link's streams. An error that is the connection's own marks the link dead before it goes on to whoever reads
//! or writes, so that nobody who heard of it is handed the link again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Link;
use crate::planted::Bug;
use crate::transport::{CloseCode, RecvHalf, SendHalf, stream_code};

pub(super) struct WatchedSend {
    pub(super) link: Link,
    pub(super) half: Box<dyn SendHalf>,
}

pub(super) struct WatchedRecv {
    pub(super) link: Link,
    pub(super) half: Box<dyn RecvHalf>,
}

fn note<T>(link: &Link, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    if let Poll::Ready(Err(error)) = &outcome
        && error.kind() == io::ErrorKind::NotConnected
        && stream_code(error).is_none()
    {
        link.end();
    }
    outcome
}

impl Drop for WatchedSend {
    fn drop(&mut self) {
        if self.link.0.bug == Some(Bug::CancelLooksComplete) {
            self.half.finish();
        }
    }
}

impl AsyncWrite for WatchedSend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.half).poll_write(cx, bytes);
        note(&self.link, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.half).poll_flush(cx);
        note(&self.link, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.half).poll_shutdown(cx)
    }
}

impl SendHalf for WatchedSend {
    fn finish(&mut self) {
        self.half.finish();
    }

    fn reset(&mut self, code: CloseCode) {
        self.half.reset(code);
    }

    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseCode>> {
        self.half.poll_stopped(cx)
    }
}

impl AsyncRead for WatchedRecv {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut *self.half).poll_read(cx, buf);
        note(&self.link, read)
    }
}

impl RecvHalf for WatchedRecv {
    fn stop(&mut self, code: CloseCode) {
        self.half.stop(code);
    }
}
