//! SEARCH (RFC 9051 section 6.4.4, RFC 4731, RFC 5182, RFC 7162, RFC 8474, RFC 8514).

use redoubt_log::id::ModSeq;
use redoubt_log::record::Flags;
use winnow::prelude::*;
use winnow::stream::Location;

use super::ErrorKind;
use super::date::day;
use super::input::{
    Input, Parsed, close, expected, fail, fail_here, list0, next_octet, open, space,
};
use super::set::{message_set, partial_range};
use super::strings::{
    astring, atom, mod_sequence_or_zero, number64, nz_number, quoted, utf8_astring, word,
};
use crate::imap::types::{
    Command, Day, MessageSet, Numbering, PartialRange, Search, SearchKey, SearchReturn, SequenceSet,
};

/// SEARCH's arguments.
pub(super) fn search(input: &mut Input<'_>, numbering: Numbering) -> Parsed<Command> {
    let returns = if take_word(input, "RETURN") { Some(returns(input)?) } else { None };
    if take_word(input, "CHARSET") {
        space(input)?;
        charset(input)?;
    }
    space(input)?;
    let key = program(input)?;
    Ok(Command::Search(Search { numbering, returns, key }))
}

/// Keys, of which all are meant.
pub(super) fn program(input: &mut Input<'_>) -> Parsed<SearchKey> {
    keys(input).map(all_of)
}

/// Takes a space and a word, if they are there and the word ends there.
pub(super) fn take_word(input: &mut Input<'_>, text: &str) -> bool {
    let start = *input;
    let found = (b' ', word).parse_next(input);
    let taken = matches!(&found, Ok((_, word)) if word == text) && next_octet(input) == Some(b' ');
    if !taken {
        *input = start;
    }
    taken
}

pub(super) fn returns(input: &mut Input<'_>) -> Parsed<SearchReturn> {
    space(input)?;
    let start = input.current_token_start();
    let options = list0(return_option, "return options")(input)?;
    let mut returns = SearchReturn { all: options.is_empty(), ..SearchReturn::default() };
    for option in options {
        match option {
            ReturnOption::Flag(set) => set(&mut returns),
            // RFC 9394 section 3.1
            ReturnOption::Partial(_) if returns.partial.is_some() => {
                return expected(start, "PARTIAL once");
            }
            ReturnOption::Partial(range) => returns.partial = Some(range),
        }
    }
    if returns.all && returns.partial.is_some() {
        return expected(start, "PARTIAL or ALL, not both");
    }
    input.state.saves = returns.save;
    Ok(returns)
}

enum ReturnOption {
    Flag(fn(&mut SearchReturn)),
    Partial(PartialRange),
}

fn return_option(input: &mut Input<'_>) -> Parsed<ReturnOption> {
    let start = input.current_token_start();
    Ok(ReturnOption::Flag(match word(input)?.as_str() {
        "MIN" => |returns| returns.min = true,
        "MAX" => |returns| returns.max = true,
        "ALL" => |returns| returns.all = true,
        "COUNT" => |returns| returns.count = true,
        // RFC 5182 section 2.1
        "SAVE" => |returns| returns.save = true,
        // RFC 6203 section 4
        "RELEVANCY" => |returns| returns.relevancy = true,
        "PARTIAL" => {
            space(input)?;
            return partial_range(input).map(ReturnOption::Partial);
        }
        _ => return expected(start, "a return option of SEARCH"),
    }))
}

pub(super) fn charset(input: &mut Input<'_>) -> Parsed<()> {
    let start = input.current_token_start();
    let name = astring.context("a charset").parse_next(input)?;
    // US-ASCII is read as UTF-8: every text in it is the same in both.
    if name.eq_ignore_ascii_case(b"US-ASCII") || name.eq_ignore_ascii_case(b"UTF-8") {
        return Ok(());
    }
    let Some(encoding) = encoding_rs::Encoding::for_label_no_replacement(&name) else {
        return fail(start, ErrorKind::Charset { saves: input.state.saves });
    };
    input.state.charset = Some(encoding);
    Ok(())
}

fn keys(input: &mut Input<'_>) -> Parsed<Vec<SearchKey>> {
    let mut keys = vec![key(input)?];
    while next_octet(input) == Some(b' ') {
        space(input)?;
        keys.push(key(input)?);
    }
    Ok(keys)
}

/// One key as it is, others as all of them.
fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => key,
        (_, last) => {
            keys.extend(last);
            SearchKey::And(keys)
        }
    }
}

fn key(input: &mut Input<'_>) -> Parsed<SearchKey> {
    let limits = input.state.mode.limits;
    input.state.keys += 1;
    if input.state.keys > limits.keys {
        return fail_here(input, ErrorKind::Limit("search keys", limits.keys));
    }
    if input.state.depth >= limits.nesting {
        return fail_here(input, ErrorKind::Limit("nested search keys", limits.nesting));
    }
    input.state.depth += 1;
    let key = any_key(input)?;
    input.state.depth -= 1;
    Ok(key)
}

fn any_key(input: &mut Input<'_>) -> Parsed<SearchKey> {
    match next_octet(input) {
        Some(b'(') => {
            open(input)?;
            let keys = keys(input)?;
            close(input)?;
            Ok(all_of(keys))
        }
        Some(b'0'..=b'9' | b'*' | b'$') => in_set(input, SearchKey::Sequence),
        _ => named_key(input),
    }
}

/// A set as a key: by number, saved, or one of both.
fn in_set(input: &mut Input<'_>, by_number: fn(SequenceSet) -> SearchKey) -> Parsed<SearchKey> {
    let MessageSet { numbers, saved } = message_set(input)?;
    Ok(match (saved, numbers.ranges.is_empty()) {
        (false, _) => by_number(numbers),
        (true, true) => SearchKey::Saved,
        (true, false) => SearchKey::Or(Box::new(by_number(numbers)), Box::new(SearchKey::Saved)),
    })
}

fn named_key(input: &mut Input<'_>) -> Parsed<SearchKey> {
    let start = input.current_token_start();
    let name = word.context("a search key").parse_next(input)?;
    if let Some(key) = plain_key(&name) {
        return Ok(key);
    }
    match name.as_str() {
        "NOT" => argument(input, key).map(not),
        // RFC 6203 section 3
        "FUZZY" => argument(input, key).map(|key| SearchKey::Fuzzy(Box::new(key))),
        "OR" => or(input),
        "UID" => argument(input, |input| in_set(input, SearchKey::Uid)),
        "KEYWORD" => argument(input, flag_keyword).map(SearchKey::Keyword),
        "UNKEYWORD" => argument(input, flag_keyword).map(SearchKey::Keyword).map(not),
        "HEADER" => header(input),
        "LARGER" => argument(input, number64).map(SearchKey::Larger),
        "SMALLER" => argument(input, number64).map(SearchKey::Smaller),
        // RFC 5032 section 5
        "OLDER" => argument(input, nz_number).map(|seconds| SearchKey::Older(seconds.get())),
        "YOUNGER" => argument(input, nz_number).map(|seconds| SearchKey::Younger(seconds.get())),
        "MODSEQ" => argument(input, mod_seq),
        "EMAILID" => argument(input, utf8_astring).map(SearchKey::EmailId),
        "THREADID" => argument(input, utf8_astring).map(SearchKey::ThreadId),
        _ => match (text_key(&name), day_key(&name)) {
            (Some(make), _) => argument(input, text).map(make),
            (_, Some(make)) => argument(input, day).map(make),
            _ => expected(start, "a search key"),
        },
    }
}

/// A space and what a key asks for.
fn argument<'a, T>(
    input: &mut Input<'a>,
    parser: impl FnOnce(&mut Input<'a>) -> Parsed<T>,
) -> Parsed<T> {
    space(input)?;
    parser(input)
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn plain_key(name: &str) -> Option<SearchKey> {
    let is = SearchKey::Flags;
    Some(match name {
        "ALL" => SearchKey::All,
        "ANSWERED" => is(Flags::ANSWERED),
        "DELETED" => is(Flags::DELETED),
        "DRAFT" => is(Flags::DRAFT),
        "FLAGGED" => is(Flags::FLAGGED),
        "SEEN" => is(Flags::SEEN),
        "UNANSWERED" => not(is(Flags::ANSWERED)),
        "UNDELETED" => not(is(Flags::DELETED)),
        "UNDRAFT" => not(is(Flags::DRAFT)),
        "UNFLAGGED" => not(is(Flags::FLAGGED)),
        "UNSEEN" => not(is(Flags::SEEN)),
        "NEW" => SearchKey::And(vec![SearchKey::Recent, not(is(Flags::SEEN))]),
        "OLD" => not(SearchKey::Recent),
        "RECENT" => SearchKey::Recent,
        "SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
        _ => return None,
    })
}

fn text_key(name: &str) -> Option<fn(String) -> SearchKey> {
    Some(match name {
        "BCC" => SearchKey::Bcc,
        "BODY" => SearchKey::Body,
        "CC" => SearchKey::Cc,
        "FROM" => SearchKey::From,
        "SUBJECT" => SearchKey::Subject,
        "TEXT" => SearchKey::Text,
        "TO" => SearchKey::To,
        _ => return None,
    })
}

fn day_key(name: &str) -> Option<fn(Day) -> SearchKey> {
    Some(match name {
        "BEFORE" => SearchKey::Before,
        "ON" => SearchKey::On,
        "SINCE" => SearchKey::Since,
        "SENTBEFORE" => SearchKey::SentBefore,
        "SENTON" => SearchKey::SentOn,
        "SENTSINCE" => SearchKey::SentSince,
        "SAVEDBEFORE" => SearchKey::SavedBefore,
        "SAVEDON" => SearchKey::SavedOn,
        "SAVEDSINCE" => SearchKey::SavedSince,
        _ => return None,
    })
}

fn or(input: &mut Input<'_>) -> Parsed<SearchKey> {
    let left = argument(input, key)?;
    let right = argument(input, key)?;
    Ok(SearchKey::Or(Box::new(left), Box::new(right)))
}

fn header(input: &mut Input<'_>) -> Parsed<SearchKey> {
    let name = argument(input, utf8_astring)?;
    let value = argument(input, text)?;
    Ok(SearchKey::Header { name, value })
}

fn flag_keyword(input: &mut Input<'_>) -> Parsed<String> {
    atom.map(str::to_owned).context("a keyword").parse_next(input)
}

/// `MODSEQ ["/flags/\\draft" all] 620162338`
fn mod_seq(input: &mut Input<'_>) -> Parsed<SearchKey> {
    if next_octet(input) == Some(b'"') {
        quoted(input)?;
        let start = argument(input, |input| Ok(input.current_token_start()))?;
        if !matches!(word(input)?.as_str(), "ALL" | "PRIV" | "SHARED") {
            return expected(start, "all, priv or shared");
        }
        space(input)?;
    }
    mod_sequence_or_zero(input).map(|value| SearchKey::ModSeq(ModSeq(value)))
}

/// A string in the command's charset.
fn text(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.current_token_start();
    let octets = astring(input)?;
    let text = match input.state.charset {
        None => String::from_utf8(octets.into_owned()).ok(),
        Some(charset) => charset
            .decode_without_bom_handling_and_without_replacement(&octets)
            .map(std::borrow::Cow::into_owned),
    };
    text.map_or_else(|| expected(start, "text in the search's charset"), Ok)
}
