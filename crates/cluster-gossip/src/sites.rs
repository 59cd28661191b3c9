//! What simulated runs should see of this crate, and where they may ask for the unusual. Nothing in a build without a
//! simulated world.

cluster_sites::sites! {
    /// The sites of the membership core that simulated clusters reach.
    pub static ALL;
    // swim.rs
    LEAVE_REPEATED: Sometimes "a leave without an acknowledgement is sent again";
    SYNC_EARLY: Buggify "views are compared before it is time";
    LOOKED_AROUND: Reachable "where several are silent everybody is asked";
    TAKEN_BACK: Reachable "what a node concluded while it heard nobody is taken back when it hears somebody it knew";
    STAND_INS: Reachable "others stand in for observers that are suspected themselves";
    VERDICT_BELIEVED_LATER: Reachable "a verdict that was doubted is believed when nobody has refuted it";
    GAP_MOVES_ROUNDS: Sometimes "a node that was stopped gives the probes that it had in flight more time";
    // swim/accusing.rs
    HEARD_MEANWHILE: Sometimes "a probe goes unanswered, but its subject was heard meanwhile";
    ACCUSER_HEARD_AGAIN: Reachable "a voter has heard the subject since, and votes anew";
    LATE_VOTE: Sometimes "a vote that is known comes again";
    SECONDED: Reachable "a node joins the suspicion of another";
    VERDICTS_WAIT: Reachable "a verdict waits because this node was stopped";
    VERDICT_DELAYED: Sometimes "a node that doubts itself waits longer for its verdict";
    // swim/trust.rs
    UNPROVEN: Reachable "what somebody is said to have said is left out because it is not signed";
    FORGED: Reachable "what somebody is said to have said was signed by another";
    CERTIFICATE_FETCHED: Reachable "something waits for the certificate that it was signed with";
    BEYOND_ITS_WORD: Reachable "somebody is accused with an incarnation that it has not announced here";
    HEARSAY: Sometimes "one member alone tells of somebody unknown who has failed";
    MUTED: Reachable "a member that goes on saying what cannot be true is not listened to";
    // swim/exchange.rs
    BUCKETS_EVEN_IF_SMALL: Buggify "small views are compared bucket by bucket";
    COMPARED_BY_BUCKETS: Sometimes "large views are compared bucket by bucket";
    JOIN_EXCHANGE_FAILED: Reachable "a join gets no list of the members";
    PUSHED_BACK: Reachable "a comparison finds that the other side knows less";
    // swim/merging.rs
    VERDICT_WAITS: Reachable "a verdict that is due waits for what its subject answers";
    VERDICT_DOUBTED: Reachable "a verdict of others is taken for a suspicion";
    OLD_NEWS: Sometimes "news that is not newer changes nothing";
    REFUTATION_BELIEVED: Sometimes "a suspicion ends because its subject refutes it";
    MERGED: Reachable "a failed member is alive again in the same life";
    // swim/own.rs
    REFUTED: Reachable "a node hears a false claim about itself and refutes it";
    REFUTATION_IS_HIGHER: Always "a refutation goes above what it refutes";
    // swim/probing.rs
    CROSSING_UNHEARD: Sometimes "a subject is overdue while a probe round is open already";
    SHORT_PATIENCE: Buggify "a probe has a quarter of its timeout";
    NOBODY_TO_ASK: Reachable "a helper is asked to probe a node that it does not know to be alive";
    ANSWERED_THROUGH_ANOTHER: Reachable "a subject answers through a helper only";
    PING_REPEATED: Reachable "a ping without an answer is sent again";
    NOBODY_FAILED_TO_ANSWER: Reachable "a probe round ends in which nobody could be asked";
    HELPER_HEARD_NOTHING: Reachable "a helper gets no answer either";
    OTHERS_ASKED: Sometimes "helpers are asked to probe a silent subject";
    // swim/spreading.rs
    DATAGRAM_FULL: Reachable "news waits because a datagram is full";
    SMALL_DATAGRAM: Buggify "a datagram holds one piece of news only";
    // user_news.rs
    BROADCAST_TWICE: Sometimes "a broadcast comes a second time";
}

cluster_sites::sites! {
    /// Sites that only unit tests reach: a campaign of simulated clusters does not miss them.
    pub static IN_UNITS;
    // swim/inbound.rs
    UNKNOWN_KIND: Reachable "a message is of a kind that only later versions know";
    // swim/merging.rs
    IMPLAUSIBLE: Reachable "a claim that cannot be true is rejected";
    TOMBSTONE_REJECTS: Reachable "old news of a reaped member is rejected";
    // swim/own.rs
    NAME_CONFLICT: Reachable "two living processes have one name";
    NAME_LOST: Reachable "the younger of two processes gives up their name";
}
