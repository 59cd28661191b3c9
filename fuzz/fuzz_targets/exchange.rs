//! Any bytes as a request or an answer on a stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cluster_gossip::fuzzing::exchange(bytes);
});
