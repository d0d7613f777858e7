//! What the parsers run on, and what they fail with.

use winnow::combinator::separated;
use winnow::error::{AddContext, ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Offset, Stateful, Stream};
use winnow::token::one_of;

use super::{CommandError, ErrorKind, Mode};
use crate::imap::types::Tag;

/// A command's octets, with their places.
pub(super) type Input<'a> = Stateful<LocatingSlice<&'a [u8]>, State>;
/// What a parser gives.
pub(super) type Parsed<T> = Result<T, ErrMode<Failure>>;

/// What the parsers know besides the octets.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) mode: Mode,
    /// The charset of a SEARCH's strings; `None` is UTF-8.
    pub(super) charset: Option<&'static encoding_rs::Encoding>,
    /// A SEARCH's result is to be saved.
    pub(super) saves: bool,
    /// Keys of a SEARCH so far, and how deep the present one is.
    pub(super) keys: usize,
    pub(super) depth: usize,
}

/// Where and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    position: usize,
    kind: Option<ErrorKind>,
    /// What was expected is only the name of something that a larger thing begins with.
    vague: bool,
}

impl Failure {
    /// The error of a command with this tag.
    pub(super) fn of(self, tag: Option<Tag>) -> CommandError {
        let kind = self.kind.unwrap_or(ErrorKind::Expected("something else"));
        CommandError { tag, position: self.position, kind }
    }
}

impl<'a> ParserError<Input<'a>> for Failure {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        Self { position: input.current_token_start(), kind: None, vague: true }
    }

    /// Of two ways that failed, the one that came further says what is wrong.
    fn or(self, other: Self) -> Self {
        if self.position > other.position { self } else { other }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

impl<'a> AddContext<Input<'a>, &'static str> for Failure {
    /// The name of the largest thing that begins at the offending octet says most.
    fn add_context(
        mut self,
        input: &Input<'a>,
        start: &<Input<'a> as Stream>::Checkpoint,
        expected: &'static str,
    ) -> Self {
        let start = input.current_token_start().saturating_sub(input.offset_from(start));
        if self.kind.is_none() || (self.vague && self.position == start) {
            self.kind = Some(ErrorKind::Expected(expected));
        }
        self
    }
}

pub(super) fn new<'a>(frame: &'a [u8], mode: &Mode) -> Input<'a> {
    let state = State { mode: *mode, charset: None, saves: false, keys: 0, depth: 0 };
    Stateful { input: LocatingSlice::new(frame), state }
}

/// Runs a parser from where the input is.
pub(super) fn run<'a, T>(
    input: &mut Input<'a>,
    parser: impl FnOnce(&mut Input<'a>) -> Parsed<T>,
) -> Result<T, Failure> {
    let here = input.current_token_start();
    parser(input).map_err(|error| match error {
        ErrMode::Backtrack(failure) | ErrMode::Cut(failure) => failure,
        ErrMode::Incomplete(_) => Failure { position: here, kind: None, vague: true },
    })
}

/// A failure at a place, past which no other way is tried.
pub(super) fn fail<T>(position: usize, kind: ErrorKind) -> Parsed<T> {
    Err(ErrMode::Cut(Failure { position, kind: Some(kind), vague: false }))
}

/// A failure at the place where the input is.
pub(super) fn fail_here<T>(input: &Input<'_>, kind: ErrorKind) -> Parsed<T> {
    fail(input.current_token_start(), kind)
}

/// A failure at a place because something else should be there.
pub(super) fn expected<T>(position: usize, what: &'static str) -> Parsed<T> {
    fail(position, ErrorKind::Expected(what))
}

/// The next octet, not taken.
pub(super) fn next_octet(input: &Input<'_>) -> Option<u8> {
    input.peek_token()
}

/// One octet.
pub(super) fn octet<'a>(
    byte: u8,
    what: &'static str,
) -> impl Parser<Input<'a>, u8, ErrMode<Failure>> {
    one_of(byte).context(what)
}

/// SP
pub(super) fn space(input: &mut Input<'_>) -> Parsed<()> {
    octet(b' ', "a space").void().parse_next(input)
}

/// Whether a space and then this octet follow; both stay.
pub(super) fn space_and(input: &Input<'_>, byte: u8) -> bool {
    matches!(input.input.as_ref(), [b' ', next, ..] if *next == byte)
}

/// What stands between parentheses: `item` once or more, a space between, at
/// most [`Limits::items`](crate::imap::limits::Limits::items).
pub(super) fn list1<'a, T>(
    item: impl Parser<Input<'a>, T, ErrMode<Failure>>,
    name: &'static str,
) -> impl FnOnce(&mut Input<'a>) -> Parsed<Vec<T>> {
    move |input| {
        open(input)?;
        let items = items(item, name)(input)?;
        close(input)?;
        Ok(items)
    }
}

/// Like [`list1`], but there may be none.
pub(super) fn list0<'a, T>(
    item: impl Parser<Input<'a>, T, ErrMode<Failure>>,
    name: &'static str,
) -> impl FnOnce(&mut Input<'a>) -> Parsed<Vec<T>> {
    move |input| {
        open(input)?;
        let items = match next_octet(input) {
            Some(b')') => Vec::new(),
            _ => items(item, name)(input)?,
        };
        close(input)?;
        Ok(items)
    }
}

/// `item` once or more, a space between, not too often.
pub(super) fn items<'a, T>(
    item: impl Parser<Input<'a>, T, ErrMode<Failure>>,
    name: &'static str,
) -> impl FnOnce(&mut Input<'a>) -> Parsed<Vec<T>> {
    move |input| {
        let most = input.state.mode.limits.items;
        let items: Vec<T> = separated(1..=most, item, b' ').parse_next(input)?;
        if items.len() == most && next_octet(input) == Some(b' ') {
            return fail_here(input, ErrorKind::Limit(name, most));
        }
        Ok(items)
    }
}

/// `(`
pub(super) fn open(input: &mut Input<'_>) -> Parsed<()> {
    octet(b'(', "(").void().parse_next(input)
}

/// `)`
pub(super) fn close(input: &mut Input<'_>) -> Parsed<()> {
    octet(b')', "a space or )").void().parse_next(input)
}
