//! Things with a name, found by it in constant time, in 4 bytes of index each and without a second copy of the name.
//!
//! A slot keeps its number for as long as its thing is in, so that others may refer to it by number. The order of
//! iteration follows from the history of insertions and removals alone: it repeats with the seed.

use cluster_types::{NodeId, Seed};
use hashbrown::HashTable;

/// A thing that is known by a node's name.
pub(crate) trait Named {
    fn name(&self) -> &NodeId;
}

/// Named things in numbered slots.
#[derive(Debug, Clone)]
pub(crate) struct Slots<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Keyed, so that nobody can choose names that collide.
    key: Seed,
}

impl<T: Named> Slots<T> {
    pub(crate) fn new(key: Seed) -> Self {
        Self { items: Vec::new(), free: Vec::new(), index: HashTable::new(), key }
    }

    fn hash(&self, name: &str) -> u64 {
        hash_of(self.key, name)
    }

    pub(crate) fn find(&self, name: &NodeId) -> Option<u32> {
        let named = |slot: &u32| self.items[*slot as usize].as_ref().is_some_and(|item| item.name() == name);
        self.index.find(self.hash(name.as_str()), named).copied()
    }

    pub(crate) fn get(&self, name: &NodeId) -> Option<&T> {
        self.find(name).and_then(|slot| self.at(slot))
    }

    pub(crate) fn get_mut(&mut self, name: &NodeId) -> Option<&mut T> {
        let slot = self.find(name)?;
        self.items[slot as usize].as_mut()
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&T> {
        self.items.get(slot as usize)?.as_ref()
    }

    pub(crate) fn contains(&self, name: &NodeId) -> bool {
        self.find(name).is_some()
    }

    /// Puts a thing in, in place of one of the same name; returns its slot.
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        if let Some(slot) = self.find(item.name()) {
            self.items[slot as usize] = Some(item);
            return slot;
        }
        let hash = self.hash(item.name().as_str());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
        });
        self.items[slot as usize] = Some(item);
        let (items, key) = (&self.items, self.key);
        let rehash = |slot: &u32| items[*slot as usize].as_ref().map_or(0, |item| hash_of(key, item.name().as_str()));
        self.index.insert_unique(hash, slot, rehash);
        slot
    }

    /// Takes a thing out; its slot may be given to another one later.
    pub(crate) fn remove(&mut self, name: &NodeId) -> Option<T> {
        let slot = self.find(name)?;
        if let Ok(entry) = self.index.find_entry(self.hash(name.as_str()), |s| *s == slot) {
            entry.remove();
        }
        self.free.push(slot);
        self.items[slot as usize].take()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

/// Eight bytes at a time; names are at most 64 long.
fn hash_of(key: Seed, name: &str) -> u64 {
    let bytes = name.as_bytes();
    bytes.chunks(8).fold(key.get() ^ bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        Seed::new(hash).draw(u64::from_le_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Named for (NodeId, u32) {
        fn name(&self) -> &NodeId {
            &self.0
        }
    }

    fn name(i: u8) -> NodeId {
        format!("name-of-node-{i}").parse().unwrap()
    }

    proptest! {
        /// Whatever is put in and taken out: the same as a plain map, and a slot stays as long as its thing.
        #[test]
        fn slots_behave_like_a_map(steps in prop::collection::vec((any::<bool>(), 0u8..40, any::<u32>()), 0..200)) {
            let mut slots = Slots::new(Seed::new(3));
            let mut map: BTreeMap<NodeId, (u32, u32)> = BTreeMap::new();
            for (insert, i, value) in steps {
                if insert {
                    let slot = slots.insert((name(i), value));
                    if let Some((former, _)) = map.insert(name(i), (slot, value)) {
                        prop_assert_eq!(former, slot);
                    }
                } else {
                    let removed = slots.remove(&name(i)).map(|(_, value)| value);
                    prop_assert_eq!(removed, map.remove(&name(i)).map(|(_, value)| value));
                }
                prop_assert_eq!(slots.len(), map.len());
            }
            for i in 0..40 {
                prop_assert_eq!(slots.find(&name(i)), map.get(&name(i)).map(|(slot, _)| *slot));
                prop_assert_eq!(slots.get(&name(i)).map(|(_, v)| *v), map.get(&name(i)).map(|(_, v)| *v));
            }
            prop_assert_eq!(slots.iter().count(), map.len());
        }
    }

    #[test]
    fn hashes_depend_on_every_byte_on_the_length_and_on_the_key() {
        let one = |key, name| hash_of(Seed::new(key), name);
        let all =
            [one(1, "abcdefghi"), one(1, "abcdefghj"), one(1, "abcdefgh"), one(2, "abcdefghi"), one(1, "bbcdefghi")];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{all:x?}");
        }
    }
}
