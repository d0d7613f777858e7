//! Any octets as a document: an answer within its bounds, with a reason wherever it is not whole.

use redoubt_extract::{Document, Limits, Status, extract};

/// What a message may say of it, chosen by the first octet.
const LABELS: [(&str, &str); 6] = [
    ("", ""),
    ("text/html", "a.html"),
    ("text/calendar", "a.ics"),
    ("message/rfc822", "a.eml"),
    ("application/rtf", "a.rtf"),
    ("text/xml", "a.xml"),
];

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let Some((which, octets)) = octets.split_first() else { return };
    let (media_type, name) = LABELS[usize::from(*which) % LABELS.len()];
    let document =
        Document { media_type: media_type.into(), name: name.into(), ..Document::default() };
    let limits =
        Limits { text: 20_000, expanded: 1 << 20, depth: 4, members: 50, ..Limits::default() };
    let extracted = extract(&document, octets, &limits);
    assert!(extracted.text.len() <= 20_000);
    assert_eq!(extracted.why.is_none(), extracted.status == Status::Ok, "{extracted:?}");
}
