//! The texts of a message that SEARCH looks into, one after the other: what an index has to
//! know of it.

use crate::mime::{Parsed, decode_words, fields, part_text, slice};

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The value of a field of the message's own header that has a search key of its own.
    Named(Named),
    /// The header of a part, the message's own too: a line for each field.
    Header,
    /// The body of a part.
    Body,
}

/// Fields that have search keys of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// Subject.
    Subject,
    /// From.
    From,
    /// To.
    To,
    /// Cc.
    Cc,
    /// Bcc.
    Bcc,
}

impl Named {
    /// The one of a field's name, in any case.
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Subject, Self::From, Self::To, Self::Cc, Self::Bcc];
        all.into_iter().find(|named| named.name().eq_ignore_ascii_case(name))
    }

    /// The field's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subject => "Subject",
            Self::From => "From",
            Self::To => "To",
            Self::Cc => "Cc",
            Self::Bcc => "Bcc",
        }
    }
}

/// Shows every text of a message, decoded and not mapped yet. A needle matches a search key when
/// one of the texts of its places holds it: all of it in one of them.
pub fn texts(content: &[u8], parsed: &Parsed, see: &mut dyn FnMut(Place, &str)) {
    for field in fields(slice(content, parsed.structure.header)) {
        let named = std::str::from_utf8(field.name).ok().and_then(Named::of);
        if let Some(named) = named {
            see(Place::Named(named), &decode_words(field.value));
        }
    }
    for part in parsed.structure.walk() {
        see(Place::Header, &header_text(slice(content, part.header)));
        let leaf = part.children.is_empty() && part.message.is_none();
        if let Some(text) = part_text(content, part).filter(|_| leaf) {
            see(Place::Body, &text);
        }
    }
}

/// A header as TEXT searches it: a line for each field, unfolded and decoded.
pub(super) fn header_text(header: &[u8]) -> String {
    let mut text = String::with_capacity(header.len());
    for field in fields(header) {
        if !field.name.is_empty() {
            text.push_str(&String::from_utf8_lossy(field.name));
            text.push_str(": ");
        }
        text.push_str(&decode_words(field.value));
        text.push('\n');
    }
    text
}
