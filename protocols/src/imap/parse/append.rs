//! APPEND up to its literal, and what follows it.

use redoubt_log::id::Timestamp;

use super::date::date_time;
use super::flags::flag_list;
use super::input::{Input, Parsed, next_octet, space};
use super::mailbox::mailbox;
use super::strings::{line_end, literal_header};
use crate::imap::types::{Append, AppendItem, Command, FlagList};

/// APPEND's arguments, the line end behind the literal's header included.
pub(super) fn append(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let mailbox = mailbox(input)?;
    let item = item(input)?;
    Ok(Command::Append(Append { mailbox, item }))
}

/// What follows a message: the end, or the next message's head.
pub(super) fn rest(input: &mut Input<'_>) -> Parsed<Option<AppendItem>> {
    match next_octet(input) {
        Some(b' ') => item(input).map(Some),
        _ => line_end(input).map(|()| None),
    }
}

fn item(input: &mut Input<'_>) -> Parsed<AppendItem> {
    space(input)?;
    let flags = flags(input)?;
    let date = date(input)?;
    let literal = literal_header(input)?;
    Ok(AppendItem { flags, date, literal })
}

fn flags(input: &mut Input<'_>) -> Parsed<FlagList> {
    if next_octet(input) != Some(b'(') {
        return Ok(FlagList::default());
    }
    let flags = flag_list(input)?;
    space(input)?;
    Ok(flags)
}

fn date(input: &mut Input<'_>) -> Parsed<Option<Timestamp>> {
    if next_octet(input) != Some(b'"') {
        return Ok(None);
    }
    let date = date_time(input)?;
    space(input)?;
    Ok(Some(date))
}
