//! Any bytes as a hello, a refusal, and facts about a node.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cluster_pool::fuzzing::hello(bytes);
});
