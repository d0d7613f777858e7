//! Where a section of a message lies (RFC 9051 section 6.4.5.1). Pure.

use redoubt_store::mime::{Parsed, Part, Span};

use crate::imap::types::{FetchItem, Partial, Section, SectionText};

/// What an item's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// The message has no such part.
    Missing,
    /// These octets of it.
    Span(Span),
    /// Some fields of the header that lies there.
    Fields {
        /// The header.
        header: Span,
        /// Their names.
        names: &'a [String],
        /// All but those.
        not: bool,
    },
}

/// The whole message.
pub(crate) fn whole(size: u64) -> Content<'static> {
    Content::Span(Span { start: 0, len: size })
}

/// The content of an item that has some.
pub(crate) fn content<'a>(parsed: &Parsed, item: &'a FetchItem) -> Content<'a> {
    match item {
        FetchItem::Rfc822 => whole(parsed.size),
        FetchItem::Rfc822Header => Content::Span(parsed.structure.header),
        FetchItem::Rfc822Text => Content::Span(parsed.structure.body),
        FetchItem::Section { section, .. } => locate(parsed, section),
        _ => Content::Missing,
    }
}

fn locate<'a>(parsed: &Parsed, section: &'a Section) -> Content<'a> {
    if section.part.is_empty() {
        return match &section.text {
            None => whole(parsed.size),
            Some(text) => of_message(&parsed.structure, text),
        };
    }
    let Some(part) = walk(&parsed.structure, section.part.iter().map(|number| number.get())) else {
        return Content::Missing;
    };
    match (&section.text, &part.message) {
        (None, _) => Content::Span(part.body),
        (Some(SectionText::Mime), _) => Content::Span(part.header),
        (Some(text), Some(nested)) => of_message(&nested.structure, text),
        (Some(_), None) => Content::Missing,
    }
}

fn of_message<'a>(structure: &Part, text: &'a SectionText) -> Content<'a> {
    let header = structure.header;
    match text {
        SectionText::Header => Content::Span(header),
        SectionText::HeaderFields(names) => Content::Fields { header, names, not: false },
        SectionText::HeaderFieldsNot(names) => Content::Fields { header, names, not: true },
        SectionText::Text => Content::Span(structure.body),
        SectionText::Mime => Content::Missing,
    }
}

/// Parts are numbered in a multipart; a message that is none has one part, 1.
fn walk(message: &Part, numbers: impl Iterator<Item = u32>) -> Option<&Part> {
    let mut container = Some(message);
    let mut part = None;
    for number in numbers {
        let found = child(container?, number)?;
        container = match &found.message {
            Some(nested) => Some(&nested.structure),
            None => is_multipart(found).then_some(found),
        };
        part = Some(found);
    }
    part
}

fn child(container: &Part, number: u32) -> Option<&Part> {
    if is_multipart(container) {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        return container.children.get(at);
    }
    (number == 1).then_some(container)
}

fn is_multipart(part: &Part) -> bool {
    part.media_type.eq_ignore_ascii_case(b"multipart")
}

/// The octets that a partial means of something `len` long: from where, how many.
pub(crate) fn clip(partial: Option<Partial>, len: u64) -> (u64, u64) {
    match partial {
        None => (0, len),
        Some(Partial { first, count }) => {
            let first = first.min(len);
            (first, count.get().min(len - first))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::num::{NonZeroU32, NonZeroU64};

    fn span(start: u64, len: u64) -> Span {
        Span { start, len }
    }

    fn leaf(at: u64) -> Part {
        let (header, body) = (span(at, 5), span(at + 5, 5));
        Part { media_type: b"text".to_vec(), header, body, ..Part::default() }
    }

    /// 1 text, 2 message/rfc822 of a multipart of (1 text, 2 text), 3 message/rfc822 of a text.
    fn parsed() -> Parsed {
        let multipart = |at, children| Part {
            media_type: b"MULTIPART".to_vec(),
            header: span(at, 9),
            body: span(at + 9, 90),
            children,
            ..Part::default()
        };
        let message = |at, structure| {
            let nested = redoubt_store::mime::Nested { structure, ..Default::default() };
            Part { media_type: b"message".to_vec(), message: Some(Box::new(nested)), ..leaf(at) }
        };
        let inner = multipart(300, vec![leaf(400), leaf(500)]);
        let children = vec![leaf(100), message(200, inner), message(600, leaf(700))];
        Parsed { size: 1000, structure: multipart(0, children), ..Parsed::default() }
    }

    fn at(part: &[u32], text: Option<SectionText>) -> Content<'static> {
        let part = part.iter().map(|n| NonZeroU32::new(*n).unwrap()).collect();
        match locate(&parsed(), &Section { part, text }) {
            Content::Missing => Content::Missing,
            Content::Span(span) => Content::Span(span),
            Content::Fields { .. } => Content::Missing,
        }
    }

    #[test]
    fn numbers_lead_through_multiparts_and_messages() {
        let body = |start| Content::Span(span(start, 5));
        assert_eq!(at(&[], None), Content::Span(span(0, 1000)));
        assert_eq!(at(&[1], None), body(105));
        assert_eq!(at(&[2], None), body(205));
        assert_eq!(at(&[2, 2], None), body(505));
        assert_eq!(at(&[3, 1], None), body(705));
        for missing in [&[4][..], &[1, 1], &[1, 2], &[2, 3], &[3, 2], &[3, 1, 1]] {
            assert_eq!(at(missing, None), Content::Missing, "{missing:?}");
        }
    }

    #[test]
    fn texts_are_of_the_part_or_of_the_message_in_it() {
        assert_eq!(at(&[2], Some(SectionText::Mime)), Content::Span(span(200, 5)));
        assert_eq!(at(&[2], Some(SectionText::Header)), Content::Span(span(300, 9)));
        assert_eq!(at(&[3], Some(SectionText::Text)), Content::Span(span(705, 5)));
        assert_eq!(at(&[], Some(SectionText::Text)), Content::Span(span(9, 90)));
        assert_eq!(at(&[1], Some(SectionText::Header)), Content::Missing);
    }

    #[test]
    fn a_single_part_message_is_its_part_1() {
        let parsed = Parsed { size: 10, structure: leaf(0), ..Parsed::default() };
        let one = Section { part: vec![NonZeroU32::MIN], text: None };
        assert_eq!(locate(&parsed, &one), Content::Span(span(5, 5)));
        let two = Section { part: vec![NonZeroU32::MIN, NonZeroU32::MIN], text: None };
        assert_eq!(locate(&parsed, &two), Content::Missing);
    }

    #[test]
    fn partials_are_cut_at_the_end() {
        let partial =
            |first, count| Some(Partial { first, count: NonZeroU64::new(count).unwrap() });
        assert_eq!(clip(partial(2, 3), 10), (2, 3));
        assert_eq!(clip(partial(8, 30), 10), (8, 2));
        assert_eq!(clip(partial(u64::MAX, u64::MAX), 10), (10, 0));
        assert_eq!(clip(None, 10), (0, 10));
    }
}
