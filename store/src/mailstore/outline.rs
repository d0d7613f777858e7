//! What SORT and THREAD ask of messages, for readers.

use std::sync::Arc;

use redoubt_log::id::BlobId;

use super::{Inner, Mailstore, StoreError};
use crate::mime::{Outline, slice};

impl Mailstore {
    /// What a message is sorted and threaded by, from the cache where it is there. Blocks.
    ///
    /// # Errors
    /// When it has to be read and cannot be.
    pub fn outline(&self, blob: &BlobId) -> Result<Arc<Outline>, StoreError> {
        self.inner.outline(blob)
    }
}

impl Inner {
    fn outline(&self, blob: &BlobId) -> Result<Arc<Outline>, StoreError> {
        if let Some(outline) = self.outlines.get(blob) {
            return Ok(outline);
        }
        let parsed = self.parsed(blob)?;
        let outline = match &parsed.header {
            Some(header) => Outline::of(&parsed, header),
            None => Outline::of(&parsed, slice(&self.blob(blob)?, parsed.structure.header)),
        };
        let outline = Arc::new(outline);
        self.outlines.put(blob, &outline);
        Ok(outline)
    }
}
