//! Where a node keeps what must outlive it. Production has the disk of the machine; a simulated world brings its own, which can be
//! slow, full, or lost.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

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
    /// What the system says; the former file stays then.
    async fn replace(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()>;

    /// Moves a file that cannot be used out of the way, under a name that is free, and says which.
    ///
    /// # Errors
    /// What the system says.
    fn set_aside(&self, path: &Path) -> io::Result<PathBuf>;
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
}

/// Written beside its place and moved there; the directory is written, too, or the move might be lost with the power.
pub(crate) fn replace_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Two nodes of one process, of which one has not ended yet, must not write one file.
    static WRITINGS: AtomicU64 = AtomicU64::new(0);
    let nth = WRITINGS.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("tmp-{}-{nth}", std::process::id()));
    let written = std::fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| std::fs::rename(&temporary, path));
    if placed.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    placed?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}
