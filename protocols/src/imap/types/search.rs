//! SEARCH, SORT, THREAD, and the sets that they save.

use std::fmt;

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
}

impl SearchReturn {
    /// Whether anything is told.
    pub fn tells(self) -> bool {
        Self { save: false, ..self } != Self::default()
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
