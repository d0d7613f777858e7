//! Atoms, strings, numbers.

use std::borrow::Cow;

use winnow::combinator::{alt, delimited, opt, preceded, repeat};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::{one_of, take, take_while};

use super::input::{Failure, Input, Parsed, expected, next_octet};
use crate::imap::chars::{is_astring_char, is_atom_char};
use crate::imap::frame::Literal;

/// The largest of the numbers that are limited to 63 bits.
const MAX_63: u64 = i64::MAX as u64;

/// ATOM-CHAR, one or more.
pub(super) fn atom<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    take_while(1.., is_atom_char)
        .verify_map(|atom| std::str::from_utf8(atom).ok())
        .context("an atom")
        .parse_next(input)
}

/// A word of the grammar in any case, for matching.
pub(super) fn word(input: &mut Input<'_>) -> Parsed<String> {
    atom.map(str::to_ascii_uppercase).parse_next(input)
}

/// A word in any case that must be there.
pub(super) fn keyword<'a>(text: &'static str) -> impl Parser<Input<'a>, (), ErrMode<Failure>> {
    winnow::ascii::Caseless(text).void().context(text)
}

/// astring
pub(super) fn astring<'a>(input: &mut Input<'a>) -> Parsed<Cow<'a, [u8]>> {
    match next_octet(input) {
        Some(b'"' | b'{') => string(input),
        _ => take_while(1.., is_astring_char)
            .map(Cow::Borrowed)
            .context("an atom or a string")
            .parse_next(input),
    }
}

/// string: quoted or a literal
pub(super) fn string<'a>(input: &mut Input<'a>) -> Parsed<Cow<'a, [u8]>> {
    match next_octet(input) {
        Some(b'{') => literal.map(Cow::Borrowed).parse_next(input),
        _ => quoted(input),
    }
}

/// nstring: a string or NIL
pub(super) fn nstring<'a>(input: &mut Input<'a>) -> Parsed<Option<Cow<'a, [u8]>>> {
    match next_octet(input) {
        Some(b'"' | b'{') => string(input).map(Some),
        _ => keyword("NIL").value(None).context("a string or NIL").parse_next(input),
    }
}

/// quoted. Octets above 127 pass: what they mean is for what asked for the string.
pub(super) fn quoted<'a>(input: &mut Input<'a>) -> Parsed<Cow<'a, [u8]>> {
    let plain = |byte: u8| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0);
    let piece = alt((
        take_while(1.., plain),
        preceded(b'\\', take(1_usize).verify(|next: &[u8]| matches!(next, b"\"" | b"\\")))
            .context("\\\" or \\\\"),
    ));
    let gather = |whole: Cow<'a, [u8]>, piece: &'a [u8]| match whole.is_empty() {
        true => Cow::Borrowed(piece),
        false => {
            let mut whole = whole.into_owned();
            whole.extend_from_slice(piece);
            Cow::Owned(whole)
        }
    };
    let content = repeat(0.., piece).fold(Cow::default, gather);
    let (open, close) = (one_of(b'"').context("a string"), one_of(b'"').context("a closing quote"));
    delimited(open, content, close).parse_next(input)
}

/// literal, with its octets; the framer has seen to its size.
fn literal<'a>(input: &mut Input<'a>) -> Parsed<&'a [u8]> {
    let header = literal_header(input)?;
    let start = input.current_token_start();
    let size = usize::try_from(header.size).unwrap_or(usize::MAX);
    let octets = take(size).context("a whole literal").parse_next(input)?;
    match memchr::memchr(0, octets) {
        // RFC 9051 section 4.3: only literal8 may have NUL.
        Some(at) => expected(start + at, "an octet other than NUL"),
        None => Ok(octets),
    }
}

/// `{5}` or `{5+}` and the line end.
pub(super) fn literal_header(input: &mut Input<'_>) -> Parsed<Literal> {
    let binary = opt(b'~').map(|tilde| tilde.is_some());
    let size = preceded(one_of(b'{').context("a literal"), number64);
    let synchronizing = opt(b'+').map(|plus| plus.is_none());
    let (binary, size, synchronizing) = (binary, size, synchronizing).parse_next(input)?;
    (one_of(b'}').context("}"), line_end).parse_next(input)?;
    Ok(Literal { size, synchronizing, binary })
}

/// CRLF, or LF alone.
pub(super) fn line_end(input: &mut Input<'_>) -> Parsed<()> {
    (opt(b'\r'), b'\n').void().context("the end of the command").parse_next(input)
}

/// Digits as a number of at most 64 bits.
fn digits(input: &mut Input<'_>) -> Parsed<u64> {
    let start = input.current_token_start();
    let digits: &[u8] =
        take_while(1.., |byte: u8| byte.is_ascii_digit()).context("a number").parse_next(input)?;
    let value = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    value.map_or_else(|| expected(start, "a smaller number"), Ok)
}

fn at_most(input: &mut Input<'_>, most: u64) -> Parsed<u64> {
    let start = input.current_token_start();
    let value = digits(input)?;
    if value > most { expected(start, "a smaller number") } else { Ok(value) }
}

/// number64 of RFC 9051: 63 bits.
pub(super) fn number64(input: &mut Input<'_>) -> Parsed<u64> {
    at_most(input, MAX_63)
}

/// mod-sequence-valzer of RFC 7162: 63 bits, 0 too.
pub(super) fn mod_sequence_or_zero(input: &mut Input<'_>) -> Parsed<u64> {
    at_most(input, MAX_63)
}

/// mod-sequence-value of RFC 7162.
pub(super) fn mod_sequence(input: &mut Input<'_>) -> Parsed<u64> {
    let start = input.current_token_start();
    match number64(input)? {
        0 => expected(start, "a mod-sequence above 0"),
        value => Ok(value),
    }
}

/// nz-number
pub(super) fn nz_number(input: &mut Input<'_>) -> Parsed<std::num::NonZeroU32> {
    let start = input.current_token_start();
    let value = at_most(input, u64::from(u32::MAX))?;
    let value = u32::try_from(value).ok().and_then(std::num::NonZeroU32::new);
    value.map_or_else(|| expected(start, "a number above 0"), Ok)
}

/// An astring that is UTF-8.
pub(super) fn utf8_astring(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.current_token_start();
    let octets = astring(input)?;
    match String::from_utf8(octets.into_owned()) {
        Ok(text) => Ok(text),
        Err(_) => expected(start, "text in UTF-8"),
    }
}
