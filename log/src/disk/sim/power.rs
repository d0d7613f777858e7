//! What power loss leaves of the disk.

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

    pub(super) fn at_worst(&mut self) -> Self {
        self.after(Mood::AllLost)
    }

    fn after(&mut self, mood: Mood) -> Self {
        let mut next = self.empty_copy();
        next.files = self.files.iter().map(|file| survivor(file, mood, &mut self.rng)).collect();
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
        next
    }

    pub(super) fn settled(&mut self) -> Self {
        let mut next = self.empty_copy();
        let settle = |file: &Contents| Contents {
            now: file.now.clone(),
            durable: file.now.clone(),
            pending: Vec::new(),
        };
        next.files = self.files.iter().map(settle).collect();
        next.names = self.names.clone();
        next.durable_names = self.names.clone();
        next
    }

    fn empty_copy(&mut self) -> Self {
        Self {
            files: Vec::new(),
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
    Contents { now: bytes.clone(), durable: bytes, pending: Vec::new() }
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
