//! What simulated runs should see of this crate, and where they may ask for the unusual. Nothing in a build without a simulated world.

cluster_sites::sites! {
    /// The sites of links, pool, peers and clients.
    pub static ALL;
    DIALS_CROSSED: Reachable "a link that has come up is one too many, and ends";
}
