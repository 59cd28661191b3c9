//! Any sequence of inputs to a membership core: it neither panics nor spins nor grows without bound.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    cluster_gossip::fuzzing::core(bytes);
});
