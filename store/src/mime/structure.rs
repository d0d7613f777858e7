//! Finds the parts of a message and where they lie (RFC 2046 section 5.1).
//!
//! One walk from the first octet to the last: a line is looked at once, against
//! the boundaries of the multiparts that are open there. A line is a boundary
//! only if nothing but white space follows (the grammar of RFC 2046 section
//! 5.1.1), so that the boundary `a` does not cut at a line `--ab`. Of equal
//! boundaries the innermost counts.

use memchr::{memchr_iter, memmem};

use super::budget::Budget;
use super::content::parameter;
use super::describe::{Default, Kind, described, kind, opaque, text_child};
use super::envelope::envelope;
use super::header::{is_blank, line_len, without_line_end};
use super::{MAX_DEPTH, MAX_HEADER, Nested, Part, Span};

/// The envelope and structure of a message.
pub(crate) fn message(message: &[u8]) -> Nested {
    let mut walk = Walk {
        message,
        at: 0,
        header_end: 0,
        open: Vec::new(),
        lines: Lines { message, at: 0, count: 0 },
        delimiter: memmem::Finder::new(b"\n--"),
        budget: Budget::default(),
        depth: 0,
    };
    walk.message().0
}

/// The octets of a span; none where it is not inside.
pub fn slice(message: &[u8], span: Span) -> &[u8] {
    let start = usize::try_from(span.start).unwrap_or(usize::MAX);
    let len = usize::try_from(span.len).unwrap_or(usize::MAX);
    message.get(start..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// The octets of a header that are read for their meaning.
pub(crate) fn considered(header: &[u8]) -> &[u8] {
    header.get(..MAX_HEADER).unwrap_or(header)
}

/// Where a part ended.
#[derive(Clone, Copy)]
enum End {
    /// With the message.
    Message,
    /// At a line with the boundary of this level of the open multiparts.
    Delimiter { level: usize, close: bool },
}

struct Walk<'a> {
    message: &'a [u8],
    /// The start of the line that comes next; a delimiter is not passed by the part it ends.
    at: usize,
    /// Behind the last header that was read.
    header_end: usize,
    /// Boundaries of the multiparts we are in, outermost first.
    open: Vec<Vec<u8>>,
    lines: Lines<'a>,
    delimiter: memmem::Finder<'static>,
    budget: Budget,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn message(&mut self) -> (Nested, End) {
        let header = self.header();
        let envelope = envelope(considered(slice(self.message, header)), &mut self.budget);
        let (structure, end) = self.part(header, Default::Text);
        (Nested { envelope, structure }, end)
    }

    fn entity(&mut self, default: Default) -> (Part, End) {
        let header = self.header();
        self.part(header, default)
    }

    fn part(&mut self, header: Span, default: Default) -> (Part, End) {
        let octets = considered(slice(self.message, header));
        let mut part = described(octets, default, &mut self.budget);
        part.header = header;
        let end = self.body(&mut part);
        (part, end)
    }

    /// Goes behind the header's blank line, or to the delimiter that comes before one.
    fn header(&mut self) -> Span {
        let start = self.at;
        loop {
            let rest = self.rest();
            if rest.is_empty() || self.delimits(rest).is_some() {
                break;
            }
            self.skip_line();
            if is_blank(rest) {
                break;
            }
        }
        self.header_end = self.at;
        span(start, self.at)
    }

    fn body(&mut self, part: &mut Part) -> End {
        let start = self.at;
        let before = self.lines.before(start);
        self.depth += 1;
        let end = self.content(part);
        self.depth -= 1;
        let body_end = self.content_end(end);
        part.body = span(start, body_end);
        part.lines = self.lines.before(body_end) - before;
        if matches!(kind(part), Kind::Multipart) && part.children.is_empty() {
            part.children.push(text_child(part));
        }
        end
    }

    fn content(&mut self, part: &mut Part) -> End {
        match kind(part) {
            Kind::Leaf => self.skip_to_delimiter(),
            Kind::Multipart if self.depth <= MAX_DEPTH => self.multipart(part),
            Kind::Message if self.depth <= MAX_DEPTH && self.budget.take_part() => {
                let (nested, end) = self.message();
                part.message = Some(Box::new(nested));
                end
            }
            Kind::Multipart | Kind::Message => {
                opaque(part);
                self.skip_to_delimiter()
            }
        }
    }

    /// The delimiter's line end belongs to it (RFC 2046 section 5.1.1), unless
    /// it is already a header's: then nothing is between them.
    fn content_end(&self, end: End) -> usize {
        let End::Delimiter { .. } = end else { return self.at };
        let content = self.message.get(self.header_end..self.at).unwrap_or_default();
        self.header_end + without_line_end(content).len()
    }

    fn multipart(&mut self, part: &mut Part) -> End {
        let boundary = parameter(&part.parameters, "boundary").unwrap_or_default();
        let boundary = boundary.trim_ascii_end().to_vec();
        if boundary.is_empty() {
            return self.skip_to_delimiter();
        }
        let level = self.open.len();
        self.open.push(boundary);
        let end = self.children(part, level);
        self.open.truncate(level);
        match end {
            // The epilogue, to where the multipart around ends it.
            End::Delimiter { level: at, .. } if at == level => self.skip_to_delimiter(),
            end => end,
        }
    }

    /// Answers where the last child ended: at `level` only with the close delimiter.
    fn children(&mut self, part: &mut Part, level: usize) -> End {
        let default = Default::within(part);
        let mut end = self.skip_to_delimiter();
        while let End::Delimiter { level: at, close } = end {
            if at != level {
                return end;
            }
            self.skip_line();
            if close || !self.budget.take_part() {
                return end;
            }
            let child;
            (child, end) = self.entity(default);
            part.children.push(child);
        }
        end
    }

    /// Goes to the next line that is a delimiter, from the start of a line.
    fn skip_to_delimiter(&mut self) -> End {
        let mut from = self.at;
        while let Some(rest) = self.message.get(from..).filter(|_| !self.open.is_empty()) {
            if let Some(end) = self.delimits(rest) {
                self.at = from;
                return end;
            }
            let Some(next) = self.delimiter.find(rest) else { break };
            from += next + 1;
        }
        self.at = self.message.len();
        End::Message
    }

    fn delimits(&self, rest: &[u8]) -> Option<End> {
        if self.open.is_empty() || !rest.starts_with(b"--") {
            return None;
        }
        let line = rest.get(2..line_len(rest))?.trim_ascii_end();
        let closed = line.strip_suffix(b"--");
        let levels = self.open.iter().enumerate().rev();
        levels.into_iter().find_map(|(level, boundary)| match boundary.as_slice() {
            b if b == line => Some(End::Delimiter { level, close: false }),
            b if Some(b) == closed => Some(End::Delimiter { level, close: true }),
            _ => None,
        })
    }

    fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.at += line_len(self.rest());
    }
}

/// Counts line ends, each octet once: asked for positions that never fall back.
struct Lines<'a> {
    message: &'a [u8],
    at: usize,
    count: u64,
}

impl Lines<'_> {
    fn before(&mut self, position: usize) -> u64 {
        let passed = self.message.get(self.at..position).unwrap_or_default();
        self.count += memchr_iter(b'\n', passed).count() as u64;
        self.at = self.at.max(position);
        self.count
    }
}

fn span(start: usize, end: usize) -> Span {
    Span { start: start as u64, len: end.saturating_sub(start) as u64 }
}
