//! Power cuts between each two operations on the state file. A disk holds what it was told in a cache, where a cut finds it: names
//! that were not synced are there or not, each for itself, and files that were not are empty, half there, or whole. Whatever it is,
//! a state is loaded, and nothing is left beside it.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::files::{Files, OpenFile};
use super::replacing::{Temporary, remove_unfinished, replace};
use super::{Storage, SystemFiles, SystemStorage};
use crate::state_file::{Loaded, StateFile};

const NAME: &str = "state.json";

/// What a file holds: on the disk, and in the cache above it.
#[derive(Debug, Clone, Default)]
struct Contents {
    synced: Vec<u8>,
    cached: Vec<u8>,
}

impl Contents {
    /// What a power cut may leave of it.
    fn after_the_cut(&self) -> Vec<Vec<u8>> {
        if self.synced == self.cached {
            return vec![self.synced.clone()];
        }
        let half = self.cached[..self.cached.len() / 2].to_vec();
        vec![self.synced.clone(), half, self.cached.clone()]
    }
}

/// A change of names that is not on the disk yet.
#[derive(Debug, Clone)]
enum Change {
    Made(PathBuf, usize),
    Moved(PathBuf, PathBuf),
    Removed(PathBuf),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Made(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Moved(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Removed(path) => {
                names.remove(path);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    /// What was done, in order.
    done: Vec<&'static str>,
    power_for: usize,
}

/// A disk with power for so many operations.
#[derive(Debug, Clone, Default)]
struct Disk(Rc<RefCell<State>>);

impl Disk {
    /// A disk with this in the place of the state file, if anything, and power for so many operations.
    fn new(former: Option<&[u8]>, power_for: usize) -> Self {
        let disk = Self::default();
        let mut state = disk.0.borrow_mut();
        if let Some(bytes) = former {
            state.files.push(Contents { synced: bytes.to_vec(), cached: bytes.to_vec() });
            state.names.insert(NAME.into(), 0);
        }
        state.power_for = power_for;
        drop(state);
        disk
    }

    fn operate(&self, what: &'static str) -> io::Result<RefMut<'_, State>> {
        let mut state = self.0.borrow_mut();
        if state.done.len() == state.power_for {
            return Err(io::Error::other("the power is gone"));
        }
        state.done.push(what);
        Ok(state)
    }

    /// Everything that may be found when the power is back.
    fn after_the_cut(&self) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
        let state = self.0.borrow();
        let mut found = Vec::new();
        for kept in 0..1_u32 << state.changes.len() {
            let mut names = state.names.clone();
            let changes = state.changes.iter().enumerate().filter(|(n, _)| kept & (1 << n) != 0);
            changes.for_each(|(_, change)| change.apply(&mut names));
            let mut outcomes = vec![BTreeMap::new()];
            for (path, file) in names {
                let left = state.files[file].after_the_cut();
                let with = |outcome: &BTreeMap<PathBuf, Vec<u8>>, bytes: &Vec<u8>| {
                    let mut outcome = outcome.clone();
                    outcome.insert(path.clone(), bytes.clone());
                    outcome
                };
                outcomes = outcomes.iter().flat_map(|outcome| left.iter().map(|bytes| with(outcome, bytes))).collect();
            }
            found.extend(outcomes);
        }
        found
    }
}

impl Files for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut state = self.operate("create")?;
        let file = state.files.len();
        state.files.push(Contents::default());
        state.changes.push(Change::Made(path.to_owned(), file));
        Ok(Box::new(Open { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate("rename")?.changes.push(Change::Moved(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate("remove")?.changes.push(Change::Removed(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        assert_eq!(directory, Path::new("."), "where the state file is");
        let state = &mut *self.operate("sync the directory")?;
        state.changes.drain(..).for_each(|change| change.apply(&mut state.names));
        Ok(())
    }

    fn list(&self, _directory: &Path) -> io::Result<Vec<PathBuf>> {
        unreachable!("nothing is looked for while a file is replaced")
    }
}

struct Open {
    disk: Disk,
    file: usize,
}

impl OpenFile for Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.operate("write")?.files[self.file].cached.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = &mut self.disk.operate("sync")?.files[self.file];
        file.synced = file.cached.clone();
        Ok(())
    }
}

/// The state file of node "a" in a directory.
fn state_file(directory: &Path) -> StateFile {
    StateFile::new(directory.join(NAME), "prod".parse().unwrap(), "a".parse().unwrap())
}

/// What is loaded where this many members were saved, and the bytes of the file.
fn saved(members: u16) -> (Loaded, Vec<u8>) {
    let member = |n: u16| (format!("b{n}").parse().unwrap(), SocketAddr::from(([10, 0, 0, 1], 1_000 + n)));
    let directory = tempfile::tempdir().unwrap();
    let state = state_file(directory.path());
    state.save((0..members).map(member)).unwrap();
    (Loaded::Peers((0..members).map(member).collect()), fs::read(state.path()).unwrap())
}

/// Starts with what was found on the disk: what is loaded, and then the names of what is in the directory.
fn restart(found: &BTreeMap<PathBuf, Vec<u8>>) -> (Loaded, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    found.iter().for_each(|(name, bytes)| fs::write(directory.path().join(name), bytes).unwrap());
    let state = state_file(directory.path());
    SystemStorage.remove_unfinished(state.path()).unwrap();
    let loaded = state.load().unwrap();
    let left = fs::read_dir(directory.path()).unwrap();
    (loaded, left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
}

/// Saves with power for 0, 1, 2, ... operations until the power lasts, and says what was done then.
fn cut_everywhere(former: Option<&[u8]>, before: &Loaded) -> Vec<&'static str> {
    let (after, bytes) = saved(3);
    for power_for in 0.. {
        let disk = Disk::new(former, power_for);
        let outcome = replace(&disk, Path::new(NAME), &bytes);
        for found in disk.after_the_cut() {
            let (loaded, left) = restart(&found);
            let done = &disk.0.borrow().done;
            assert!(loaded == after || (outcome.is_err() && loaded == *before), "{loaded:?} after {done:?}: {found:?}");
            assert!(left.iter().all(|name| name == NAME), "{left:?} after {done:?}");
        }
        if outcome.is_ok() {
            return disk.0.borrow().done.clone();
        }
    }
    unreachable!("the power lasts some time")
}

#[test]
fn a_power_cut_between_any_two_operations_leaves_the_former_state_or_the_new_one() {
    let all = ["create", "write", "sync", "rename", "sync the directory"];
    let (before, bytes) = saved(2);
    assert_eq!(cut_everywhere(Some(&bytes), &before), all);
    assert_eq!(cut_everywhere(None, &Loaded::Fresh), all, "the first one ever");
}

#[test]
fn what_was_cut_short_is_cleared_away_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let names =
        ["state.json.tmp-1-0", "state.json.tmp-77-12", "state.json.tmp-notes", "state.damaged", "other.json.tmp-1-0"];
    names.iter().for_each(|name| fs::write(directory.path().join(name), "x").unwrap());
    let under_way = Temporary::beside(&path);
    fs::write(&under_way.0, "x").unwrap();
    assert_eq!(remove_unfinished(&SystemFiles, &path).unwrap(), 2);
    assert!(names[2..].iter().all(|name| directory.path().join(name).exists()), "what is not its own stays");
    assert!(under_way.0.exists(), "somebody in this process is at it");
    let left = under_way.0.clone();
    drop(under_way);
    assert_eq!(remove_unfinished(&SystemFiles, &path).unwrap(), 1);
    assert!(!left.exists());
    assert_eq!(remove_unfinished(&SystemFiles, &directory.path().join("nowhere").join(NAME)).unwrap(), 0);
}
