//! What simulated runs should see of this crate, and where they may ask for the unusual. Nothing in a build without a simulated world.

cluster_sites::sites! {
    /// The sites of the membership core.
    pub static ALL;
    VERDICT_DOUBTED: Reachable "a verdict of others is taken for a suspicion";
}
