//! A stream of which some bytes were read before its handler got it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use crate::transport::{CloseCode, RecvHalf};

/// First what was read ahead, then the rest.
pub(super) struct Ahead {
    read: Bytes,
    rest: Box<dyn RecvHalf>,
}

impl Ahead {
    pub(super) const fn new(read: Bytes, rest: Box<dyn RecvHalf>) -> Self {
        Self { read, rest }
    }
}

impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut *self.rest).poll_read(cx, buf);
        }
        let len = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..len]);
        self.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl RecvHalf for Ahead {
    fn stop(&mut self, code: CloseCode) {
        self.rest.stop(code);
    }
}
