//! Which sites were hit, by how many seeds, and by how many it takes.

use std::collections::BTreeMap;
use std::fmt;

use cluster_testkit::assertions::{Kind, Seen, seeds_needed};

use super::worker::Job;

#[derive(Debug)]
struct Row {
    kind: Kind,
    /// It stands in the worlds, and not in what they run.
    of_worlds: bool,
    place: String,
    seeds_hit: u64,
    hits: u64,
    first: Option<String>,
}

/// Merged over all seeds.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    rows: BTreeMap<String, Row>,
    seeds: u64,
}

const CONFIDENCE: f64 = 0.95;

/// A run over at least so many seeds fails when a site of the worlds was never hit: they are few, and common.
pub(crate) const WORLDS_FROM: u64 = 100;

/// And with so many, when one of the product was not.
pub(crate) const PRODUCT_FROM: u64 = 1_000;

impl Coverage {
    pub(crate) fn add(&mut self, job: &Job, sites: &[Seen]) {
        self.seeds += 1;
        let mut hit_by_name: BTreeMap<&str, u64> = BTreeMap::new();
        for seen in sites {
            *hit_by_name.entry(&seen.name).or_default() += seen.hits;
            let fresh = || Row {
                kind: seen.kind,
                of_worlds: seen.is_of_worlds(),
                place: seen.place.clone(),
                seeds_hit: 0,
                hits: 0,
                first: None,
            };
            self.rows.entry(seen.name.clone()).or_insert_with(fresh);
        }
        for (name, hits) in hit_by_name.into_iter().filter(|(_, hits)| *hits > 0) {
            if let Some(row) = self.rows.get_mut(name) {
                row.seeds_hit += 1;
                row.hits += hits;
                row.first.get_or_insert_with(|| format!("{} {}", job.scenario, job.seed));
            }
        }
    }

    /// How many sites no seed has hit.
    fn missed(&self) -> usize {
        self.rows.values().filter(|row| row.seeds_hit == 0).count()
    }

    /// How many sites should have been hit by so many seeds, and were not.
    pub(crate) fn missing(&self) -> usize {
        let due = |row: &&Row| self.seeds >= if row.of_worlds { WORLDS_FROM } else { PRODUCT_FROM };
        self.rows.values().filter(due).filter(|row| row.seeds_hit == 0).count()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| site | claims | seeds that hit it | hits | first |\n|---|---|---|---|---|")?;
        for (name, row) in &self.rows {
            let kind = match row.kind {
                Kind::Always => "always",
                Kind::Sometimes => "sometimes",
                Kind::Reachable => "reachable",
                Kind::Buggify => "buggify",
            };
            match &row.first {
                Some(first) => writeln!(f, "| {name} | {kind} | {} | {} | {first} |", row.seeds_hit, row.hits)?,
                None => writeln!(f, "| {name} | {kind} | MISSED | 0 | {} |", row.place)?,
            }
        }
        let needed = self.rows.values().filter_map(|row| seeds_needed(row.seeds_hit, self.seeds, CONFIDENCE)).max();
        let (all, missed) = (self.rows.len(), self.missed());
        write!(f, "{} of {all} sites hit; ", all - missed)?;
        match needed {
            Some(needed) if missed == 0 => {
                write!(f, "{needed} seeds spread like these hit the rarest with {:.0} % confidence", CONFIDENCE * 100.0)
            }
            _ => write!(f, "{missed} missed"),
        }
    }
}
