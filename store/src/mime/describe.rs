//! What a part's header says of it (RFC 2045), and what it is taken for when it
//! says nothing, or what cannot be.
//!
//! What BODYSTRUCTURE's grammar needs always holds (RFC 9051 section 9): a
//! `multipart` has a child, a `message/rfc822` or `message/global` a message.

use super::budget::Budget;
use super::content::{self, parameter};
use super::header::{Field, fields, unfold};
use super::{Part, Span};

/// What a part is when it does not say.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    /// RFC 2045 section 5.2.
    Text,
    /// In multipart/digest (RFC 2046 section 5.1.5).
    Message,
}

impl Default {
    /// The default of the children of this multipart.
    pub(crate) fn within(multipart: &Part) -> Self {
        match multipart.subtype.eq_ignore_ascii_case(b"digest") {
            true => Self::Message,
            false => Self::Text,
        }
    }
}

/// How a part's body is read.
pub(crate) enum Kind {
    Multipart,
    Message,
    Leaf,
}

/// How the body of this part is read.
pub(crate) fn kind(part: &Part) -> Kind {
    if part.is("multipart", None) {
        Kind::Multipart
    } else if is_message(part) {
        Kind::Message
    } else {
        Kind::Leaf
    }
}

fn is_message(part: &Part) -> bool {
    part.is("message", Some("rfc822")) || part.is("message", Some("global"))
}

/// The part that this header describes; its spans are not filled in.
pub(crate) fn described(header: &[u8], default: Default, budget: &mut Budget) -> Part {
    let mut found = Part::default();
    for field in fields(header) {
        let mime = field.name.get(..8).is_some_and(|p| p.eq_ignore_ascii_case(b"content-"));
        if mime && budget.take_octets(field.value.len()) {
            take(&mut found, &field);
        }
    }
    fill_in(&mut found, default);
    found
}

/// The first field of a name counts.
fn take(part: &mut Part, field: &Field<'_>) {
    let text = || Some(unfold(field.value));
    match field.name.to_ascii_lowercase().as_slice() {
        b"content-type" if part.media_type.is_empty() => {
            if let Some(read) = content::content_type(field.value) {
                (part.media_type, part.subtype, part.parameters) = read;
            }
        }
        b"content-transfer-encoding" if part.encoding.is_empty() => {
            part.encoding = content::token(field.value);
        }
        b"content-disposition" if part.disposition.is_none() => {
            part.disposition = Some(content::with_parameters(field.value))
                .filter(|(kind, parameters)| !kind.is_empty() || !parameters.is_empty());
        }
        b"content-language" if part.language.is_empty() => {
            part.language = content::languages(field.value);
        }
        b"content-id" if part.id.is_none() => part.id = text(),
        b"content-description" if part.description.is_none() => part.description = text(),
        b"content-md5" if part.md5.is_none() => part.md5 = text(),
        b"content-location" if part.location.is_none() => part.location = text(),
        _ => {}
    }
}

fn fill_in(part: &mut Part, default: Default) {
    if part.encoding.is_empty() {
        part.encoding = b"7BIT".to_vec();
    }
    if part.media_type.is_empty() {
        set_type(part, default);
    }
    // RFC 2046 section 4.1.2: the charset of text/plain, if none is given.
    if part.is("text", Some("plain")) && parameter(&part.parameters, "charset").is_none() {
        part.parameters.push((b"charset".to_vec(), b"us-ascii".to_vec()));
    }
    // RFC 2045 section 6.4 forbids it, RFC 6532 section 3.7 allows it for
    // message/global: either way its octets are not a message's.
    if is_message(part) && part.transfer_encoding().is_encoded() {
        opaque(part);
    }
}

fn set_type(part: &mut Part, default: Default) {
    let (media, sub): (&[u8], &[u8]) = match default {
        Default::Text => (b"text", b"plain"),
        Default::Message => (b"message", b"rfc822"),
    };
    (part.media_type, part.subtype) = (media.to_vec(), sub.to_vec());
}

/// Makes it a part that nobody looks into (RFC 2045 section 6.4, RFC 2049 section 2).
pub(crate) fn opaque(part: &mut Part) {
    part.media_type = b"application".to_vec();
    part.subtype = b"octet-stream".to_vec();
}

/// What a multipart without any part holds: its whole body as text, as an
/// invalid Content-Type is text (RFC 2045 section 5.2).
pub(crate) fn text_child(multipart: &Part) -> Part {
    let mut child = Part {
        header: Span { start: multipart.body.start, len: 0 },
        body: multipart.body,
        lines: multipart.lines,
        ..Part::default()
    };
    fill_in(&mut child, Default::Text);
    child
}
