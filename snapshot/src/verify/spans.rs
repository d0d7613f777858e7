//! Which moments can be had: from a base, or from the beginning of the log, as far as
//! ranges follow on each other. Pure.

use std::collections::BTreeSet;

use redoubt_log::id::LogIndex;
use serde::{Deserialize, Serialize};

use crate::repo::names::RangeName;

/// Moments that can be had, without a gap between.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The first one: that of a base, or the first entry of all.
    pub first: LogIndex,
    /// The last one.
    pub last: LogIndex,
    /// Whether it begins with a base.
    pub base: bool,
    /// The effective time of the first, in milliseconds since 1970, where it is known.
    pub first_time: Option<i64>,
    /// That of the last.
    pub last_time: Option<i64>,
}

/// The spans of a history that has these bases and ranges, by rising index.
pub fn spans(bases: &BTreeSet<LogIndex>, ranges: &[RangeName]) -> Vec<Span> {
    let mut sorted: Vec<&RangeName> = ranges.iter().collect();
    sorted.sort();
    let from_base = |index: &LogIndex| (*index, index.0.checked_add(1), true);
    let mut starts: Vec<_> = bases.iter().map(from_base).collect();
    starts.insert(0, (LogIndex(0), Some(0), false));
    let mut spans: Vec<Span> = Vec::new();
    for (first, next, base) in starts {
        if base && spans.last().is_some_and(|span| first <= span.last) {
            continue;
        }
        let last = next.and_then(|next| reach(&sorted, LogIndex(next))).or(base.then_some(first));
        let (first_time, last_time) = (None, None);
        spans.extend(last.map(|last| Span { first, last, base, first_time, last_time }));
    }
    spans
}

/// The last entry that ranges have without a gap from one on; `None` when none has that.
fn reach(sorted: &[&RangeName], from: LogIndex) -> Option<LogIndex> {
    let (mut next, mut reached) = (from, None);
    for range in sorted {
        if range.first > next {
            break;
        }
        if range.last >= next {
            reached = Some(range.last);
            next = LogIndex(range.last.0.saturating_add(1));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bases: &[u64], ranges: &[(u64, u64)]) -> Vec<(u64, u64, bool)> {
        let name = |(first, last): &(u64, u64)| RangeName {
            first: LogIndex(*first),
            last: LogIndex(*last),
            chain: [0; 8],
        };
        let ranges: Vec<_> = ranges.iter().map(name).collect();
        let bases = bases.iter().copied().map(LogIndex).collect();
        let spans = spans(&bases, &ranges);
        spans.iter().map(|span| (span.first.0, span.last.0, span.base)).collect()
    }

    #[test]
    fn moments_begin_with_a_base_or_the_first_entry_and_end_at_a_gap() {
        assert_eq!(of(&[], &[(0, 4), (5, 9)]), [(0, 9, false)]);
        assert_eq!(of(&[], &[(3, 9)]), []);
        assert_eq!(of(&[6], &[(3, 9), (10, 12)]), [(6, 12, true)]);
        assert_eq!(of(&[4], &[(0, 4), (5, 9)]), [(0, 9, false)]);
        assert_eq!(of(&[4, 20], &[(0, 3), (5, 9)]), [(0, 3, false), (4, 9, true), (20, 20, true)]);
        assert_eq!(of(&[7], &[(0, 4), (6, 9)]), [(0, 4, false), (7, 9, true)]);
        assert_eq!(of(&[], &[(0, u64::MAX)]), [(0, u64::MAX, false)]);
        assert_eq!(of(&[u64::MAX], &[]), [(u64::MAX, u64::MAX, true)]);
    }
}
