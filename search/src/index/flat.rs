//! The terms of a segment that stand in one code as one stretch of octets, in which substrings are
//! found far sooner than in tantivy's dictionary.

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
    /// Reads that part of the dictionary.
    pub(super) fn of(terms: &TermDictionary, code: Code) -> io::Result<Self> {
        let mut flat = Self { octets: Vec::new(), starts: Vec::new() };
        let end = [code.0.saturating_add(1)];
        let mut stream = terms.range().ge([code.0]).lt(end).into_stream()?;
        while stream.advance() {
            let start = u32::try_from(flat.octets.len())
                .map_err(|_| io::Error::other("a dictionary of more than 4 GiB"))?;
            flat.starts.push(start);
            flat.octets.extend_from_slice(stream.key());
            flat.octets.push(BETWEEN);
        }
        flat.octets.shrink_to_fit();
        flat.starts.shrink_to_fit();
        Ok(flat)
    }

    /// Octets of memory.
    pub(super) fn size(&self) -> usize {
        self.octets.len() + self.starts.len() * size_of::<u32>()
    }

    /// The terms that hold a token, or end with it.
    pub(super) fn holding(&self, token: &str, at_end: bool) -> Vec<&[u8]> {
        let mut pattern = token.as_bytes().to_vec();
        if at_end {
            pattern.push(BETWEEN);
        }
        let finder = memmem::Finder::new(&pattern);
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(hit) = self.octets.get(at..).and_then(|rest| finder.find(rest)) {
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
        let flat = flat(&["XELL", "XHELL", "XSHELL", "XX"]);
        for (token, at_end, found) in [
            ("ELL", false, &["XELL", "XHELL", "XSHELL"][..]),
            ("HELL", true, &["XHELL", "XSHELL"]),
            ("HELLO", false, &[]),
            ("X", false, &["XX"]),
            ("X", true, &["XX"]),
        ] {
            let found: Vec<&[u8]> = found.iter().map(|term| term.as_bytes()).collect();
            assert_eq!(flat.holding(token, at_end), found, "{token}");
        }
    }
}
