//! Removes texts of messages that are no more, and the oldest where there are too many.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::Change;
use redoubt_store::pauses::Pauses;

use super::cache::{Kept, TextId};
use super::fill::{TextStore, count};

/// How often it is done at least.
const SWEEP: Duration = Duration::from_secs(6 * 3600);
/// How soon it is done again where messages died, and how many times what it took.
const AGAIN: Duration = Duration::from_secs(60);
const TIMES: u32 = 20;
/// Texts that no message names stay so long: their message may just be coming.
const YOUNG: Duration = Duration::from_secs(3600);

impl TextStore {
    /// Removes texts of messages that died, which is done now and then anyway: here once nobody has
    /// a message in hand, so that none of them is written behind it. Blocks.
    pub fn collect(&self) {
        let _all = self.0.hands.write();
        self.sweep_beyond(Duration::ZERO);
    }

    /// Removes texts that nobody has any more, and the oldest of too many; counts the others.
    pub(super) fn sweep(&self) {
        self.sweep_beyond(YOUNG);
    }

    /// The same; texts that no message names stay while they are younger than that.
    fn sweep_beyond(&self, young: Duration) {
        let Ok(view) = self.0.mailstore.local_view() else { return };
        let begun = SystemTime::now();
        let pauses = Pauses::gentle(&self.0.ending);
        let (mut named, mut dead) = (HashSet::new(), Dead::default());
        self.0.cache.messages(&mut |blob, path| {
            let names = self.0.cache.names(&blob).into_iter().flatten().map(|name| name.1);
            let died = matches!(view.dead_since(&blob), Ok(Some(_)));
            match died || matches!(self.0.mailstore.blobs().contains(&blob), Ok(false)) {
                true => dead.take(path, names),
                false => named.extend(names),
            }
            pauses.pause().is_continue()
        });
        if self.0.ending.has_begun() {
            return;
        }
        let (mut kept, mut found) = ([0; 5], Vec::new());
        self.0.cache.texts(&mut |text| {
            let age = begun.duration_since(text.used).unwrap_or_default();
            let may_come = age < young && !dead.texts.contains(&text.id);
            match text.status {
                Some(status) if may_come || named.contains(&text.id) => {
                    count(&mut kept, status);
                    found.push(text);
                }
                _ => drop(std::fs::remove_file(&text.path)),
            }
            pauses.pause().is_continue()
        });
        if !self.0.ending.has_begun() {
            // Last, so that a sweep that is cut short knows them again.
            dead.messages.iter().for_each(|path| drop(std::fs::remove_file(path)));
            let octets = self.shrunk(found, &mut kept);
            let mut state = self.0.state.lock();
            (state.kept, state.octets) = (kept, octets);
        }
    }

    /// Down to nine tenths of what may be kept, the oldest first.
    fn shrunk(&self, mut found: Vec<Kept>, kept: &mut [u64; 5]) -> u64 {
        let mut octets: u64 = found.iter().map(|text| text.octets).sum();
        if octets <= self.0.keep {
            return octets;
        }
        found.sort_by_key(|text| text.used);
        for text in found {
            if octets <= self.0.keep / 10 * 9 {
                break;
            }
            drop(std::fs::remove_file(&text.path));
            octets -= text.octets;
            let at = text.status.map(|status| status as usize);
            if let Some(count) = at.and_then(|at| kept.get_mut(at)) {
                *count -= 1;
            }
        }
        octets
    }
}

/// When to sweep.
#[derive(Debug, Default)]
pub(super) struct Sweeps(Option<(Instant, Duration)>);

impl Sweeps {
    /// Now and then, and soon where messages died.
    pub(super) fn when_due(&mut self, died: &AtomicBool, sweep: impl FnOnce()) {
        let due = |(at, took): (Instant, Duration)| {
            let soon = at.elapsed() > AGAIN.max(took * TIMES);
            at.elapsed() > SWEEP || (soon && died.load(Ordering::Relaxed))
        };
        if self.0.is_none_or(due) {
            died.store(false, Ordering::Relaxed);
            let began = Instant::now();
            sweep();
            self.0 = Some((Instant::now(), began.elapsed()));
        }
    }
}

/// What messages that died leave.
#[derive(Debug, Default)]
struct Dead {
    messages: Vec<PathBuf>,
    texts: HashSet<TextId>,
}

impl Dead {
    fn take(&mut self, message: &Path, texts: impl Iterator<Item = TextId>) {
        self.messages.push(message.to_owned());
        self.texts.extend(texts);
    }
}

/// Whether records say that messages died.
pub(super) fn deaths(entries: &[LogEntry]) -> bool {
    let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
    let mut records = records.filter_map(|entry| record_of(&entry.payload).ok());
    records.any(|record| matches!(record.change, Change::BlobsDead(_)))
}
