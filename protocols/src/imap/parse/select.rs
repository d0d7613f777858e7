//! SELECT and EXAMINE with CONDSTORE and QRESYNC (RFC 7162).

use redoubt_log::id::{ModSeq, UidValidity};
use winnow::stream::Location;

use super::input::{Input, Parsed, close, expected, list1, next_octet, open, space, space_and};
use super::mailbox::mailbox;
use super::set::set_without_star;
use super::strings::{mod_sequence, nz_number, word};
use crate::imap::types::{
    Command, Qresync, Select, SequenceMatch, SequenceSet, SetNumber, SetRange,
};

enum Parameter {
    CondStore,
    Qresync(Qresync),
}

/// The arguments of SELECT or, `read_only`, EXAMINE.
pub(super) fn select(input: &mut Input<'_>, read_only: bool) -> Parsed<Command> {
    space(input)?;
    let mailbox = mailbox(input)?;
    let mut select = Select { mailbox, read_only, condstore: false, qresync: None };
    if next_octet(input) == Some(b' ') {
        space(input)?;
        for parameter in list1(parameter, "parameters")(input)? {
            match parameter {
                Parameter::CondStore => select.condstore = true,
                Parameter::Qresync(qresync) => select.qresync = Some(qresync),
            }
        }
    }
    Ok(Command::Select(select))
}

fn parameter(input: &mut Input<'_>) -> Parsed<Parameter> {
    let start = input.current_token_start();
    match word(input)?.as_str() {
        "CONDSTORE" => Ok(Parameter::CondStore),
        "QRESYNC" => {
            space(input)?;
            qresync(input).map(Parameter::Qresync)
        }
        _ => expected(start, "CONDSTORE or QRESYNC"),
    }
}

/// `(uidvalidity modseq [known-uids] [(numbers uids)])`
fn qresync(input: &mut Input<'_>) -> Parsed<Qresync> {
    open(input)?;
    let uid_validity = UidValidity(nz_number(input)?);
    space(input)?;
    let mod_seq = ModSeq(mod_sequence(input)?);
    let mut qresync = Qresync { uid_validity, mod_seq, known_uids: None, sequence_match: None };
    if next_octet(input) == Some(b' ') && !space_and(input, b'(') {
        space(input)?;
        qresync.known_uids = Some(set_without_star(input)?);
    }
    if next_octet(input) == Some(b' ') {
        space(input)?;
        qresync.sequence_match = Some(sequence_match(input)?);
    }
    close(input)?;
    Ok(qresync)
}

fn sequence_match(input: &mut Input<'_>) -> Parsed<SequenceMatch> {
    let start = input.current_token_start();
    open(input)?;
    let numbers = set_without_star(input)?;
    space(input)?;
    let uids = set_without_star(input)?;
    close(input)?;
    // RFC 7162 section 3.2.5.2: rising, and one UID for each number.
    match (rising_length(&numbers), rising_length(&uids)) {
        (Some(numbers), Some(uids)) if numbers == uids => {}
        _ => return expected(start, "two rising sets of one length"),
    }
    Ok(SequenceMatch { numbers, uids })
}

/// How many numbers are in it, if each range lies above the one before it.
fn rising_length(set: &SequenceSet) -> Option<u64> {
    let (mut total, mut above) = (0, 0);
    for SetRange { first, last } in &set.ranges {
        let (SetNumber::Number(first), SetNumber::Number(last)) = (first, last) else {
            return None;
        };
        if first.get() <= above || last < first {
            return None;
        }
        above = last.get();
        total += u64::from(last.get() - first.get()) + 1;
    }
    Some(total)
}
