//! A file is replaced by writing the new one beside it and moving it there, so that whoever comes after a power cut finds the former
//! or the new one. What a cut leaves beside it is cleared away at the next start.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::files::Files;

/// Held to add or take out a name: two nodes of one process, of which one has not ended yet, neither write one file nor clear away
/// each other's.
static BEING_WRITTEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn being_written() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    BEING_WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name beside a file that nobody else of this process uses.
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    pub(super) fn beside(path: &Path) -> Self {
        static WRITINGS: AtomicU64 = AtomicU64::new(0);
        let nth = WRITINGS.fetch_add(1, Ordering::Relaxed);
        let mut name = prefix(path);
        name.push(format!("{}-{nth}", std::process::id()));
        let temporary = path.with_file_name(name);
        being_written().insert(temporary.clone());
        Self(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        being_written().remove(&self.0);
    }
}

/// What the names of all writings of a file begin with.
fn prefix(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp-");
    name
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts these bytes in the place of a file. They are on the disk before the file is moved, or the move might get there first; and so
/// is the move before this returns.
pub(super) fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = Temporary::beside(path);
    let written = files.create(&temporary.0).and_then(|mut file| {
        file.append(bytes)?;
        file.sync()
    });
    let placed = written.and_then(|()| files.rename(&temporary.0, path));
    if placed.is_err() {
        // The first error is the one to report.
        let _ = files.remove(&temporary.0);
    }
    placed?;
    files.sync_directory(directory_of(path))
}

/// Clears away what writings of a file that were cut short have left; says how many they were.
pub(super) fn remove_unfinished(files: &dyn Files, path: &Path) -> io::Result<usize> {
    let directory = directory_of(path);
    let beside = match files.list(directory) {
        Ok(beside) => beside,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let left: Vec<PathBuf> = beside.into_iter().filter(|found| is_unfinished(path, found)).collect();
    // One that is gone by now was finished, or is cleared away; one that cannot be does not keep the others.
    let remove = |file: &PathBuf| {
        files.remove(file).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
    };
    let removed: Vec<io::Result<()>> = left.iter().map(remove).collect();
    removed.into_iter().collect::<io::Result<()>>()?;
    Ok(left.len())
}

fn is_unfinished(path: &Path, found: &Path) -> bool {
    let name = found.file_name().unwrap_or_default();
    let number = name.as_encoded_bytes().strip_prefix(prefix(path).as_encoded_bytes());
    number.is_some_and(|number| !number.is_empty() && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'))
        && !being_written().contains(&path.with_file_name(name))
}
