//! A view in 256 numbers: equal views have equal digests, and where two differ, the buckets say in which members.
//!
//! Each bucket is the sum of one hash a member, so a change costs two additions. What counts is what must be equal in the
//! end: name, life, incarnation, metadata version, and whether it is in, failed or gone. Suspicions come and go, so a
//! suspect counts as alive; who was reaped does not count at all.

use cluster_types::{Claim, Seed, State};

/// Buckets of a digest.
pub(crate) const BUCKETS: usize = 256;

/// Sums of member hashes, by bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest(Box<[u64; BUCKETS]>);

impl Default for Digest {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Digest {
    pub(crate) fn add(&mut self, claim: &Claim) {
        let bucket = &mut self.0[bucket_of(claim)];
        *bucket = bucket.wrapping_add(hash_of(claim));
    }

    pub(crate) fn subtract(&mut self, claim: &Claim) {
        let bucket = &mut self.0[bucket_of(claim)];
        *bucket = bucket.wrapping_sub(hash_of(claim));
    }

    pub(crate) fn buckets(&self) -> &[u64; BUCKETS] {
        &self.0
    }

    /// Sixteen bytes for the whole.
    pub(crate) fn root(&self) -> [u8; 16] {
        let fold = |start: u64| self.0.iter().fold(start, |hash, bucket| Seed::new(hash ^ bucket).draw(0));
        let mut root = [0; 16];
        root[..8].copy_from_slice(&fold(1).to_le_bytes());
        root[8..].copy_from_slice(&fold(2).to_le_bytes());
        root
    }
}

/// In which bucket a member counts: follows from its name alone.
pub(crate) fn bucket_of(claim: &Claim) -> usize {
    (Seed::new(0).derive(claim.node.as_str(), 0).get() % BUCKETS as u64) as usize
}

fn hash_of(claim: &Claim) -> u64 {
    let settled = if claim.state == State::Suspect { State::Alive } else { claim.state };
    Seed::new(claim.incarnation.get())
        .derive(claim.node.as_str(), claim.life.get())
        .derive(settled.as_str(), u64::from(claim.meta_version))
        .draw(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_types::{Incarnation, Life};

    fn claim(name: &str) -> Claim {
        let addr = "10.0.0.1:1".parse().unwrap();
        Claim::alive(name.parse().unwrap(), Life::new(1, 1), Incarnation::from_raw(7), addr)
    }

    fn digest(claims: &[Claim]) -> Digest {
        let mut digest = Digest::default();
        claims.iter().for_each(|claim| digest.add(claim));
        digest
    }

    #[test]
    fn order_does_not_matter_and_taking_out_undoes() {
        let mut there = digest(&[claim("a"), claim("b"), claim("c")]);
        assert_eq!(there, digest(&[claim("c"), claim("a"), claim("b")]));
        there.subtract(&claim("b"));
        assert_eq!(there.root(), digest(&[claim("a"), claim("c")]).root());
    }

    #[test]
    fn everything_that_must_be_equal_counts_and_a_suspicion_does_not() {
        let base = claim("a");
        let root = |claim: Claim| digest(&[claim]).root();
        for other in [
            claim("b"),
            Claim { life: Life::new(1, 2), ..base.clone() },
            Claim { incarnation: Incarnation::from_raw(8), ..base.clone() },
            Claim { meta_version: 1, ..base.clone() },
            Claim { state: State::Failed, ..base.clone() },
            Claim { state: State::Left, ..base.clone() },
        ] {
            assert_ne!(root(other.clone()), root(base.clone()), "{other:?}");
        }
        assert_ne!(
            root(Claim { state: State::Failed, ..base.clone() }),
            root(Claim { state: State::Left, ..base.clone() })
        );
        assert_eq!(root(Claim { state: State::Suspect, ..base.clone() }), root(base));
    }

    #[test]
    fn a_difference_shows_in_the_bucket_of_its_member_alone() {
        let names: Vec<String> = (0..1_000).map(|i| format!("n{i}")).collect();
        let all: Vec<Claim> = names.iter().map(|name| claim(name)).collect();
        let mut changed = all.clone();
        changed[500].meta_version = 9;
        let (one, other) = (digest(&all), digest(&changed));
        let differing: Vec<usize> = (0..BUCKETS).filter(|&b| one.buckets()[b] != other.buckets()[b]).collect();
        assert_eq!(differing, [bucket_of(&all[500])]);
        let used = one.buckets().iter().filter(|bucket| **bucket != 0).count();
        // Expected 256 * (1 - e^-3.9) = 251 of 256.
        assert!(used > 240, "{used}");
    }
}
