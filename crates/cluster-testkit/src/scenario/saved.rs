//! Schedules on disk: what a failure leaves behind, and what a regression is kept as.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Level, Scenario};

/// The version of the file's form.
const VERSION: u32 = 1;

/// A schedule with what it was played with. It plays again after the code that drew it has changed, which a seed alone does
/// not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    /// How much of the real thing ran.
    pub level: Level,
    /// Seeds what the schedule does not say: losses, latencies, the nodes' own draws.
    pub seed: u64,
    /// What was done, and what must hold.
    pub scenario: Scenario,
}

impl Saved {
    /// Of a schedule that was played.
    #[must_use]
    pub const fn new(level: Level, seed: u64, scenario: Scenario) -> Self {
        Self { version: VERSION, level, seed, scenario }
    }

    /// Reads one.
    ///
    /// # Errors
    /// In words, with the file's name: it cannot be read, or holds something else.
    pub fn load(file: &Path) -> Result<Self, String> {
        let failed = |what: String| format!("{}: {what}", file.display());
        let bytes = fs::read(file).map_err(|e| failed(e.to_string()))?;
        let saved: Self =
            serde_json::from_slice(&bytes).map_err(|e| failed(format!("it is not a saved schedule: {e}")))?;
        if saved.version != VERSION {
            return Err(failed(format!("it has version {}, this program reads {VERSION}", saved.version)));
        }
        saved.scenario.check().map_err(failed)?;
        Ok(saved)
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        fs::write(file, serde_json::to_vec_pretty(self)?)
    }
}
