//! Any bytes as what comes on a stream of a data link: lanes, messages, requests, replies.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cluster_pool::fuzzing::frames(bytes);
});
