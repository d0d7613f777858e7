//! Any octets from another node.
//! The same input is bounded and run in the tests.
#![no_main]

#[path = "../../tests/tests/fuzz/peer.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| input::run(octets));
