//! Any octets of an MTA: packets are read or refused, and nothing is taken twice.

use bytes::BytesMut;
use redoubt_protocols::milter::{parse, take};

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let mut input = BytesMut::from(octets);
    let mut left = input.len();
    while let Ok(Some((letter, data))) = take(&mut input) {
        assert_eq!(left, input.len() + data.len() + 5);
        left = input.len();
        if parse(letter, &data).is_err() {
            return;
        }
    }
}
