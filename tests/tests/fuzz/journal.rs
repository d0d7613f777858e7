//! Any message as a journal report: what is taken out of it stands in it, octet by octet.

use std::borrow::Cow;

use redoubt_store::mime::{journal, parse};

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let Some(journal) = journal(octets, &parse(octets)) else { return };
    assert!(!journal.recipients.is_empty());
    if let Cow::Borrowed(original) = journal.original {
        assert!(octets.windows(original.len()).any(|window| window == original));
    }
}
