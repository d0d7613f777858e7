//! What a message is made of: envelope, body structure, headers, preview, text.
//! Pure: bytes in, values out; any input, bounded work.
//!
//! Where parts lie and what their fields say is read here, octet by octet:
//! IMAP hands out spans and raw values, and no library keeps both exactly.
//! Decoded text (charsets, HTML's entities) is `encoding_rs`' and
//! `mail-parser`'s.

mod address;
mod budget;
mod content;
mod date;
mod decode;
mod describe;
mod encoded_word;
mod envelope;
mod header;
mod html;
mod journal;
mod lexer;
mod outline;
mod part;
mod preview;
mod structure;
mod subject;
mod text;
mod thread;

pub use address::addresses;
pub use content::MAX_PARAMETERS;
pub use date::{SentDate, sent_date};
pub use decode::{TransferEncoding, decode_transfer};
pub use encoded_word::decode_words;
pub use header::{Field, Fields, fields, first, header_fields, unfold};
pub use html::html_to_text;
pub use journal::{Journal, JournalRecipient, journal};
pub use outline::{Outline, Print};
pub use part::{MIN_PART, PartHint, part_hints};
pub use structure::slice;
pub use subject::{base_subject, is_reply_or_forward};
pub use text::{charset_is_known, decode_charset, part_text};
pub use thread::{
    MAX_MESSAGE_ID, MAX_MESSAGE_IDS, ThreadInputs, message_id, references, thread_inputs,
};

/// A range of octets of the message: from `start`, `len` long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// The first octet.
    pub start: u64,
    /// How many.
    pub len: u64,
}

/// An address of an envelope (RFC 9051 section 7.5.2): raw octets, as in the header.
/// A group begins with only `mailbox` set and ends with nothing set.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EnvelopeAddress {
    /// The display name.
    pub name: Option<Vec<u8>>,
    /// The source route (obsolete).
    pub adl: Option<Vec<u8>>,
    /// The local part, or a group's name.
    pub mailbox: Option<Vec<u8>>,
    /// The domain.
    pub host: Option<Vec<u8>>,
}

/// ENVELOPE of RFC 9051 section 7.5.2: raw, unfolded octets.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Envelope {
    pub date: Option<Vec<u8>>,
    pub subject: Option<Vec<u8>>,
    pub from: Vec<EnvelopeAddress>,
    /// Already defaulted to `from`, as are `reply_to`'s.
    pub sender: Vec<EnvelopeAddress>,
    pub reply_to: Vec<EnvelopeAddress>,
    pub to: Vec<EnvelopeAddress>,
    pub cc: Vec<EnvelopeAddress>,
    pub bcc: Vec<EnvelopeAddress>,
    pub in_reply_to: Option<Vec<u8>>,
    pub message_id: Option<Vec<u8>>,
}

/// Names and values, in order.
pub type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// A body part (RFC 9051 section 7.5.2, BODYSTRUCTURE) and where it lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// `text`, `multipart` …, as written; defaults of RFC 2045 and 2046 filled in.
    pub media_type: Vec<u8>,
    /// `plain`, `mixed` …
    pub subtype: Vec<u8>,
    /// Parameters of Content-Type, in order.
    pub parameters: Parameters,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, `7BIT` when absent.
    pub encoding: Vec<u8>,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition with its parameters.
    pub disposition: Option<(Vec<u8>, Parameters)>,
    /// Content-Language.
    pub language: Vec<Vec<u8>>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
    /// The part's header with its blank line: `[n.MIME]`.
    pub header: Span,
    /// The part's body: `[n]`.
    pub body: Span,
    /// Lines of the body, for text and message/rfc822.
    pub lines: u64,
    /// Parts of a multipart.
    pub children: Vec<Part>,
    /// The message in a message/rfc822 (or message/global) part.
    pub message: Option<Box<Nested>>,
}

/// A message inside a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nested {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its own structure; `structure.header` is its `[n.HEADER]`, `structure.body` its `[n.TEXT]`.
    pub structure: Part,
}

/// A message taken apart once: the cache by blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parsed {
    /// Octets of the message.
    pub size: u64,
    /// The header with its blank line, raw; `None` when it is longer than [`MAX_CACHED_HEADER`].
    pub header: Option<Vec<u8>>,
    /// ENVELOPE.
    pub envelope: Envelope,
    /// BODYSTRUCTURE. `structure.header` is `[HEADER]`, `structure.body` is `[TEXT]`.
    pub structure: Part,
    /// PREVIEW (RFC 8970): at most 200 characters.
    pub preview: String,
}

/// Headers longer than this are read from the message.
pub const MAX_CACHED_HEADER: usize = 64 * 1024;
/// Parts nested deeper are not taken apart.
pub const MAX_DEPTH: usize = 64;
/// Parts beyond this number are not taken apart.
pub const MAX_PARTS: usize = 2000;

/// Octets of one header that are read for their meaning; what is behind counts only as octets.
pub const MAX_HEADER: usize = 256 * 1024;
/// Addresses of one message's envelopes, nested ones' included; more are left out.
pub const MAX_ADDRESSES: usize = 20_000;
/// Octets of field values kept of one message, in its envelopes and structure.
pub const MAX_VALUES: usize = 4 * 1024 * 1024;

/// The beginning of a text: at most so many octets, and whole characters.
pub(crate) fn cut(text: &str, octets: usize) -> &str {
    let end = (0..=octets.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Takes a message apart. Total: any bytes give an answer, in time that rises
/// with their number and in memory bounded by the limits here.
pub fn parse(message: &[u8]) -> Parsed {
    let Nested { envelope, structure } = structure::message(message);
    let header = slice(message, structure.header);
    let header = (header.len() <= MAX_CACHED_HEADER).then(|| header.to_vec());
    let preview = preview::preview(message, &structure);
    Parsed { size: message.len() as u64, header, envelope, structure, preview }
}
