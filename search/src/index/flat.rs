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
    /// Numbers of those with other characters than ASCII's, rising.
    others: Vec<u32>,
}

impl Flat {
    /// Reads that part of the dictionary.
    pub(super) fn of(terms: &TermDictionary, code: Code) -> io::Result<Self> {
        let mut flat = Self { octets: Vec::new(), starts: Vec::new(), others: Vec::new() };
        let end = [code.0.saturating_add(1)];
        let mut stream = terms.range().ge([code.0]).lt(end).into_stream()?;
        while stream.advance() {
            flat.push(stream.key())?;
        }
        flat.octets.shrink_to_fit();
        flat.starts.shrink_to_fit();
        flat.others.shrink_to_fit();
        Ok(flat)
    }

    fn push(&mut self, term: &[u8]) -> io::Result<()> {
        let short = |number: usize| {
            u32::try_from(number).map_err(|_| io::Error::other("a dictionary of more than 4 GiB"))
        };
        if !term.is_ascii() {
            self.others.push(short(self.starts.len())?);
        }
        self.starts.push(short(self.octets.len())?);
        self.octets.extend_from_slice(term);
        self.octets.push(BETWEEN);
        Ok(())
    }

    /// Octets of memory.
    pub(super) fn size(&self) -> usize {
        self.octets.len() + (self.starts.len() + self.others.len()) * size_of::<u32>()
    }

    /// The terms with other characters than ASCII's.
    pub(super) fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.others.iter().filter_map(|number| self.term(*number as usize))
    }

    /// The terms whose text begins with an octet.
    pub(super) fn beginning(&self, with: u8) -> impl Iterator<Item = &[u8]> {
        let first = |start: &u32| self.octets.get(*start as usize + 1).copied();
        let from = self.starts.partition_point(|start| first(start) < Some(with));
        let to = self.starts.partition_point(|start| first(start) <= Some(with));
        (from..to).filter_map(|number| self.term(number))
    }

    fn term(&self, number: usize) -> Option<&[u8]> {
        self.octets.get(self.start(number)..self.start(number + 1).checked_sub(1)?)
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn flat(terms: &[&str]) -> Flat {
        let mut flat = Flat { octets: Vec::new(), starts: Vec::new(), others: Vec::new() };
        for term in terms {
            flat.push(term.as_bytes()).unwrap();
        }
        flat
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

    #[test]
    fn terms_are_found_by_how_they_begin() {
        let flat = flat(&["XA", "XBA\u{301}", "XBO", "XC", "XÖ"]);
        let texts = |terms: Vec<&[u8]>| -> Vec<String> {
            terms.into_iter().map(|term| String::from_utf8(term.to_vec()).unwrap()).collect()
        };
        assert_eq!(texts(flat.beginning(b'B').collect()), ["XBA\u{301}", "XBO"]);
        assert_eq!(texts(flat.beginning(b'D').collect()), [""; 0]);
        assert_eq!(texts(flat.others().collect()), ["XBA\u{301}", "XÖ"]);
    }
}
