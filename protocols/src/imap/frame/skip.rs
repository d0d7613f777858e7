//! Refused commands: consumed to their end, with every literal that they send unasked.

use bytes::{Buf, BytesMut};

use super::literal::{Literal, MAX_HEADER, without_end};
use super::{FrameError, Refused};
use crate::imap::types::Tag;

/// A command on its way to its end.
#[derive(Debug)]
pub(super) struct Skip {
    /// What to say at its end; `None` when the session has answered already.
    report: Option<(Option<Tag>, FrameError)>,
    /// Octets of the present literal that are still to come.
    literal: u64,
    /// Octets skipped or announced so far, and how many may be.
    skipped: u64,
    limit: u64,
    /// The end of the present line so far, for a literal's header that came in pieces.
    tail: Vec<u8>,
}

/// How skipping ended.
pub(super) enum Skipped {
    /// More octets are needed.
    More,
    /// The command is over.
    Over(Option<Refused>),
}

impl Skip {
    /// Starts within a line, or within a literal of which `literal` octets are to come.
    pub(super) fn new(report: Option<(Option<Tag>, FrameError)>, literal: u64, limit: u64) -> Self {
        Self { report, literal, skipped: literal, limit, tail: Vec::new() }
    }

    /// Consumes what is there of the command.
    pub(super) fn advance(&mut self, input: &mut BytesMut) -> Skipped {
        loop {
            if self.skipped > self.limit {
                return Skipped::Over(Some(self.give_up()));
            }
            let here = input.len().min(usize::try_from(self.literal).unwrap_or(usize::MAX));
            input.advance(here);
            self.literal -= here as u64;
            if self.literal > 0 || input.is_empty() {
                return Skipped::More;
            }
            let ended = self.take_line(input);
            if self.skipped <= self.limit && ended && !self.next_literal() {
                return Skipped::Over(self.report());
            }
        }
    }

    /// Consumes the line, or what is there of it; whether it ended.
    fn take_line(&mut self, input: &mut BytesMut) -> bool {
        let end = memchr::memchr(b'\n', input);
        let piece = input.split_to(end.map_or(input.len(), |end| end + 1));
        self.skipped = self.skipped.saturating_add(piece.len() as u64);
        let kept = piece.len().saturating_sub(MAX_HEADER + 2);
        self.tail.extend(piece.iter().skip(kept));
        let surplus = self.tail.len().saturating_sub(MAX_HEADER + 2);
        self.tail.drain(..surplus);
        end.is_some()
    }

    /// Whether the line that ended announces a literal that comes without being asked for.
    fn next_literal(&mut self) -> bool {
        let literal = Literal::at_end(without_end(&self.tail));
        self.tail.clear();
        match literal {
            Some((literal, _)) if !literal.synchronizing => {
                self.literal = literal.size;
                self.skipped = self.skipped.saturating_add(literal.size);
                true
            }
            _ => false,
        }
    }

    fn report(&mut self) -> Option<Refused> {
        self.report.take().map(|(tag, error)| Refused { tag, error, close: false })
    }

    fn give_up(&mut self) -> Refused {
        let limit = self.limit;
        let (tag, error) = self.report.take().unwrap_or((None, FrameError::Skip { limit }));
        Refused { tag, error, close: true }
    }
}
