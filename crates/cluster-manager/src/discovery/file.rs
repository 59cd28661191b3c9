//! A file that something else writes: one seed a line, `#` for remarks.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::{Discovery, DiscoveryError};
use crate::join::Seed;

/// More than this is no list of seeds.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Watches a file by reading it every two seconds, which sees every change, also that of a link that points elsewhere now, or of a
/// file on a network disk. Each line is an address or a name with a port; what follows a `#` is a remark. A file with a line that is
/// neither is refused as a whole: half a list may be half written.
#[derive(Debug, Clone)]
pub struct FileDiscovery {
    path: PathBuf,
}

impl FileDiscovery {
    /// The file at `path`. It need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn unavailable(&self, reason: impl ToString) -> DiscoveryError {
        DiscoveryError::Unavailable { what: self.describe(), reason: reason.to_string() }
    }

    fn parse(&self, text: &str) -> Result<Vec<Seed>, DiscoveryError> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
        let seed = |(at, line): (usize, &str)| {
            let malformed =
                |source| DiscoveryError::Malformed { what: format!("{} line {}", self.describe(), at + 1), source };
            line.parse().map_err(malformed)
        };
        lines.map(seed).collect()
    }
}

#[async_trait]
impl Discovery for FileDiscovery {
    fn describe(&self) -> String {
        format!("file {}", self.path.display())
    }

    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        let path = self.path.clone();
        // A disk that hangs holds up a thread made for that, and not the node's.
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            let file = std::fs::File::open(path)?;
            io::Read::read_to_string(&mut io::Read::take(file, FILE_LEN_MAX + 1), &mut text)?;
            Ok::<_, io::Error>(text)
        });
        let text = read.await.map_err(|e| self.unavailable(e))?.map_err(|e| self.unavailable(e))?;
        if text.len() as u64 > FILE_LEN_MAX {
            return Err(self.unavailable("it is longer than 1 MiB, and so no list of seeds"));
        }
        self.parse(&text)
    }

    fn period(&self) -> Duration {
        Duration::from_secs(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_and_what_is_wrong_with_it_is_named_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seeds");
        let discovery = FileDiscovery::new(&path);
        let missing = discovery.find().await.unwrap_err().to_string();
        assert!(missing.contains("seeds: No such file"), "{missing}");
        std::fs::write(&path, "# ours\n10.0.0.1:7946\n\n  db-1.internal:7946  # the old one\n").unwrap();
        let found = discovery.find().await.unwrap();
        assert_eq!(found, ["10.0.0.1:7946", "db-1.internal:7946"].map(|s| s.parse::<Seed>().unwrap()));
        std::fs::write(&path, "10.0.0.1:7946\n10.0.0.2\n").unwrap();
        let wrong = discovery.find().await.unwrap_err().to_string();
        assert!(wrong.contains("seeds line 2: \"10.0.0.2\" is no seed"), "{wrong}");
        std::fs::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap();
        assert!(discovery.find().await.unwrap_err().to_string().contains("longer than 1 MiB"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(discovery.find().await.unwrap_err().to_string().contains("UTF-8"));
        std::fs::write(&path, "").unwrap();
        assert!(discovery.find().await.unwrap().is_empty(), "nobody is an answer");
    }
}
