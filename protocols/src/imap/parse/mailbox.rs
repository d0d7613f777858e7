//! Mailbox names and patterns, decoded.

use std::borrow::Cow;

use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::take_while;

use super::input::{Input, Parsed, expected, next_octet};
use super::strings::{astring, string};
use crate::imap::chars::is_list_char;
use crate::imap::types::{ListPattern, MailboxName};
use crate::imap::utf7;

/// mailbox
pub(super) fn mailbox(input: &mut Input<'_>) -> Parsed<MailboxName> {
    let start = input.current_token_start();
    let octets = astring.context("a mailbox name").parse_next(input)?;
    let name = decode(input, start, octets)?;
    if name.is_empty() {
        return expected(start, "a mailbox name that is not empty");
    }
    Ok(MailboxName::new(&name))
}

/// LIST's reference, perhaps empty.
pub(super) fn reference(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.current_token_start();
    let octets = astring.context("a reference name").parse_next(input)?;
    decode(input, start, octets)
}

/// list-mailbox
pub(super) fn pattern(input: &mut Input<'_>) -> Parsed<ListPattern> {
    let start = input.current_token_start();
    let octets = match next_octet(input) {
        Some(b'"' | b'{') => string(input)?,
        _ => take_while(1.., is_list_char)
            .map(Cow::Borrowed)
            .context("a mailbox pattern")
            .parse_next(input)?,
    };
    decode(input, start, octets).map(ListPattern)
}

/// RFC 3501 section 5.1.3, or UTF-8 where the session enabled it.
fn decode(input: &Input<'_>, start: usize, octets: Cow<'_, [u8]>) -> Parsed<String> {
    if input.state.mode.utf8 {
        return String::from_utf8(octets.into_owned())
            .or_else(|_| expected(start, "a mailbox name in UTF-8"));
    }
    utf7::decode(&octets).or_else(|_| expected(start, "a mailbox name in modified UTF-7"))
}
