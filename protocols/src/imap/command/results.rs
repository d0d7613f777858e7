//! What SEARCH and SORT found, and what of it is told (RFC 4731, RFC 5267, RFC 7162, RFC 9394).

use redoubt_log::id::ModSeq;

use crate::imap::encode::Found;
use crate::imap::types::SearchReturn;

/// What was found, in the order in which it is told, or the end of it that a page is within.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) numbers: Vec<u32>,
    modseqs: Vec<ModSeq>,
}

impl Results {
    pub(super) fn push(&mut self, number: u32, modseq: ModSeq) {
        self.numbers.push(number);
        self.modseqs.push(modseq);
    }

    /// The numbers and their MODSEQs.
    pub(super) fn into_parts(self) -> (Vec<u32>, Vec<ModSeq>) {
        (self.numbers, self.modseqs)
    }

    pub(super) fn reverse(&mut self) {
        self.numbers.reverse();
        self.modseqs.reverse();
    }

    /// The highest MODSEQ of all; `None` when nothing was found.
    pub(super) fn highest(&self) -> Option<ModSeq> {
        self.modseqs.iter().max().copied()
    }

    /// The numbers that RELEVANCY is told of, in its order.
    pub(super) fn scored(&self, returns: SearchReturn) -> &[u32] {
        returns.partial.map_or(&self.numbers, |range| range.of(&self.numbers))
    }

    /// MIN and MAX are the first and the last in the order (RFC 5267 section 3.1).
    pub(super) fn found(&self, returns: SearchReturn) -> Found<'_> {
        let numbers = &self.numbers;
        let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Found {
            min: numbers.first().copied().filter(|_| returns.min),
            max: numbers.last().copied().filter(|_| returns.max),
            count: returns.count.then_some(count),
            all: returns.all.then_some(numbers.as_slice()),
            partial: returns.partial.map(|range| (range, range.of(numbers))),
            relevancy: None,
            modseq: None,
        }
    }

    /// The MODSEQ that the answer has (RFC 7162 section 3.1.10): where only some of what was found
    /// is told, the highest of those.
    pub(super) fn modseq(&self, returns: SearchReturn) -> Option<ModSeq> {
        if returns.tells_of_all() {
            return self.highest();
        }
        let modseqs = &self.modseqs;
        let first = modseqs.first().filter(|_| returns.min);
        let last = modseqs.last().filter(|_| returns.max);
        let page = returns.partial.map(|range| range.of(modseqs)).unwrap_or_default();
        page.iter().chain(first).chain(last).max().copied()
    }

    /// What SAVE keeps (RFC 5182 section 2.4, RFC 9394 section 3.2): where only some of what was
    /// found is told, those, in any order.
    pub(super) fn saved(&self, returns: SearchReturn) -> Vec<u32> {
        if returns.tells_of_all() {
            return self.numbers.clone();
        }
        let found = self.found(returns);
        let page = found.partial.map(|(_, page)| page).unwrap_or_default();
        page.iter().copied().chain(found.min).chain(found.max).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::num::NonZeroU32;

    use super::*;
    use crate::imap::types::PartialRange;

    const NOTHING: SearchReturn = SearchReturn {
        min: false,
        max: false,
        all: false,
        count: false,
        save: true,
        relevancy: false,
        partial: None,
    };

    /// As SORT leaves them.
    fn results() -> Results {
        let mut results = Results::default();
        for (number, modseq) in [(9, 1), (2, 8), (5, 3)] {
            results.push(number, ModSeq(modseq));
        }
        results
    }

    fn page(first: u32, last: u32, from_end: bool) -> SearchReturn {
        let number = |n| NonZeroU32::new(n).unwrap();
        let range = PartialRange { first: number(first), last: number(last), from_end };
        SearchReturn { partial: Some(range), ..NOTHING }
    }

    #[test]
    fn only_what_was_asked_for_is_told() {
        let min = results().found(SearchReturn { min: true, ..NOTHING }).min;
        assert_eq!(min, Some(9));
        let results = results();
        let both = results.found(SearchReturn { min: true, max: true, ..NOTHING });
        assert_eq!((both.min, both.max, both.count, both.all), (Some(9), Some(5), None, None));
        let all = results.found(SearchReturn { all: true, ..NOTHING }).all;
        assert_eq!(all, Some(&[9, 2, 5][..]));
        let some = results.found(page(1, 2, true)).partial.unwrap();
        assert_eq!((some.0.to_string().as_str(), some.1), ("-1:-2", &[2, 5][..]));
        let everything = SearchReturn { min: true, max: true, all: true, count: true, ..NOTHING };
        let nothing = Results::default();
        let none = nothing.found(everything);
        assert_eq!((none.min, none.max, none.count), (None, None, Some(0)));
    }

    #[test]
    fn modseq_is_that_of_what_is_told() {
        let modseq = |returns| results().modseq(returns).unwrap().0;
        assert_eq!(modseq(SearchReturn { min: true, ..NOTHING }), 1);
        assert_eq!(modseq(SearchReturn { max: true, ..NOTHING }), 3);
        assert_eq!(modseq(SearchReturn { min: true, max: true, ..NOTHING }), 3);
        assert_eq!(modseq(SearchReturn { min: true, count: true, ..NOTHING }), 8);
        assert_eq!(modseq(page(1, 1, true)), 3);
        assert_eq!(modseq(SearchReturn { min: true, ..page(3, 3, false) }), 3);
        assert_eq!(results().modseq(page(4, 9, false)), None);
        assert_eq!(Results::default().modseq(NOTHING), None);
    }

    #[test]
    fn what_is_told_is_saved() {
        let saved = |returns| results().saved(returns);
        let min = SearchReturn { min: true, ..NOTHING };
        assert_eq!(saved(NOTHING), [9, 2, 5]);
        assert_eq!(saved(min), [9]);
        assert_eq!(saved(SearchReturn { max: true, ..NOTHING }), [5]);
        assert_eq!(saved(SearchReturn { max: true, ..min }), [9, 5]);
        assert_eq!(saved(SearchReturn { count: true, ..min }), [9, 2, 5]);
        assert_eq!(saved(SearchReturn { all: true, ..min }), [9, 2, 5]);
        assert_eq!(saved(page(2, 2, false)), [2]);
        assert_eq!(saved(SearchReturn { min: true, max: true, ..page(2, 2, false) }), [2, 9, 5]);
        assert_eq!(saved(SearchReturn { count: true, ..page(2, 2, false) }), [9, 2, 5]);
        assert!(saved(page(4, 9, false)).is_empty());
    }
}
