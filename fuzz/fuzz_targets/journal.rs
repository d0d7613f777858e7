//! A message that may be a journal report.
//! The same input is bounded and run in the tests.
#![no_main]

#[path = "../../tests/tests/fuzz/journal.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| input::run(octets));
