//! A hash for keys that the world itself makes up, node numbers and addresses: nobody chooses them to collide, and they are looked up a few
//! times for every datagram.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use cluster_types::Seed;

/// A map under the world's own keys.
pub(crate) type OwnKeys<K, V> = HashMap<K, V, BuildHasherDefault<Mixing>>;

/// Mixes word by word.
#[derive(Debug, Default)]
pub(crate) struct Mixing(u64);

impl Hasher for Mixing {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = Seed::new(self.0).draw(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    /// A thousand pairs and addresses that differ in one number: none in the same place, in the low bits as in the high ones.
    #[test]
    fn neighbouring_keys_are_spread() {
        let build = BuildHasherDefault::<Mixing>::default();
        let pairs = (0..1_000).map(|i| build.hash_one((i / 32, i % 32)));
        let places = (0..1_000).map(|i| build.hash_one(crate::world::addr_of(i)));
        for hashes in [pairs.collect::<BTreeSet<u64>>(), places.collect()] {
            assert_eq!(hashes.len(), 1_000);
            // 1,000 balls in 4,096 boxes: 888 boxes are expected to have one or more, and 40 fewer would be far out.
            for shift in [0, 52] {
                let boxes: BTreeSet<u64> = hashes.iter().map(|hash| hash >> shift & 0xfff).collect();
                assert!(boxes.len() > 848, "{} at {shift}", boxes.len());
            }
        }
    }
}
