//! Any octets from another node: cut into frames and read as messages without a panic.

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let whole = redoubt_log::raft::wire::read_any(octets);
    assert!(whole <= octets.len());
}
