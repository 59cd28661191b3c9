//! Logs go to standard error through a thread of their own: a reader that stalls costs lines, never the agent's time.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for a slow reader; more are lost.
const LINES_MAX: usize = 1_024;

/// Lines that were lost since the process began.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines were lost because whoever reads them is too slow.
pub(crate) fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

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
        if self.0.try_send(line.to_vec()).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_reads_in_time_are_counted() {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let mut writer = Lines(lines);
        for _ in 0..LINES_MAX {
            writer.write_all(b"x").unwrap();
        }
        assert_eq!(lines_lost(), 0);
        writer.write_all(b"lost").unwrap();
        assert_eq!(lines_lost(), 1);
        assert_eq!(waiting.try_iter().count(), LINES_MAX, "the others are there");
    }
}
