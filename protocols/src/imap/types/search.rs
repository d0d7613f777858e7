//! SEARCH, SORT, THREAD, and the sets that they save.

use std::fmt;
use std::num::NonZeroU32;

use redoubt_store::search::{SortCriterion, ThreadAlgorithm};

use super::{Numbering, SearchKey, SequenceSet};

/// Messages by number, by the saved result of a SEARCH (RFC 5182), or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageSet {
    /// By number; no range where there is only `$`.
    pub numbers: SequenceSet,
    /// `$`: those of the saved result.
    pub saved: bool,
}

impl MessageSet {
    /// Only `$`.
    pub fn saved() -> Self {
        Self { numbers: SequenceSet { ranges: Vec::new() }, saved: true }
    }
}

impl From<SequenceSet> for MessageSet {
    fn from(numbers: SequenceSet) -> Self {
        Self { numbers, saved: false }
    }
}

impl fmt::Display for MessageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.numbers.fmt(f)?;
        match (self.saved, self.numbers.ranges.is_empty()) {
            (true, true) => f.write_str("$"),
            (true, false) => f.write_str(",$"),
            (false, _) => Ok(()),
        }
    }
}

/// A page of what was found, by place among it (RFC 9394 section 3.1): the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartialRange {
    /// One end, as written.
    pub first: NonZeroU32,
    /// The other; it may be the lower one.
    pub last: NonZeroU32,
    /// Counted from the last one backwards: `-1:-100`.
    pub from_end: bool,
}

impl PartialRange {
    /// What of `all` is in it, in the order of `all`.
    pub fn of<T>(self, all: &[T]) -> &[T] {
        let before = self.first.min(self.last).get() as usize - 1;
        let (from, to) = match self.from_end {
            true => (all.len().saturating_sub(self.reach()), all.len().saturating_sub(before)),
            false => (before, self.reach().min(all.len())),
        };
        all.get(from..to).unwrap_or_default()
    }

    /// How many have to be known for it, from the end that it counts from.
    pub fn reach(self) -> usize {
        self.first.max(self.last).get() as usize
    }
}

impl fmt::Display for PartialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.first, self.last)
    }
}

/// SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What the answer's numbers are.
    pub numbering: Numbering,
    /// RETURN's options (RFC 4731); `None` without RETURN: answered with `* SEARCH` in rev1.
    pub returns: Option<SearchReturn>,
    /// What is looked for.
    pub key: SearchKey,
}

/// RETURN's options; `RETURN ()` is `ALL` already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SearchReturn {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    /// SAVE (RFC 5182): alone it also keeps the answer from being told.
    pub save: bool,
    /// RELEVANCY (RFC 6203 section 4).
    pub relevancy: bool,
    /// PARTIAL (RFC 9394 section 3.1): never with ALL.
    pub partial: Option<PartialRange>,
}

impl SearchReturn {
    /// Whether anything is told.
    pub fn tells(self) -> bool {
        Self { save: false, ..self } != Self::default()
    }

    /// Whether more of what was found is told or saved than MIN, MAX and PARTIAL name.
    pub fn tells_of_all(self) -> bool {
        let some = self.min || self.max || self.partial.is_some();
        self.all || self.count || !some
    }

    /// The page beyond which nothing needs to be found.
    pub fn only_page(self) -> Option<PartialRange> {
        self.partial.filter(|_| !(self.min || self.max || self.all || self.count))
    }
}

/// SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// What is looked for, and how it is answered (RFC 5267 section 3).
    pub search: Search,
    /// The order, the first key first.
    pub criteria: Vec<SortCriterion>,
}

/// THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// What the answer's numbers are.
    pub numbering: Numbering,
    /// How messages are gathered.
    pub algorithm: ThreadAlgorithm,
    /// Which messages.
    pub key: SearchKey,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pages_are_counted_from_either_end() {
        let of = |first, last, from_end| {
            let number = |n| NonZeroU32::new(n).unwrap();
            let range = PartialRange { first: number(first), last: number(last), from_end };
            (range.of(&[10, 20, 30, 40]).to_vec(), range.to_string())
        };
        assert_eq!(of(1, 2, false), (vec![10, 20], "1:2".into()));
        assert_eq!(of(3, 2, false), (vec![20, 30], "3:2".into()));
        assert_eq!(of(4, 9, false), (vec![40], "4:9".into()));
        assert_eq!(of(5, 9, false).0, Vec::<i32>::new());
        assert_eq!(of(1, 2, true), (vec![30, 40], "-1:-2".into()));
        assert_eq!(of(9, 4, true), (vec![10], "-9:-4".into()));
        assert_eq!(of(5, u32::MAX, true).0, Vec::<i32>::new());
        assert_eq!(of(1, u32::MAX, true).0.len(), 4);
    }
}
