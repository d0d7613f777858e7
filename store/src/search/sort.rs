//! SORT (RFC 5256 section 3, RFC 5957 section 3): what is compared, and in which order
//! messages come.

use std::cmp::Ordering;

use redoubt_log::id::Timestamp;

use super::TooMuch;
use crate::mime::Outline;

/// Octets of texts that one SORT compares. A million subjects are a fifth of it.
pub const MAX_SORT_TEXT: usize = 256 << 20;

/// Messages that are sorted without asking whether to stop.
const STRETCH: usize = 8192;

/// What messages are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// INTERNALDATE
    Arrival,
    /// The local part of the first address of Cc.
    Cc,
    /// The sent date.
    Date,
    /// The local part of the first address of From.
    From,
    /// RFC822.SIZE
    Size,
    /// The base subject.
    Subject,
    /// The local part of the first address of To.
    To,
    /// The displayed name of the first address of From (RFC 5957).
    DisplayFrom,
    /// Of To.
    DisplayTo,
    /// How well FUZZY's strings are there, the best first (RFC 6203 section 5).
    Relevancy,
}

/// A key and its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SortCriterion {
    /// By what.
    pub key: SortKey,
    /// From the highest down.
    pub reverse: bool,
}

impl SortCriterion {
    /// Whether a message's header has to be known.
    pub fn asks_header(self) -> bool {
        !matches!(self.key, SortKey::Arrival | SortKey::Size | SortKey::Relevancy)
    }
}

/// A message that is sorted.
#[derive(Debug, Clone, Copy)]
pub struct Sorted<'a> {
    /// INTERNALDATE.
    pub received: Timestamp,
    /// RFC822.SIZE.
    pub size: u64,
    /// What its header says; empty where no key asks for it.
    pub outline: &'a Outline,
    /// How well it matches: from 1 to 100.
    pub relevancy: u8,
}

/// Messages in the order of their sequence numbers, and what is compared of them: a column for
/// each key, a fraction of what the messages are.
#[derive(Debug)]
pub struct Sorting {
    criteria: Vec<(SortCriterion, Column)>,
    len: u32,
    octets: usize,
}

#[derive(Debug)]
enum Column {
    Numbers(Vec<i64>),
    Texts { octets: Vec<u8>, ends: Vec<u32> },
}

impl Sorting {
    /// Nothing yet, to be sorted by these. A key that comes again says nothing new.
    pub fn new(criteria: &[SortCriterion]) -> Self {
        let mut kept: Vec<(SortCriterion, Column)> = Vec::new();
        for criterion in criteria {
            if kept.iter().all(|(have, _)| have.key != criterion.key) {
                kept.push((*criterion, Column::of(criterion.key)));
            }
        }
        Self { criteria: kept, len: 0, octets: 0 }
    }

    /// Adds the message of the next sequence number.
    ///
    /// # Errors
    /// More than [`MAX_SORT_TEXT`] octets of text.
    pub fn push(&mut self, message: Sorted<'_>) -> Result<(), TooMuch> {
        for (criterion, column) in &mut self.criteria {
            self.octets += column.push(criterion.key, message);
        }
        self.len += 1;
        if self.octets > MAX_SORT_TEXT { Err(TooMuch) } else { Ok(()) }
    }

    /// What it takes in memory, about, with what ordering takes.
    pub fn memory(&self) -> usize {
        self.octets + self.len as usize * (8 + 8 * self.criteria.len())
    }

    /// The messages, each by its place among those that were added (from 0), in order; what is
    /// equal by all keys by its place, also under REVERSE (RFC 5256 section 3). `None` if it was
    /// stopped, which is asked now and then.
    pub fn order(&self, is_stopped: &dyn Fn() -> bool) -> Option<Vec<u32>> {
        let mut order: Vec<u32> = (0..self.len).collect();
        let mut width = STRETCH;
        loop {
            for stretch in order.chunks_mut(width) {
                if is_stopped() {
                    return None;
                }
                // Of two halves that are sorted the library's sort only merges.
                stretch.sort_by(|a, b| self.compare(*a, *b));
            }
            if width >= order.len() {
                return Some(order);
            }
            width = width.saturating_mul(2);
        }
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let orders = self.criteria.iter().map(|(criterion, column)| {
            let order = column.compare(a, b);
            if criterion.reverse { order.reverse() } else { order }
        });
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Column {
    fn of(key: SortKey) -> Self {
        match key {
            SortKey::Arrival | SortKey::Date | SortKey::Size | SortKey::Relevancy => {
                Self::Numbers(Vec::new())
            }
            _ => Self::Texts { octets: Vec::new(), ends: Vec::new() },
        }
    }

    /// The octets that it took.
    fn push(&mut self, key: SortKey, message: Sorted<'_>) -> usize {
        match self {
            Self::Numbers(numbers) => {
                numbers.push(number(key, message));
                0
            }
            Self::Texts { octets, ends } => {
                let text = text(key, message.outline).as_bytes();
                octets.extend_from_slice(text);
                ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
                text.len()
            }
        }
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        match self {
            Self::Numbers(numbers) => numbers.get(a as usize).cmp(&numbers.get(b as usize)),
            Self::Texts { octets, ends } => piece(octets, ends, a).cmp(piece(octets, ends, b)),
        }
    }
}

fn number(key: SortKey, message: Sorted<'_>) -> i64 {
    match key {
        SortKey::Size => i64::try_from(message.size).unwrap_or(i64::MAX),
        SortKey::Relevancy => -i64::from(message.relevancy),
        // RFC 5256 section 2.2
        SortKey::Date => message.outline.sent.unwrap_or(message.received).0,
        _ => message.received.0,
    }
}

fn text(key: SortKey, outline: &Outline) -> &str {
    match key {
        SortKey::Cc => &outline.cc,
        SortKey::From => &outline.from,
        SortKey::To => &outline.to,
        SortKey::DisplayFrom => &outline.display_from,
        SortKey::DisplayTo => &outline.display_to,
        _ => &outline.subject,
    }
}

fn piece<'a>(octets: &'a [u8], ends: &[u32], at: u32) -> &'a [u8] {
    let end = |at: usize| ends.get(at).map_or(0, |end| *end as usize);
    let at = at as usize;
    let start = at.checked_sub(1).map_or(0, end);
    octets.get(start..end(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(key: SortKey, reverse: bool) -> SortCriterion {
        SortCriterion { key, reverse }
    }

    fn sorted(criteria: &[SortCriterion], messages: &[(i64, u64, &str)]) -> Vec<u32> {
        let mut sorting = Sorting::new(criteria);
        for (received, size, subject) in messages {
            let outline = Outline { subject: (*subject).to_owned(), ..Outline::default() };
            let message = Sorted {
                received: Timestamp(*received),
                size: *size,
                outline: &outline,
                relevancy: 100,
            };
            sorting.push(message).unwrap();
        }
        sorting.order(&|| false).unwrap()
    }

    const SOME: [(i64, u64, &str); 4] = [(5, 10, "B"), (5, 30, "A"), (4, 30, ""), (9, 20, "B")];

    #[test]
    fn keys_decide_one_after_the_other() {
        assert_eq!(sorted(&[by(SortKey::Arrival, false)], &SOME), [2, 0, 1, 3]);
        assert_eq!(
            sorted(&[by(SortKey::Subject, false), by(SortKey::Size, true)], &SOME),
            [2, 1, 3, 0]
        );
        // Without a Date that reads it is INTERNALDATE.
        assert_eq!(sorted(&[by(SortKey::Date, true)], &SOME), [3, 0, 1, 2]);
    }

    #[test]
    fn many_are_sorted_in_stretches_and_stop_when_they_are_told() {
        let mut sorting = Sorting::new(&[by(SortKey::Size, false), by(SortKey::Arrival, true)]);
        let mut all = Vec::new();
        let mut dice = 7_u64;
        for place in 0..5 * STRETCH as u32 + 3 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (size, received) = (dice >> 54, (dice >> 40) as i64 % 50);
            all.push((size, -received, place));
            let outline = Outline::default();
            let received = Timestamp(received);
            let message = Sorted { received, size, outline: &outline, relevancy: 100 };
            sorting.push(message).unwrap();
        }
        all.sort_unstable();
        let places: Vec<u32> = all.into_iter().map(|(.., place)| place).collect();
        assert_eq!(sorting.order(&|| false).unwrap(), places);
        for looks in 0..9_u32 {
            let left = std::cell::Cell::new(looks);
            let is_stopped = || left.replace(left.get().saturating_sub(1)) == 0;
            assert_eq!(sorting.order(&is_stopped), None, "{looks}");
        }
    }

    #[test]
    fn equal_ones_stay_in_sequence_also_in_reverse() {
        assert_eq!(sorted(&[by(SortKey::Subject, true)], &SOME), [0, 3, 1, 2]);
        assert_eq!(sorted(&[by(SortKey::Size, true)], &SOME), [1, 2, 3, 0]);
        let twice = [by(SortKey::Size, true), by(SortKey::Size, false)];
        assert_eq!(sorted(&twice, &SOME), [1, 2, 3, 0]);
        assert_eq!(sorted(&[], &SOME), [0, 1, 2, 3]);
    }
}
