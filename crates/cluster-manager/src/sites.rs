//! What simulated runs should see of this crate, and where they may ask for the unusual. Nothing in a build without a simulated world.

cluster_sites::sites! {
    /// The sites of the assembly.
    pub static ALL;
    GAP_FOUND: Reachable "a node finds that it was stopped";
}
