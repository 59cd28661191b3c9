//! What simulated runs should see of this crate, and where they may ask for the unusual. Nothing in a build without a
//! simulated world.

cluster_sites::sites! {
    /// The sites of links, pool, peers and clients that simulated clusters reach.
    pub static ALL;
    // link.rs
    REQUEST_TIMED_OUT: Sometimes "a control request gets no answer in time";
    // peer.rs
    QUEUE_FULL: Reachable "a message finds no room in its queue";
    // peer/asking.rs
    REQUESTS_BUSY: Reachable "a request waits because too many are in flight";
    // peer/course.rs
    PEER_BACKS_OFF_LONG: Sometimes "a peer waits a long time before it dials again";
    NEVER_DIALS_CONNECTED: Always "a peer asks for no next step while it is connected or connecting";
    PEER_RESTARTED: Reachable "a peer is found in a new life";
    NOT_TRIED: Reachable "a dial is not made for a reason of this side";
    // peer/lane.rs
    WINDOW_OF_ONE: Buggify "a lane is full with one message in flight";
    // peer/queue.rs
    LOWER_GIVES_WAY: Sometimes "a message gives way to one of higher priority";
    PUT_BACK_IN_ORDER: Always "a message that is put back is not younger than the one behind it";
    EXPIRED_WAITING: Sometimes "a message expires while it waits";
    // peer/session.rs
    LANE_REJECTED: Reachable "a lane goes elsewhere because the other side drains";
    PUT_BACK: Reachable "a message that was being written when its link ended is the next one again";
    // pool/dial.rs
    DIAL_TIMED_OUT: Reachable "a dial takes too long";
    DIAL_FAILS_AT_ONCE: Buggify "a dial for data fails at once";
    // pool/pulse.rs
    SILENT_LINK: Reachable "a link that answers nothing is closed";
    // pool/serve.rs
    IDLE_EVICTED_EARLY: Buggify "an idle link is closed long before its time";
    IDLE_EVICTED: Reachable "a link that nobody uses is closed";
    REFUSED_DRAINING: Reachable "a node that shuts down accepts no link";
    REFUSED_FULL: Sometimes "a link that comes in finds no place";
    LOSER_CUT: Sometimes "a duplicate link is closed with streams open";
    // pool/shared.rs
    POOL_FULL: Reachable "a pool has no place and no idle link";
    ROOM_MADE: Reachable "an idle link makes room for a new one";
    // pool/slots.rs
    DIAL_SHARED: Reachable "a caller waits for a dial that another one began";
    DIALS_CROSSED: Reachable "a link that has come up is one too many, and ends";
    NEWER_LIFE_WINS: Sometimes "a link of a newer life takes over from a living one";
    BEATEN_BY_NONE: Always "a link never takes the place of one that beats it";
    INBOUND_ANSWERS_DIALLERS: Sometimes "a caller that waits for a dial gets the link that came in";
    // router/turns.rs
    LANE_WAITS_ITS_TURN: Sometimes "messages of a new link wait for those of the link before";
}

cluster_sites::sites! {
    /// Sites that only unit tests reach: a campaign of simulated clusters does not miss them.
    pub static IN_UNITS;
    // pool/shared.rs: it takes two threads, and a simulated world has one
    EVICTION_LOST_THE_RACE: Sometimes "an idle link is leased again before it can be evicted";
    // peer/course.rs
    BREAKER_OPENS: Sometimes "a breaker opens";
    BREAKER_TRIES: Sometimes "a breaker lets a trial through";
    BREAKER_CLOSES: Sometimes "a breaker closes";
}
