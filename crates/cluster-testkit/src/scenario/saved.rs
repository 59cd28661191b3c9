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

    /// Reads one: the file, or the `schedule.json` of a bundle's directory.
    ///
    /// # Errors
    /// In words, with the file's name and what to do: it cannot be read, is cut short, is of another version, holds something else, or cannot
    /// be played.
    pub fn load(file: &Path) -> Result<Self, String> {
        let of_bundle = file.join("schedule.json");
        let file = if file.is_dir() { &of_bundle } else { file };
        let failed = |what: String| format!("{}: {what}", file.display());
        let bytes = fs::read(file).map_err(|e| failed(e.to_string()))?;
        let saved = Self::parse(&bytes).map_err(failed)?;
        saved.scenario.check().map_err(|why| failed(format!("it cannot be played: {why}")))?;
        Ok(saved)
    }

    /// The version first: what has another one may be of any other form.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |e: serde_json::Error| {
            if e.is_eof() {
                return format!(
                    "it is cut short ({e}): copy it once more, or have the seed run again, which writes it anew"
                );
            }
            format!("it is not a saved schedule: {e}")
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(wrong)?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if let Some(version) = version.filter(|version| *version != u64::from(VERSION)) {
            return Err(format!(
                "it has version {version}, and this program reads version {VERSION}: play it with the program that wrote it, or have its \
                 seed run again with this one"
            ));
        }
        serde_json::from_value(value).map_err(wrong)
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        fs::write(file, serde_json::to_vec_pretty(self)?)
    }
}
