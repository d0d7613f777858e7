//! LIST, LSUB and STATUS (RFC 5258, RFC 5819, RFC 6154).

use winnow::prelude::*;
use winnow::stream::Location;

use super::input::{Input, Parsed, expected, list0, list1, next_octet, space, space_and};
use super::mailbox::{mailbox, pattern, reference};
use super::strings::{keyword, word};
use crate::imap::types::{
    Command, List, ListPattern, ListReturn, ListSelection, StatusItem, StatusItems,
};

/// LIST's arguments.
pub(super) fn list(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let selection = match next_octet(input) {
        Some(b'(') => Some(selection(input)?),
        _ => None,
    };
    let reference = reference(input)?;
    space(input)?;
    let several = next_octet(input) == Some(b'(');
    let patterns = match several {
        true => list1(pattern, "patterns")(input)?,
        false => vec![pattern(input)?],
    };
    let returns = match next_octet(input) {
        Some(b' ') => Some(returns(input)?),
        _ => None,
    };
    let extended = several || selection.is_some() || returns.is_some();
    let (selection, returns) = (selection.unwrap_or_default(), returns.unwrap_or_default());
    Ok(Command::List(List { selection, reference, patterns, returns, extended }))
}

/// LSUB's arguments.
pub(super) fn lsub(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let reference = reference(input)?;
    space(input)?;
    let pattern: ListPattern = pattern(input)?;
    Ok(Command::Lsub { reference, pattern })
}

/// STATUS's arguments.
pub(super) fn status(input: &mut Input<'_>) -> Parsed<Command> {
    space(input)?;
    let mailbox = mailbox(input)?;
    space(input)?;
    Ok(Command::Status { mailbox, items: status_items(input)? })
}

fn selection(input: &mut Input<'_>) -> Parsed<ListSelection> {
    let start = input.current_token_start();
    let mut selection = ListSelection::default();
    for set in list0(selection_option, "selection options")(input)? {
        set(&mut selection);
    }
    space(input)?;
    // RFC 5258 section 3.1: RECURSIVEMATCH is nothing alone or with REMOTE only.
    if selection.recursive_match && !(selection.subscribed || selection.special_use) {
        return expected(start, "RECURSIVEMATCH with SUBSCRIBED");
    }
    Ok(selection)
}

fn selection_option(input: &mut Input<'_>) -> Parsed<fn(&mut ListSelection)> {
    let start = input.current_token_start();
    match word(input)?.as_str() {
        "SUBSCRIBED" => Ok(|selection| selection.subscribed = true),
        "REMOTE" => Ok(|selection| selection.remote = true),
        "RECURSIVEMATCH" => Ok(|selection| selection.recursive_match = true),
        "SPECIAL-USE" => Ok(|selection| selection.special_use = true),
        _ => expected(start, "a selection option of LIST"),
    }
}

enum ReturnOption {
    Subscribed,
    Children,
    SpecialUse,
    Status(StatusItems),
}

fn returns(input: &mut Input<'_>) -> Parsed<ListReturn> {
    (space, keyword("RETURN"), space).parse_next(input)?;
    let mut returns = ListReturn::default();
    for option in list0(return_option, "return options")(input)? {
        match option {
            ReturnOption::Subscribed => returns.subscribed = true,
            ReturnOption::Children => returns.children = true,
            ReturnOption::SpecialUse => returns.special_use = true,
            ReturnOption::Status(items) => returns.status = Some(items),
        }
    }
    Ok(returns)
}

fn return_option(input: &mut Input<'_>) -> Parsed<ReturnOption> {
    let start = input.current_token_start();
    match word(input)?.as_str() {
        "SUBSCRIBED" => Ok(ReturnOption::Subscribed),
        "CHILDREN" => Ok(ReturnOption::Children),
        "SPECIAL-USE" => Ok(ReturnOption::SpecialUse),
        "STATUS" if space_and(input, b'(') => {
            space(input)?;
            status_items(input).map(ReturnOption::Status)
        }
        _ => expected(start, "a return option of LIST"),
    }
}

fn status_items(input: &mut Input<'_>) -> Parsed<StatusItems> {
    let mut items = StatusItems::new();
    for item in list1(status_item, "status items")(input)? {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items)
}

fn status_item(input: &mut Input<'_>) -> Parsed<StatusItem> {
    let start = input.current_token_start();
    match word(input)?.as_str() {
        "MESSAGES" => Ok(StatusItem::Messages),
        "RECENT" => Ok(StatusItem::Recent),
        "UIDNEXT" => Ok(StatusItem::UidNext),
        "UIDVALIDITY" => Ok(StatusItem::UidValidity),
        "UNSEEN" => Ok(StatusItem::Unseen),
        "DELETED" => Ok(StatusItem::Deleted),
        "SIZE" => Ok(StatusItem::Size),
        "HIGHESTMODSEQ" => Ok(StatusItem::HighestModSeq),
        "MAILBOXID" => Ok(StatusItem::MailboxId),
        _ => expected(start, "a status item"),
    }
}
