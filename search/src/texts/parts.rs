//! Which parts of a message are attachments, and what it says of them. Pure.

use redoubt_extract::Document;
use redoubt_store::mime::{Parameters, Part, decode_words};

/// A part whose text is extracted.
#[derive(Debug, Clone)]
pub struct Attachment<'p> {
    /// Its number (RFC 9051 section 6.4.5.1).
    pub number: Vec<u32>,
    /// The part.
    pub part: &'p Part,
}

/// Parts that hold no other parts and are not the message's own text: everything but text/plain
/// and text/html, and these where they are sent as attachments. Those of attached messages too.
pub fn attachments(structure: &Part) -> Vec<Attachment<'_>> {
    let mut found = Vec::new();
    // Walked without recursion: what comes last is looked at first.
    let mut open = vec![(Vec::new(), structure, true)];
    while let Some((number, part, is_whole)) = open.pop() {
        let is_leaf = part.children.is_empty();
        if let Some(inside) = &part.message {
            open.push((leaf_number(number, is_whole && is_leaf), &inside.structure, true));
        } else if !is_leaf {
            for (at, child) in (1..).zip(&part.children).collect::<Vec<_>>().into_iter().rev() {
                open.push((longer(&number, at), child, false));
            }
        } else if is_attachment(part) {
            found.push(Attachment { number: leaf_number(number, is_whole), part });
        }
    }
    found
}

/// The only part of a message that is no multipart is its part 1.
fn leaf_number(number: Vec<u32>, is_whole: bool) -> Vec<u32> {
    if is_whole { longer(&number, 1) } else { number }
}

fn longer(number: &[u32], at: u32) -> Vec<u32> {
    [number, &[at]].concat()
}

fn is_attachment(part: &Part) -> bool {
    let is_body = part.is("text", Some("plain")) || part.is("text", Some("html"));
    !is_body || part.is_attachment() || !name(part).is_empty()
}

/// What the message says of a part.
pub fn document(part: &Part) -> Document {
    let media_type = [part.media_type.as_slice(), b"/", &part.subtype].concat();
    Document {
        media_type: String::from_utf8_lossy(&media_type).to_ascii_lowercase(),
        name: name(part),
        charset: String::from_utf8_lossy(part.parameter("charset").unwrap_or_default()).into(),
    }
}

/// The file's name: Content-Disposition's, else Content-Type's; encoded words and RFC 2231's
/// percent signs undone as far as an ending needs it.
fn name(part: &Part) -> String {
    let disposition = part.disposition.as_ref().map(|(_, parameters)| parameters);
    let places =
        disposition.into_iter().map(|p| (p, "filename")).chain([(&part.parameters, "name")]);
    let found = places.into_iter().find_map(|(parameters, name)| value(parameters, name));
    found.map(|raw| decode_words(&raw)).unwrap_or_default()
}

fn value(parameters: &Parameters, name: &str) -> Option<Vec<u8>> {
    let is_it = |key: &[u8]| {
        let key = key.strip_suffix(b"*").unwrap_or(key);
        key.eq_ignore_ascii_case(name.as_bytes())
    };
    parameters.iter().find(|(key, value)| is_it(key) && !value.is_empty()).map(|(_, v)| v.clone())
}
