//! Ctrl-C, SIGTERM and SIGHUP: asked for between two looks at whatever runs, so that everything that was started is ended.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on a signal is only noted. Call it once, before anything is started that must be ended.
pub(crate) fn listen() -> Result<(), String> {
    ctrlc::set_handler(|| ASKED.store(true, Ordering::Relaxed))
        .map_err(|e| format!("signals cannot be listened to: {e}"))
}

/// Whether somebody wants this to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
