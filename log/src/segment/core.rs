//! What a log knows in memory: the tail, what is promised, what is durable.
//!
//! Invariants: `tip` is the log as its callers see it, `written` as the disk has
//! it; the queue leads from the one to the other. The tail ends with `tip.last`
//! and holds at least every entry that is not durable. `durable` never names an
//! entry that a truncation has dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::file::SegmentFile;
use super::format::{Run, State};
use super::recovery::{Found, Segment};
use super::scan::leaf_of;
use super::types::SegmentStats;
use super::{Done, LogEntry, LogError, LogId, NewEntry};
use crate::chain::Head;
use crate::disk::Space;
use crate::id::{Hash, LogIndex};

/// What an entry in memory is taken to cost beside its payload.
const ENTRY_OVERHEAD: usize = 160;

/// An entry of the tail.
#[derive(Debug, Clone)]
pub(super) struct Tailed {
    pub(super) entry: LogEntry,
    pub(super) leaf: Hash,
}

impl Tailed {
    fn cost(&self) -> usize {
        self.entry.payload.len() + ENTRY_OVERHEAD
    }
}

/// Something for the writer to do.
pub(super) enum Work {
    /// Entries, and the head after the last of them.
    Append(Vec<LogEntry>, Head),
    Vote(Bytes),
    Truncate {
        last: Option<LogId>,
        head: Head,
    },
    Purge {
        upto: LogId,
        head: Head,
    },
    Reset {
        last: LogId,
        head: Head,
    },
}

pub(super) struct Task {
    pub(super) work: Work,
    pub(super) done: Done,
    /// Its place among all tasks.
    pub(super) number: u64,
}

pub(super) struct Core {
    pub(super) tip: State,
    tail: VecDeque<Tailed>,
    tail_cost: usize,
    /// The head before the tail's first entry.
    tail_head: Head,
    pub(super) durable: Option<LogId>,
    pub(super) queue: VecDeque<Task>,
    next_task: u64,
    /// Truncations and resets that are not durable yet: task and last entry left.
    cuts: VecDeque<(u64, Option<LogId>)>,
    /// The oldest first; the last is written to.
    pub(super) segments: Vec<Segment>,
    /// The end of the last synced batch in that last segment.
    pub(super) written_to: u64,
    pub(super) spare: Option<Arc<SegmentFile>>,
    /// The next segment is being made ahead.
    pub(super) making_spare: bool,
    /// When the next segment could not be made ahead.
    pub(super) spare_failed: Option<Instant>,
    pub(super) committed_changed: bool,
    /// Whether the next batch is to begin a segment.
    pub(super) seal_wanted: bool,
    pub(super) closing: bool,
    pub(super) poison: Option<Arc<str>>,
    pub(super) stats: SegmentStats,
    pub(super) sync_began: Option<Instant>,
    /// The room on the disk when it was asked for last, and when that was.
    pub(super) room: Option<(Space, Instant)>,
}

impl Core {
    pub(super) fn new(found: &Found) -> Self {
        let state = found.before.state.clone();
        Self {
            tail: VecDeque::new(),
            tail_cost: 0,
            tail_head: state.head.clone(),
            durable: state.last,
            tip: state,
            queue: VecDeque::new(),
            next_task: 1,
            cuts: VecDeque::new(),
            segments: found.segments.clone(),
            written_to: found.offset,
            spare: found.spare.clone(),
            making_spare: false,
            spare_failed: None,
            committed_changed: false,
            seal_wanted: false,
            closing: false,
            poison: None,
            stats: SegmentStats::default(),
            sync_began: None,
            room: None,
        }
    }

    /// Whether the log still takes and gives anything.
    pub(super) fn check(&self) -> Result<(), LogError> {
        self.check_poison()?;
        if self.closing { Err(LogError::Closed) } else { Ok(()) }
    }

    pub(super) fn check_poison(&self) -> Result<(), LogError> {
        match &self.poison {
            Some(reason) => Err(LogError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    pub(super) fn enqueue(&mut self, work: Work, done: Done) {
        let number = self.next_task;
        self.next_task += 1;
        match &work {
            Work::Truncate { last, .. } => self.cuts.push_back((number, *last)),
            Work::Reset { last, .. } => self.cuts.push_back((number, Some(*last))),
            _ => {}
        }
        self.queue.push_back(Task { work, done, number });
    }

    /// Appends entries whose contents hash to `contents` and, where `chains` say so,
    /// with which the chain must be as it is elsewhere.
    pub(super) fn append(
        &mut self,
        entries: Vec<NewEntry>,
        contents: &[Hash],
        chains: &[Option<Hash>],
        done: Done,
    ) -> Result<(), LogError> {
        self.check_follow(&entries)?;
        let before = (self.tip.last, self.tip.head.clone(), self.stats.backlog_bytes);
        let mut chains = chains.iter().copied().chain(std::iter::repeat(None));
        let mut appended = Vec::with_capacity(entries.len());
        for (entry, content) in entries.into_iter().zip(contents) {
            let entry = self.append_one(entry, content);
            if chains.next().flatten().is_some_and(|chain| chain != entry.chain) {
                let (last, head, backlog) = before;
                self.cut(last, head);
                self.stats.backlog_bytes = backlog;
                return Err(LogError::OtherChain { id: entry.id });
            }
            appended.push(entry);
        }
        self.enqueue(Work::Append(appended, self.tip.head.clone()), done);
        Ok(())
    }

    fn check_follow(&self, entries: &[NewEntry]) -> Result<(), LogError> {
        let (mut last, mut next) = (self.tip.last, self.tip.next_index());
        for entry in entries {
            let term_falls = last.is_some_and(|last| entry.id.term < last.term);
            if entry.id.index != next || term_falls {
                return Err(LogError::NotConsecutive { last, found: entry.id });
            }
            (last, next) = (Some(entry.id), LogIndex(next.0 + 1));
        }
        Ok(())
    }

    fn append_one(&mut self, new: NewEntry, content: &Hash) -> LogEntry {
        let NewEntry { id, kind, stamp, payload } = new;
        let time = self.tip.effective_time(stamp);
        let leaf = leaf_of(id, kind, time, content);
        let position = self.tip.head.tree.size();
        self.tip.head.push(time, &leaf);
        self.tip.last = Some(id);
        let chain = self.tip.head.chain;
        let entry = LogEntry { id, kind, time, stamp, payload, chain, position };
        let tailed = Tailed { entry: entry.clone(), leaf };
        self.tail_cost += tailed.cost();
        self.stats.backlog_bytes += entry.payload.len() as u64;
        self.tail.push_back(tailed);
        entry
    }

    /// Drops what is behind `last` from the log as callers see it.
    pub(super) fn cut(&mut self, last: Option<LogId>, head: Head) {
        while self.tail.back().is_some_and(|back| Some(back.entry.id.index) > index_of(last)) {
            self.tail_cost -= self.tail.pop_back().map_or(0, |tailed| tailed.cost());
        }
        if self.tail.is_empty() {
            self.tail_head = head.clone();
        }
        self.durable = earlier(self.durable, last);
        self.tip.last = last;
        self.tip.head = head;
    }

    /// The log goes on behind `last`, all before it purged.
    pub(super) fn reset(&mut self, last: LogId, head: Head) {
        self.clear_tail(head.clone());
        self.durable = earlier(self.durable, Some(last));
        self.tip.reset(last, head);
    }

    fn clear_tail(&mut self, head: Head) {
        self.tail.clear();
        self.tail_cost = 0;
        self.tail_head = head;
    }

    /// Whether there is such an entry.
    pub(super) fn check_index(&self, index: LogIndex) -> Result<(), LogError> {
        match (self.tip.purged, self.tip.last) {
            (Some(purged), _) if index <= purged.index => Err(LogError::Purged { index, purged }),
            (_, last) if index_of(last) < Some(index) => Err(LogError::Beyond { index, last }),
            _ => Ok(()),
        }
    }

    /// The index of the tail's first entry.
    pub(super) fn tail_start(&self) -> Option<LogIndex> {
        self.tail.front().map(|tailed| tailed.entry.id.index)
    }

    /// The entry, if it is in the tail.
    pub(super) fn in_tail(&self, index: LogIndex) -> Option<&LogEntry> {
        let place = index.0.checked_sub(self.tail_start()?.0)?;
        self.tail.get(usize::try_from(place).ok()?).map(|tailed| &tailed.entry)
    }

    /// Whether the next segment is there, or about to be: right behind a seal it is being made.
    pub(super) fn has_spare(&self) -> bool {
        self.spare.is_some() || self.making_spare
    }

    /// The id of an entry and the chain after it, if that needs no reading.
    pub(super) fn recent(&self, index: LogIndex) -> Option<(LogId, Hash)> {
        if let Some(entry) = self.in_tail(index) {
            return Some((entry.id, entry.chain));
        }
        let ends = [
            self.tip.last.map(|id| (id, self.tip.head.chain)),
            self.tip.purged.map(|id| (id, self.tip.purged_head.chain)),
        ];
        ends.into_iter().flatten().find(|(id, _)| id.index == index)
    }

    /// The head after the entry, if that needs no reading.
    pub(super) fn head_in_memory(&self, index: LogIndex) -> Option<Head> {
        if index_of(self.tip.last) == Some(index) {
            return Some(self.tip.head.clone());
        }
        if index_of(self.tip.purged) == Some(index) {
            return Some(self.tip.purged_head.clone());
        }
        let start = self.tail_start()?;
        if LogIndex(index.0 + 1) < start {
            return None;
        }
        let mut head = self.tail_head.clone();
        let upto = self.tail.iter().take_while(|tailed| tailed.entry.id.index <= index);
        upto.for_each(|tailed| head.push(tailed.entry.time, &tailed.leaf));
        Some(head)
    }

    /// The tasks up to `number` are durable and left the log as `written`.
    pub(super) fn became_durable(&mut self, number: u64, written: &State) {
        while self.cuts.front().is_some_and(|(cut, _)| *cut <= number) {
            self.cuts.pop_front();
        }
        let left = self.cuts.iter().map(|(_, last)| *last);
        self.durable = left.fold(written.last, earlier);
    }

    /// Gives up entries of the tail that are durable while it is larger than `limit`.
    pub(super) fn shrink_tail(&mut self, limit: usize) {
        while self.tail_cost > limit {
            let start = self.tail_start();
            if start.is_none() || start > index_of(self.durable) {
                return;
            }
            let Some(first) = self.tail.pop_front() else { return };
            self.tail_cost -= first.cost();
            self.tail_head.push(first.entry.time, &first.leaf);
        }
    }

    /// Back to what the disk has; gives the tasks that will not be done.
    pub(super) fn roll_back(&mut self, written: &State) -> Vec<Task> {
        self.tip = written.clone();
        self.clear_tail(written.head.clone());
        self.durable = written.last;
        self.cuts.clear();
        self.committed_changed = false;
        self.stats.backlog_bytes = 0;
        self.queue.drain(..).collect()
    }

    /// About how many octets an entry takes near an index.
    pub(super) fn density(&self, index: LogIndex) -> Option<f64> {
        let mut segments = self.segments.iter().rev();
        segments.find_map(|segment| density(segment.runs.as_slice(), index))
    }

    /// Where the batch with an entry that is not in the tail stands, and the first entry that is to
    /// be looked for elsewhere; `None` when no segment has it.
    pub(super) fn place_of(&self, index: LogIndex) -> Option<Place> {
        // What the tail has may not be on the disk yet; and what stands there instead may be
        // entries that were dropped while that is not written yet.
        let mut end = self.tail_start().unwrap_or_else(|| self.tip.next_index());
        for segment in self.segments.iter().rev() {
            let runs = segment.runs.as_slice();
            let behind = runs.partition_point(|run| run.first <= index);
            if let Some(next) = runs.get(behind) {
                end = end.min(next.first);
            }
            if let Some(run) = behind.checked_sub(1).and_then(|i| runs.get(i)) {
                return Some(Place { file: segment.file.clone(), offset: run.offset, end });
            }
        }
        None
    }
}

/// Octets of an entry between the starts of runs about an index; a run whose end is not known is
/// like the one before it. `None` for an index before them all, or where there is only one.
fn density(runs: &[Run], index: LogIndex) -> Option<f64> {
    let behind = runs.partition_point(|run| run.first <= index);
    let end = behind.min(runs.len().checked_sub(1)?);
    let start = end.checked_sub(1)?;
    let (from, to) = (runs.get(start)?, runs.get(end)?);
    let entries = to.first.0.checked_sub(from.first.0).filter(|entries| *entries > 0)?;
    Some(to.offset.saturating_sub(from.offset) as f64 / entries as f64)
}

/// Where to read.
pub(super) struct Place {
    pub(super) file: Arc<SegmentFile>,
    pub(super) offset: u64,
    pub(super) end: LogIndex,
}

pub(super) fn index_of(id: Option<LogId>) -> Option<LogIndex> {
    id.map(|id| id.index)
}

fn earlier(a: Option<LogId>, b: Option<LogId>) -> Option<LogId> {
    if index_of(a) <= index_of(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_large_as_those_about_them() {
        let run = |first, offset| Run { first: LogIndex(first), offset };
        let runs = [run(10, 100), run(20, 1100), run(22, 9100)];
        let at = |index| density(&runs, LogIndex(index));
        assert_eq!(at(9), None);
        assert_eq!((at(10), at(19)), (Some(100.0), Some(100.0)));
        assert_eq!((at(20), at(21)), (Some(4000.0), Some(4000.0)));
        // Where the last run ends is not known.
        assert_eq!(at(5000), Some(4000.0));
        assert_eq!(density(&runs[..1], LogIndex(15)), None);
        assert_eq!(density(&[run(5, 100), run(5, 900)], LogIndex(5)), None);
    }
}
