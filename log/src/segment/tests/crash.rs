//! Power loss at any moment, against a model: all that was acknowledged is
//! there, and nothing that was never written.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// A log as the model has it: enough to compare, nothing of its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    entries: Vec<(LogId, Vec<u8>)>,
    purged: Option<LogId>,
    last: Option<LogId>,
    vote: Option<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(LogId, Vec<u8>)>),
    Vote(u64),
    Truncate(Option<LogId>),
    Purge(LogId),
    Reset(LogId, Head),
}

impl Model {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(entries) => {
                self.entries.extend(entries.iter().cloned());
                self.last = entries.last().map(|(id, _)| *id).or(self.last);
            }
            Step::Vote(vote) => self.vote = Some(*vote),
            Step::Truncate(last) => {
                self.entries.retain(|(id, _)| Some(id.index) <= index_of(*last));
                self.last = *last;
            }
            Step::Purge(upto) => {
                self.entries.retain(|(id, _)| id.index > upto.index);
                self.purged = self.purged.max(Some(*upto));
            }
            Step::Reset(last, _) => {
                self.entries.clear();
                (self.last, self.purged) = (Some(*last), Some(*last));
            }
        }
    }

    fn of(log: &SegmentLog) -> Self {
        Self {
            entries: all(log).into_iter().map(|e| (e.id, e.payload.to_vec())).collect(),
            purged: log.purged(),
            last: log.last(),
            vote: log.vote().map(|v| u64::from_le_bytes(v.as_ref().try_into().unwrap())),
        }
    }

    fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.index.0 + 1)
    }

    /// A step that the log takes in this state.
    fn choose(&self, rng: &mut SmallRng, term: &mut u64) -> Step {
        let ids: Vec<LogId> = self.entries.iter().map(|(id, _)| *id).collect();
        match rng.random_range(0..20) {
            0 | 1 => Step::Vote(self.vote.unwrap_or(0) + 1),
            2 if !ids.is_empty() => {
                *term += 1;
                let left = rng.random_range(0..=ids.len());
                Step::Truncate(left.checked_sub(1).map(|i| ids[i]).or(self.purged))
            }
            3 if !ids.is_empty() => Step::Purge(ids[rng.random_range(0..ids.len())]),
            4 if rng.random_range(0..4) == 0 => {
                let index = self.next() + rng.random_range(0..50);
                let mut head = Head::default();
                head.push(Timestamp(5), &chain::content(&index.to_le_bytes()));
                Step::Reset(id(*term, index), head)
            }
            _ => {
                let start = self.next();
                let entries = (start..start + rng.random_range(1..5)).map(|index| {
                    let mut bytes = vec![0; rng.random_range(0..700)];
                    rng.fill(&mut bytes[..]);
                    (id(*term, index), bytes)
                });
                Step::Append(entries.collect())
            }
        }
    }
}

fn start(log: &SegmentLog, step: Step, done: Done) -> Result<(), LogError> {
    match step {
        Step::Append(entries) => {
            let new = |(id, payload): (LogId, Vec<u8>)| NewEntry {
                id,
                kind: EntryKind::Record,
                stamp: Timestamp(0),
                payload: payload.into(),
            };
            log.append(entries.into_iter().map(new).collect(), done)
        }
        Step::Vote(vote) => log.save_vote(Bytes::copy_from_slice(&vote.to_le_bytes()), done),
        Step::Truncate(last) => log.truncate_after(last, done),
        Step::Purge(upto) => log.purge(upto, done),
        Step::Reset(last, head) => log.reset(last, head, done),
    }
}

/// The states that the log went through, and how many of them were acknowledged.
struct Run {
    states: Vec<Model>,
    acknowledged: u64,
}

/// Works until the power goes off or the steps are done.
fn work(log: &SegmentLog, first: Model, steps: usize, rng: &mut SmallRng) -> Run {
    let mut states = vec![first];
    let mut term = states[0].last.map_or(1, |last| last.term.0) + 1;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let waits = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=steps as u64 {
        let mut next = states.last().unwrap().clone();
        let step = next.choose(rng, &mut term);
        let (send, receive) = mpsc::channel();
        let counter = acknowledged.clone();
        let done: Done = Box::new(move |result| {
            if result.is_ok() {
                assert_eq!(counter.swap(number, Ordering::SeqCst) + 1, number, "in order");
            }
            let _ = send.send(result.is_ok());
        });
        if start(log, step.clone(), done).is_err() {
            break;
        }
        next.take(&step);
        states.push(next);
        waits.lock().push(receive);
        if rng.random_range(0..3) == 0 {
            let finished = waits.lock().drain(..).all(|receive| receive.recv() == Ok(true));
            if !finished {
                break;
            }
        }
    }
    let _ = log.close();
    Run { states, acknowledged: acknowledged.load(Ordering::SeqCst) }
}

/// Several lives of one log, each ended by power loss.
fn lives(seed: u64, skipped_sync: Option<&str>) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut disk = SimDisk::new(rng.random());
    let mut known = Model::default();
    let options = SegmentOptions {
        segment_bytes: 12 * 1024,
        tail_bytes: if rng.random() { 0 } else { 1 << 20 },
        batch_bytes: rng.random_range(1..4000),
        idle_mark: None,
        reserve_percent: 5,
    };
    for life in 0..5 {
        if rng.random_range(0..5) != 0 {
            disk.power_off_after(rng.random_range(1..120));
        }
        if let Some(part) = skipped_sync {
            disk.ignore_syncs_of(part);
        }
        let opened = SegmentLog::open(Arc::new(disk.clone()), &dir(), options.clone());
        if let Ok((log, _)) = opened {
            let run = work(&log, known.clone(), rng.random_range(1..80), &mut rng);
            drop(log);
            disk = disk.crash();
            known = found(&disk, &options, &run).map_err(|e| format!("life {life}: {e}"))?;
        } else {
            disk = disk.crash();
            let run = Run { states: vec![known.clone()], acknowledged: 0 };
            known = found(&disk, &options, &run).map_err(|e| format!("life {life}: {e}"))?;
        }
    }
    Ok(())
}

/// Opens the log after power loss: it is one of the states from the last
/// acknowledged on, and every checksum fits.
fn found(disk: &SimDisk, options: &SegmentOptions, run: &Run) -> Result<Model, String> {
    let opened = SegmentLog::open(Arc::new(disk.clone()), &dir(), options.clone());
    let (log, recovered) = opened.map_err(|error| format!("does not open: {error}"))?;
    log.verify().map_err(|error| format!("does not verify: {error}"))?;
    let model = Model::of(&log);
    let possible = run.states.iter().skip(usize::try_from(run.acknowledged).unwrap());
    if recovered.last != model.last || !possible.clone().any(|state| *state == model) {
        return Err(format!(
            "found last {:?} purged {:?} vote {:?} ({} entries), after {} steps of which {} were \
             acknowledged",
            model.last,
            model.purged,
            model.vote,
            model.entries.len(),
            run.states.len() - 1,
            run.acknowledged
        ));
    }
    Ok(model)
}

proptest! {
    #[test]
    fn nothing_acknowledged_is_ever_lost(seed in any::<u64>()) {
        if let Err(error) = lives(seed, None) {
            panic!("seed {seed}: {error}");
        }
    }
}

/// The property bites: with the segments' syncs skipped it does not hold.
#[test]
fn a_skipped_sync_is_caught() {
    assert!((0..20).any(|seed| lives(seed, Some(".seg")).is_err()));
}

/// Likewise for the folder's syncs, by which names last.
#[test]
fn a_skipped_sync_of_the_folder_is_caught() {
    let caught = (0..60).any(|seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(&dir()).unwrap();
        disk.ignore_syncs_of("/shard/log");
        let (log, _) = open(&disk, 12 * 1024);
        append(&log, 1, 0..10);
        drop(log);
        !matches!(try_open(&disk.crash(), 12 * 1024), Ok((_, r)) if r.last == Some(id(1, 9)))
    });
    assert!(caught);
}
