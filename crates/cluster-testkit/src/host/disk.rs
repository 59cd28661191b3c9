//! The disk of one host: what is on it outlives every process, until it is lost. It may be slow, or full.

mod files;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cluster_manager::Storage;
use cluster_types::Seed;

use crate::reachable;
use crate::scenario::DiskFault;
use files::Files as UserFiles;

pub use user::{Disk, DiskFile};

/// Where every node of a world keeps its state.
pub(crate) const STATE_FILE: &str = "state.json";

/// Files in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What its power cuts leave is drawn from this.
    seed: Seed,
    files: Mutex<Files>,
    /// What the users keep on it.
    users: Mutex<UserFiles>,
    slow_by_ms: AtomicU64,
    full: AtomicBool,
}

#[derive(Debug, Default)]
struct Files {
    now: BTreeMap<PathBuf, Vec<u8>>,
    /// What a file was before its last writing, where that is not on the disk yet whatever was said of it.
    before: BTreeMap<PathBuf, Option<Vec<u8>>>,
    fault: Option<DiskFault>,
    /// Files of which a part is lost, until they are set aside.
    damaged: BTreeSet<PathBuf>,
    /// Damaged files that were written over.
    lost: Vec<PathBuf>,
}

impl SimDisk {
    pub(crate) fn new(seed: Seed) -> Self {
        let (slow_by_ms, full) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Inner { seed, files: Mutex::default(), users: Mutex::default(), slow_by_ms, full }))
    }

    fn users(&self) -> MutexGuard<'_, UserFiles> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Option<DiskFault> {
        self.files().fault
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything on it is lost.
    pub(crate) fn wipe(&self) {
        let mut files = self.files();
        files.now.clear();
        files.before.clear();
        files.damaged.clear();
        self.users().wipe();
    }

    /// Damaged files that were written over: nobody will find out what was in them.
    pub(crate) fn lost(&self) -> Vec<PathBuf> {
        self.files().lost.clone()
    }

    /// What is wrong with it from now on; what it held back so far is on it.
    pub(crate) fn set_fault(&self, fault: Option<DiskFault>) {
        let mut files = self.files();
        files.before.clear();
        files.fault = fault;
        self.users().keep_promises();
    }

    /// The machine goes down: what was not really on the disk is lost.
    pub(crate) fn go_down(&self) {
        let mut files = self.files();
        let fault = files.fault;
        self.users().go_down(fault, self.0.seed);
        for (path, before) in std::mem::take(&mut files.before) {
            match (fault, before) {
                (Some(DiskFault::TornWrite), _) => {
                    reachable!("a file is torn when a machine goes down");
                    let torn = files.now.get_mut(&path);
                    torn.into_iter().for_each(|bytes| bytes.truncate(bytes.len() / 2));
                    files.damaged.insert(path);
                }
                (_, Some(bytes)) => {
                    reachable!("a writing is lost when a machine goes down");
                    files.now.insert(path, bytes);
                }
                (_, None) => {
                    files.now.remove(&path);
                }
            }
        }
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
        let files = self.files();
        if files.fault == Some(DiskFault::ReadError) {
            return Err(io::Error::other("the disk cannot be read"));
        }
        files.now.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
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
        let mut files = self.files();
        if files.damaged.remove(path) {
            files.lost.push(path.to_owned());
        }
        let before = files.now.insert(path.to_owned(), bytes);
        if matches!(files.fault, Some(DiskFault::LostSync | DiskFault::TornWrite)) {
            files.before.entry(path.to_owned()).or_insert(before);
        }
        Ok(())
    }

    fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let to = path.with_extension("damaged");
        let mut files = self.files();
        let bytes = files.now.remove(path).ok_or(io::ErrorKind::NotFound)?;
        files.damaged.remove(path);
        files.now.insert(to.clone(), bytes);
        Ok(to)
    }
}
