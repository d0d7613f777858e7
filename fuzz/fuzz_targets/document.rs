//! Any octets as a document, within small bounds.
//! The same input is bounded and run in the tests.
#![no_main]

#[path = "../../tests/tests/fuzz/document.rs"]
mod input;

libfuzzer_sys::fuzz_target!(
    // Readers of others panic on broken documents, which is caught, and costs a worker nothing.
    init: std::panic::set_hook(Box::new(|_| {})),
    |octets: &[u8]| input::run(octets)
);
