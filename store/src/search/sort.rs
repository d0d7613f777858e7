//! SORT (RFC 5256 section 3, RFC 5957 section 3): what is compared, and in which order
//! messages come.

use std::cmp::Ordering;

use redoubt_log::id::Uid;

use super::sheet::{Column, Sheet};

/// Messages that are sorted without asking whether to stop: some milliseconds.
const STRETCH: usize = 32_768;

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

/// Messages that are sorted: what comes first is compared by a number at hand, and what is equal
/// by the others.
struct Sorting {
    items: Vec<(u64, u32)>,
    others: Vec<Vec<u64>>,
}

impl Sheet {
    /// Messages of the sheet (rising, all of them [`Sheet::standing`]), each by its place among
    /// them (from 0), in order; what is equal by all keys by its place, also under REVERSE (RFC
    /// 5256 section 3). `relevancy` is how well each matches, from 1 to 100; those that it lacks
    /// match well. `None` if it was stopped, which is asked now and then. Texts are compared as
    /// they were ranked by [`Sheet::rank`] after they had been added.
    pub fn order(
        &self,
        uids: &[Uid],
        relevancy: &[u8],
        criteria: &[SortCriterion],
        is_stopped: &dyn Fn() -> bool,
    ) -> Option<Vec<u32>> {
        // A key that comes again says nothing new.
        let mut asked: Vec<SortCriterion> = Vec::new();
        for criterion in criteria {
            if asked.iter().all(|have| have.key != criterion.key) {
                asked.push(*criterion);
            }
        }
        let rows = |heads: bool| match asked.iter().any(|asked| asked.asks_header() == heads) {
            true => self.rows(uids, heads),
            false => Vec::new(),
        };
        let (plain, heads) = (rows(false), rows(true));
        let keys = asked.iter().map(|criterion| {
            let keys = match criterion.key.column() {
                Some(column) if criterion.asks_header() => self.column(column, &heads),
                Some(column) => self.column(column, &plain),
                None => by_relevancy(uids.len(), relevancy),
            };
            if criterion.reverse { keys.into_iter().map(|key| !key).collect() } else { keys }
        });
        Sorting::new(uids.len(), keys).order(is_stopped)
    }
}

impl SortKey {
    /// `None` for what is no part of a message.
    fn column(self) -> Option<Column> {
        Some(match self {
            Self::Arrival => Column::Received,
            Self::Cc => Column::Cc,
            Self::Date => Column::Sent,
            Self::From => Column::From,
            Self::Size => Column::Size,
            Self::Subject => Column::Subject,
            Self::To => Column::To,
            Self::DisplayFrom => Column::DisplayFrom,
            Self::DisplayTo => Column::DisplayTo,
            Self::Relevancy => return None,
        })
    }
}

fn by_relevancy(len: usize, scores: &[u8]) -> Vec<u64> {
    let score = |at| scores.get(at).copied().unwrap_or(100);
    (0..len).map(|at| u64::from(u8::MAX - score(at))).collect()
}

impl Sorting {
    fn new(len: usize, mut keys: impl Iterator<Item = Vec<u64>>) -> Self {
        let first = keys.next().unwrap_or_else(|| vec![0; len]);
        Self { items: first.into_iter().zip(0..).collect(), others: keys.collect() }
    }

    fn order(self, is_stopped: &dyn Fn() -> bool) -> Option<Vec<u32>> {
        let Self { mut items, others } = self;
        let compare = |a: &(u64, u32), b: &(u64, u32)| {
            a.0.cmp(&b.0).then_with(|| rest(&others, a.1, b.1)).then(a.1.cmp(&b.1))
        };
        let mut width = STRETCH;
        for stretch in items.chunks_mut(width) {
            if is_stopped() {
                return None;
            }
            stretch.sort_unstable_by(compare);
        }
        while width < items.len() {
            width = width.saturating_mul(2);
            for stretch in items.chunks_mut(width) {
                if is_stopped() {
                    return None;
                }
                // Of two halves that are sorted the library's stable sort only merges.
                stretch.sort_by(compare);
            }
        }
        Some(items.into_iter().map(|(_, place)| place).collect())
    }
}

fn rest(keys: &[Vec<u64>], a: u32, b: u32) -> Ordering {
    let orders = keys.iter().map(|keys| keys.get(a as usize).cmp(&keys.get(b as usize)));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use redoubt_log::id::Timestamp;

    use super::super::{Facts, Head};
    use super::*;
    use crate::mime::Outline;

    fn by(key: SortKey, reverse: bool) -> SortCriterion {
        SortCriterion { key, reverse }
    }

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn sheet(messages: &[(i64, u64, &str)]) -> (Sheet, Vec<Uid>) {
        let mut sheet = Sheet::default();
        let mut uids = Vec::new();
        for (number, (received, size, subject)) in (1..).zip(messages) {
            let outline = Outline { subject: (*subject).to_owned(), ..Outline::default() };
            let (received, head) = (Timestamp(*received), Head::Read(&outline));
            uids.push(uid(number));
            sheet.add(&[Facts { uid: uid(number), received, size: *size, head }]).unwrap();
        }
        sheet.rank();
        (sheet, uids)
    }

    fn sorted(criteria: &[SortCriterion], messages: &[(i64, u64, &str)]) -> Vec<u32> {
        let (sheet, uids) = sheet(messages);
        sheet.order(&uids, &[], criteria, &|| false).unwrap()
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
        assert_eq!(sorted(&[by(SortKey::Arrival, false)], &[(1, 0, ""), (-1, 0, "")]), [1, 0]);
    }

    #[test]
    fn only_those_that_are_asked_for_are_sorted_the_best_first() {
        let (sheet, uids) = sheet(&SOME);
        let some = &uids[1..];
        let order = |scores: &[u8], criteria: &[SortCriterion]| {
            sheet.order(some, scores, criteria, &|| false).unwrap()
        };
        let best = by(SortKey::Relevancy, false);
        assert_eq!(order(&[7, 90, 7], &[best]), [1, 0, 2]);
        assert_eq!(order(&[7], &[best, by(SortKey::Size, false)]), [2, 1, 0]);
    }

    #[test]
    fn many_are_sorted_in_stretches_and_stop_when_they_are_told() {
        let (mut sheet, mut uids, mut all) = (Sheet::default(), Vec::new(), Vec::new());
        let mut facts = Vec::new();
        let mut dice = 7_u64;
        for place in 0..5 * STRETCH as u32 + 3 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (size, received) = (dice >> 54, (dice >> 40) as i64 % 50);
            all.push((size, -received, place));
            uids.push(uid(place + 1));
            let received = Timestamp(received);
            facts.push(Facts { uid: uid(place + 1), received, size, head: Head::Unasked });
        }
        sheet.add(&facts).unwrap();
        all.sort_unstable();
        let places: Vec<u32> = all.into_iter().map(|(.., place)| place).collect();
        let criteria = [by(SortKey::Size, false), by(SortKey::Arrival, true)];
        assert_eq!(sheet.order(&uids, &[], &criteria, &|| false).unwrap(), places);
        for looks in 0..9_u32 {
            let left = std::cell::Cell::new(looks);
            let is_stopped = || left.replace(left.get().saturating_sub(1)) == 0;
            assert_eq!(sheet.order(&uids, &[], &criteria, &is_stopped), None, "{looks}");
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
