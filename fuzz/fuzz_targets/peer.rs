//! Any octets from another node: cut into frames and read as messages without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    redoubt_log::raft::wire::read_any(octets);
});
