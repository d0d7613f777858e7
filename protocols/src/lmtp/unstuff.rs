//! Data without its dots (RFC 5321 section 4.5.2), as it comes, in any pieces.
//! It ends at CRLF.CRLF alone: nothing that another server takes for content
//! ends it, and nothing that another takes for its end is content.

use memchr::memchr2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    /// Behind a dot that began a line.
    Dot,
    /// Behind a dot and a CR that began a line.
    DotCr,
    Text,
    Cr,
}

/// Takes the dots out of one message's data.
#[derive(Debug)]
pub(super) struct Unstuffer {
    state: State,
    bare: bool,
}

/// What became of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fed {
    /// Octets taken from its front.
    pub(super) taken: usize,
    /// Whether these were the last of the data.
    pub(super) ended: bool,
}

impl Unstuffer {
    pub(super) fn new() -> Self {
        Self { state: State::LineStart, bare: false }
    }

    /// Whether there was a CR or LF on its own.
    pub(super) fn has_bare_newline(&self) -> bool {
        self.bare
    }

    /// Appends to `out` what `input` means, as far as the end of the data; never more
    /// octets than it takes, and one.
    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Fed {
        let mut taken = 0;
        out.reserve(input.len() + 1);
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let text = self.text(rest);
            out.extend_from_slice(rest.get(..text).unwrap_or_default());
            taken += text;
            let Some(octet) = input.get(taken) else { break };
            taken += 1;
            if self.octet(*octet, out) {
                return Fed { taken, ended: true };
            }
        }
        Fed { taken, ended: false }
    }

    /// How many octets at the front are plain text.
    fn text(&self, rest: &[u8]) -> usize {
        match self.state {
            State::Text => memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()),
            _ => 0,
        }
    }

    /// Whether this octet ends the data.
    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) -> bool {
        match (self.state, octet) {
            (State::LineStart, b'.') => self.state = State::Dot,
            (State::Dot, b'\r') => self.state = State::DotCr,
            (State::DotCr, b'\n') => return true,
            (State::DotCr, _) => {
                self.bare = true;
                out.push(b'\r');
                self.state = State::Text;
                return self.octet(octet, out);
            }
            (state, octet) => {
                out.push(octet);
                self.plain(state, octet);
            }
        }
        false
    }

    fn plain(&mut self, before: State, octet: u8) {
        let lf_is_due = before == State::Cr;
        self.bare |= lf_is_due != (octet == b'\n');
        self.state = match octet {
            b'\r' => State::Cr,
            b'\n' if lf_is_due => State::LineStart,
            _ => State::Text,
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn whole(input: &[u8]) -> (Vec<u8>, Fed, bool) {
        let (mut unstuffer, mut out) = (Unstuffer::new(), Vec::new());
        let fed = unstuffer.feed(input, &mut out);
        (out, fed, unstuffer.has_bare_newline())
    }

    #[test]
    fn dots_go_and_data_ends() {
        for (input, content) in [
            ("a\r\n..b\r\n.c\r\n.\r\nNEXT", "a\r\n.b\r\nc\r\n"),
            (".\r\nNEXT", ""),
            ("\r\n.\r\nNEXT", "\r\n"),
            ("...\r\n.\r\nNEXT", "..\r\n"),
        ] {
            let (out, fed, bare) = whole(input.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), content);
            assert_eq!(fed, Fed { taken: input.len() - 4, ended: true });
            assert!(!bare, "{input:?}");
        }
    }

    #[test]
    fn nothing_else_ends_it() {
        for end in ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\r\n.\r\r\n"] {
            let input = format!("a{end}MAIL FROM:<x@y>\r\n");
            let (out, fed, bare) = whole(input.as_bytes());
            assert!(!fed.ended && bare, "{end:?}");
            assert!(out.ends_with(b"MAIL FROM:<x@y>\r\n"), "{end:?}");
        }
    }

    fn stuff(content: &[u8]) -> Vec<u8> {
        let mut stuffed = Vec::new();
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line[0] == b'.' {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        stuffed
    }

    proptest! {
        #[test]
        fn stuffed_content_comes_back_in_any_pieces(
            lines in prop::collection::vec("[.a-z]{0,4}", 0..12), cuts in prop::collection::vec(1..9usize, 1..40),
        ) {
            let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed = stuff(content.as_bytes());
            let (mut unstuffer, mut out, mut at, mut ended) = (Unstuffer::new(), Vec::new(), 0, false);
            let mut cuts = cuts.iter().cycle();
            while at < stuffed.len() {
                let end = stuffed.len().min(at + cuts.next().unwrap());
                let fed = unstuffer.feed(&stuffed[at..end], &mut out);
                prop_assert_eq!(fed.taken, end - at);
                ended = fed.ended;
                at = end;
            }
            prop_assert!(ended && !unstuffer.has_bare_newline());
            prop_assert_eq!(out, content.as_bytes());
        }

        #[test]
        fn any_octets_mean_the_same_in_any_pieces(
            input in prop::collection::vec(prop::sample::select(b"\r\n.ab".to_vec()), 0..60), cut in 1..7usize,
        ) {
            let expected = whole(&input);
            let (mut unstuffer, mut out, mut taken) = (Unstuffer::new(), Vec::new(), 0);
            for piece in input.chunks(cut) {
                let before = out.len();
                let fed = unstuffer.feed(piece, &mut out);
                prop_assert!(out.len() - before <= fed.taken + 1);
                taken += fed.taken;
                if fed.ended {
                    break;
                }
            }
            prop_assert_eq!(taken, expected.1.taken);
            prop_assert_eq!(out, expected.0);
        }
    }
}
