//! Fills the cache behind deliveries: one thread that follows the log, and as many beside it as
//! there are workers. Whoever delivers never waits for it; it leaves others half of the time.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use redoubt_extract::{Counts, Extracted, InForce, Pool, PoolError, Status, class, cut};
use redoubt_log::id::{BlobId, LogIndex};
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::Change;
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::mime::{Part, decode_transfer, slice};
use redoubt_store::pauses::{Ending, Pauses};

use super::cache::{Cache, Names, TextId};
use super::parts::{attachments, document};
use super::sweep::{Sweeps, deaths};
use super::{PartText, Texts, TextsError};

/// How long to wait where there is nothing new, and after an error.
const TICK: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(10);
/// How often a message is tried where no worker stays alive.
const TRIES: u32 = 3;
/// Octets of the log that are looked at in one go.
const PIECE: usize = 1024 * 1024;
/// Messages in memory by name when everything is looked through.
const BATCH: u64 = 1_000_000;
/// Messages between which a walk through everything notes its place.
const PLACE: usize = 1000;
/// Octets of text of one message that are handed out.
const MESSAGE: usize = 64 * 1024 * 1024;

/// Where texts are kept, and what reads documents.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder; made when the first text is kept.
    pub folder: PathBuf,
    /// Octets of files that are kept; the oldest go first.
    pub keep: u64,
    /// The workers.
    pub pool: redoubt_extract::Options,
}

/// What there is, for status and metrics.
#[derive(Debug, Clone, Default)]
pub struct TextStats {
    /// Everything up to this entry was tried.
    pub position: Option<LogIndex>,
    /// Texts kept, by status, as [`Status::ALL`]: those counted at the last sweep and since.
    pub kept: [u64; 5],
    /// Octets of their files.
    pub octets: u64,
    /// Messages that could not be tried: unreadable, or no worker stayed alive.
    pub untried: u64,
    /// What the workers did since the start.
    pub counts: Counts,
    /// What the kernel holds them to; `None` before the first was started.
    pub in_force: Option<InForce>,
}

/// The texts of this node. Clones share it.
#[derive(Debug, Clone)]
pub struct TextStore(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) mailstore: Mailstore,
    pub(super) cache: Cache,
    pool: Pool,
    pub(super) keep: u64,
    pub(super) ending: Ending,
    /// Held by whoever has a message in hand; whoever has all of it knows that nobody has.
    pub(super) hands: RwLock<()>,
    /// Whether messages died since the last sweep.
    pub(super) died: AtomicBool,
    pub(super) state: Mutex<TextStats>,
    woken: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl TextStore {
    /// Over a store; nothing is read before [`TextStore::follow`] or the first question.
    pub fn new(mailstore: Mailstore, options: Options) -> Self {
        let cache = Cache::new(&options.folder, options.pool.limits.text);
        let state = TextStats { position: cache.position().map(LogIndex), ..TextStats::default() };
        Self(Arc::new(Inner {
            mailstore,
            cache,
            pool: Pool::new(options.pool),
            keep: options.keep,
            ending: Ending::default(),
            hands: RwLock::default(),
            died: AtomicBool::new(false),
            state: Mutex::new(state),
            woken: Condvar::new(),
            thread: Mutex::default(),
        }))
    }

    /// From now on everything that comes is extracted, behind its coming.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn follow(&self) -> std::io::Result<()> {
        let this = self.clone();
        let thread = thread::Builder::new().name("texts".into()).spawn(move || this.run())?;
        *self.0.thread.lock() = Some(thread);
        Ok(())
    }

    /// Ends the following and all workers, and waits for that. Blocks.
    pub fn close(&self) {
        self.0.ending.begin();
        self.0.pool.close();
        self.0.woken.notify_all();
        let thread = self.0.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that extracts texts had panicked");
        }
    }

    /// What there is.
    pub fn stats(&self) -> TextStats {
        let stats = self.0.state.lock().clone();
        TextStats { counts: self.0.pool.counts(), in_force: self.0.pool.in_force(), ..stats }
    }

    /// The workers.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Waits until everything up to an entry was tried; `false` when it takes longer than that.
    pub fn wait_for(&self, index: LogIndex, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while state.position < Some(index) {
            if self.0.woken.wait_until(&mut state, end).timed_out() {
                return state.position >= Some(index);
            }
        }
        true
    }

    fn run(&self) {
        // Nothing waits for this thread, nor for the workers that it begins.
        let _ = rustix::process::setpriority_process(None, 19);
        let mut sweeps = Sweeps::default();
        while !self.0.ending.has_begun() {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => {
                    sweeps.when_due(&self.0.died, || self.sweep());
                    self.0.pool.rest();
                    self.sleep(TICK);
                }
                Err(TextsError::Pool(PoolError::Closed)) => break,
                Err(error) => {
                    tracing::warn!(%error, "texts of attachments wait");
                    self.sleep(RETRY);
                }
            }
        }
    }

    /// Ends early when the store is closed.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut state = self.0.state.lock();
        while !self.0.ending.has_begun() && !self.0.woken.wait_until(&mut state, end).timed_out() {}
    }

    /// The next piece of the log; `false` when there is none.
    fn turn(&self) -> Result<bool, TextsError> {
        let applied = self.0.mailstore.applied();
        let Some(position) = self.0.state.lock().position else {
            return self.everything().map(|()| true);
        };
        // Behind it is a node that has only begun to apply what its log holds.
        if position >= applied {
            return Ok(false);
        }
        let next = LogIndex(position.0 + 1);
        let read = self.0.mailstore.node().read(next..LogIndex(applied.0 + 1), PIECE);
        match read {
            Ok(entries) if entries.first().is_some_and(|entry| entry.id.index == next) => {
                let last = entries.last().map_or(position, |entry| entry.id.index);
                self.0.died.fetch_or(deaths(&entries), Ordering::Relaxed);
                self.fill(messages(&entries))?;
                self.reached(last)
            }
            // Purged, or a leap over a recovery: what it said is in the state.
            _ => {
                self.0.died.store(true, Ordering::Relaxed);
                self.everything()
            }
        }
        .map(|()| true)
    }

    fn reached(&self, index: LogIndex) -> Result<(), TextsError> {
        self.0.cache.set_position(index.0)?;
        self.0.state.lock().position = Some(index);
        self.0.woken.notify_all();
        Ok(())
    }

    /// All messages of the state and its past by name, a part of them at a time. A walk that an
    /// end of the process cut short goes on where it was: what came since is in the log behind
    /// the entry that it began at.
    fn everything(&self) -> Result<(), TextsError> {
        let view = self.0.mailstore.local_view()?;
        let place = self.0.cache.place().filter(|(began, _)| *began <= view.index().0);
        let (began, mut last) = match place {
            Some((began, last)) => (began, Some(last)),
            None => (view.index().0, None),
        };
        let mut count = 0_u64;
        view.contents(&mut |_| count += 1)?;
        let parts = (count / BATCH + 1).min(256);
        for part in 0..parts {
            let mut blobs = BTreeSet::new();
            view.contents(&mut |blob| {
                if u64::from(blob.0[0]) * parts / 256 == part && Some(blob) > last {
                    blobs.insert(blob);
                }
            })?;
            let blobs: Vec<BlobId> = blobs.into_iter().collect();
            for some in blobs.chunks(PLACE) {
                self.fill(some.to_vec())?;
                last = some.last().copied().max(last);
                self.0.cache.set_place(last.map(|last| (began, last)))?;
            }
        }
        self.reached(LogIndex(began))?;
        Ok(self.0.cache.set_place(None)?)
    }

    /// Extracts what was not extracted yet, by as many threads as there are workers.
    fn fill(&self, blobs: Vec<BlobId>) -> Result<(), TextsError> {
        let workers = self.0.pool.options().workers.clamp(1, blobs.len().max(1));
        if workers == 1 {
            return self.each(&Mutex::new(blobs.into_iter()));
        }
        let blobs = Mutex::new(blobs.into_iter());
        thread::scope(|scope| {
            let run = || self.each(&blobs);
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
            let ends = threads.into_iter().filter_map(|thread| thread.join().ok());
            ends.fold(Ok(()), Result::and)
        })
    }

    fn each(&self, blobs: &Mutex<std::vec::IntoIter<BlobId>>) -> Result<(), TextsError> {
        let pauses = Pauses::gentle(&self.0.ending);
        loop {
            let next = blobs.lock().next();
            let Some(blob) = next else { return Ok(()) };
            if pauses.pause().is_break() {
                return Err(PoolError::Closed.into());
            }
            self.try_message(&blob)?;
        }
    }

    /// What cannot be tried is counted, and passed over.
    fn try_message(&self, blob: &BlobId) -> Result<(), TextsError> {
        if self.0.cache.names(blob).is_some() {
            return Ok(());
        }
        for wait in 0..TRIES {
            match self.make(blob, &mut |_, _| {}) {
                Ok(()) => return Ok(()),
                Err(TextsError::Pool(PoolError::Start(why))) => {
                    tracing::warn!(%blob, why, "no worker stays alive for an attachment");
                    self.sleep(TICK * (1 << wait));
                }
                Err(TextsError::Store(StoreError::Blob(_, why))) => {
                    tracing::warn!(%blob, why, "attachments of a message are not extracted");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.0.state.lock().untried += 1;
        Ok(())
    }

    /// Extracts the attachments of a message, and keeps their names last.
    fn make(
        &self,
        blob: &BlobId,
        look: &mut dyn FnMut(Vec<u32>, Option<Arc<Extracted>>),
    ) -> Result<(), TextsError> {
        let _hand = self.0.hands.read();
        // Its octets may be there for a while: what was erased is not written down once more.
        if self.0.mailstore.local_view()?.dead_since(blob)?.is_some() {
            return Ok(());
        }
        let parsed = self.0.mailstore.parsed(blob)?;
        let parts = attachments(&parsed.structure);
        if parts.is_empty() {
            return Ok(());
        }
        let room = self.0.pool.room(parsed.size.saturating_mul(2));
        let _room = room.ok_or(PoolError::Closed)?;
        let octets = self.0.mailstore.blob(blob)?;
        let mut names = Names::new();
        for attachment in parts {
            let part = attachment.part;
            let body = slice(&octets, part.body);
            let content = decode_transfer(part.transfer_encoding(), body);
            let (id, extracted) = self.one(part, &content)?;
            names.push((attachment.number.clone(), id));
            look(attachment.number, extracted);
        }
        self.0.cache.put_names(blob, &names)?;
        Ok(())
    }

    /// A part's text, if it had to be extracted.
    fn one(
        &self,
        part: &Part,
        content: &[u8],
    ) -> Result<(TextId, Option<Arc<Extracted>>), TextsError> {
        let document = document(part);
        let id = TextId::of(&BlobId::of(content), &class(&document, content));
        if self.0.cache.has_text(&id) {
            return Ok((id, None));
        }
        let extracted = self.0.pool.extract(&document, content.to_vec())?;
        let octets = self.0.cache.put_text(&id, &extracted)?;
        let mut state = self.0.state.lock();
        state.octets += octets;
        count(&mut state.kept, extracted.status);
        Ok((id, Some(Arc::new(extracted))))
    }

    /// The texts of a message whose names are kept; `None` when one is not there.
    fn kept(&self, names: Names) -> Option<Vec<PartText>> {
        let mut left = MESSAGE;
        let mut texts = Vec::new();
        for (number, id) in names {
            let extracted = bounded(self.0.cache.text(&id)?, &mut left);
            texts.push(PartText { number, extracted: Arc::new(extracted) });
        }
        Some(texts)
    }
}

impl Texts for TextStore {
    fn of(&self, message: &BlobId) -> Result<Option<Vec<PartText>>, TextsError> {
        if let Some(names) = self.0.cache.names(message) {
            return Ok(self.kept(names));
        }
        let parsed = self.0.mailstore.parsed(message)?;
        Ok(attachments(&parsed.structure).is_empty().then(Vec::new))
    }

    fn each(&self, message: &BlobId, look: &mut dyn FnMut(&Extracted)) -> Result<bool, TextsError> {
        let Some(names) = self.0.cache.names(message) else {
            let parsed = self.0.mailstore.parsed(message)?;
            return Ok(attachments(&parsed.structure).is_empty());
        };
        let mut left = MESSAGE;
        for (_, id) in names {
            let Some(text) = self.0.cache.text(&id) else { return Ok(false) };
            look(&bounded(text, &mut left));
        }
        Ok(true)
    }

    fn position(&self) -> Option<LogIndex> {
        self.0.state.lock().position
    }

    fn now(&self, message: &BlobId) -> Result<Vec<PartText>, TextsError> {
        if let Some(texts) = self.of(message)? {
            return Ok(texts);
        }
        let mut texts: Vec<(Vec<u32>, Option<Arc<Extracted>>)> = Vec::new();
        let mut left = MESSAGE;
        self.make(message, &mut |number, extracted| {
            let kept = extracted.map(|text| Arc::new(bounded((*text).clone(), &mut left)));
            texts.push((number, kept));
        })?;
        let names = self.0.cache.names(message).unwrap_or_default();
        let lost = || Extracted::failed("what was extracted could not be kept");
        let whole = texts.into_iter().zip(names).map(|((number, text), (_, id))| {
            let mut read = || bounded(self.0.cache.text(&id).unwrap_or_else(lost), &mut left);
            PartText { number, extracted: text.unwrap_or_else(|| Arc::new(read())) }
        });
        Ok(whole.collect())
    }

    fn of_octets(&self, part: &Part, octets: &[u8]) -> Result<Arc<Extracted>, TextsError> {
        let _hand = self.0.hands.read();
        let (id, extracted) = self.one(part, octets)?;
        match extracted.or_else(|| self.0.cache.text(&id).map(Arc::new)) {
            Some(extracted) => Ok(extracted),
            // It was damaged, and is gone now.
            None => Ok(Arc::new(self.0.pool.extract(&document(part), octets.to_vec())?)),
        }
    }
}

pub(super) fn count(kept: &mut [u64; 5], status: Status) {
    if let Some(count) = kept.get_mut(status as usize) {
        *count += 1;
    }
}

/// What is over the bound of one message is cut off, and told.
fn bounded(mut extracted: Extracted, left: &mut usize) -> Extracted {
    if extracted.text.len() > *left {
        extracted.text.truncate(cut(&extracted.text, *left).len());
        extracted.status = extracted.status.max(Status::Partial);
        extracted.why.get_or_insert_with(|| "the message has more text than is read".into());
    }
    *left -= extracted.text.len();
    extracted
}

/// Messages that records bring.
fn messages(entries: &[LogEntry]) -> Vec<BlobId> {
    let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
    let records = records.filter_map(|entry| record_of(&entry.payload).ok());
    let mut found: Vec<BlobId> = Vec::new();
    for record in records {
        match &record.change {
            Change::Deliver(deliver) => found.push(deliver.message.blob),
            Change::DeliverCaptured(captured) => found.push(captured.deliver.message.blob),
            Change::Capture(capture) => found.push(capture.message.blob),
            Change::Append(append) => found.extend(append.items.iter().map(|i| i.message.blob)),
            Change::RestorePiece(piece) => found.extend(piece.steps.iter().flat_map(|s| s.blobs())),
            Change::RestoreNow(now) => found.extend(now.steps.iter().flat_map(|s| s.blobs())),
            _ => {}
        }
    }
    let mut seen = HashSet::new();
    found.retain(|blob| seen.insert(*blob));
    found
}
