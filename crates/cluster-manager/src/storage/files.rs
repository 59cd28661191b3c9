//! The operations that the replacement of a file is made of. Each may be the last one before a power cut: so they are a seam, and a
//! test stops between any two.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of a disk, operation by operation.
pub(super) trait Files {
    /// Makes a file anew, empty, to be written.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Gives a file another name, in the place of whatever has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Has the names in a directory on the disk: until then a power cut may take back what was made, moved or removed in it.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Everything in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A file that is being written.
pub(super) trait OpenFile {
    /// Appends these bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Has what was written on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
pub(super) struct SystemFiles;

impl Files for SystemFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }
}

impl OpenFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
