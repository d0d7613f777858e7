//! FETCH's items and modifiers.

use std::num::{NonZeroU32, NonZeroU64};

use redoubt_log::id::ModSeq;
use winnow::combinator::{delimited, opt, separated};
use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::{one_of, take_while};

use super::ErrorKind;
use super::input::{Input, Parsed, expected, fail_here, list1, next_octet, space};
use super::set::{message_set, partial_range};
use super::strings::{mod_sequence_or_zero, number64, nz_number, utf8_astring, word};
use crate::imap::types::{
    Command, Fetch, FetchItem, Numbering, Partial, PartialRange, Section, SectionText,
};

/// FETCH's arguments.
pub(super) fn fetch(input: &mut Input<'_>, numbering: Numbering) -> Parsed<Command> {
    space(input)?;
    let set = message_set(input)?;
    space(input)?;
    let items = fetch_items(input)?;
    let (changed_since, vanished, partial) = (None, false, None);
    let mut fetch = Fetch { numbering, set, items, changed_since, vanished, partial };
    if next_octet(input) == Some(b' ') {
        space(input)?;
        modifiers(input, &mut fetch)?;
    }
    Ok(Command::Fetch(fetch))
}

fn fetch_items(input: &mut Input<'_>) -> Parsed<Vec<FetchItem>> {
    let all = match next_octet(input) {
        Some(b'(') => list1(item, "items")(input)?,
        _ => macro_or_item(input)?,
    };
    let mut items = Vec::with_capacity(all.len());
    for item in all {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items)
}

/// RFC 9051 section 6.4.5: the macros stand alone.
fn macro_or_item(input: &mut Input<'_>) -> Parsed<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let start = *input;
    match item_name(input)?.as_str() {
        "ALL" => Ok(vec![Flags, InternalDate, Rfc822Size, Envelope]),
        "FAST" => Ok(vec![Flags, InternalDate, Rfc822Size]),
        "FULL" => Ok(vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
        _ => {
            *input = start;
            item(input).map(|item| vec![item])
        }
    }
}

/// An item's name up to a bracket.
fn item_name(input: &mut Input<'_>) -> Parsed<String> {
    take_while(1.., |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.')
        .map(|name: &[u8]| String::from_utf8_lossy(name).to_ascii_uppercase())
        .context("a FETCH item")
        .parse_next(input)
}

fn item(input: &mut Input<'_>) -> Parsed<FetchItem> {
    let start = input.current_token_start();
    let name = item_name(input)?;
    if next_octet(input) == Some(b'[') {
        return match name.as_str() {
            "BODY" => section_item(input, false),
            "BODY.PEEK" => section_item(input, true),
            _ => expected(start, "BODY[ or BODY.PEEK["),
        };
    }
    match name.as_str() {
        "BODY" => Ok(FetchItem::Body),
        "BODYSTRUCTURE" => Ok(FetchItem::BodyStructure),
        "ENVELOPE" => Ok(FetchItem::Envelope),
        "FLAGS" => Ok(FetchItem::Flags),
        "INTERNALDATE" => Ok(FetchItem::InternalDate),
        "RFC822" => Ok(FetchItem::Rfc822),
        "RFC822.HEADER" => Ok(FetchItem::Rfc822Header),
        "RFC822.SIZE" => Ok(FetchItem::Rfc822Size),
        "RFC822.TEXT" => Ok(FetchItem::Rfc822Text),
        "UID" => Ok(FetchItem::Uid),
        "MODSEQ" => Ok(FetchItem::ModSeq),
        "EMAILID" => Ok(FetchItem::EmailId),
        "THREADID" => Ok(FetchItem::ThreadId),
        "SAVEDATE" => Ok(FetchItem::SaveDate),
        _ => expected(start, "a FETCH item"),
    }
}

fn section_item(input: &mut Input<'_>, peek: bool) -> Parsed<FetchItem> {
    let close = one_of(b']').context("]");
    let section = delimited(b'[', section, close).parse_next(input)?;
    let partial = opt(partial).parse_next(input)?;
    Ok(FetchItem::Section { section, partial, peek })
}

fn section(input: &mut Input<'_>) -> Parsed<Section> {
    let part = match next_octet(input) {
        Some(b'0'..=b'9') => part_numbers(input)?,
        _ => Vec::new(),
    };
    let text = match next_octet(input) {
        Some(b']') => None,
        Some(b'.') if !part.is_empty() => {
            b'.'.parse_next(input)?;
            Some(section_text(input, true)?)
        }
        _ => Some(section_text(input, false)?),
    };
    Ok(Section { part, text })
}

/// Numbers with dots between; a dot before a word stays.
fn part_numbers(input: &mut Input<'_>) -> Parsed<Vec<NonZeroU32>> {
    let most = input.state.mode.limits.items;
    let number = |input: &mut Input<'_>| match next_octet(input) {
        Some(b'0'..=b'9') => nz_number(input),
        _ => winnow::combinator::fail(input),
    };
    let numbers: Vec<_> = separated(1..=most, number, b'.').parse_next(input)?;
    if numbers.len() == most {
        return fail_here(input, ErrorKind::Limit("part numbers", most - 1));
    }
    Ok(numbers)
}

fn section_text(input: &mut Input<'_>, of_part: bool) -> Parsed<SectionText> {
    let start = input.current_token_start();
    match item_name.context("a section").parse_next(input)?.as_str() {
        "HEADER" => Ok(SectionText::Header),
        "HEADER.FIELDS" => header_names(input).map(SectionText::HeaderFields),
        "HEADER.FIELDS.NOT" => header_names(input).map(SectionText::HeaderFieldsNot),
        "TEXT" => Ok(SectionText::Text),
        "MIME" if of_part => Ok(SectionText::Mime),
        _ => expected(start, "a section"),
    }
}

fn header_names(input: &mut Input<'_>) -> Parsed<Vec<String>> {
    space(input)?;
    list1(utf8_astring.context("a header name"), "header names")(input)
}

/// `<0.2048>`
fn partial(input: &mut Input<'_>) -> Parsed<Partial> {
    b'<'.parse_next(input)?;
    let first = number64(input)?;
    one_of(b'.').context(".").parse_next(input)?;
    let start = input.current_token_start();
    let Some(count) = NonZeroU64::new(number64(input)?) else {
        return expected(start, "a number above 0");
    };
    one_of(b'>').context(">").parse_next(input)?;
    Ok(Partial { first, count })
}

enum Modifier {
    ChangedSince(ModSeq),
    Vanished,
    Partial(PartialRange),
}

fn modifiers(input: &mut Input<'_>, fetch: &mut Fetch) -> Parsed<()> {
    let start = input.current_token_start();
    for modifier in list1(modifier, "modifiers")(input)? {
        match modifier {
            Modifier::ChangedSince(mod_seq) => fetch.changed_since = Some(mod_seq),
            Modifier::Vanished => fetch.vanished = true,
            Modifier::Partial(_) if fetch.partial.is_some() => {
                return expected(start, "PARTIAL once");
            }
            Modifier::Partial(range) => fetch.partial = Some(range),
        }
    }
    // RFC 7162 section 3.2.6
    let allowed = fetch.numbering == Numbering::Uid && fetch.changed_since.is_some();
    if fetch.vanished && !allowed {
        return expected(start, "VANISHED with UID FETCH and CHANGEDSINCE only");
    }
    Ok(())
}

fn modifier(input: &mut Input<'_>) -> Parsed<Modifier> {
    let start = input.current_token_start();
    match word(input)?.as_str() {
        "CHANGEDSINCE" => {
            space(input)?;
            // The RFC wants 1 at least; clients that know nothing yet send 0.
            mod_sequence_or_zero(input).map(|value| Modifier::ChangedSince(ModSeq(value)))
        }
        "VANISHED" => Ok(Modifier::Vanished),
        "PARTIAL" => {
            space(input)?;
            partial_range(input).map(Modifier::Partial)
        }
        _ => expected(start, "CHANGEDSINCE, VANISHED or PARTIAL"),
    }
}
