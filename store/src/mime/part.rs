//! Parts by IMAP's numbers, and what there is to ask of one.

use super::{Parsed, Part, Span, TransferEncoding, content};

/// Parts with fewer octets are not worth a blob of their own.
pub const MIN_PART: u64 = 16 * 1024;

/// A part that may be kept apart from its message, for deduplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHint {
    /// The first octet of its body.
    pub start: u64,
    /// How many.
    pub len: u64,
    /// Whether the body is base64, or else as it is.
    pub is_base64: bool,
}

/// Bodies of 16 KiB and more that hold no other parts, in the order of the message.
pub fn part_hints(parsed: &Parsed) -> Vec<PartHint> {
    let leaves = parsed.structure.leaves();
    let large = leaves.into_iter().filter(|part| part.body.len >= MIN_PART);
    large
        .map(|part| PartHint {
            start: part.body.start,
            len: part.body.len,
            is_base64: part.transfer_encoding() == TransferEncoding::Base64,
        })
        .collect()
}

impl Parsed {
    /// The part with this number (RFC 9051 section 6.4.5.1); see [`Part::find`].
    pub fn part(&self, number: &[u32]) -> Option<&Part> {
        self.structure.find(number)
    }
}

impl Part {
    /// The part with this number, asked of a message's whole structure: `[]` is
    /// the message itself, `[1]` of a message that is no multipart its only
    /// part. Numbers behind a message/rfc822's count in the message inside:
    /// `[n.HEADER]` and `[n.TEXT]` are its [`Part::message`]'s `structure.header`
    /// and `structure.body`, `[n.MIME]` is the found part's `header`.
    pub fn find(&self, number: &[u32]) -> Option<&Part> {
        let Some((first, rest)) = number.split_first() else { return Some(self) };
        let mut part = self.numbered(*first)?;
        for next in rest {
            part = match &part.message {
                Some(inside) => inside.structure.numbered(*next)?,
                None => part.child(*next)?,
            };
        }
        Some(part)
    }

    /// A part directly in this message body.
    fn numbered(&self, number: u32) -> Option<&Part> {
        match self.children.is_empty() {
            true => (number == 1).then_some(self),
            false => self.child(number),
        }
    }

    fn child(&self, number: u32) -> Option<&Part> {
        self.children.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Whether it has this media type, and this subtype if one is asked for.
    pub fn is(&self, media_type: &str, subtype: Option<&str>) -> bool {
        let same = |have: &[u8], want: &str| have.eq_ignore_ascii_case(want.as_bytes());
        same(&self.media_type, media_type) && subtype.is_none_or(|s| same(&self.subtype, s))
    }

    /// A parameter of its Content-Type, by name without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        content::parameter(&self.parameters, name)
    }

    /// Its Content-Transfer-Encoding, as far as it is one that changes octets.
    pub fn transfer_encoding(&self) -> TransferEncoding {
        TransferEncoding::named(&self.encoding)
    }

    /// Whether Content-Disposition says that it is an attachment.
    pub fn is_attachment(&self) -> bool {
        let kind = self.disposition.as_ref().map(|(kind, _)| kind.as_slice());
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"attachment"))
    }

    /// The whole of a nested message: its header and its body.
    pub fn message_span(&self) -> Option<Span> {
        let inside = &self.message.as_ref()?.structure;
        let start = inside.header.start;
        Some(Span { start, len: (inside.body.start + inside.body.len).saturating_sub(start) })
    }

    /// Itself and all parts below it, those of nested messages too, in the order
    /// of the message.
    pub fn walk(&self) -> Vec<&Part> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(part) = open.pop() {
            found.push(part);
            open.extend(part.children.iter().rev());
            open.extend(part.message.as_ref().map(|inside| &inside.structure));
        }
        found
    }

    /// Those of [`Part::walk`] that hold no other parts.
    pub fn leaves(&self) -> Vec<&Part> {
        let leaf = |part: &&Part| part.children.is_empty() && part.message.is_none();
        self.walk().into_iter().filter(leaf).collect()
    }
}
