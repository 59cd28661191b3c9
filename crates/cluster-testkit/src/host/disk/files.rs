//! Files as a disk has them: what was written, what of it would outlive a power cut, and what such a cut leaves.
//!
//! A writing reaches the disk when its file is synced, and a name when it is created and its file synced, or when the directory is. What was not
//! synced may be lost, whole or in part and in any order, as it is where a kernel writes pages back when it likes (Pillai et al., "All File
//! Systems Are Not Created Equal", OSDI 2014).

use std::collections::BTreeMap;
use std::io;

use cluster_types::Seed;
use cluster_types::seed::Draws;

use crate::scenario::DiskFault;

/// A file, whatever its name is.
pub(super) type FileId = u64;

/// One change of what is in a file.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[*at..end].copy_from_slice(bytes);
            }
            Self::Length(length) => contents.resize(*length, 0),
        }
    }

    /// The first half of it.
    fn torn(&self) -> Self {
        match self {
            Self::Write { at, bytes } => Self::Write { at: *at, bytes: bytes[..bytes.len() / 2].to_vec() },
            Self::Length(length) => Self::Length(*length),
        }
    }
}

#[derive(Debug, Default)]
struct File {
    /// What is on the disk for certain.
    safe: Vec<u8>,
    /// What a process reads.
    now: Vec<u8>,
    /// What was done since, in order.
    unsafe_yet: Vec<Change>,
    /// How many of these were said to be safe, and are not: the disk lies.
    said: usize,
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsafe_yet.push(change);
    }

    /// The first of what was done since become safe.
    fn save(&mut self, count: usize) {
        let saved: Vec<Change> = self.unsafe_yet.drain(..count).collect();
        saved.iter().for_each(|change| change.apply(&mut self.safe));
        self.said = 0;
    }

    fn sync(&mut self, fault: Option<DiskFault>) {
        let all = self.unsafe_yet.len();
        match fault {
            Some(DiskFault::LostSync) => self.said = all,
            Some(DiskFault::TornWrite) => {
                self.save(all.saturating_sub(1));
                self.said = self.unsafe_yet.len();
            }
            _ => self.save(all),
        }
    }

    /// The machine goes down: what was safe stays, and of the rest what is drawn.
    fn go_down(&mut self, fault: Option<DiskFault>, draws: &mut Draws) {
        let mut changes = std::mem::take(&mut self.unsafe_yet);
        let said = std::mem::take(&mut self.said);
        if fault == Some(DiskFault::TornWrite) && said > 0 {
            changes[..said].iter().for_each(|change| change.torn().apply(&mut self.safe));
            changes.clear();
        } else if fault == Some(DiskFault::LostSync) {
            changes.clear();
        }
        for change in survivors(&changes, draws) {
            change.apply(&mut self.safe);
        }
        self.now.clone_from(&self.safe);
    }
}

/// What is left of changes that were not synced: nothing, all up to one of them which is torn, or some of them.
fn survivors(changes: &[Change], draws: &mut Draws) -> Vec<Change> {
    if changes.is_empty() {
        return Vec::new();
    }
    match draws.below(3) {
        0 => Vec::new(),
        1 => {
            let whole = draws.below(changes.len() as u64) as usize;
            let torn = changes.get(whole).map(Change::torn);
            changes[..whole].iter().cloned().chain(torn).collect()
        }
        _ => changes.iter().filter(|_| draws.below(2) == 0).cloned().collect(),
    }
}

/// One change of the names.
#[derive(Debug, Clone)]
enum Naming {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

type Names = BTreeMap<String, FileId>;

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// All files of one disk.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<FileId, File>,
    names: Names,
    safe_names: Names,
    /// What was done since, in order: a journal, of which the first so many are safe together.
    unsafe_names: Vec<Naming>,
    /// How many of these were said to be safe, and are not.
    said_names: usize,
    next: FileId,
    cuts: u64,
}

fn no_such(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file {name:?}"))
}

impl Files {
    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsafe_names.push(naming);
    }

    /// The file of that name; a new one where there is none.
    pub(super) fn open(&mut self, name: &str) -> FileId {
        if let Some(file) = self.names.get(name) {
            return *file;
        }
        self.next += 1;
        self.files.insert(self.next, File::default());
        self.name(Naming::Create(name.to_owned(), self.next));
        self.next
    }

    pub(super) fn find(&self, name: &str) -> Option<FileId> {
        self.names.get(name).copied()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// # Errors
    /// There is none of the first name.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.find(from).ok_or_else(|| no_such(from))?;
        self.name(Naming::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    /// # Errors
    /// There is none of that name.
    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.find(name).ok_or_else(|| no_such(name))?;
        self.name(Naming::Remove(name.to_owned()));
        Ok(())
    }

    /// # Errors
    /// The file was on a disk that has been lost since.
    pub(super) fn contents(&self, file: FileId) -> io::Result<&[u8]> {
        self.files.get(&file).map(|file| file.now.as_slice()).ok_or_else(gone)
    }

    fn file(&mut self, file: FileId) -> io::Result<&mut File> {
        self.files.get_mut(&file).ok_or_else(gone)
    }

    /// # Errors
    /// As [`contents`](Self::contents).
    pub(super) fn write(&mut self, file: FileId, at: Option<usize>, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(file)?;
        let at = at.unwrap_or(file.now.len());
        file.change(Change::Write { at, bytes: bytes.to_vec() });
        Ok(())
    }

    /// # Errors
    /// As [`contents`](Self::contents).
    pub(super) fn set_len(&mut self, file: FileId, length: usize) -> io::Result<()> {
        self.file(file)?.change(Change::Length(length));
        Ok(())
    }

    /// What is in the file is safe, and so is the name that it was created by, as on ext4, XFS and btrfs.
    ///
    /// # Errors
    /// As [`contents`](Self::contents).
    pub(super) fn sync(&mut self, file: FileId, fault: Option<DiskFault>) -> io::Result<()> {
        self.file(file)?.sync(fault);
        let created = |naming: &Naming| matches!(naming, Naming::Create(_, of) if *of == file);
        if let Some(n) = self.unsafe_names.iter().position(created) {
            self.save_names(n + 1, fault);
        }
        Ok(())
    }

    /// Names are safe.
    pub(super) fn sync_names(&mut self, fault: Option<DiskFault>) {
        self.save_names(self.unsafe_names.len(), fault);
    }

    fn save_names(&mut self, count: usize, fault: Option<DiskFault>) {
        if fault == Some(DiskFault::LostSync) {
            self.said_names = self.said_names.max(count);
            return;
        }
        self.unsafe_names.drain(..count).for_each(|naming| naming.apply(&mut self.safe_names));
        self.said_names = self.said_names.saturating_sub(count);
    }

    /// What was said to be safe is.
    pub(super) fn keep_promises(&mut self) {
        self.files.values_mut().for_each(|file| file.save(file.said));
        self.save_names(self.said_names, None);
    }

    /// The machine goes down.
    pub(super) fn go_down(&mut self, fault: Option<DiskFault>, seed: Seed) {
        self.cuts += 1;
        let seed = seed.derive("cut", self.cuts);
        let done = std::mem::take(&mut self.unsafe_names);
        self.said_names = 0;
        let kept = seed.below(0, done.len() as u64 + 1) as usize;
        done[..kept].iter().for_each(|naming| naming.apply(&mut self.safe_names));
        self.names.clone_from(&self.safe_names);
        let names = &self.names;
        self.files.retain(|id, _| names.values().any(|named| named == id));
        for (id, file) in &mut self.files {
            file.go_down(fault, &mut seed.derive("file", *id).stream());
        }
    }

    /// Everything is lost. Files that are open are no more.
    pub(super) fn wipe(&mut self) {
        *self = Self { next: self.next, cuts: self.cuts, ..Self::default() };
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the file is no more: its disk was lost, or its machine went down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What is read after each of many power cuts.
    fn after_cuts(prepare: impl Fn(&mut Files), fault: Option<DiskFault>) -> BTreeSet<Option<Vec<u8>>> {
        let after = |seed| {
            let mut files = Files::default();
            prepare(&mut files);
            files.go_down(fault, Seed::new(seed));
            files.find("log").map(|log| files.contents(log).map(<[u8]>::to_vec)).transpose().ok().flatten()
        };
        (0..200).map(after).collect()
    }

    fn told(what: &[&[u8]]) -> BTreeSet<Option<Vec<u8>>> {
        what.iter().map(|bytes| Some(bytes.to_vec())).collect()
    }

    #[test]
    fn what_was_synced_is_there_after_every_power_cut() {
        let synced = |files: &mut Files| {
            let log = files.open("log");
            files.write(log, None, b"one").unwrap();
            files.sync(log, None).unwrap();
        };
        assert_eq!(after_cuts(synced, None), told(&[b"one"]));
    }

    #[test]
    fn what_was_not_synced_is_lost_torn_kept_or_kept_in_another_order() {
        let written = |files: &mut Files| {
            let log = files.open("log");
            files.write(log, None, b"1").unwrap();
            files.sync(log, None).unwrap();
            files.write(log, None, b"abcd").unwrap();
            files.write(log, None, b"wxyz").unwrap();
        };
        let left = after_cuts(written, None);
        let whole: [&[u8]; 6] = [b"1", b"1ab", b"1abcd", b"1abcdwx", b"1abcdwxyz", b"1\0\0\0\0wxyz"];
        assert_eq!(left, told(&whole));
    }

    #[test]
    fn a_name_is_safe_with_its_file_and_another_name_with_its_directory() {
        let renamed = |synced: bool| {
            move |files: &mut Files| {
                let fresh = files.open("log.new");
                files.write(fresh, None, b"new").unwrap();
                files.sync(fresh, None).unwrap();
                files.rename("log.new", "log").unwrap();
                if synced {
                    files.sync_names(None);
                }
            }
        };
        assert_eq!(after_cuts(renamed(true), None), told(&[b"new"]));
        assert_eq!(after_cuts(renamed(false), None), [None, Some(b"new".to_vec())].into());
        // Renamed before it was synced: the name may be there, and nothing in the file.
        let early = |files: &mut Files| {
            let fresh = files.open("log.new");
            files.write(fresh, None, b"new").unwrap();
            files.rename("log.new", "log").unwrap();
            files.sync_names(None);
        };
        assert!(after_cuts(early, None).contains(&Some(Vec::new())));
    }

    /// Namings are a journal: one that is safe has those before it, and none of those comes over it later.
    #[test]
    fn a_name_that_is_given_anew_is_the_new_file() {
        let replaced = |files: &mut Files| {
            let old = files.open("log");
            files.write(old, None, b"old").unwrap();
            files.sync(old, None).unwrap();
            files.remove("log").unwrap();
            let new = files.open("log");
            files.write(new, None, b"new").unwrap();
            files.sync(new, None).unwrap();
        };
        let synced = |files: &mut Files| {
            replaced(files);
            files.sync_names(None);
        };
        assert_eq!(after_cuts(replaced, None), told(&[b"new"]));
        assert_eq!(after_cuts(synced, None), told(&[b"new"]));
        let rotated = |files: &mut Files| {
            let old = files.open("log");
            files.write(old, None, b"old").unwrap();
            files.sync(old, None).unwrap();
            files.rename("log", "log.1").unwrap();
            let new = files.open("log");
            files.write(new, None, b"new").unwrap();
            files.sync(new, None).unwrap();
            files.sync_names(None);
            files.go_down(None, Seed::new(1));
            assert_eq!(files.contents(files.find("log.1").unwrap()).unwrap(), b"old");
        };
        assert_eq!(after_cuts(rotated, None), told(&[b"new"]));
    }

    /// What a disk has said while it lied is true once it is mended: contents, and names.
    #[test]
    fn a_name_that_a_lying_disk_has_promised_is_kept_when_it_is_mended() {
        let mended = |files: &mut Files| {
            let log = files.open("log");
            files.write(log, None, b"acknowledged").unwrap();
            files.sync(log, Some(DiskFault::LostSync)).unwrap();
            files.keep_promises();
        };
        assert_eq!(after_cuts(mended, None), told(&[b"acknowledged"]));
    }

    #[test]
    fn a_disk_that_lies_about_syncing_loses_what_it_said_it_had_until_it_is_mended() {
        let mended = std::cell::Cell::new(false);
        let synced = |files: &mut Files| {
            let log = files.open("log");
            files.sync(log, None).unwrap();
            files.write(log, None, b"acknowledged").unwrap();
            files.sync(log, Some(DiskFault::LostSync)).unwrap();
            if mended.get() {
                files.keep_promises();
            }
        };
        assert_eq!(after_cuts(synced, Some(DiskFault::LostSync)), told(&[b""]));
        mended.set(true);
        assert_eq!(after_cuts(synced, None), told(&[b"acknowledged"]));
    }

    #[test]
    fn the_last_synced_writing_is_torn_where_a_disk_tears() {
        let synced = |files: &mut Files| {
            let log = files.open("log");
            files.write(log, None, b"first.").unwrap();
            files.write(log, None, b"second").unwrap();
            files.sync(log, Some(DiskFault::TornWrite)).unwrap();
        };
        assert_eq!(after_cuts(synced, Some(DiskFault::TornWrite)), told(&[b"first.sec"]));
    }

    #[test]
    fn files_are_read_written_cut_removed_and_lost_with_their_disk() {
        let mut files = Files::default();
        let a = files.open("a");
        files.write(a, Some(2), b"xy").unwrap();
        assert_eq!(files.contents(a).unwrap(), b"\0\0xy");
        files.set_len(a, 3).unwrap();
        assert_eq!((files.open("a"), files.contents(a).unwrap()), (a, b"\0\0x".as_slice()));
        assert_eq!(files.rename("b", "c").unwrap_err().to_string(), "there is no file \"b\"");
        files.remove("a").unwrap();
        assert_eq!((files.find("a"), files.names()), (None, Vec::<String>::new()));
        // Whoever has it open reads on.
        assert_eq!(files.contents(a).unwrap().len(), 3);
        files.wipe();
        assert!(files.contents(a).unwrap_err().to_string().contains("is no more"));
        assert_ne!(files.open("a"), a);
    }
}
