//! What a large mailbox's history says of a past index, read by several threads: each
//! has UIDs of its own, so that what they find is put side by side.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread::Builder;

use redoubt_log::id::{AccountId, MailboxId, Uid};
use redoubt_log::record::Flags;

use super::{KeyRange, Object, StorageError, View};
use crate::keys::{CHUNK_UIDS, chunk_of};
use crate::rows::UidChunk;
use crate::storage::successor;
use crate::uids::UidSet;

/// From so many UIDs on more than one thread is worth its beginning.
const LARGE: u32 = 8_192;
/// The most threads that read for one who asks.
const MOST: usize = 4;

/// A part of the UID map, by the numbers of its chunks.
type Chunks = BTreeMap<u32, UidChunk>;

/// The first and the last UID of a part.
type Part = (Uid, Uid);

impl View {
    /// The UID map as it was, as far as the history says it: of these UIDs, or of all.
    pub(super) fn uid_map_of_history(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        touched: Option<&UidSet>,
    ) -> Result<Chunks, StorageError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let parts = match touched.filter(|touched| touched.len() >= LARGE) {
            Some(touched) => parts_of(touched, threads),
            None => vec![(Uid::MIN, Uid::MAX)],
        };
        self.uid_map_in_parts(account, mailbox, touched, &parts)
    }

    fn uid_map_in_parts(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        touched: Option<&UidSet>,
        parts: &[Part],
    ) -> Result<Chunks, StorageError> {
        let read = |part: Part| self.uid_map_between(account, mailbox, touched, part);
        let Some((own, others)) = parts.split_first() else { return Ok(Chunks::new()) };
        std::thread::scope(|scope| {
            let begin = |part: &Part| {
                let part = *part;
                let thread = Builder::new().name("history".into());
                (part, thread.spawn_scoped(scope, move || read(part)).ok())
            };
            let others: Vec<_> = others.iter().map(begin).collect();
            let mut chunks = read(*own)?;
            for (part, thread) in others {
                chunks.append(&mut match thread {
                    Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic))?,
                    None => read(part)?,
                });
            }
            Ok(chunks)
        })
    }

    fn uid_map_between(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        touched: Option<&UidSet>,
        (first, last): Part,
    ) -> Result<Chunks, StorageError> {
        let range = KeyRange {
            from: Object::Placement(account, mailbox, first).bytes(),
            to: successor(&Object::Placement(account, mailbox, last).bytes()),
        };
        let behind = |uid: Uid| match touched {
            Some(touched) => touched.first_from(uid),
            None => Some(uid),
        };
        let mut chunks = Chunks::new();
        self.placements_of_history(account, mailbox, &range, &behind, &mut |uid, version| {
            let chunk = chunks.entry(chunk_of(uid)).or_default();
            chunk.present.set(uid, true);
            chunk.seen.set(uid, version.flags.contains(Flags::SEEN));
            chunk.deleted.set(uid, version.flags.contains(Flags::DELETED));
            Ok(true)
        })?;
        Ok(chunks)
    }
}

/// Parts with about as many of these UIDs each; no chunk of the UID map is in two.
fn parts_of(touched: &UidSet, threads: usize) -> Vec<Part> {
    let threads = u32::try_from(threads).unwrap_or(1).max(1);
    let share = touched.len().div_ceil(threads);
    let ends = (1..threads).filter_map(|n| touched.select(n.saturating_mul(share)));
    let (mut parts, mut first) = (Vec::new(), Uid::MIN);
    for end in ends {
        let next = chunk_of(end).saturating_add(1).saturating_mul(CHUNK_UIDS);
        let (Some(last), Some(next)) = (Uid::new(next.saturating_sub(1)), Uid::new(next)) else {
            continue;
        };
        if first < last {
            parts.push((first, last));
            first = next;
        }
    }
    parts.push((first, Uid::MAX));
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use redoubt_log::id::{EmailId, LogIndex, ModSeq, Sequence, Term, Timestamp};

    use super::*;
    use crate::keys::Key;
    use crate::rows::{Bits, PlacementVersion, Version};
    use crate::storage::{APPLIED_KEY, Applied, MemStorage, Storage, Table, Write, encode};

    fn set(uids: impl Iterator<Item = u32>) -> UidSet {
        let mut set = UidSet::default();
        uids.for_each(|uid| assert!(set.insert(Uid::new(uid).unwrap())));
        set
    }

    #[test]
    fn parts_are_side_by_side_and_share_no_chunk() {
        let dense = set(1..=100_000);
        let sparse = set((1..5_000).map(|n| n * 800_000));
        let one = set(7..9);
        for (uids, threads, least) in
            [(&dense, 1, 1), (&dense, 2, 2), (&dense, 4, 4), (&sparse, 4, 4), (&one, 4, 1)]
        {
            let parts = parts_of(uids, threads);
            assert!((least..=threads).contains(&parts.len()), "{parts:?}");
            assert_eq!(parts.first().unwrap().0, Uid::MIN);
            assert_eq!(parts.last().unwrap().1, Uid::MAX);
            for pair in parts.windows(2) {
                let [(_, last), (next, _)] = pair else { unreachable!() };
                assert_eq!(last.get() + 1, next.get());
                assert_ne!(chunk_of(*last), chunk_of(*next));
            }
            for (first, last) in &parts[..parts.len() - 1] {
                let share = uids.range(*first, *last).count() as u32;
                assert!(share.abs_diff(uids.len() / threads as u32) <= CHUNK_UIDS, "{share}");
            }
        }
    }

    const WHO: AccountId = AccountId(1);
    const WHERE: MailboxId = MailboxId(2);

    /// 5,000 UIDs: all there from 10 on, each third seen at 20, each seventh gone at 30.
    fn history() -> View {
        let mut rows = Vec::new();
        let mut write = |key: Key<'_>, value| {
            rows.push(Write { table: key.table(), key: key.bytes(), value: Some(value) });
        };
        for uid in 1..=5_000_u32 {
            let object = Object::Placement(WHO, WHERE, Uid::new(uid).unwrap());
            let version = |flags| {
                let email = EmailId { sequence: Sequence(1), ordinal: uid };
                let saved = Timestamp(0);
                let (keywords, modseq) = (Vec::new(), ModSeq(1));
                let version = PlacementVersion { email, saved, flags, keywords, modseq };
                Version::encode(Some(&encode(&version).unwrap()))
            };
            write(Key::History(&object, LogIndex(10)), version(Flags::default()));
            if uid % 3 == 0 {
                write(Key::History(&object, LogIndex(20)), version(Flags::SEEN));
            }
            if uid % 7 == 0 {
                write(Key::History(&object, LogIndex(30)), Version::encode(None));
            }
        }
        let applied = Applied { index: LogIndex(40), term: Term(1), time: Timestamp(0) };
        let (table, key) = (Table::Meta, APPLIED_KEY.to_vec());
        rows.push(Write { table, key, value: Some(encode(&applied).unwrap()) });
        let mut storage = MemStorage::new();
        storage.write(rows).unwrap();
        View::new(Arc::new(storage)).unwrap()
    }

    #[test]
    fn parts_find_together_what_one_finds_alone() {
        let view = history();
        let even = set((1..=2_500).map(|n| 2 * n));
        for (index, seen, gone) in [(5, 0, 5_000), (15, 0, 0), (25, 1_666, 0), (35, 1_428, 714)] {
            let then = view.at(LogIndex(index));
            for touched in [None, Some(&even)] {
                let read =
                    |parts: &[Part]| then.uid_map_in_parts(WHO, WHERE, touched, parts).unwrap();
                let alone = read(&[(Uid::MIN, Uid::MAX)]);
                for threads in 2..=4 {
                    let parts = parts_of(touched.unwrap_or(&even), threads);
                    assert_eq!(parts.len(), threads);
                    assert_eq!(read(&parts), alone);
                }
                let count = |bits: fn(&UidChunk) -> Bits| -> u32 {
                    let words = alone.values().flat_map(|chunk| bits(chunk).0);
                    words.map(u64::count_ones).sum()
                };
                if touched.is_none() {
                    assert_eq!(count(|chunk| chunk.present), 5_000 - gone);
                    assert_eq!(count(|chunk| chunk.seen), seen);
                }
                assert_eq!(count(|chunk| chunk.deleted), 0);
            }
        }
    }
}
