//! Texts of attachments, extracted now where they are not there: a search or export is in no hurry.

use std::sync::Arc;

use redoubt_extract::{Extracted, Status, VERSION};
use redoubt_log::id::BlobId;
use redoubt_store::mime::Part;

use crate::export::{AttachmentText, Text};
use crate::facts::texts::Attachment;
use crate::facts::{PartText, PartTexts};
use crate::texts::Texts;

/// Texts, where extraction is on.
#[derive(Debug, Clone, Default)]
pub(super) struct Extracting(pub(super) Option<Arc<dyn Texts>>);

impl PartTexts for Extracting {
    fn of(&self, message: &BlobId, part: &Attachment) -> Option<PartText> {
        let all = self.0.as_ref()?.now(message).ok()?;
        let one = all.into_iter().find(|text| text.number == part.part)?.extracted;
        Some(PartText {
            text: one.text.clone(),
            whole: one.status == Status::Ok,
            read: matches!(one.status, Status::Ok | Status::Partial),
        })
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
