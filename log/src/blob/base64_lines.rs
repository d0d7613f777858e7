//! Base64 in lines (RFC 2045 section 6.8): finding the layout that gives back the
//! exact octets, and giving back any range of them.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    CrLf = 1,
    Lf = 2,
}

impl Ending {
    pub(super) fn from_octet(octet: u8) -> Option<Self> {
        [Self::CrLf, Self::Lf].into_iter().find(|ending| *ending as u8 == octet)
    }

    fn octets(self) -> &'static [u8] {
        match self {
            Self::CrLf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}

/// How encoded octets are cut into lines. The last line has no ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Characters of every line but the last; at least 1.
    pub(super) line: u32,
    pub(super) ending: Ending,
}

impl Layout {
    /// Octets that `len` decoded ones take; `None` past 2^64.
    pub(super) fn encoded_len(&self, len: u64) -> Option<u64> {
        let characters = len.div_ceil(3).checked_mul(4)?;
        let breaks = characters.div_ceil(u64::from(self.line)).saturating_sub(1);
        characters.checked_add(breaks.checked_mul(self.ending.octets().len() as u64)?)
    }

    /// Octets of a whole line.
    fn stride(&self) -> u64 {
        u64::from(self.line) + self.ending.octets().len() as u64
    }

    /// The first character at or behind an encoded position.
    fn character(&self, position: u64) -> u64 {
        let line = u64::from(self.line);
        position / self.stride() * line + (position % self.stride()).min(line)
    }

    /// The decoded octets that an encoded range is made of.
    pub(super) fn source(&self, range: &Range<u64>, len: u64) -> Range<u64> {
        let first = self.character(range.start) / 4 * 3;
        let end = self.character(range.end).div_ceil(4) * 3;
        first.min(len)..end.min(len)
    }

    /// The encoded range, from the octets that [`Layout::source`] names.
    pub(super) fn encode(&self, range: &Range<u64>, source: &[u8]) -> Vec<u8> {
        let characters = STANDARD.encode(source).into_bytes();
        let base = self.character(range.start) / 4 * 4;
        let mut octets = Vec::with_capacity((range.end - range.start) as usize);
        let mut position = range.start;
        while position < range.end {
            let piece = self.line_piece(position, base, &characters);
            let Some(left) = Some((range.end - position) as usize).filter(|_| !piece.is_empty())
            else {
                break;
            };
            octets.extend_from_slice(piece.get(..left).unwrap_or(piece));
            position = range.start + octets.len() as u64;
        }
        octets
    }

    /// What is left of the line, or of its ending, at a position.
    fn line_piece<'a>(&self, position: u64, base: u64, characters: &'a [u8]) -> &'a [u8] {
        let (line, column) = (u64::from(self.line), position % self.stride());
        if column >= line {
            return self.ending.octets().get((column - line) as usize..).unwrap_or_default();
        }
        let start = (self.character(position) - base) as usize;
        let rest = characters.get(start..).unwrap_or_default();
        rest.get(..(line - column) as usize).unwrap_or(rest)
    }
}

/// Decodes base64 text if encoding again gives back the exact octets: the decoded
/// octets, how they were laid out, and how many octets of `text` that is (what is
/// behind, such as a last line ending, is not part of it).
pub(super) fn decode(text: &[u8]) -> Option<(Vec<u8>, Layout, usize)> {
    let layout = layout(text)?;
    let octets = STANDARD.decode(characters(text)).ok()?;
    let len = layout.encoded_len(octets.len() as u64)?;
    let again = layout.encode(&(0..len), &octets);
    let rest = text.strip_prefix(again.as_slice())?;
    Some((octets, layout, text.len() - rest.len()))
}

/// All but CR and LF, line by line.
fn characters(text: &[u8]) -> Vec<u8> {
    let mut characters = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        let (line, behind) = rest.split_at(end);
        characters.extend_from_slice(line);
        rest = behind.get(1..).unwrap_or_default();
    }
    characters.extend_from_slice(rest);
    characters
}

fn layout(text: &[u8]) -> Option<Layout> {
    let line = memchr2(b'\r', b'\n', text).unwrap_or(text.len());
    let ending = if text.get(line) == Some(&b'\n') { Ending::Lf } else { Ending::CrLf };
    let line = u32::try_from(line).ok().filter(|line| *line > 0)?;
    Some(Layout { line, ending })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn lines(octets: &[u8], line: usize, ending: &str) -> Vec<u8> {
        let text = STANDARD.encode(octets);
        let lines: Vec<&[u8]> = text.as_bytes().chunks(line).collect();
        lines.join(ending.as_bytes())
    }

    proptest! {
        #[test]
        fn any_layout_and_any_range_come_back(
            octets in prop::collection::vec(any::<u8>(), 1..400),
            line in 1usize..90, crlf: bool, tail in 0usize..3, from in 0.0..1.0f64, to in 0.0..1.0f64,
        ) {
            let ending = if crlf { "\r\n" } else { "\n" };
            let exact = lines(&octets, line, ending);
            let text = [exact.clone(), ending.repeat(tail).into_bytes()].concat();
            let (decoded, layout, len) = decode(&text).unwrap();
            prop_assert_eq!(&decoded, &octets);
            prop_assert_eq!(len, exact.len());
            prop_assert_eq!(layout.encoded_len(octets.len() as u64), Some(len as u64));
            let (a, b) = ((from * len as f64) as u64, (to * len as f64) as u64);
            let range = a.min(b)..a.max(b);
            let source = layout.source(&range, octets.len() as u64);
            let part = &octets[source.start as usize..source.end as usize];
            let expected = &exact[range.start as usize..range.end as usize];
            prop_assert_eq!(layout.encode(&range, part), expected);
        }

        #[test]
        fn what_does_not_come_back_is_refused(text in "[A-Za-z0-9+/= \r\n]{0,80}") {
            if let Some((octets, layout, len)) = decode(text.as_bytes()) {
                let again = layout.encode(&(0..len as u64), &octets);
                prop_assert_eq!(again, &text.as_bytes()[..len]);
            }
        }
    }

    #[test]
    fn sloppy_encoders_are_refused() {
        for text in ["", "\r\nAAAA", "AAAB AAAA", "AAA", "AAB=", "AA==AAAA", "AAAA\r\nAA\r\nAA"] {
            assert!(decode(text.as_bytes()).is_none_or(|(_, _, len)| len < text.len()), "{text:?}");
        }
    }
}
