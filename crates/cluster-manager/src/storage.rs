//! Where a node keeps what must outlive it. Production has the disk of the machine; a simulated world brings its own, which can be
//! slow, full, or lost.

mod files;
#[cfg(test)]
mod power_cut;
mod replacing;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use files::SystemFiles;

/// Files, as far as a node needs them.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// The whole of a file. Asked once, before a node starts.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Puts these bytes in the place of a file: a reader, and whoever comes after a crash, finds the former or these. They are on the
    /// disk when it returns.
    ///
    /// # Errors
    /// What the system says. The former file stays then; where only its directory could not be written, these bytes may be there.
    async fn replace(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()>;

    /// Moves a file that cannot be used out of the way, under a name that is free, and says which.
    ///
    /// # Errors
    /// What the system says.
    fn set_aside(&self, path: &Path) -> io::Result<PathBuf>;

    /// Clears away what writings that were cut short, by a crash or a power cut, have left beside a file; says how many they were.
    /// Asked once, before a node starts. A storage whose writings leave nothing has nothing to do.
    ///
    /// # Errors
    /// What the system says; the file itself is not touched.
    fn remove_unfinished(&self, _path: &Path) -> io::Result<usize> {
        Ok(0)
    }
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemStorage;

#[async_trait]
impl Storage for SystemStorage {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    async fn replace(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()> {
        let path = path.to_owned();
        // A disk that hangs holds up a thread made for that.
        let written = tokio::task::spawn_blocking(move || replace_now(&path, &bytes));
        written.await.map_err(io::Error::other)?
    }

    fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let free = |n: u32| {
            let candidate = path.with_extension(if n == 0 { "damaged".to_owned() } else { format!("damaged-{n}") });
            (!candidate.exists()).then_some(candidate)
        };
        let to =
            (0..1_000).find_map(free).ok_or_else(|| io::Error::other("a thousand damaged files are there already"))?;
        std::fs::rename(path, &to)?;
        Ok(to)
    }

    fn remove_unfinished(&self, path: &Path) -> io::Result<usize> {
        replacing::remove_unfinished(&SystemFiles, path)
    }
}

/// Replaces a file on the disk of this machine, on the caller's thread.
pub(crate) fn replace_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replacing::replace(&SystemFiles, path, bytes)
}
