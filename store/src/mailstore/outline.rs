//! What SORT and THREAD ask of messages, for readers.

use redoubt_log::id::BlobId;

use super::{Inner, MailboxRef, Mailstore, StoreError};
use crate::mime::{Outline, slice};
use crate::search::SharedSheet;

impl Mailstore {
    /// What a message is sorted and threaded by, from beside the views where it is there. Blocks.
    ///
    /// # Errors
    /// When it has to be read and cannot be.
    pub fn outline(&self, blob: &BlobId) -> Result<Outline, StoreError> {
        self.inner.outline(blob)
    }

    /// What is known of the messages of a mailbox, to be asked and added to. So many messages are
    /// there now, about.
    pub fn sheet(&self, mailbox: MailboxRef, live: usize) -> SharedSheet {
        self.inner.sheets.sheet(mailbox, live)
    }

    /// To be told when a sheet was added to. Whether it is kept for others; where it is too large
    /// for that, its memory is the caller's.
    pub fn keeps_sheet(&self, mailbox: MailboxRef, sheet: &SharedSheet) -> bool {
        self.inner.sheets.weigh(mailbox, sheet)
    }
}

impl Inner {
    fn outline(&self, blob: &BlobId) -> Result<Outline, StoreError> {
        if let Some(outline) = self.outlines.get(blob) {
            return Ok(outline);
        }
        let parsed = self.parsed(blob)?;
        let outline = match &parsed.header {
            Some(header) => Outline::of(&parsed, header),
            None => Outline::of(&parsed, slice(&self.blob(blob)?, parsed.structure.header)),
        };
        self.outlines.put(blob, &outline);
        Ok(outline)
    }
}
