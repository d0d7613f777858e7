//! Any octets in front of a connection.
//! The same input is bounded and run in the tests.
#![no_main]

#[path = "../../tests/tests/fuzz/proxy.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| input::run(octets));
