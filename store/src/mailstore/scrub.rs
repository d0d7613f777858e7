//! Everything that lies here is read at a bounded rate and on a schedule, to find
//! what has decayed while a peer still has it: packs, the log, checkpoints, and
//! whether every blob that an email names is here.
//!
//! How far it has come is kept in a small file, so that a restart goes on there.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::blob::{BlobStore, ScrubAt};
use redoubt_log::id::{LogIndex, Timestamp};
use redoubt_log::raft::Node;
use redoubt_log::segment::SegmentLog;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::Inner;
use super::rescue::Rescuer;
use crate::alarms::{AlarmKind, Alarms};
use crate::checkpoint::Bases;
use crate::rows::EmailRow;
use crate::storage::{KeyRange, Order, Read, RocksStorage, StorageError, Table, decode};
use crate::{Ending, Pauses};

/// How often the position is kept.
const KEEP: Duration = Duration::from_secs(10);
/// The longest that it sleeps without looking whether it is to end.
const NAP: Duration = Duration::from_millis(50);
/// How long the log may take to seal a segment.
const SEALED: Duration = Duration::from_secs(10);
/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(20);
/// Findings whose text is kept.
const MOST_FINDINGS: usize = 20;
/// Rows looked at in one go, and octets of log entries.
const ROWS: usize = 2000;
const LOG_OCTETS: usize = 1 << 20;
/// What looking at a row is taken to cost.
const ROW_OCTETS: u64 = 256;

/// How often, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) every: Duration,
    /// Octets a second.
    pub(super) rate: u64,
}

/// What it is reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Packs { pack: u64, offset: u64 },
    Segments { number: u64 },
    Log { next: u64 },
    Names { after: Vec<u8> },
    Bases,
}

impl Stage {
    const FIRST: Self = Self::Packs { pack: 0, offset: 0 };

    fn name(&self) -> &'static str {
        match self {
            Self::Packs { .. } => "packs",
            Self::Segments { .. } | Self::Log { .. } => "log",
            Self::Names { .. } => "names",
            Self::Bases => "checkpoints",
        }
    }
}

/// A run that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    began: Timestamp,
    stage: Stage,
    octets: u64,
    findings: u64,
}

/// What the file has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    run: Option<Run>,
    last: Option<Finished>,
    texts: Vec<String>,
}

/// A run that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Octets read.
    pub octets: u64,
    /// What was found damaged.
    pub findings: u64,
}

/// How the scrub is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScrubStatus {
    /// What is being read, if one runs.
    pub reading: Option<&'static str>,
    /// Octets read by the run under way.
    pub octets: u64,
    /// What it has found damaged so far.
    pub findings: u64,
    /// The last one that came to its end.
    pub last: Option<Finished>,
    /// The newest findings, in words.
    pub texts: Vec<String>,
    /// Octets read since the start of the process.
    pub octets_total: u64,
    /// Findings since then.
    pub findings_total: u64,
}

/// What it works on.
pub(super) struct Parts {
    pub(super) blobs: BlobStore,
    pub(super) log: SegmentLog,
    pub(super) storage: RocksStorage,
    pub(super) bases: Option<Arc<dyn Bases>>,
    pub(super) alarms: Alarms,
    pub(super) rescuer: Weak<Rescuer>,
    pub(super) node: Node,
    pub(super) runtime: Handle,
    pub(super) ending: Ending,
}

/// Runs scrubs. Ends the one that runs when it goes.
#[derive(Debug)]
pub(super) struct Scrubber {
    schedule: Schedule,
    file: PathBuf,
    kept: Arc<Mutex<Kept>>,
    totals: Arc<Mutex<(u64, u64)>>,
    end: Arc<AtomicBool>,
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.end();
    }
}

impl Scrubber {
    pub(super) fn new(schedule: Schedule, file: PathBuf) -> Self {
        let kept = Arc::new(Mutex::new(load(&file)));
        Self { schedule, file, kept, totals: Arc::default(), end: Arc::default() }
    }

    /// The run under way ends soon, and goes on after the next start.
    pub(super) fn end(&self) {
        self.end.store(true, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> ScrubStatus {
        let kept = self.kept.lock().clone();
        let (octets_total, findings_total) = *self.totals.lock();
        ScrubStatus {
            reading: kept.run.as_ref().map(|run| run.stage.name()),
            octets: kept.run.as_ref().map_or(0, |run| run.octets),
            findings: kept.run.as_ref().map_or(0, |run| run.findings),
            last: kept.last,
            texts: kept.texts,
            octets_total,
            findings_total,
        }
    }

    fn is_due(&self) -> bool {
        let kept = self.kept.lock();
        let every = i64::try_from(self.schedule.every.as_millis()).unwrap_or(i64::MAX);
        let due =
            kept.last.is_none_or(|last| Timestamp::now().0 >= last.ended.0.saturating_add(every));
        every > 0 && (kept.run.is_some() || due)
    }

    /// What runs on a thread of its own until all was read.
    fn job(&self, parts: Parts) -> Job {
        Job {
            parts,
            rate: self.schedule.rate.max(1),
            file: self.file.clone(),
            kept: self.kept.clone(),
            totals: self.totals.clone(),
            end: self.end.clone(),
            began: Instant::now(),
            read: 0,
            saved: Instant::now(),
        }
    }
}

fn load(file: &Path) -> Kept {
    let text = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Starts a scrub whenever one is due, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>) {
    loop {
        let Some(inner) = store.upgrade() else { return };
        let due = inner.scrubber.is_due();
        let job = due.then(|| inner.scrub_job());
        drop(inner);
        if let Some(job) = job
            && tokio::task::spawn_blocking(move || job.run()).await.is_err()
        {
            tracing::error!("a scrub was given up");
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Inner {
    fn scrub_job(&self) -> Job {
        self.scrubber.job(Parts {
            blobs: self.blobs.clone(),
            log: self.log.clone(),
            storage: self.storage.clone(),
            bases: self.checkpoints.bases(),
            alarms: self.alarms.clone(),
            rescuer: Arc::downgrade(&self.rescuer),
            node: self.node.clone(),
            runtime: Handle::current(),
            ending: self.ending.clone(),
        })
    }

    /// Reads everything now, at the configured rate; `false` when it was ended before.
    pub(super) async fn scrub_now(&self) -> bool {
        let job = self.scrub_job();
        tokio::task::spawn_blocking(move || job.run()).await.unwrap_or(false)
    }
}

/// A run, on a thread of its own.
struct Job {
    parts: Parts,
    rate: u64,
    file: PathBuf,
    kept: Arc<Mutex<Kept>>,
    totals: Arc<Mutex<(u64, u64)>>,
    end: Arc<AtomicBool>,
    began: Instant,
    read: u64,
    saved: Instant,
}

impl Job {
    /// `false` when it was ended before its end.
    fn run(mut self) -> bool {
        {
            let mut kept = self.kept.lock();
            if kept.run.is_none() {
                kept.texts.clear();
            }
            let began = Timestamp::now();
            let new = Run { began, stage: Stage::FIRST, octets: 0, findings: 0 };
            kept.run.get_or_insert(new);
        }
        while let Some(stage) = self.stage() {
            let next = match stage {
                Stage::Packs { pack, offset } => self.packs(ScrubAt { pack, offset }),
                Stage::Segments { number } => self.segments(number),
                Stage::Log { next } => self.log(next),
                Stage::Names { after } => self.names(after),
                Stage::Bases => self.bases(),
            };
            match next {
                ControlFlow::Continue(Some(stage)) => self.enter(stage),
                ControlFlow::Continue(None) => break,
                ControlFlow::Break(()) => {
                    self.save();
                    return false;
                }
            }
        }
        self.finish();
        true
    }

    fn stage(&self) -> Option<Stage> {
        self.kept.lock().run.as_ref().map(|run| run.stage.clone())
    }

    fn enter(&mut self, stage: Stage) {
        if let Some(run) = &mut self.kept.lock().run {
            run.stage = stage;
        }
        if self.saved.elapsed() >= KEEP {
            self.save();
        }
    }

    fn finish(&mut self) {
        let mut kept = self.kept.lock();
        if let Some(Run { began, octets, findings, .. }) = kept.run.take() {
            let ended = Timestamp::now();
            kept.last = Some(Finished { began, ended, octets, findings });
            tracing::info!(octets, findings, "everything was read");
        }
        drop(kept);
        self.save();
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        let text = serde_json::to_vec(&*self.kept.lock()).map_err(std::io::Error::other);
        if let Err(error) = text.and_then(|text| std::fs::write(&self.file, text)) {
            tracing::warn!(%error, file = %self.file.display(), "how far a scrub has come is not kept");
        }
    }

    /// Counts what was read and sleeps until that was due; breaks when it is to end.
    fn pace(&mut self, octets: u64) -> ControlFlow<()> {
        self.read = self.read.saturating_add(octets);
        self.totals.lock().0 += octets;
        if let Some(run) = &mut self.kept.lock().run {
            run.octets += octets;
        }
        let due = Duration::from_secs_f64(self.read as f64 / self.rate as f64);
        while self.began.elapsed() < due && !self.end.load(Ordering::Relaxed) {
            std::thread::sleep(NAP.min(due.saturating_sub(self.began.elapsed())));
        }
        match self.end.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn found(&mut self, text: String) {
        tracing::error!(text, "found by the scrub");
        self.totals.lock().1 += 1;
        let mut kept = self.kept.lock();
        if let Some(run) = &mut kept.run {
            run.findings += 1;
        }
        kept.texts.push(text);
        let surplus = kept.texts.len().saturating_sub(MOST_FINDINGS);
        kept.texts.drain(..surplus);
    }

    // ---------------------------------------------------------------- stages

    fn packs(&mut self, from: ScrubAt) -> ControlFlow<(), Option<Stage>> {
        let (blobs, mut ended) = (self.parts.blobs.clone(), false);
        let report = blobs.scrub_from(from, &mut |at, octets| {
            self.enter(Stage::Packs { pack: at.pack, offset: at.offset });
            let paced = self.pace(octets);
            ended = paced.is_break();
            paced
        });
        match report {
            Ok(report) => {
                report.damaged.iter().for_each(|error| self.found(error.to_string()));
                for pack in &report.rewritten {
                    self.found(format!(
                        "{pack}: its header or footer was damaged and is rewritten"
                    ));
                }
            }
            // A pack that cannot be opened: the rest is read in the next run.
            Err(error) => self.found(error.to_string()),
        }
        if let Some(rescuer) = self.parts.rescuer.upgrade() {
            rescuer.wake();
        }
        match ended {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(Some(Stage::Segments { number: 0 })),
        }
    }

    /// The next sealed segment: read, and mended where a peer has its entries.
    fn segments(&mut self, from: u64) -> ControlFlow<(), Option<Stage>> {
        let log = self.parts.log.clone();
        let Some(number) = log.sealed().into_iter().find(|number| *number >= from) else {
            let next = log.unsealed_from().0;
            return ControlFlow::Continue(Some(Stage::Log { next }));
        };
        let subject = format!("segment {number}");
        match log.check_sealed(number) {
            Ok(octets) => {
                self.parts.alarms.clear(AlarmKind::Log, &subject);
                self.pace(octets)?;
            }
            Err(error) => {
                self.found(error.to_string());
                let mended = self.mend(number);
                if mended.is_ok() {
                    tracing::warn!(number, "a damaged segment was mended with a peer's entries");
                }
                let text = mended.err().map(|why| format!("{error}; {why}; {}", advice::SEALED));
                self.parts.alarms.set(AlarmKind::Log, &subject, text);
            }
        }
        ControlFlow::Continue(Some(Stage::Segments { number: number + 1 }))
    }

    fn mend(&self, number: u64) -> Result<(), String> {
        let (node, runtime) = (self.parts.node.clone(), self.parts.runtime.clone());
        if node.cluster().members.len() < 2 {
            return Err("this node has no peers".to_owned());
        }
        let mut fetch = move |first: LogIndex, behind: LogIndex| {
            let fetched = runtime.block_on(node.fetch_all_entries(first..behind));
            fetched.map_err(|error| error.to_string())
        };
        let log = &self.parts.log;
        log.repair_sealed(number, &mut fetch).map_err(|error| error.to_string())?;
        log.check_sealed(number).map(drop).map_err(|error| error.to_string())
    }

    /// What the segment has that is still written to.
    fn log(&mut self, next: u64) -> ControlFlow<(), Option<Stage>> {
        let log = &self.parts.log;
        let first = log.purged().map_or(0, |purged| purged.index.0 + 1);
        let (next, end) = (next.max(first), log.durable().map_or(0, |last| last.index.0 + 1));
        if next >= end {
            self.parts.alarms.clear(AlarmKind::Log, LOG);
            return ControlFlow::Continue(Some(Stage::Names { after: vec![0] }));
        }
        match log.read(LogIndex(next)..LogIndex(end), LOG_OCTETS) {
            Ok(entries) => {
                let octets = entries.iter().map(|entry| entry.payload.len() as u64 + 64).sum();
                let behind = entries.last().map_or(end, |last| last.id.index.0 + 1);
                self.pace(octets)?;
                ControlFlow::Continue(Some(Stage::Log { next: behind }))
            }
            Err(error) => {
                let text = format!("{error}; {}", advice::OPEN);
                self.parts.alarms.raise(AlarmKind::Log, LOG, text);
                self.found(error.to_string());
                match self.sealed_now()? {
                    Some(number) => ControlFlow::Continue(Some(Stage::Segments { number })),
                    None => ControlFlow::Continue(Some(Stage::Names { after: vec![0] })),
                }
            }
        }
    }

    /// Seals the segment that is written to, so that it can be mended, where there are
    /// peers that have its entries.
    fn sealed_now(&mut self) -> ControlFlow<(), Option<u64>> {
        let alone = self.parts.node.cluster().members.len() < 2;
        let Some(number) = (!alone).then(|| self.parts.log.seal_soon()).flatten() else {
            return ControlFlow::Continue(None);
        };
        let began = Instant::now();
        while !self.parts.log.sealed().contains(&number) {
            if began.elapsed() > SEALED {
                return ControlFlow::Continue(None);
            }
            std::thread::sleep(NAP);
            self.pace(0)?;
        }
        ControlFlow::Continue(Some(number))
    }

    fn names(&mut self, after: Vec<u8>) -> ControlFlow<(), Option<Stage>> {
        match self.named(&after) {
            Ok((missing, behind, rows)) => {
                for (id, missing) in missing {
                    let noted = self.parts.blobs.note_missing(&id);
                    noted.unwrap_or_else(|error| self.found(error.to_string()));
                    self.found(missing);
                }
                self.pace(rows * ROW_OCTETS)?;
                let next = behind.map(|after| Stage::Names { after });
                ControlFlow::Continue(Some(next.unwrap_or(Stage::Bases)))
            }
            Err(error) => {
                self.found(error.to_string());
                ControlFlow::Continue(Some(Stage::Bases))
            }
        }
    }

    /// Blobs that some rows name and that are not here, where to go on, and how many rows that was.
    fn named(&self, from: &[u8]) -> Result<Named, StorageError> {
        let rows = match self.parts.storage.snapshot() {
            Ok(rows) => rows,
            // A node without views names nothing.
            Err(_) => return Ok((Vec::new(), None, 0)),
        };
        let range = KeyRange { from: from.to_vec(), to: None };
        let (mut missing, mut last, mut count) = (Vec::new(), None, 0);
        rows.visit(Table::Email, &range, Order::Rising, &mut |key, value| {
            let row: EmailRow = decode(Table::Email, key, value)?;
            for id in [Some(row.data.blob), row.data.envelope].into_iter().flatten() {
                let blobs = &self.parts.blobs;
                if !blobs.contains(&id).unwrap_or(true) && !blobs.is_damaged(&id) {
                    missing.push((id, format!("blob {id}, which an email names, is not here")));
                }
            }
            count += 1;
            if count < ROWS {
                return Ok(ControlFlow::Continue(()));
            }
            last = Some([key, &[0]].concat());
            Ok(ControlFlow::Break(()))
        })?;
        Ok((missing, last, count as u64))
    }

    fn bases(&mut self) -> ControlFlow<(), Option<Stage>> {
        let Some(bases) = self.parts.bases.clone() else { return ControlFlow::Continue(None) };
        let mut wrong = Vec::new();
        for base in bases.list().unwrap_or_default() {
            let verified = bases.verify(base.index(), &Pauses::hurried(&self.parts.ending));
            self.pace(0)?;
            wrong.extend(verified.err().map(|error| error.to_string()));
        }
        let text = wrong.first().map(|wrong| {
            format!("{wrong}; `redoubt check` takes none away: two newer ones will replace it")
        });
        self.parts.alarms.set(AlarmKind::Base, BASES, text);
        wrong.into_iter().for_each(|text| self.found(text));
        ControlFlow::Continue(None)
    }
}

type Named = (Vec<(redoubt_log::id::BlobId, String)>, Option<Vec<u8>>, u64);

/// Alarms' subjects.
const LOG: &str = "log";
const BASES: &str = "checkpoints";

/// What to do about a damaged log.
mod advice {
    pub(super) const SEALED: &str = "with peers it is tried again by the next scrub, and a node \
        that does not start any more is removed and joins again; alone, restore the segment from \
        a copy of the disk";
    pub(super) const OPEN: &str = "this part is still written to: with peers it is sealed and \
        mended by the scrub; do not stop this node before this alarm is over, since its log would \
        not open. Alone, restore the segment from a copy of the disk";
}
