//! Who gets in: so many connections at once, one question each, none that does not come to its point, and nobody whom a web page sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::answers::Refused;

/// Connections at once; more wait outside, where they cost this process nothing.
const PLACES: usize = 64;

/// A connection on which no whole question has come by then is closed.
const QUESTION: Duration = Duration::from_secs(5);

/// How soon the system is asked again that gave no connection.
const AGAIN: Duration = Duration::from_millis(100);

/// What ends the head of a question.
const END_OF_HEAD: &[u8; 4] = b"\r\n\r\n";

/// Listens, and lets in as many as there is room for.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl Door {
    /// The next connection. Where the system gives none, it is asked again until it does: an agent without descriptors is to be
    /// found in its log, and back when it has some.
    async fn next(&self) -> (TcpStream, SocketAddr) {
        let mut told = false;
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    if told {
                        tracing::warn!("connections to the admin address are taken again");
                    }
                    return accepted;
                }
                // Whoever came has gone again.
                Err(error) if is_of_the_caller(&error) => {}
                Err(error) => {
                    if !told {
                        tracing::error!(%error, "no connection can be taken on the admin address: it is tried again every 100 ms");
                        told = true;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Whether a connection failed that was to be taken, and not the taking.
fn is_of_the_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Listener for Door {
    type Io = Inside;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Inside, SocketAddr) {
        // It is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, from) = self.next().await;
        let waiting = Some(Box::pin(tokio::time::sleep(QUESTION)));
        (Inside { stream, waiting, seen: 0, _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that has a place.
#[derive(Debug)]
pub(super) struct Inside {
    stream: TcpStream,
    /// Until the question is there.
    waiting: Option<Pin<Box<Sleep>>>,
    /// How much of the end of its head has come.
    seen: usize,
    _place: Option<OwnedSemaphorePermit>,
}

impl Inside {
    /// Looks for the end of the head in what has come.
    fn note_read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.seen = match (*byte == END_OF_HEAD[self.seen], *byte) {
                (true, _) => self.seen + 1,
                (false, b'\r') => 1,
                (false, _) => 0,
            };
            if self.seen == END_OF_HEAD.len() {
                self.waiting = None;
                return;
            }
        }
    }
}

impl AsyncRead for Inside {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.waiting.is_some() {
            self.note_read(&buf.filled()[before..]);
        }
        if let Some(waiting) = &mut self.waiting
            && waiting.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Inside {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Turns away what a browser asks for a page: it can reach loopback, and its user has not asked.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match judge(request.headers()) {
        Ok(()) => {
            let mut response = next.run(request).await;
            // One question a connection: whoever has his answer gives his place back.
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
            response
        }
        Err(why) => Refused::new(StatusCode::FORBIDDEN, why).into_response(),
    }
}

fn judge(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or_default());
    if !text(header::HOST).is_some_and(is_loopback) {
        return Err(
            "the Host header must be a loopback address or localhost: a name that leads here may be somebody's trick",
        );
    }
    if headers.contains_key(header::ORIGIN) {
        return Err("web pages are not answered: this is for programs on this machine");
    }
    if text(header::HeaderName::from_static("sec-fetch-site")).is_some_and(|site| site != "none") {
        return Err("web pages are not answered: this is for programs on this machine");
    }
    Ok(())
}

/// Whether a `Host` names this machine and cannot mean another.
fn is_loopback(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().and_then(|ip| ip.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_are_answered() {
        for good in ["127.0.0.1:8001", "127.9.9.9", "localhost:1", "LOCALHOST", "[::1]:8001", "[::1]"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in ["", "evil.example", "evil.example:8001", "127.0.0.1.evil.example", "10.0.0.1:1", "localhost.evil:1"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn what_a_web_page_sends_is_turned_away() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), header::HeaderValue::from_static(value)))
                .collect()
        };
        let host = ("host", "127.0.0.1:8001");
        assert!(judge(&headers(&[host])).is_ok());
        assert!(judge(&headers(&[host, ("sec-fetch-site", "none")])).is_ok(), "typed by a person");
        for bad in [
            &[][..],
            &[("host", "rebound.example:8001")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("origin", "null")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(judge(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
