//! Which row of a sheet is whose.

use redoubt_log::id::Uid;

/// A row that is not there.
pub(super) const NONE: u32 = u32::MAX;

/// Of so many rows to one that is asked for they are not all gone through.
const SPARSE: usize = 16;

/// Rows by UID, rising.
#[derive(Debug, Default)]
pub(super) struct Places {
    uids: Vec<Uid>,
    rows: Vec<u32>,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.uids.len()
    }

    pub(super) fn memory(&self) -> usize {
        4 * (self.uids.capacity() + self.rows.capacity())
    }

    pub(super) fn has(&self, uid: Uid) -> bool {
        self.uids.last().is_some_and(|last| *last >= uid) && self.uids.binary_search(&uid).is_ok()
    }

    /// Rows of UIDs that have none yet; both rise. Mostly they are behind all others.
    pub(super) fn add(&mut self, new: &[(Uid, u32)]) {
        let Some((first, _)) = new.first() else { return };
        let behind = self.uids.partition_point(|uid| uid < first);
        let (uids, rows) = (self.uids.split_off(behind), self.rows.split_off(behind));
        let mut old = uids.into_iter().zip(rows).peekable();
        for (uid, row) in new {
            while let Some((uid, row)) = old.next_if(|(other, _)| other < uid) {
                self.push(uid, row);
            }
            self.push(*uid, *row);
        }
        old.for_each(|(uid, row)| self.push(uid, row));
    }

    fn push(&mut self, uid: Uid, row: u32) {
        self.uids.push(uid);
        self.rows.push(row);
    }

    /// Another row for a UID that has one.
    pub(super) fn change(&mut self, uid: Uid, row: u32) {
        if let Ok(at) = self.uids.binary_search(&uid)
            && let Some(to) = self.rows.get_mut(at)
        {
            *to = row;
        }
    }

    /// The row of each of these (rising), or [`NONE`].
    pub(super) fn rows_of(&self, wanted: &[Uid]) -> Vec<u32> {
        let row = |at: usize| self.rows.get(at).copied().unwrap_or(NONE);
        if wanted.len() * SPARSE < self.uids.len() {
            let found = |uid| self.uids.binary_search(uid).map_or(NONE, row);
            return wanted.iter().map(found).collect();
        }
        let mut at = 0;
        let next = |uid: &Uid| {
            while self.uids.get(at).is_some_and(|other| other < uid) {
                at += 1;
            }
            if self.uids.get(at) == Some(uid) { row(at) } else { NONE }
        };
        wanted.iter().map(next).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_uid_has_its_row_whatever_came_first(
            batches in prop::collection::vec(prop::collection::btree_set(1..200_u32, 0..40), 0..6),
            wanted in prop::collection::btree_set(1..200_u32, 0..60),
        ) {
            let (mut places, mut plain, mut row) = (Places::default(), BTreeMap::new(), 0);
            for batch in batches {
                let mut new = Vec::new();
                for uid in batch.into_iter().map(|uid| Uid::new(uid).unwrap()) {
                    if let Entry::Vacant(place) = plain.entry(uid) {
                        place.insert(row);
                        new.push((uid, row));
                        row += 1;
                    }
                }
                places.add(&new);
            }
            let wanted: Vec<Uid> = wanted.into_iter().map(|uid| Uid::new(uid).unwrap()).collect();
            let row = |uid: &Uid| plain.get(uid).copied().unwrap_or(NONE);
            prop_assert_eq!(places.rows_of(&wanted), wanted.iter().map(row).collect::<Vec<_>>());
            for uid in &wanted {
                prop_assert_eq!(places.has(*uid), plain.contains_key(uid));
                prop_assert_eq!(places.rows_of(&[*uid]), vec![row(uid)]);
            }
        }
    }
}
