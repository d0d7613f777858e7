//! What power loss leaves of the disk.

use std::path::Path;
use std::sync::Arc;

use super::{Change, Contents, Faults, NameChange, Rng, SeedableRng, SmallRng, State};

/// Disks write sectors of this many bytes whole, mostly.
const SECTOR: usize = 512;

/// How a crash treats what was not synced: the extremes, and everything between.
#[derive(Clone, Copy)]
enum Mood {
    AllLost,
    AllKept,
    Mixed,
}

impl State {
    pub(super) fn after_power_loss(&mut self) -> Self {
        let mood = match self.rng.random_range(0..6) {
            0 => Mood::AllLost,
            1 => Mood::AllKept,
            _ => Mood::Mixed,
        };
        self.after(mood)
    }

    pub(super) fn at_worst(&mut self, dir: &Path) -> Self {
        let mut next = self.empty_copy();
        let sure = self.durable_names.iter().filter(|(path, _)| path.starts_with(dir));
        next.names = sure.map(|(path, file)| (path.clone(), *file)).collect();
        let file = |number: &usize| Some((*number, Contents::of(&self.files.get(number)?.durable)));
        next.files = next.names.values().filter_map(file).collect();
        next.durable_names = next.names.clone();
        next
    }

    fn after(&mut self, mood: Mood) -> Self {
        let mut next = self.empty_copy();
        let rng = &mut self.rng;
        let files = self.files.iter();
        next.files = files.map(|(n, file)| (*n, survivor(file, mood, rng))).collect();
        next.names = self.durable_names.clone();
        for change in &self.name_changes {
            let kept = match mood {
                Mood::AllLost => false,
                Mood::AllKept => true,
                Mood::Mixed => self.rng.random(),
            };
            if kept && !is_stale(change, &next) {
                change.apply(&mut next.names);
            }
        }
        next.durable_names = next.names.clone();
        next.forget_nameless();
        next
    }

    pub(super) fn settled(&mut self) -> Self {
        let mut next = self.empty_copy();
        let files = self.files.iter();
        next.files = files.map(|(n, file)| (*n, Contents::of(&file.now))).collect();
        next.names = self.names.clone();
        next.durable_names = self.names.clone();
        next.forget_nameless();
        next
    }

    fn empty_copy(&mut self) -> Self {
        Self {
            files: Default::default(),
            names: Default::default(),
            durable_names: Default::default(),
            name_changes: Vec::new(),
            folders: self.folders.clone(),
            faults: Faults::default(),
            total: self.total,
            syncs: 0,
            rng: SmallRng::seed_from_u64(self.rng.random()),
        }
    }
}

/// A rename whose source never came to be does nothing.
fn is_stale(change: &NameChange, next: &State) -> bool {
    matches!(change, NameChange::Rename(from, _) if !next.names.contains_key(from))
}

fn survivor(file: &Contents, mood: Mood, rng: &mut SmallRng) -> Contents {
    let mut bytes = file.durable.clone();
    for change in &file.pending {
        match mood {
            Mood::AllLost => {}
            Mood::AllKept => change.apply(&mut bytes),
            Mood::Mixed => match rng.random_range(0..4) {
                0 => {}
                1 => change.apply(&mut bytes),
                _ => tear(change, &mut bytes, rng),
            },
        }
    }
    Contents::of(&bytes)
}

impl Contents {
    /// Of a file that holds this, durably, and that nobody has open.
    fn of(bytes: &[u8]) -> Self {
        let (now, durable) = (bytes.to_vec(), bytes.to_vec());
        Self { now, durable, pending: Vec::new(), open: Arc::default() }
    }
}

fn tear(change: &Change, file: &mut Vec<u8>, rng: &mut SmallRng) {
    let Change::Write { offset, bytes } = change else { return change.apply(file) };
    if rng.random() {
        let kept = rng.random_range(0..=bytes.len());
        let bytes = bytes.iter().take(kept).copied().collect();
        return Change::Write { offset: *offset, bytes }.apply(file);
    }
    let (mut offset, mut rest) = (*offset, bytes.as_slice());
    while !rest.is_empty() {
        let piece = (SECTOR - offset % SECTOR).min(rest.len());
        let (sector, behind) = rest.split_at(piece);
        if rng.random() {
            Change::Write { offset, bytes: sector.to_vec() }.apply(file);
        }
        (offset, rest) = (offset + piece, behind);
    }
}
