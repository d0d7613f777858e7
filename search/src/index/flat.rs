//! All terms of a segment as one stretch of octets, in which substrings are found far sooner
//! than in tantivy's dictionary.

use std::io;

use memchr::memmem;
use tantivy::termdict::TermDictionary;

use super::schema::Code;

/// Stands between terms; no text holds it.
const BETWEEN: u8 = 0xff;

/// The terms, in the dictionary's order. Invariant: each is followed by [`BETWEEN`].
#[derive(Debug)]
pub(super) struct Flat {
    octets: Vec<u8>,
    starts: Vec<u32>,
}

impl Flat {
    /// Reads the whole dictionary.
    pub(super) fn of(terms: &TermDictionary) -> io::Result<Self> {
        let mut flat = Self { octets: Vec::new(), starts: Vec::with_capacity(terms.num_terms()) };
        let mut stream = terms.stream()?;
        while stream.advance() {
            let start = u32::try_from(flat.octets.len())
                .map_err(|_| io::Error::other("a dictionary of more than 4 GiB"))?;
            flat.starts.push(start);
            flat.octets.extend_from_slice(stream.key());
            flat.octets.push(BETWEEN);
        }
        flat.octets.shrink_to_fit();
        Ok(flat)
    }

    /// Octets of memory.
    pub(super) fn size(&self) -> usize {
        self.octets.len() + self.starts.len() * size_of::<u32>()
    }

    /// A code's terms that hold a token, or end with it.
    pub(super) fn holding(&self, code: Code, token: &str, at_end: bool) -> Vec<&[u8]> {
        let mut pattern = token.as_bytes().to_vec();
        if at_end {
            pattern.push(BETWEEN);
        }
        let finder = memmem::Finder::new(&pattern);
        let (first, end) = self.section(code);
        let mut found = Vec::new();
        let mut at = self.start(first);
        let stop = self.start(end);
        while let Some(hit) = self.octets.get(at..stop).and_then(|rest| finder.find(rest)) {
            let ordinal = self.starts.partition_point(|start| *start as usize <= at + hit) - 1;
            // The code is no part of a term's text.
            let (start, next) = (self.start(ordinal), self.start(ordinal + 1));
            if at + hit > start {
                found.extend(self.octets.get(start..next - 1));
                at = next;
            } else {
                at += hit + 1;
            }
        }
        found
    }

    fn start(&self, ordinal: usize) -> usize {
        self.starts.get(ordinal).map_or(self.octets.len(), |start| *start as usize)
    }

    /// The terms that begin with a code.
    fn section(&self, code: Code) -> (usize, usize) {
        let before = |code: u8| {
            self.starts.partition_point(|start| {
                self.octets.get(*start as usize).is_some_and(|first| *first < code)
            })
        };
        (before(code.0), before(code.0.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(terms: &[&str]) -> Flat {
        let (mut octets, mut starts) = (Vec::new(), Vec::new());
        for term in terms {
            starts.push(octets.len() as u32);
            octets.extend_from_slice(term.as_bytes());
            octets.push(BETWEEN);
        }
        Flat { octets, starts }
    }

    #[test]
    fn terms_are_found_by_what_they_hold() {
        let flat = flat(&["0x", "HELLO", "HHELLO", "XELL", "XHELL", "XSHELL", "xhell"]);
        for (code, token, at_end, found) in [
            (Code::BODY, "ELL", false, &["XELL", "XHELL", "XSHELL"][..]),
            (Code::BODY, "HELL", true, &["XHELL", "XSHELL"]),
            (Code::HEADER, "HELLO", false, &["HHELLO"]),
            (Code::HEADER, "ELLO", true, &["HELLO", "HHELLO"]),
            (Code::BODY, "X", false, &[]),
            (Code::SUBJECT, "ELL", false, &[]),
        ] {
            let found: Vec<&[u8]> = found.iter().map(|term| term.as_bytes()).collect();
            assert_eq!(flat.holding(code, token, at_end), found, "{token}");
        }
    }
}
