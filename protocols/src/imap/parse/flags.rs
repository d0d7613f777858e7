//! Flags.

use redoubt_log::record::Flags;
use winnow::prelude::*;
use winnow::stream::Location;

use super::input::{Input, Parsed, expected, items, list0, next_octet};
use super::strings::atom;
use crate::imap::types::FlagList;

enum Flag {
    System(Flags),
    Keyword(String),
}

/// flag-list: in parentheses, perhaps empty.
pub(super) fn flag_list(input: &mut Input<'_>) -> Parsed<FlagList> {
    list0(flag, "flags")(input).map(gather)
}

/// What STORE takes: a list, or flags without parentheses.
pub(super) fn flags(input: &mut Input<'_>) -> Parsed<FlagList> {
    match next_octet(input) {
        Some(b'(') => flag_list(input),
        _ => items(flag, "flags")(input).map(gather),
    }
}

fn gather(flags: Vec<Flag>) -> FlagList {
    let mut list = FlagList::default();
    for flag in flags {
        match flag {
            Flag::System(flags) => list.flags = list.flags.with(flags),
            Flag::Keyword(keyword) => {
                if !list.keywords.iter().any(|known| known.eq_ignore_ascii_case(&keyword)) {
                    list.keywords.push(keyword);
                }
            }
        }
    }
    list
}

fn flag(input: &mut Input<'_>) -> Parsed<Flag> {
    match next_octet(input) {
        Some(b'\\') => system_flag(input).map(Flag::System),
        _ => atom.context("a flag").map(|name| Flag::Keyword(name.to_owned())).parse_next(input),
    }
}

/// A flag that clients can set: not `\Recent`, and none that we do not know.
fn system_flag(input: &mut Input<'_>) -> Parsed<Flags> {
    let start = input.current_token_start();
    let (_, name) = (b'\\', atom).parse_next(input)?;
    match name.to_ascii_uppercase().as_str() {
        "SEEN" => Ok(Flags::SEEN),
        "ANSWERED" => Ok(Flags::ANSWERED),
        "FLAGGED" => Ok(Flags::FLAGGED),
        "DELETED" => Ok(Flags::DELETED),
        "DRAFT" => Ok(Flags::DRAFT),
        _ => expected(start, "a flag that can be set"),
    }
}
