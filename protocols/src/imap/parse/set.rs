//! Sets of numbers.

use winnow::combinator::{alt, cut_err, opt, preceded, separated};
use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::one_of;

use super::ErrorKind;
use super::input::{Input, Parsed, expected, fail_here, next_octet};
use super::strings::nz_number;
use crate::imap::types::{MessageSet, PartialRange, SequenceSet, SetNumber, SetRange};

/// sequence-set (RFC 9051 section 9): `$` stands alone or last.
pub(super) fn message_set(input: &mut Input<'_>) -> Parsed<MessageSet> {
    if next_octet(input) == Some(b'$') {
        b'$'.parse_next(input)?;
        return Ok(MessageSet::saved());
    }
    let numbers = sequence_set(input)?;
    let saved = opt(",$").parse_next(input)?.is_some();
    Ok(MessageSet { numbers, saved })
}

/// sequence-set without `$`
pub(super) fn sequence_set(input: &mut Input<'_>) -> Parsed<SequenceSet> {
    let most = input.state.mode.limits.ranges;
    let comma = |input: &mut Input<'_>| match input.input.as_ref() {
        [b',', b'$', ..] => winnow::combinator::fail(input),
        _ => b','.parse_next(input),
    };
    let ranges: Vec<_> = separated(1..=most, range, comma).parse_next(input)?;
    if ranges.len() == most && next_octet(input) == Some(b',') {
        return fail_here(input, ErrorKind::Limit("ranges in a set", most));
    }
    Ok(SequenceSet { ranges })
}

/// partial-range (RFC 9394 section 4): both ends are counted from the same side.
pub(super) fn partial_range(input: &mut Input<'_>) -> Parsed<PartialRange> {
    let from_end = next_octet(input) == Some(b'-');
    let end = |input: &mut Input<'_>| {
        if from_end {
            one_of(b'-').context("-").parse_next(input)?;
        }
        nz_number(input)
    };
    let first = end(input)?;
    one_of(b':').context(":").parse_next(input)?;
    let last = end(input)?;
    Ok(PartialRange { first, last, from_end })
}

/// known-uids and the like of RFC 7162: a set without `*`.
pub(super) fn set_without_star(input: &mut Input<'_>) -> Parsed<SequenceSet> {
    let start = input.current_token_start();
    let set = sequence_set(input)?;
    let star = |range: &SetRange| [range.first, range.last].contains(&SetNumber::Star);
    if set.ranges.iter().any(star) { expected(start, "a set without *") } else { Ok(set) }
}

fn range(input: &mut Input<'_>) -> Parsed<SetRange> {
    let (first, last) = (number, opt(preceded(b':', cut_err(number)))).parse_next(input)?;
    Ok(SetRange { first, last: last.unwrap_or(first) })
}

fn number(input: &mut Input<'_>) -> Parsed<SetNumber> {
    alt((b'*'.value(SetNumber::Star), nz_number.map(SetNumber::Number)))
        .context("a number or *")
        .parse_next(input)
}
