//! Any octets as a message: no panic, and what store/tests/mime/invariants.rs
//! says holds. The same checks run bounded, over random input, in the tests.
#![no_main]

#[path = "../../store/tests/mime/invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    invariants::checked(message);
});
