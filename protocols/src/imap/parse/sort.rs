//! SORT and THREAD (RFC 5256 section 5, RFC 5267 section 3, RFC 5957).

use winnow::prelude::*;
use winnow::stream::Location;

use super::input::{Input, Parsed, expected, list1, space};
use super::search::{charset, program, returns, take_word};
use super::strings::word;
use crate::imap::types::{
    Command, Numbering, Search, Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm,
};

/// SORT's arguments.
pub(super) fn sort(input: &mut Input<'_>, numbering: Numbering) -> Parsed<Command> {
    let returns = if take_word(input, "RETURN") { Some(returns(input)?) } else { None };
    space(input)?;
    let criteria = list1(criterion, "sort criteria")(input)?;
    space(input)?;
    // Not as in SEARCH: it has to be there.
    charset(input)?;
    space(input)?;
    let key = program(input)?;
    Ok(Command::Sort(Sort { search: Search { numbering, returns, key }, criteria }))
}

fn criterion(input: &mut Input<'_>) -> Parsed<SortCriterion> {
    let name = word.context("a sort criterion").parse_next(input)?;
    if name != "REVERSE" {
        return sort_key(input, &name).map(|key| SortCriterion { key, reverse: false });
    }
    space(input)?;
    let name = word.context("a sort criterion").parse_next(input)?;
    sort_key(input, &name).map(|key| SortCriterion { key, reverse: true })
}

fn sort_key(input: &Input<'_>, name: &str) -> Parsed<SortKey> {
    Ok(match name {
        "ARRIVAL" => SortKey::Arrival,
        "CC" => SortKey::Cc,
        "DATE" => SortKey::Date,
        "FROM" => SortKey::From,
        "SIZE" => SortKey::Size,
        "SUBJECT" => SortKey::Subject,
        "TO" => SortKey::To,
        "DISPLAYFROM" => SortKey::DisplayFrom,
        "DISPLAYTO" => SortKey::DisplayTo,
        // RFC 6203 section 5
        "RELEVANCY" => SortKey::Relevancy,
        name => return expected(input.current_token_start() - name.len(), "a sort criterion"),
    })
}

/// THREAD's arguments.
pub(super) fn thread(input: &mut Input<'_>, numbering: Numbering) -> Parsed<Command> {
    space(input)?;
    let algorithm = algorithm(input)?;
    space(input)?;
    charset(input)?;
    space(input)?;
    let key = program(input)?;
    Ok(Command::Thread(Thread { numbering, algorithm, key }))
}

fn algorithm(input: &mut Input<'_>) -> Parsed<ThreadAlgorithm> {
    let start = input.current_token_start();
    match word.context("a threading algorithm").parse_next(input)?.as_str() {
        "ORDEREDSUBJECT" => Ok(ThreadAlgorithm::OrderedSubject),
        "REFERENCES" => Ok(ThreadAlgorithm::References),
        _ => expected(start, "a threading algorithm that is known"),
    }
}
