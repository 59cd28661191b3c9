//! Ctrl-C, SIGTERM and SIGHUP: asked for between two looks at whatever runs, so that everything that was started is ended.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on a signal is only noted: whatever is running must look. A second call does nothing.
pub(crate) fn listen() -> Result<(), String> {
    static LISTENING: OnceLock<Result<(), String>> = OnceLock::new();
    let set = || ctrlc::set_handler(|| ASKED.store(true, Ordering::Relaxed));
    LISTENING.get_or_init(|| set().map_err(|e| format!("signals cannot be listened to: {e}"))).clone()
}

/// An error, if somebody wants this to end.
pub(crate) fn check() -> Result<(), String> {
    if asked() { Err("interrupted; everything that was started is ended".into()) } else { Ok(()) }
}

/// Whether somebody wants this to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
