//! A compact set of UIDs with rank and select: IMAP's message sequence numbers.

use redoubt_log::id::Uid;

/// UIDs in rising order, as bitmaps of 1,024: a million take some 130 KB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidSet {}

impl UidSet {
    /// How many there are.
    pub fn len(&self) -> u32 {
        todo!()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds one; false if it was there.
    pub fn insert(&mut self, _uid: Uid) -> bool {
        todo!()
    }
    /// Removes one; false if it was not there.
    pub fn remove(&mut self, _uid: Uid) -> bool {
        todo!()
    }
    /// Whether it is there.
    pub fn contains(&self, _uid: Uid) -> bool {
        todo!()
    }
    /// The message sequence number (from 1) of a UID that is there.
    pub fn rank(&self, _uid: Uid) -> Option<u32> {
        todo!()
    }
    /// The UID with a message sequence number (from 1).
    pub fn select(&self, _sequence_number: u32) -> Option<Uid> {
        todo!()
    }
    /// The highest UID.
    pub fn last(&self) -> Option<Uid> {
        todo!()
    }
    /// Those from `first` to `last`, both included, rising.
    pub fn range(&self, _first: Uid, _last: Uid) -> impl Iterator<Item = Uid> + '_ {
        std::iter::empty()
    }
    /// All, rising.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.range(Uid::MIN, Uid::MAX)
    }
}
