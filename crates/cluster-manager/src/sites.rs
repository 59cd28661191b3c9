//! What simulated runs should see of this crate, and where they may ask for the unusual. Nothing in a build without a
//! simulated world.

cluster_sites::sites! {
    /// The sites of the assembly that simulated clusters reach.
    pub static ALL;
    // cluster/ending.rs
    LEAVE_CUT_SHORT: Reachable "a node leaves before all have acknowledged it";
    // driver.rs
    GAP_FOUND: Reachable "a node finds that it was stopped";
    LATE_TURN: Buggify "the loop of a node turns late";
    LINK_END_IS_LATE: Reachable "the end of a link is told after its successor has come";
    ENDED_LINK_IS_DEAD: Always "a link is dead when its end is told";
    FORMER_LIFE_SPOKE: Reachable "a datagram of a former life of a peer is dropped";
    CONTROL_REQUEST_FAILED: Sometimes "a control request ends without an answer";
    // engine/joining.rs
    LOOKS_FOR_ITS_CLUSTER: Reachable "a node that is alone looks again where it joined";
    // join.rs
    JOIN_ROUND_FAILED: Reachable "a round of joining reaches nobody";
    // link_plan.rs
    HEAL_BACKOFF_CAPPED: Sometimes "a failed member is dialled at the longest interval only";
    DIALS_BOUNDED: Reachable "a dial waits because enough are in flight";
    DIAL_PUT_OFF: Reachable "a dial is put off by a head start or a back-off";
    // memory.rs
    STATE_NOT_WRITTEN: Sometimes "the members cannot be written to the state file";
    // peers.rs
    PEER_BACK_BY_NOW: Reachable "a member is back before its peer is closed";
}

cluster_sites::sites! {
    /// Sites that only unit tests reach: a campaign of simulated clusters does not miss them.
    pub static IN_UNITS;
    // join.rs
    LOOKUP_TOO_LATE: Reachable "a name is resolved after its round is over";
    // memory.rs
    STATE_SET_ASIDE: Reachable "a damaged state file is set aside";
    // name_guard.rs
    NAME_TAKEN: Sometimes "a newcomer with the name of a living member is rejected";
}
