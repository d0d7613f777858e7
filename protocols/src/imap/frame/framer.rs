//! The state machine.

use bytes::{Bytes, BytesMut};

use super::literal::{Literal, without_end};
use super::skip::{Skip, Skipped};
use super::{Frame, FrameError, Refused};
use crate::imap::limits::Limits;
use crate::imap::types::Tag;

/// Cuts the client's octets into frames.
///
/// The octets lie in a buffer of the connection's; until a frame is given, its
/// octets stay at the buffer's front, and only the framer takes them. Read into
/// it only when nothing is left to give, a bounded piece at a time: what is held
/// stays within the limits and one such piece.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A command (or what follows an APPEND's message) is gathered at the buffer's front.
    Gather(Gather),
    /// An APPEND's message was offered to the session.
    Offered { literal: Literal, tag: Option<Tag> },
    /// An APPEND's message is read by the session.
    Message { left: u64, tag: Option<Tag> },
    /// A refused command is consumed.
    Skip(Skip),
    /// The stream cannot be followed any longer.
    Closed,
}

/// How far a command is read.
#[derive(Debug, Default)]
struct Gather {
    /// Where the present line begins: behind the last literal.
    line: usize,
    /// Where a line end is looked for next; behind `line`'s literal while that is awaited.
    next: usize,
    /// Literals, and their octets.
    literals: usize,
    literal_octets: u64,
    /// The session was told that the client waits to send the literal whose header ends here.
    asked: Option<usize>,
    /// After an APPEND's message; its tag.
    rest: bool,
    tag: Option<Tag>,
}

impl Default for State {
    fn default() -> Self {
        Self::Gather(Gather::default())
    }
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::default() }
    }

    /// Sets limits, for what comes next (after login).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next frame; `None` until more octets came.
    pub fn next(&mut self, input: &mut BytesMut) -> Option<Frame> {
        loop {
            match &mut self.state {
                State::Gather(gather) => match gather.advance(input, &self.limits) {
                    Step::More => return None,
                    Step::Frame(frame, state) => {
                        self.state = state;
                        return Some(frame);
                    }
                    Step::Continue(size) => return Some(Frame::Continue { size }),
                    Step::Skip(skip) => self.state = State::Skip(skip),
                },
                State::Skip(skip) => match skip.advance(input) {
                    Skipped::More => return None,
                    Skipped::Over(report) => {
                        let close = report.as_ref().is_some_and(|refused| refused.close);
                        self.state = if close { State::Closed } else { State::default() };
                        if let Some(refused) = report {
                            return Some(Frame::Refused(refused));
                        }
                    }
                },
                State::Offered { .. } | State::Message { .. } => return None,
                State::Closed => {
                    input.clear();
                    return None;
                }
            }
        }
    }

    /// The next line without its end, when it is no command: DONE, a SASL response.
    /// `None` until more octets came.
    ///
    /// # Errors
    /// When it is too long: close the connection.
    pub fn next_line(&mut self, input: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        let limit = self.limits.response;
        match memchr::memchr(b'\n', input) {
            Some(end) if end < limit => {
                let line = input.split_to(end + 1).freeze();
                let length = without_end(&line).len();
                Some(Ok(line.slice(..length)))
            }
            None if input.len() < limit => None,
            _ => Some(Err(FrameError::Response { limit })),
        }
    }

    /// Takes the message that was offered: its octets come from [`Framer::literal_bytes`].
    pub fn accept_literal(&mut self) {
        if let State::Offered { literal, tag } = &mut self.state {
            self.state = message(literal.size, tag.take());
        }
    }

    /// Octets of the accepted literal that are here already; `None` until more came, or when
    /// [`Framer::literal_left`] is 0 and [`Framer::next`] goes on.
    pub fn literal_bytes(&mut self, input: &mut BytesMut) -> Option<Bytes> {
        let State::Message { left, tag } = &mut self.state else { return None };
        if input.is_empty() {
            return None;
        }
        let here = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let (left, tag) = (*left - here as u64, tag.take());
        self.state = message(left, tag);
        Some(input.split_to(here).freeze())
    }

    /// Octets of the accepted literal that [`Framer::literal_bytes`] has not given yet.
    pub fn literal_left(&self) -> u64 {
        if let State::Message { left, .. } = &self.state { *left } else { 0 }
    }

    /// The literal just offered by [`Framer::next`] is not wanted, or the accepted one
    /// not any more: the rest of the command is skipped. Answer the command once.
    pub fn refuse_literal(&mut self, input: &mut BytesMut) {
        let skip = |left| State::Skip(Skip::new(None, left, self.limits.skip));
        self.state = match &self.state {
            // The client waits for our answer, and the command ends with it.
            State::Offered { literal: Literal { synchronizing: true, .. }, .. } => State::default(),
            State::Offered { literal, .. } => skip(literal.size),
            State::Message { left, .. } => skip(*left),
            State::Gather(Gather { asked: Some(end), .. }) => {
                let _head = input.split_to(input.len().min(*end));
                State::default()
            }
            State::Gather(Gather { rest: true, .. }) => skip(0),
            _ => return,
        };
    }

    /// Forgets what was received and not read, before TLS starts (RFC 9051 section 11.1);
    /// how many octets that were.
    pub fn discard(&mut self, input: &mut BytesMut) -> usize {
        self.state = State::default();
        let octets = input.len();
        input.clear();
        octets
    }
}

/// The state in which `left` octets of a message are to come.
fn message(left: u64, tag: Option<Tag>) -> State {
    match left {
        0 => State::Gather(Gather { rest: true, tag, ..Gather::default() }),
        _ => State::Message { left, tag },
    }
}

enum Step {
    More,
    Frame(Frame, State),
    Continue(u64),
    Skip(Skip),
}

impl Gather {
    /// Goes on to the end of the command or to what the session has to decide.
    fn advance(&mut self, input: &mut BytesMut, limits: &Limits) -> Step {
        loop {
            let Some(end) = self.line_end(input) else {
                return match self.octets(input.len()) > limits.line {
                    true => self.refuse_line(input, limits),
                    false => Step::More,
                };
            };
            self.asked = None;
            if self.octets(end) > limits.line {
                return self.refuse_line(input, limits);
            }
            let line = input.get(self.line..end).unwrap_or_default();
            let Some((literal, at)) = Literal::at_end(without_end(line)) else {
                return self.complete(input, end);
            };
            if self.rest || self.is_message(input, self.line + at) {
                return self.offer(input, end, literal, limits);
            }
            if let Some(step) = self.gather_literal(input, end, literal, limits) {
                return step;
            }
        }
    }

    /// Behind the present line's end, once it and a literal before it are here.
    fn line_end(&mut self, input: &BytesMut) -> Option<usize> {
        let unread = input.get(self.next..)?;
        let Some(end) = memchr::memchr(b'\n', unread) else {
            self.next = input.len();
            return None;
        };
        Some(self.next + end + 1)
    }

    /// Octets of the command that are not in literals, when `total` are here.
    fn octets(&self, total: usize) -> usize {
        total.saturating_sub(usize::try_from(self.literal_octets).unwrap_or(usize::MAX))
    }

    fn complete(&mut self, input: &mut BytesMut, end: usize) -> Step {
        let head = input.split_to(end).freeze();
        let frame = match self.rest {
            true => Frame::AppendRest { head, literal: None },
            false => Frame::Command(head),
        };
        Step::Frame(frame, State::default())
    }

    /// Whether the literal whose header stands at `at` is an APPEND's message, and
    /// not its mailbox's name.
    fn is_message(&self, input: &BytesMut, at: usize) -> bool {
        let before = input.get(..at).unwrap_or_default();
        let mut words = before.splitn(3, |byte| *byte == b' ');
        let (_tag, name, arguments) = (words.next(), words.next(), words.next());
        name.is_some_and(|name| name.eq_ignore_ascii_case(b"APPEND"))
            && arguments.is_some_and(|arguments| !arguments.is_empty())
    }

    fn offer(
        &mut self,
        input: &mut BytesMut,
        end: usize,
        literal: Literal,
        limits: &Limits,
    ) -> Step {
        let tag = self.take_tag(input, limits);
        let head = input.split_to(end).freeze();
        let frame = match self.rest {
            true => Frame::AppendRest { head, literal: Some(literal) },
            false => Frame::Append { head, literal },
        };
        Step::Frame(frame, State::Offered { literal, tag })
    }

    /// Takes a literal into the command; `None` when there is nothing to say about it.
    fn gather_literal(
        &mut self,
        input: &mut BytesMut,
        end: usize,
        literal: Literal,
        limits: &Limits,
    ) -> Option<Step> {
        if let Some(error) = self.over_limit(literal, limits) {
            return Some(self.refuse(input, end, literal, error, limits));
        }
        self.literals += 1;
        self.literal_octets += literal.size;
        self.line = end.saturating_add(usize::try_from(literal.size).unwrap_or(usize::MAX));
        self.next = self.line;
        self.asked = literal.synchronizing.then_some(end);
        literal.synchronizing.then_some(Step::Continue(literal.size))
    }

    fn over_limit(&self, literal: Literal, limits: &Limits) -> Option<FrameError> {
        let room = limits.literal_total.saturating_sub(self.literal_octets);
        if self.literals >= limits.literals {
            Some(FrameError::Literals { limit: limits.literals })
        } else if literal.size > limits.literal.min(room) {
            let limit = limits.literal.min(room);
            Some(FrameError::Literal { size: literal.size, limit })
        } else {
            None
        }
    }

    /// RFC 7888 section 4: a literal that comes unasked is consumed, or the connection closes.
    fn refuse(
        &mut self,
        input: &mut BytesMut,
        end: usize,
        literal: Literal,
        error: FrameError,
        limits: &Limits,
    ) -> Step {
        let tag = self.take_tag(input, limits);
        let _head = input.split_to(end);
        if literal.synchronizing {
            let refused = Refused { tag, error, close: false };
            return Step::Frame(Frame::Refused(refused), State::default());
        }
        Step::Skip(Skip::new(Some((tag, error)), literal.size, limits.skip))
    }

    fn refuse_line(&mut self, input: &mut BytesMut, limits: &Limits) -> Step {
        let tag = self.take_tag(input, limits);
        let _before = input.split_to(self.line.min(input.len()));
        let error = FrameError::Line { limit: limits.line };
        Step::Skip(Skip::new(Some((tag, error)), 0, limits.skip))
    }

    fn take_tag(&mut self, input: &BytesMut, limits: &Limits) -> Option<Tag> {
        if self.rest {
            return self.tag.take();
        }
        let word = input.get(..input.len().min(limits.tag + 1)).unwrap_or_default();
        let end = memchr::memchr(b' ', word)?;
        std::str::from_utf8(word.get(..end)?).ok().and_then(Tag::new)
    }
}
