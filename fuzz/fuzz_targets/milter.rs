//! Packets of an MTA.
//! The same input is bounded and run in the tests.
#![no_main]

#[path = "../../tests/tests/fuzz/milter.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| input::run(octets));
