//! What a session knows of the mailbox that it has selected. Pure: deltas of the
//! store go in, what the client is to be told comes out.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redoubt_log::id::{AccountId, LogIndex, ModSeq, Uid};
use redoubt_log::record::Keyword;
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::uids::UidSet;
use redoubt_store::view::{Mailbox, View};

use super::types::{MessageSet, Numbering, SequenceSet};

/// From one UID to another, both included. Only UIDs of the session's snapshot are meant.
pub(crate) type UidRange = (Uid, Uid);

/// A message sequence number that no message has (RFC 9051 section 6.4: BAD).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchNumber;

/// The selected mailbox as this session's client was told of it.
///
/// Invariants: `uids` are the messages that the client counts, so a message's sequence number is
/// its rank there; `withheld` are those of them that are gone and not yet told, `owed` those whose
/// flags are still to be told; every change up to `synced` was compared; HIGHESTMODSEQ is told as
/// [`Selected::highest_modseq`], which never passes what is withheld or owed.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) mailbox: MailboxRef,
    pub(crate) reader: AccountId,
    pub(crate) read_only: bool,
    /// The index that the mailbox is looked at; `None` is now. What was then does not change.
    pub(crate) past: Option<LogIndex>,
    pub(crate) keywords: Vec<Keyword>,
    uids: Arc<UidSet>,
    withheld: UidSet,
    owed: UidSet,
    recent: Arc<UidSet>,
    /// The saved result of a SEARCH (RFC 5182 section 2.1): of `uids` only.
    saved: Arc<UidSet>,
    synced: ModSeq,
    safe: ModSeq,
    own: Vec<(ModSeq, UidSet)>,
}

/// What happened in the store since a session looked last.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    pub(crate) highest: ModSeq,
    /// Live ones that are new or changed, by rising UID.
    pub(crate) changed: Vec<(Uid, ModSeq)>,
    pub(crate) vanished: Vec<Uid>,
    /// All that is there, where `vanished` could not be had.
    pub(crate) present: Option<UidSet>,
    pub(crate) keywords: Vec<Keyword>,
}

impl Delta {
    /// Reads it; `None` when the mailbox is gone. Blocks.
    pub(crate) fn read(
        view: &View,
        mailbox: MailboxRef,
        since: ModSeq,
    ) -> Result<Option<Self>, StoreError> {
        let MailboxRef { account, mailbox } = mailbox;
        let Some(now) = view.mailbox(account, mailbox)?.filter(|now| now.selectable) else {
            return Ok(None);
        };
        let mut delta =
            Self { highest: now.highest_modseq, keywords: now.keywords, ..Self::default() };
        if delta.highest > since {
            let changes = view.changed_since(account, mailbox, since)?;
            delta.changed = changes.changed;
            delta.vanished = changes.vanished;
            if !changes.complete {
                delta.present = Some(view.uids(account, mailbox)?);
            }
        }
        Ok(Some(delta))
    }
}

/// What the client is to be told, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Updates {
    /// Messages that go, by falling sequence number, so that each number holds when it is told.
    pub(crate) expunged: Vec<(u32, Uid)>,
    /// The number of messages, if it grew.
    pub(crate) exists: Option<u32>,
    /// Those of them that are recent.
    pub(crate) recent: Option<u32>,
    /// The mailbox has keywords that the client has not heard of.
    pub(crate) new_keywords: bool,
}

impl Selected {
    /// The mailbox as it is when it is selected.
    pub(crate) fn new(
        mailbox: MailboxRef,
        reader: AccountId,
        now: &Mailbox,
        uids: UidSet,
        read_only: bool,
    ) -> Self {
        Self {
            mailbox,
            reader,
            read_only,
            past: None,
            keywords: now.keywords.clone(),
            uids: Arc::new(uids),
            withheld: UidSet::default(),
            owed: UidSet::default(),
            recent: Arc::default(),
            saved: Arc::default(),
            synced: now.highest_modseq,
            safe: now.highest_modseq,
            own: Vec::new(),
        }
    }

    /// The mailbox as of an index: read-only.
    pub(crate) fn then(self, past: Option<LogIndex>) -> Self {
        Self { read_only: self.read_only || past.is_some(), past, ..self }
    }

    /// The messages that the client counts.
    pub(crate) fn uids(&self) -> &Arc<UidSet> {
        &self.uids
    }

    /// How many messages the client counts.
    pub(crate) fn exists(&self) -> u32 {
        self.uids.len()
    }

    /// The sequence number of a message.
    pub(crate) fn number(&self, uid: Uid) -> Option<u32> {
        self.uids.rank(uid)
    }

    /// Those that `\Recent` is shown for.
    pub(crate) fn recent(&self) -> &Arc<UidSet> {
        &self.recent
    }

    /// What `$` stands for.
    pub(crate) fn saved(&self) -> &Arc<UidSet> {
        &self.saved
    }

    /// `$` stands for these from now on.
    pub(crate) fn save(&mut self, found: UidSet) {
        self.saved = Arc::new(found);
    }

    /// Shows `\Recent` for all messages above `watermark`.
    pub(crate) fn mark_recent_above(&mut self, watermark: Option<Uid>) {
        let first = match watermark {
            None => Some(Uid::MIN),
            Some(mark) => mark.get().checked_add(1).and_then(Uid::new),
        };
        let Some(first) = first else { return };
        let mut new = self.uids.range(first, Uid::MAX).peekable();
        if new.peek().is_some() {
            let recent = Arc::make_mut(&mut self.recent);
            for uid in new {
                recent.insert(uid);
            }
        }
    }

    /// Where to read on from.
    pub(crate) fn synced(&self) -> ModSeq {
        self.synced
    }

    /// HIGHESTMODSEQ as the client may hear it.
    pub(crate) fn highest_modseq(&self) -> ModSeq {
        if self.owes() { self.safe } else { self.synced }
    }

    /// Whether there are expunges that the client has not heard of.
    pub(crate) fn withholds(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Whether there is anything that the client has not heard of.
    pub(crate) fn owes(&self) -> bool {
        self.withholds() || !self.owed.is_empty()
    }

    /// The first messages whose flags are to be told, rising.
    pub(crate) fn owed(&self, limit: usize) -> Vec<Uid> {
        self.owed.iter().take(limit).collect()
    }

    /// The flags of these were told, or they are gone.
    pub(crate) fn paid(&mut self, uids: &[Uid]) {
        for uid in uids {
            self.owed.remove(*uid);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if !self.owes() {
            self.safe = self.synced;
        }
    }

    /// The client was told, or knows, the flags that a message has at this MODSEQ: not to be
    /// told again.
    pub(crate) fn told(&mut self, uid: Uid, modseq: ModSeq) {
        match self.own.last_mut() {
            Some((last, uids)) if *last == modseq => {
                uids.insert(uid);
            }
            _ => {
                let mut uids = UidSet::default();
                uids.insert(uid);
                self.own.push((modseq, uids));
            }
        }
    }

    /// Whether the client was told the flags that a message had at this MODSEQ.
    pub(crate) fn knows(&self, uid: Uid, modseq: ModSeq) -> bool {
        let settled = modseq <= self.synced && !self.owed.contains(uid);
        settled || self.is_told(uid, modseq)
    }

    fn is_told(&self, uid: Uid, modseq: ModSeq) -> bool {
        self.own.iter().any(|(own, uids)| *own == modseq && uids.contains(uid))
    }

    /// Takes in what happened. Expunges are withheld unless they may be told now
    /// (RFC 9051 section 7.5.1).
    pub(crate) fn advance(&mut self, delta: Delta, may_expunge: bool) -> Updates {
        let mut updates = Updates::default();
        self.withhold(&delta);
        if self.withheld.is_empty() || may_expunge {
            updates.expunged = self.release();
        }
        // Before the new ones are counted: their flags are asked for when they are fetched.
        self.owe_flags(&delta.changed);
        if self.arrive(&delta.changed) {
            updates.exists = Some(self.exists());
        }
        updates.new_keywords = self.keywords != delta.keywords && delta.highest > self.synced;
        if updates.new_keywords {
            self.keywords = delta.keywords;
        }
        self.synced = self.synced.max(delta.highest);
        self.settle();
        self.own.clear();
        updates
    }

    fn withhold(&mut self, delta: &Delta) {
        for uid in delta.vanished.iter().filter(|uid| self.uids.contains(**uid)) {
            self.withheld.insert(*uid);
        }
        if let Some(present) = &delta.present {
            for uid in self.uids.iter().filter(|uid| !present.contains(*uid)) {
                self.withheld.insert(uid);
            }
        }
    }

    fn release(&mut self) -> Vec<(u32, Uid)> {
        let withheld = std::mem::take(&mut self.withheld);
        let numbered = |uid| self.uids.rank(uid).map(|number| (number, uid));
        let mut gone: Vec<_> = withheld.iter().filter_map(numbered).collect();
        gone.reverse();
        if !gone.is_empty() {
            let uids = Arc::make_mut(&mut self.uids);
            let recent = Arc::make_mut(&mut self.recent);
            for (_, uid) in &gone {
                uids.remove(*uid);
                recent.remove(*uid);
                self.owed.remove(*uid);
            }
            // RFC 5182 section 2.1: what is told as expunged leaves it.
            if gone.iter().any(|(_, uid)| self.saved.contains(*uid)) {
                let saved = Arc::make_mut(&mut self.saved);
                for (_, uid) in &gone {
                    saved.remove(*uid);
                }
            }
        }
        gone
    }

    /// New messages are above all that the client knows of.
    fn arrive(&mut self, changed: &[(Uid, ModSeq)]) -> bool {
        let last = self.uids.last();
        let mut arrived =
            changed.iter().filter(|(uid, _)| last.is_none_or(|l| *uid > l)).peekable();
        if arrived.peek().is_none() {
            return false;
        }
        let uids = Arc::make_mut(&mut self.uids);
        for (uid, _) in arrived {
            uids.insert(*uid);
        }
        true
    }

    fn owe_flags(&mut self, changed: &[(Uid, ModSeq)]) {
        for &(uid, modseq) in changed {
            if self.uids.contains(uid) && !self.is_told(uid, modseq) {
                self.owed.insert(uid);
            }
        }
    }

    /// The messages that a set means, as rising ranges of UIDs.
    ///
    /// # Errors
    /// A sequence number that no message has. UIDs that no message has are left out.
    pub(crate) fn targets(
        &self,
        set: &MessageSet,
        numbering: Numbering,
    ) -> Result<Vec<UidRange>, NoSuchNumber> {
        let numbered = match numbering {
            _ if set.numbers.ranges.is_empty() => Vec::new(),
            Numbering::Uid => self.uid_ranges(&set.numbers),
            Numbering::Sequence => self.number_ranges(&set.numbers)?,
        };
        match set.saved {
            true => Ok(self.runs(&numbered)),
            false => Ok(numbered),
        }
    }

    /// The saved messages and those of these ranges, as ranges.
    fn runs(&self, ranges: &[UidRange]) -> Vec<UidRange> {
        let mut meant = (*self.saved).clone();
        ranges.iter().flat_map(|(a, b)| self.uids.range(*a, *b)).for_each(|uid| {
            meant.insert(uid);
        });
        let mut runs: Vec<(Uid, Uid, u32)> = Vec::new();
        for uid in meant.iter() {
            let Some(number) = self.uids.rank(uid) else { continue };
            match runs.last_mut() {
                Some((_, last, at)) if *at + 1 == number => (*last, *at) = (uid, number),
                _ => runs.push((uid, uid, number)),
            }
        }
        runs.into_iter().map(|(first, last, _)| (first, last)).collect()
    }

    fn number_ranges(&self, set: &SequenceSet) -> Result<Vec<UidRange>, NoSuchNumber> {
        let exists = self.exists();
        let ranges = set.resolve(exists);
        // `*` of an empty mailbox resolves to nothing.
        if ranges.is_empty() || ranges.iter().any(|range| *range.end() > exists) {
            return Err(NoSuchNumber);
        }
        let uid = |number| self.uids.select(number).ok_or(NoSuchNumber);
        ranges.iter().map(|range| Ok((uid(*range.start())?, uid(*range.end())?))).collect()
    }

    fn uid_ranges(&self, set: &SequenceSet) -> Vec<UidRange> {
        let Some(last) = self.uids.last() else { return Vec::new() };
        let clip = |range: RangeInclusive<u32>| {
            let first = self.uids.range(uid(*range.start())?, last).next()?;
            let end = uid((*range.end()).min(last.get()))?;
            (first <= end).then_some((first, end))
        };
        set.resolve(last.get()).into_iter().filter_map(clip).collect()
    }

    /// Every message of the ranges.
    pub(crate) fn each(&self, ranges: &[UidRange]) -> Vec<Uid> {
        ranges.iter().flat_map(|(first, last)| self.uids.range(*first, *last)).collect()
    }

    /// The UIDs of the ranges, up to `highest`, that no message has: as a set's text.
    pub(crate) fn absent(&self, ranges: &[RangeInclusive<u32>], highest: u32) -> String {
        let mut gaps = Vec::new();
        for range in ranges {
            let (mut from, last) = (*range.start(), (*range.end()).min(highest));
            if let (Some(first), Some(last)) = (uid(from), uid(last)) {
                for present in self.uids.range(first, last) {
                    push_gap(&mut gaps, from, present.get() - 1);
                    from = present.get().saturating_add(1);
                }
            }
            push_gap(&mut gaps, from, last);
        }
        gaps.join(",")
    }
}

fn uid(number: u32) -> Option<Uid> {
    NonZeroU32::new(number).map(Uid)
}

fn push_gap(gaps: &mut Vec<String>, first: u32, last: u32) {
    match first.cmp(&last) {
        std::cmp::Ordering::Less => gaps.push(format!("{first}:{last}")),
        std::cmp::Ordering::Equal => gaps.push(first.to_string()),
        std::cmp::Ordering::Greater => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use redoubt_log::id::{MailboxId, UidValidity};
    use redoubt_store::search::{SetNumber, SetRange};

    fn uid(n: u32) -> Uid {
        Uid::new(n).unwrap()
    }

    fn selected(uids: &[u32]) -> Selected {
        let mut set = UidSet::default();
        for n in uids {
            set.insert(uid(*n));
        }
        let now = Mailbox {
            id: MailboxId(1),
            name: "INBOX".into(),
            parent: None,
            special_use: None,
            selectable: true,
            has_children: false,
            uid_validity: UidValidity::MIN,
            uid_next: 100,
            highest_modseq: ModSeq(10),
            messages: set.len(),
            unseen: 0,
            deleted: 0,
            size: 0,
            keywords: Vec::new(),
        };
        let mailbox = MailboxRef { account: AccountId(1), mailbox: MailboxId(1) };
        Selected::new(mailbox, AccountId(1), &now, set, false)
    }

    fn delta(highest: u64, changed: &[(u32, u64)], vanished: &[u32]) -> Delta {
        Delta {
            highest: ModSeq(highest),
            changed: changed.iter().map(|(u, m)| (uid(*u), ModSeq(*m))).collect(),
            vanished: vanished.iter().map(|u| uid(*u)).collect(),
            ..Delta::default()
        }
    }

    fn set(ranges: &[(u32, u32)]) -> MessageSet {
        let number = |n| NonZeroU32::new(n).map_or(SetNumber::Star, SetNumber::Number);
        let range = |&(a, b): &(u32, u32)| SetRange { first: number(a), last: number(b) };
        SequenceSet { ranges: ranges.iter().map(range).collect() }.into()
    }

    #[test]
    fn the_saved_result_loses_what_is_told_as_expunged() {
        let mut box_ = selected(&[3, 5, 9, 10]);
        let dollar = MessageSet::saved();
        let meant = |box_: &Selected, set| box_.targets(&set, Numbering::Sequence).unwrap();
        assert_eq!(meant(&box_, dollar.clone()), vec![]);
        box_.save([uid(3), uid(5), uid(10)].into_iter().collect());
        assert_eq!(meant(&box_, dollar.clone()), vec![(uid(3), uid(5)), (uid(10), uid(10))]);
        let both = MessageSet { saved: true, ..set(&[(3, 3)]) };
        assert_eq!(meant(&box_, both), vec![(uid(3), uid(10))]);
        box_.advance(delta(11, &[], &[5]), false);
        assert_eq!(box_.saved().len(), 3);
        box_.advance(delta(11, &[], &[]), true);
        assert_eq!(meant(&box_, dollar), vec![(uid(3), uid(3)), (uid(10), uid(10))]);
    }

    #[test]
    fn withheld_expunges_keep_numbers_and_highest_modseq() {
        let mut box_ = selected(&[3, 5, 9]);
        let told = box_.advance(delta(12, &[(9, 12), (11, 12)], &[5]), false);
        assert_eq!(told, Updates { exists: Some(4), ..Updates::default() });
        assert_eq!(box_.owed(10), vec![uid(9)]);
        box_.paid(&[uid(9)]);
        assert_eq!(box_.number(uid(9)), Some(3));
        assert_eq!(box_.highest_modseq(), ModSeq(10));
        let told = box_.advance(delta(12, &[], &[]), true);
        assert_eq!(told.expunged, vec![(2, uid(5))]);
        assert_eq!(box_.number(uid(9)), Some(2));
        assert_eq!(box_.highest_modseq(), ModSeq(12));
    }

    #[test]
    fn expunges_are_told_from_the_highest_down() {
        let mut box_ = selected(&[1, 2, 3, 4]);
        let told = box_.advance(delta(11, &[], &[1, 3, 4, 90]), true);
        assert_eq!(told.expunged, vec![(4, uid(4)), (3, uid(3)), (1, uid(1))]);
        assert_eq!((box_.exists(), told.exists), (1, None));
    }

    #[test]
    fn own_changes_are_not_told_twice_but_later_ones_are() {
        let mut box_ = selected(&[1, 2, 3]);
        box_.told(uid(1), ModSeq(11));
        box_.told(uid(2), ModSeq(11));
        assert!(box_.knows(uid(1), ModSeq(11)) && !box_.knows(uid(1), ModSeq(12)));
        box_.advance(delta(12, &[(1, 11), (2, 12), (3, 11)], &[]), false);
        assert_eq!(box_.owed(10), vec![uid(2), uid(3)]);
        assert!(box_.knows(uid(1), ModSeq(11)) && !box_.knows(uid(3), ModSeq(11)));
    }

    #[test]
    fn flags_that_could_not_be_told_are_owed_and_hold_highest_modseq_back() {
        let mut box_ = selected(&[1, 2, 3]);
        box_.advance(delta(12, &[(1, 11), (2, 12)], &[]), true);
        assert_eq!((box_.owed(1), box_.highest_modseq()), (vec![uid(1)], ModSeq(10)));
        // They could not be read. More happens meanwhile, and one of them goes.
        box_.advance(delta(14, &[(3, 14)], &[1]), true);
        assert_eq!(box_.owed(10), vec![uid(2), uid(3)]);
        assert_eq!(box_.highest_modseq(), ModSeq(10));
        box_.paid(&[uid(2)]);
        assert_eq!(box_.highest_modseq(), ModSeq(10));
        box_.paid(&[uid(3)]);
        assert_eq!((box_.owes(), box_.highest_modseq()), (false, ModSeq(14)));
    }

    #[test]
    fn an_incomplete_memory_is_made_good_by_comparing() {
        let mut box_ = selected(&[1, 2, 3]);
        let mut present = UidSet::default();
        present.insert(uid(2));
        let told = box_.advance(Delta { present: Some(present), ..delta(20, &[], &[]) }, true);
        assert_eq!(told.expunged, vec![(3, uid(3)), (1, uid(1))]);
    }

    #[test]
    fn sets_become_ranges_of_uids() {
        let box_ = selected(&[3, 5, 9, 10]);
        let numbers = |ranges: &[(u32, u32)]| box_.targets(&set(ranges), Numbering::Sequence);
        let uids = |ranges: &[(u32, u32)]| box_.targets(&set(ranges), Numbering::Uid).unwrap();
        assert_eq!(numbers(&[(1, 2), (4, 4)]), Ok(vec![(uid(3), uid(5)), (uid(10), uid(10))]));
        assert_eq!(numbers(&[(1, 5)]), Err(NoSuchNumber));
        assert_eq!(numbers(&[(0, 0)]), Ok(vec![(uid(10), uid(10))]));
        assert_eq!(uids(&[(4, 8)]), vec![(uid(5), uid(8))]);
        assert_eq!(uids(&[(6, 8)]), vec![]);
        assert_eq!(uids(&[(50, 0)]), vec![(uid(10), uid(10))]);
        assert_eq!(uids(&[(50, 60)]), vec![]);
        assert_eq!(box_.absent(&[1..=3, 5..=12], 11), "1:2,6:8,11");
        assert_eq!(box_.each(&[(uid(4), uid(9))]), vec![uid(5), uid(9)]);
        let empty = selected(&[]);
        assert_eq!(empty.targets(&set(&[(1, 0)]), Numbering::Sequence), Err(NoSuchNumber));
        assert_eq!(empty.targets(&set(&[(0, 0)]), Numbering::Sequence), Err(NoSuchNumber));
        assert_eq!(empty.targets(&set(&[(1, 0)]), Numbering::Uid), Ok(vec![]));
    }
}
