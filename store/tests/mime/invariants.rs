//! What holds of every message, however broken.

use redoubt_store::mime::{
    MAX_DEPTH, MAX_PARTS, Parsed, Part, Span, fields, header_fields, parse, part_hints, part_text,
    sent_date, slice, thread_inputs,
};

/// Takes it apart and checks what always holds.
pub(crate) fn checked(message: &[u8]) -> Parsed {
    let parsed = parse(message);
    assert_eq!(parsed.size, message.len() as u64);
    assert!(parsed.preview.chars().count() <= 200);
    let root = &parsed.structure;
    let whole = Span { start: 0, len: parsed.size };
    assert_eq!([slice(message, root.header), slice(message, root.body)].concat(), message);
    assert!(root.walk().len() <= 2 * MAX_PARTS + 1);
    part(message, root, whole, 0);
    helpers(message, &parsed);
    parsed
}

fn part(message: &[u8], part: &Part, within: Span, depth: usize) {
    assert!(depth <= 2 * MAX_DEPTH);
    inside(part.header, within);
    inside(part.body, within);
    assert_eq!(part.header.start + part.header.len, part.body.start);
    let body = slice(message, part.body);
    assert_eq!(part.lines, body.iter().filter(|c| **c == b'\n').count() as u64);
    assert!(!part.media_type.is_empty() && !part.subtype.is_empty() && !part.encoding.is_empty());
    assert_eq!(part.is("multipart", None), !part.children.is_empty());
    let is_message = part.is("message", Some("rfc822")) || part.is("message", Some("global"));
    assert_eq!(is_message, part.message.is_some());
    let mut from = part.body.start;
    for child in &part.children {
        assert!(child.header.start >= from, "parts overlap");
        from = child.body.start + child.body.len;
        self::part(message, child, part.body, depth + 1);
    }
    if let Some(inside) = &part.message {
        assert_eq!(part.message_span(), Some(part.body));
        self::part(message, &inside.structure, part.body, depth + 1);
    }
}

fn inside(span: Span, within: Span) {
    assert!(span.start >= within.start, "{span:?} is not inside {within:?}");
    assert!(span.start + span.len <= within.start + within.len, "{span:?} not inside {within:?}");
}

fn helpers(message: &[u8], parsed: &Parsed) {
    let header = slice(message, parsed.structure.header);
    let raw: Vec<u8> = fields(header).flat_map(|f| f.raw).copied().collect();
    assert!(header.starts_with(&raw));
    assert_eq!(header_fields(header, &[], true), header);
    let to = header_fields(header, &[b"to"], false).len();
    let blank = header.len() - raw.len();
    assert_eq!(to + header_fields(header, &[b"to"], true).len(), header.len() + blank);
    thread_inputs(header);
    parsed.envelope.date.as_deref().and_then(sent_date);
    for hint in part_hints(parsed) {
        inside(Span { start: hint.start, len: hint.len }, parsed.structure.body);
    }
    for part in parsed.structure.leaves() {
        part_text(message, part);
    }
}
