//! Any bytes as a datagram: decoded or refused, and what was decoded is written as it was read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cluster_gossip::fuzzing::datagram(bytes);
});
