//! Tags and names of commands.

use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::take_while;

use super::input::{Input, Parsed, fail, fail_here, next_octet, space};
use super::strings::{line_end, word};
use super::{ErrorKind, append, auth, fetch, list, mailbox, search, select, sort, store};
use crate::imap::chars::is_tag_char;
use crate::imap::types::{Command, CreateUse, Numbering, Tag};
use redoubt_log::record::SpecialUse;

/// The tag and the space behind it.
pub(super) fn tag(input: &mut Input<'_>) -> Parsed<Tag> {
    let most = input.state.mode.limits.tag;
    let tag = take_while(1..=most, is_tag_char)
        .verify_map(|tag| std::str::from_utf8(tag).ok().and_then(Tag::new))
        .context("a tag")
        .parse_next(input)?;
    if next_octet(input).is_some_and(is_tag_char) {
        return fail_here(input, ErrorKind::Limit("octets in a tag", most));
    }
    space(input)?;
    Ok(tag)
}

/// The command behind its tag, with its end.
pub(super) fn command(input: &mut Input<'_>) -> Parsed<Command> {
    let start = input.current_token_start();
    let name = word.context("a command").parse_next(input)?;
    let command = match name.as_str() {
        "UID" => by_uid(input)?,
        // It ends with its literal's header.
        "APPEND" => return append::append(input),
        _ => named(input, start, &name)?,
    };
    line_end(input)?;
    Ok(command)
}

fn named(input: &mut Input<'_>, start: usize, name: &str) -> Parsed<Command> {
    if let Some(command) = plain(name) {
        return Ok(command);
    }
    match name {
        "ID" => auth::id(input),
        "AUTHENTICATE" => auth::authenticate(input),
        "LOGIN" => auth::login(input),
        "ENABLE" => auth::enable(input),
        "SELECT" => select::select(input, false),
        "EXAMINE" => select::select(input, true),
        "CREATE" => create(input),
        "DELETE" => one_mailbox(input).map(Command::Delete),
        "RENAME" => rename(input),
        "SUBSCRIBE" => one_mailbox(input).map(Command::Subscribe),
        "UNSUBSCRIBE" => one_mailbox(input).map(Command::Unsubscribe),
        "LIST" => list::list(input),
        "LSUB" => list::lsub(input),
        "STATUS" => list::status(input),
        _ => match numbered(input, name, Numbering::Sequence)? {
            Some(command) => Ok(command),
            None => fail(start, ErrorKind::UnknownCommand),
        },
    }
}

/// Commands without arguments.
fn plain(name: &str) -> Option<Command> {
    Some(match name {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge { uids: None },
        _ => return None,
    })
}

/// Commands on messages by number.
fn numbered(input: &mut Input<'_>, name: &str, numbering: Numbering) -> Parsed<Option<Command>> {
    let command = match name {
        "SEARCH" => search::search(input, numbering)?,
        "SORT" => sort::sort(input, numbering)?,
        "THREAD" => sort::thread(input, numbering)?,
        "FETCH" => fetch::fetch(input, numbering)?,
        "STORE" => store::store(input, numbering)?,
        "COPY" => Command::Copy(store::copy(input, numbering)?),
        "MOVE" => Command::Move(store::copy(input, numbering)?),
        _ => return Ok(None),
    };
    Ok(Some(command))
}

fn by_uid(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let start = input.current_token_start();
    let name = word.context("a command").parse_next(input)?;
    if name == "EXPUNGE" {
        return store::uid_expunge(input);
    }
    match numbered(input, &name, Numbering::Uid)? {
        Some(command) => Ok(command),
        None => fail(start, ErrorKind::UnknownCommand),
    }
}

fn one_mailbox(input: &mut Input<'_>) -> Parsed<crate::imap::types::MailboxName> {
    space(input)?;
    mailbox::mailbox(input)
}

fn rename(input: &mut Input<'_>) -> Parsed<Command> {
    let from = one_mailbox(input)?;
    let to = one_mailbox(input)?;
    Ok(Command::Rename { from, to })
}

/// CREATE, with RFC 6154's `(USE (\Drafts))`.
fn create(input: &mut Input<'_>) -> Parsed<Command> {
    let mailbox = one_mailbox(input)?.without_trailing_separator();
    let uses = match next_octet(input) {
        Some(b' ') => uses(input)?,
        _ => Vec::new(),
    };
    Ok(Command::Create { mailbox, uses })
}

fn uses(input: &mut Input<'_>) -> Parsed<Vec<CreateUse>> {
    use super::input::{close, list0, open};
    space(input)?;
    open(input)?;
    (super::strings::keyword("USE"), space).parse_next(input)?;
    let uses = list0(create_use, "uses")(input)?;
    close(input)?;
    Ok(uses)
}

fn create_use(input: &mut Input<'_>) -> Parsed<CreateUse> {
    let backslash = winnow::token::one_of(b'\\').context("a use such as \\Drafts");
    let (_, name) = (backslash, super::strings::atom).parse_next(input)?;
    Ok(match name.to_ascii_uppercase().as_str() {
        "ARCHIVE" => CreateUse::Known(SpecialUse::Archive),
        "DRAFTS" => CreateUse::Known(SpecialUse::Drafts),
        "JUNK" => CreateUse::Known(SpecialUse::Junk),
        "SENT" => CreateUse::Known(SpecialUse::Sent),
        "TRASH" => CreateUse::Known(SpecialUse::Trash),
        _ => CreateUse::Other(format!("\\{name}")),
    })
}
