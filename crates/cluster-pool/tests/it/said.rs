//! What nodes write while they work: warnings, as whoever reads their logs sees them.

use std::fmt::{Debug, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::node::until;

/// The warnings of this thread's nodes, a line each, while it is held.
#[derive(Debug)]
pub(crate) struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    _listening: DefaultGuard,
}

impl Said {
    /// Listens from now on to everything that runs on this thread.
    pub(crate) fn listen() -> Self {
        let lines = Lines::default();
        Self { lines: Arc::clone(&lines.0), _listening: tracing::subscriber::set_default(lines) }
    }

    /// Why somebody from an address did not get in, as whoever was dialled says.
    pub(crate) async fn why_turned_away(&self, from: SocketAddr) -> String {
        let (who, mut said) = (format!("from={from} "), None);
        let mut find = || {
            let lines = self.lines.lock().unwrap();
            said = lines.iter().find(|line| line.contains("a peer did not get in") && line.contains(&who)).cloned();
            said.is_some()
        };
        until("whoever was dialled says why", &mut find).await;
        said.unwrap()
    }
}

#[derive(Debug, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}
