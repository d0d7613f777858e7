//! Sets of message numbers with `*` (RFC 9051 section 9, sequence-set).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// A number of a set: message sequence number or UID, as the command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetNumber {
    /// A number; no message has 0.
    Number(NonZeroU32),
    /// `*`: the highest in use.
    Star,
}

impl SetNumber {
    /// The number it stands for when `highest` is the highest in use (0 when there is none).
    pub fn resolve(self, highest: u32) -> u32 {
        match self {
            Self::Number(number) => number.get(),
            Self::Star => highest,
        }
    }
}

impl fmt::Display for SetNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Star => f.write_str("*"),
        }
    }
}

/// From one number to another, both included, in either order; a single number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetRange {
    /// As written before the colon.
    pub first: SetNumber,
    /// As written behind it.
    pub last: SetNumber,
}

impl SetRange {
    /// The numbers that it stands for; empty when it is only `*` and nothing is there.
    pub fn resolve(self, highest: u32) -> RangeInclusive<u32> {
        let (first, last) = (self.first.resolve(highest), self.last.resolve(highest));
        first.min(last).max(1)..=first.max(last)
    }
}

impl fmt::Display for SetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.first == self.last { Ok(()) } else { write!(f, ":{}", self.last) }
    }
}

/// One range or more, as written. Whether it holds message sequence numbers or
/// UIDs is said by what it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SequenceSet {
    /// As written: in any order, overlapping too.
    pub ranges: Vec<SetRange>,
}

impl SequenceSet {
    /// One range.
    pub fn range(first: SetNumber, last: SetNumber) -> Self {
        Self { ranges: vec![SetRange { first, last }] }
    }

    /// `1:*`
    pub fn all() -> Self {
        Self::range(SetNumber::Number(NonZeroU32::MIN), SetNumber::Star)
    }

    /// Rising ranges that do not touch, when `highest` is the highest number in
    /// use (0 when there is none). They may reach above `highest`.
    pub fn resolve(&self, highest: u32) -> Vec<RangeInclusive<u32>> {
        let resolved = self.ranges.iter().map(|range| range.resolve(highest));
        let mut ranges: Vec<_> = resolved.filter(|range| !range.is_empty()).collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u32>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        merged
    }

    /// Whether `number` is in it, when `highest` is the highest number in use.
    pub fn contains(&self, number: u32, highest: u32) -> bool {
        self.ranges.iter().any(|range| range.resolve(highest).contains(&number))
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            range.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(n: u32) -> SetNumber {
        SetNumber::Number(NonZeroU32::new(n).unwrap())
    }

    fn set(ranges: &[(SetNumber, SetNumber)]) -> SequenceSet {
        let ranges = ranges.iter().map(|&(first, last)| SetRange { first, last }).collect();
        SequenceSet { ranges }
    }

    #[test]
    fn ranges_are_sorted_and_joined() {
        let set = set(&[
            (number(9), number(7)),
            (number(2), number(2)),
            (number(3), number(4)),
            (number(8), SetNumber::Star),
        ]);
        assert_eq!(set.to_string(), "9:7,2,3:4,8:*");
        assert_eq!(set.resolve(12), vec![2..=4, 7..=12]);
        assert!(set.contains(12, 12) && !set.contains(5, 12));
    }

    #[test]
    fn star_is_the_highest_even_below_the_other_end() {
        // RFC 9051 section 6.4.9: 559:* always includes the highest UID.
        assert_eq!(set(&[(number(559), SetNumber::Star)]).resolve(10), vec![10..=559]);
        assert_eq!(set(&[(SetNumber::Star, SetNumber::Star)]).resolve(0), vec![]);
        assert_eq!(SequenceSet::all().resolve(0), vec![1..=1]);
    }

    #[test]
    fn the_largest_number_is_a_number_like_others() {
        let set = set(&[(number(u32::MAX), number(u32::MAX)), (number(1), number(u32::MAX))]);
        assert_eq!(set.resolve(3), vec![1..=u32::MAX]);
    }
}
