//! Logs go to standard error through a thread of their own: a reader that stalls costs lines, never the agent's time.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for a slow reader; more are lost.
const LINES_MAX: usize = 1_024;

/// Begins to log; `CLUSTER_LOG` chooses what, as in `CLUSTER_LOG=debug`. Without a thread nothing is logged.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("CLUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let (lines, waiting) = sync_channel::<Vec<u8>>(LINES_MAX);
    let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
        for line in waiting {
            // A closed standard error takes no lines; there is nowhere to say so.
            let _ = io::stderr().write_all(&line);
        }
    });
    if thread.is_ok() {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines(lines)).with_ansi(false).init();
    }
}

/// Makes a writer for each event.
#[derive(Debug, Clone)]
struct Lines(SyncSender<Vec<u8>>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    /// An event is written whole, in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Full: the line is lost, and the agent goes on.
        let _ = self.0.try_send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
