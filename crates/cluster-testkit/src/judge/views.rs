//! At the end each node that runs knows of each other what that one says of itself: address, zone, metadata, incarnation, life.

use std::fmt::Debug;

use super::finding::{Finding, Findings};
use super::truth::Truth;
use crate::world::World;

pub(super) fn check(truth: &Truth, world: &impl World, findings: &mut Findings) {
    let running: Vec<usize> = (0..truth.nodes()).filter(|&i| truth.runs(i, truth.until)).collect();
    for &about in &running {
        let Some(own) = world.view(about, about) else { continue };
        for &by in running.iter().filter(|by| **by != about && !truth.is_locked(**by, about, truth.until)) {
            let Some(held) = world.view(by, about) else { continue };
            let mut differ = |check: &'static str, equal: bool, held: &dyn Debug, own: &dyn Debug| {
                if !equal {
                    let what = format!("node {by} knows {held:?} of {about}, which says {own:?} of itself");
                    findings.add(Finding::new(check, what).at(truth.until).by(by).about(about));
                }
            };
            differ("addresses agree at the end", held.addr == own.addr, &held.addr, &own.addr);
            differ("metadata agrees at the end", held.metadata == own.metadata, &held.metadata, &own.metadata);
            differ(
                "incarnations agree at the end",
                held.incarnation == own.incarnation,
                &held.incarnation,
                &own.incarnation,
            );
            differ("lives agree at the end", held.life == own.life, &held.life, &own.life);
        }
    }
}
