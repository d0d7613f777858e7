//! Any octets in front of a connection: an answer and no panic, and what is behind
//! a header is never touched.

use redoubt_protocols::proxy::{self, Claim};

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let (claim, left) = take(octets);
    if let Some(claim) = claim {
        assert_eq!(take(&octets[..octets.len() - left]), (Some(claim), 0));
    }
}

/// What the octets claim, and how many are left behind the header.
fn take(mut octets: &[u8]) -> (Option<Claim>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let claim = runtime.block_on(proxy::read(&mut octets));
    (claim.ok(), octets.len())
}
