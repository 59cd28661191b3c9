//! The disk of one host: what is on it outlives every process, until it is lost. It may be slow, or full.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster_manager::Storage;

/// Where every node of a world keeps its state.
pub(crate) const STATE_FILE: &str = "state.json";

/// Files in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Arc<Disk>);

#[derive(Debug, Default)]
struct Disk {
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    slow_by_ms: AtomicU64,
    full: AtomicBool,
}

impl SimDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Vec<u8>>> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything on it is lost.
    pub(crate) fn wipe(&self) {
        self.files().clear();
    }

    /// How long a writing takes from now on, and whether there is room for it.
    pub(crate) fn set(&self, slow_by: Duration, full: bool) {
        self.0.slow_by_ms.store(u64::try_from(slow_by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.0.full.store(full, Ordering::Relaxed);
    }
}

#[async_trait]
impl Storage for SimDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A process that dies before the end leaves the former file.
    async fn replace(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()> {
        let slow_by = Duration::from_millis(self.0.slow_by_ms.load(Ordering::Relaxed));
        if !slow_by.is_zero() {
            tokio::time::sleep(slow_by).await;
        }
        if self.0.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files().insert(path.to_owned(), bytes);
        Ok(())
    }

    fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let to = path.with_extension("damaged");
        let mut files = self.files();
        let bytes = files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.clone(), bytes);
        Ok(to)
    }
}
