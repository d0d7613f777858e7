//! Words as they are looked for: one, a phrase, with an open beginning or end, near others.

use std::fmt;

use super::print::{quoted, written};
use crate::words::Words;

/// A word or a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As written, without the stars.
    pub text: String,
    /// `*word`: the first word may begin otherwise.
    pub open_start: bool,
    /// `word*`: the last word may go on.
    pub open_end: bool,
    /// Its words: never none.
    pub words: Words,
}

impl Pattern {
    /// What follows as written: every word as it is.
    pub fn phrase(text: &str) -> Self {
        let words = Words::of(text);
        Self { text: text.to_owned(), open_start: false, open_end: false, words }
    }

    /// Whether a word of a text is the one with this number here.
    fn is(&self, number: usize, text: &Words, at: usize) -> bool {
        let (plain, marked) = (self.words.plain(number), self.words.marked(number));
        // Who writes an accent means it; who writes none means either.
        let (want, have) = match plain == marked {
            true => (plain, text.plain(at)),
            false => (marked, text.marked(at)),
        };
        let open_start = self.open_start && number == 0;
        let open_end = self.open_end && number + 1 == self.words.len();
        match (open_start, open_end) {
            (false, false) => have == want,
            (false, true) => have.starts_with(want),
            (true, false) => have.ends_with(want),
            (true, true) => have.contains(want),
        }
    }

    fn stands_at(&self, text: &Words, at: usize) -> bool {
        (0..self.words.len()).all(|number| self.is(number, text, at + number))
    }

    /// Where it stands in a text: numbers of its first word, rising.
    pub fn places<'a>(&'a self, text: &'a Words) -> impl Iterator<Item = usize> + 'a {
        let last = (text.len() + 1).saturating_sub(self.words.len().max(1));
        (0..last).filter(|at| self.stands_at(text, *at))
    }

    /// Whether it stands in a text.
    pub fn is_in(&self, text: &Words) -> bool {
        self.places(text).next().is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.open_start && !self.open_end {
            return f.write_str(&written(&self.text));
        }
        let star = |open| if open { "*" } else { "" };
        write!(f, "{}{}{}", star(self.open_start), self.text, star(self.open_end))
    }
}

/// Patterns that stand near each other, each to the next; often only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The first.
    pub first: Pattern,
    /// The others, with how many words may stand between each and the one before.
    pub rest: Vec<(u32, Pattern)>,
}

impl Chain {
    /// Of one pattern.
    pub fn of(first: Pattern) -> Self {
        Self { first, rest: Vec::new() }
    }

    /// All its patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        std::iter::once(&self.first).chain(self.rest.iter().map(|(_, pattern)| pattern))
    }

    /// Whether a text has them so.
    pub fn is_in(&self, text: &Words) -> bool {
        if self.rest.is_empty() {
            return self.first.is_in(text);
        }
        let mut places: Vec<usize> = self.first.places(text).collect();
        let mut len = self.first.words.len();
        for (gap, pattern) in &self.rest {
            let gap = *gap as usize;
            let found = pattern.places(text);
            places =
                found.filter(|at| is_near(&places, len, *at, pattern.words.len(), gap)).collect();
            len = pattern.words.len();
        }
        !places.is_empty()
    }
}

/// Whether what stands at `at`, `len` words long, has any of the places (rising, each
/// `before_len` long) beside it with at most `gap` words between; they do not overlap.
fn is_near(places: &[usize], before_len: usize, at: usize, len: usize, gap: usize) -> bool {
    let from = at.saturating_sub(before_len.saturating_add(gap));
    let to = at.saturating_add(len).saturating_add(gap);
    let first = places.partition_point(|place| *place < from);
    let near = places.get(first..).unwrap_or_default().iter().take_while(|place| **place <= to);
    near.into_iter().any(|place| place + before_len <= at || at + len <= *place)
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.rest.iter().try_for_each(|(gap, pattern)| write!(f, " NEAR({gap}) {pattern}"))
    }
}

/// A person, as `from:` and its like name one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// By address: local part and domain, either of them empty for any.
    Address {
        /// What stands before the `@`.
        local: String,
        /// What stands behind it.
        domain: String,
    },
    /// By words of the name or the address.
    Named(Pattern),
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { local, domain } => {
                let text = format!("{local}@{domain}");
                f.write_str(&if text.contains('*') { quoted(&text) } else { written(&text) })
            }
            Self::Named(pattern) => pattern.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let plain = text.trim_matches('*');
        let open = (text.starts_with('*'), text.ends_with('*'));
        Pattern { open_start: open.0, open_end: open.1, ..Pattern::phrase(plain) }
    }

    #[test]
    fn words_phrases_and_open_ends() {
        let text = Words::of("The quick brown fox, isn't it? Jörg sah 日本語");
        for (wanted, there) in [
            ("QUICK", true),
            ("quic", false),
            ("quic*", true),
            ("*uick", true),
            ("*uic*", true),
            ("quick brown", true),
            ("brown quick", false),
            ("*ick bro*", true),
            ("*ick bro", false),
            ("isn't", true),
            ("jorg", true),
            ("jörg", true),
            ("jórg", false),
            ("日本", true),
            ("本日", false),
        ] {
            assert_eq!(pattern(wanted).is_in(&text), there, "{wanted}");
        }
    }

    #[test]
    fn near_is_by_the_words_between() {
        let text = Words::of("a b c d e f a");
        let near = |first: &str, gap, second: &str| {
            Chain { first: pattern(first), rest: vec![(gap, pattern(second))] }.is_in(&text)
        };
        assert!(
            near("a", 0, "b") && near("b", 0, "a") && near("c", 1, "a b c".get(..1).unwrap_or(""))
        );
        assert!(near("a", 1, "c") && !near("b", 1, "e") && near("b", 2, "e") && near("e", 2, "b"));
        assert!(near("a b", 1, "d e") && !near("a b", 0, "d e") && !near("a b", 5, "b c"));
        assert!(near("a", 5, "a") && !near("a", 4, "a") && !near("b", 100, "b"));
        let three = Chain { first: pattern("a"), rest: vec![(1, pattern("c")), (1, pattern("e"))] };
        assert!(three.is_in(&text));
    }
}
