//! Texts that go with natives.

use redoubt_store::mime::{Parsed, Part, part_text};

/// What came of an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Its text, where there is any.
    pub text: Option<String>,
    /// `ok`, `partial`, `failed`, `encrypted`, `skipped` or `none`.
    pub status: &'static str,
}

/// Where texts of attachments come from. Whoever has no extractor has [`NoText`].
pub trait AttachmentText: Send + Sync {
    /// The text of a part, whose octets are given with their transfer encoding undone.
    fn of(&self, part: &Part, octets: &[u8]) -> Text;
    /// The extractor's version, 0 for none.
    fn version(&self) -> u32;
}

/// Without an extractor only text is text.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoText;

impl AttachmentText for NoText {
    fn of(&self, _: &Part, _: &[u8]) -> Text {
        Text { text: None, status: "none" }
    }
    fn version(&self) -> u32 {
        0
    }
}

/// What a reader sees of a message: its texts in their order, without attachments.
pub(super) fn body(message: &[u8], parsed: &Parsed) -> String {
    let mut text = String::new();
    for part in shown(&parsed.structure) {
        if let Some(piece) = part_text(message, part) {
            text += &piece;
            text += "\n";
        }
    }
    text
}

/// Texts that are no attachments; of alternatives the plain one, where there is one.
fn shown(part: &Part) -> Vec<&Part> {
    if part.is("multipart", Some("alternative")) {
        let plain = part.children.iter().find(|child| child.is("text", Some("plain")));
        return plain.or(part.children.last()).map(shown).unwrap_or_default();
    }
    if part.children.is_empty() {
        let text = part.is("text", None) && !part.is_attachment();
        return if text { vec![part] } else { Vec::new() };
    }
    part.children.iter().flat_map(shown).collect()
}

/// Parts that are documents of their own: all leaves that are not shown as text.
pub(super) fn attachments(parsed: &Parsed) -> Vec<&Part> {
    let mut found = Vec::new();
    let mut open = vec![&parsed.structure];
    while let Some(part) = open.pop() {
        if !part.children.is_empty() {
            open.extend(part.children.iter().rev());
        } else if part.is_attachment() || !part.is("text", None) {
            found.push(part);
        }
    }
    // A message that is nothing but one document is itself that document.
    found.retain(|part| !std::ptr::eq(*part, &parsed.structure) || part.is_attachment());
    found
}
