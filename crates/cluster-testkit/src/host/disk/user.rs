//! The disk as a node's own system uses it: files with `sync`, and a machine that can go down.

use std::io;
use std::time::Duration;

use super::SimDisk;
use super::files::FileId;
use crate::host::gate::Gate;
use crate::scenario::DiskFault;

/// The disk of one simulated machine, in the hands of one process. What is on it outlives the process; what was not synced may not
/// outlive the machine's going down. Cheap to clone; clones are the same disk.
///
/// Names are flat: there is one directory. A crash of a simulated node is that of its machine: of what was written since the last
/// [`sync`](DiskFile::sync) nothing, some, or all is there when it starts again, and the last writing may be torn.
///
/// Every operation takes as long as the disk is slow. What a process does that was killed meanwhile has no effect, and is an error.
#[derive(Debug, Clone)]
pub struct Disk {
    disk: SimDisk,
    process: Gate,
}

/// An open file. Cheap to clone; clones are the same file.
#[derive(Debug, Clone)]
pub struct DiskFile {
    disk: Disk,
    file: FileId,
}

impl Disk {
    pub(crate) const fn new(disk: SimDisk, process: Gate) -> Self {
        Self { disk, process }
    }

    /// Waits as the disk lets everybody wait, and says why nothing can be done, if so.
    async fn turn(&self) -> io::Result<()> {
        let slow_by = self.disk.slow_by();
        if !slow_by.is_zero() {
            tokio::time::sleep(slow_by).await;
        }
        if self.process.is_dead() {
            return Err(io::Error::other("the process that uses this disk has been killed"));
        }
        Ok(())
    }

    async fn reading(&self) -> io::Result<()> {
        self.turn().await?;
        if self.disk.fault() == Some(DiskFault::ReadError) {
            return Err(io::Error::other("the disk cannot be read"));
        }
        Ok(())
    }

    async fn writing(&self) -> io::Result<()> {
        self.turn().await?;
        if self.disk.is_full() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Opens a file to read and to write; an empty one is made where there is none.
    ///
    /// # Errors
    /// The disk is full and there is no such file; or the process has been killed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open(&self, name: &str) -> io::Result<DiskFile> {
        self.turn().await?;
        let mut files = self.disk.users();
        if files.find(name).is_none() && self.disk.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(DiskFile { file: files.open(name), disk: self.clone() })
    }

    /// The names of all files, in order.
    ///
    /// # Errors
    /// The disk cannot be read, or the process has been killed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn list(&self) -> io::Result<Vec<String>> {
        self.reading().await?;
        Ok(self.disk.users().names())
    }

    /// Gives a file another name; whoever had that name is gone, unless it is open. Safe after [`sync_names`](Self::sync_names).
    ///
    /// # Errors
    /// There is no such file; or the process has been killed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.turn().await?;
        self.disk.users().rename(from, to)
    }

    /// Removes a file. Safe after [`sync_names`](Self::sync_names).
    ///
    /// # Errors
    /// There is no such file; or the process has been killed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn remove(&self, name: &str) -> io::Result<()> {
        self.turn().await?;
        self.disk.users().remove(name)
    }

    /// Returns when names that were given and removed so far outlive the machine's going down: `fsync` of the directory.
    ///
    /// # Errors
    /// The process has been killed.
    ///
    /// # Cancel safety
    /// Safe: what was not synced may be lost.
    pub async fn sync_names(&self) -> io::Result<()> {
        self.turn().await?;
        let fault = self.disk.fault();
        self.disk.users().sync_names(fault);
        Ok(())
    }
}

impl DiskFile {
    /// All that is in it.
    ///
    /// # Errors
    /// The disk cannot be read, or was lost; or the process has been killed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        self.disk.reading().await?;
        self.disk.disk.users().contents(self.file).map(<[u8]>::to_vec)
    }

    /// How many bytes are in it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn len(&self) -> io::Result<usize> {
        self.disk.reading().await?;
        self.disk.disk.users().contents(self.file).map(<[u8]>::len)
    }

    /// Whether nothing is in it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// Writes bytes at a place; zeros fill what is between the end and it.
    ///
    /// # Errors
    /// The disk is full, or was lost; or the process has been killed. Nothing was written.
    ///
    /// # Cancel safety
    /// Safe: nothing or all is written. What was not synced may be lost in part.
    pub async fn write_at(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.disk.writing().await?;
        self.disk.disk.users().write(self.file, Some(at), bytes)
    }

    /// Writes bytes at the end.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    ///
    /// # Cancel safety
    /// As there.
    pub async fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.writing().await?;
        self.disk.disk.users().write(self.file, None, bytes)
    }

    /// Makes it so long: cut, or filled with zeros.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn set_len(&self, length: usize) -> io::Result<()> {
        self.disk.writing().await?;
        self.disk.disk.users().set_len(self.file, length)
    }

    /// Returns when all that was written to it, and the name that it was made by, outlive the machine's going down: `fsync`. A disk with a
    /// [fault](DiskFault::LostSync) says so, and it is not true.
    ///
    /// # Errors
    /// The disk was lost; or the process has been killed.
    ///
    /// # Cancel safety
    /// Safe: what was not synced may be lost.
    pub async fn sync(&self) -> io::Result<()> {
        self.disk.turn().await?;
        let fault = self.disk.disk.fault();
        self.disk.disk.users().sync(self.file, fault)
    }
}

impl SimDisk {
    fn slow_by(&self) -> Duration {
        Duration::from_millis(self.0.slow_by_ms.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn is_full(&self) -> bool {
        self.0.full.load(std::sync::atomic::Ordering::Relaxed)
    }
}
