//! STORE, COPY, MOVE, EXPUNGE by UID.

use redoubt_log::id::ModSeq;
use redoubt_log::record::FlagChange;
use winnow::combinator::opt;
use winnow::prelude::*;
use winnow::stream::Location;

use super::flags::flags;
use super::input::{Input, Parsed, close, expected, next_octet, open, space};
use super::mailbox::mailbox;
use super::set::message_set;
use super::strings::{keyword, mod_sequence_or_zero, word};
use crate::imap::types::{Command, Copy, Numbering, Store};

/// STORE's arguments.
pub(super) fn store(input: &mut Input<'_>, numbering: Numbering) -> Parsed<Command> {
    space(input)?;
    let set = message_set(input)?;
    space(input)?;
    let unchanged_since = match next_octet(input) {
        Some(b'(') => Some(unchanged_since(input)?),
        _ => None,
    };
    let how = how(input)?;
    let silent = silent(input)?;
    space(input)?;
    let flags = flags(input)?;
    Ok(Command::Store(Store { numbering, set, unchanged_since, how, silent, flags }))
}

fn unchanged_since(input: &mut Input<'_>) -> Parsed<ModSeq> {
    open(input)?;
    (keyword("UNCHANGEDSINCE"), space).parse_next(input)?;
    let value = mod_sequence_or_zero(input)?;
    close(input)?;
    space(input)?;
    Ok(ModSeq(value))
}

fn how(input: &mut Input<'_>) -> Parsed<FlagChange> {
    let sign = opt(winnow::token::one_of([b'+', b'-'])).parse_next(input)?;
    Ok(match sign {
        Some(b'+') => FlagChange::Add,
        Some(_) => FlagChange::Remove,
        None => FlagChange::Replace,
    })
}

fn silent(input: &mut Input<'_>) -> Parsed<bool> {
    let start = input.current_token_start();
    match word(input)?.as_str() {
        "FLAGS" => Ok(false),
        "FLAGS.SILENT" => Ok(true),
        _ => expected(start, "FLAGS or FLAGS.SILENT"),
    }
}

/// The arguments of COPY and MOVE.
pub(super) fn copy(input: &mut Input<'_>, numbering: Numbering) -> Parsed<Copy> {
    space(input)?;
    let set = message_set(input)?;
    space(input)?;
    let mailbox = mailbox(input)?;
    Ok(Copy { numbering, set, mailbox })
}

/// UID EXPUNGE's arguments (RFC 4315).
pub(super) fn uid_expunge(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    Ok(Command::Expunge { uids: Some(message_set(input)?) })
}
