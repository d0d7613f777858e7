//! Texts of attachments, extracted now where they are not there: a search or export is in no hurry.

use std::sync::Arc;

use redoubt_extract::{Extracted, Status, VERSION};
use redoubt_log::id::BlobId;
use redoubt_store::mime::Part;

use crate::export::{AttachmentText, Text};
use crate::texts::{NoTexts, PartText, Texts, TextsError};

/// Texts, where extraction is on.
#[derive(Debug, Clone, Default)]
pub(super) struct Extracting(pub(super) Option<Arc<dyn Texts>>);

impl Texts for Extracting {
    fn of(&self, message: &BlobId) -> Result<Option<Vec<PartText>>, TextsError> {
        Ok(self.0.as_ref().and_then(|texts| texts.now(message).ok()))
    }

    fn now(&self, message: &BlobId) -> Result<Vec<PartText>, TextsError> {
        self.0.as_ref().map_or_else(|| NoTexts.now(message), |texts| texts.now(message))
    }

    fn of_octets(&self, part: &Part, octets: &[u8]) -> Result<Arc<Extracted>, TextsError> {
        let texts = self.0.as_ref();
        let none = || NoTexts.of_octets(part, octets);
        texts.map_or_else(none, |texts| texts.of_octets(part, octets))
    }
}

impl AttachmentText for Extracting {
    fn of(&self, part: &Part, octets: &[u8]) -> Text {
        let Some(texts) = &self.0 else { return Text { text: None, status: "none" } };
        match texts.of_octets(part, octets) {
            Ok(extracted) => text_of(&extracted),
            Err(error) => {
                tracing::warn!(%error, "an attachment is exported without its text");
                Text { text: None, status: "failed" }
            }
        }
    }

    fn version(&self) -> u32 {
        if self.0.is_some() { VERSION } else { 0 }
    }
}

fn text_of(extracted: &Extracted) -> Text {
    let status = match extracted.status {
        Status::Ok => "ok",
        Status::Partial => "partial",
        Status::Failed => "failed",
        Status::Encrypted => "encrypted",
        Status::Skipped => "skipped",
    };
    let read = matches!(extracted.status, Status::Ok | Status::Partial);
    Text { text: read.then(|| extracted.text.clone()), status }
}
