//! The one thread that writes a log: takes what is queued, writes once, syncs
//! once, completes the callbacks in order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::core::{Core, Task, Work};
use super::file::SegmentFile;
use super::format::{
    BatchBuffer, BatchHeader, EntryFrame, Frame, SEGMENT_HEADER_BYTES, Seal, SegmentId, State,
};
use super::recovery::{Found, Segment, fresh_id};
use super::scan::Runs;
use super::{LogEntry, LogError, Reserve, SegmentOptions};
use crate::disk::{Disk, Space};
use crate::id::LogIndex;
use crate::world::{self, Mutation, Worker, watch};

/// How long after a failure the next segment is tried again.
const SPARE_RETRY: Duration = Duration::from_secs(1);

/// What the writer and the callers share.
pub(super) struct Shared {
    pub(super) core: Mutex<Core>,
    /// Wakes the writer.
    pub(super) wake: Notify,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: SegmentOptions,
    /// Tells who watches that the log is poisoned.
    pub(super) failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: SegmentOptions,
        found: &Found,
    ) -> Self {
        let core = Mutex::new(Core::new(found));
        let (dir, failed) = (dir.to_owned(), watch::Sender::new(None));
        Self { core, wake: Notify::new(), disk, dir, options, failed }
    }

    /// Asks for the room on the disk. Blocks: on a disk that hangs for as long as that does.
    pub(super) fn look_at_room(&self) -> Space {
        let space = self.disk.space(&self.dir).unwrap_or(Space { free: 0, total: 0 });
        self.core.lock().room = Some((space, Instant::now()));
        space
    }

    pub(super) fn reserve(&self, space: Space, next_segment: bool) -> Reserve {
        let wanted = space.total / 100 * self.options.reserve_percent;
        Reserve { free: space.free, wanted, next_segment }
    }

    /// Whether a segment is to be made ahead, which is then begun.
    fn begins_spare(&self) -> bool {
        let mut core = self.core.lock();
        let begins = !core.has_spare();
        core.making_spare |= begins;
        begins
    }

    fn make_spare(&self, id: SegmentId) {
        let made = self.make_segment(id);
        let mut core = self.core.lock();
        core.making_spare = false;
        core.spare_failed = made.is_err().then(Instant::now);
        match made {
            Ok(spare) => core.spare = Some(spare),
            Err(error) => {
                tracing::warn!(%error, "no segment could be made ahead");
                // An idle writer tries again.
                self.wake.notify_one();
            }
        }
    }

    fn make_segment(&self, id: SegmentId) -> Result<Arc<SegmentFile>, LogError> {
        SegmentFile::make(&*self.disk, &self.dir, id).map(Arc::new)
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Arc<SegmentFile>,
    /// Where the next batch goes.
    offset: u64,
    next_batch: u64,
    /// Where the last completed sync ended.
    synced: (u64, u64),
    /// The log as it is durable.
    state: State,
    /// Whether the last batch was a mark.
    marked: bool,
    buffer: BatchBuffer,
    /// Makes the next segment ahead.
    making: Option<Worker<()>>,
}

/// What goes into one batch.
struct Load {
    tasks: Vec<Task>,
    committed: Option<Option<super::LogId>>,
    mark: bool,
    /// Whether it begins a segment.
    seal: bool,
}

/// What a batch comes to.
struct Written {
    state: State,
    first: Option<LogIndex>,
    entries: u64,
    payload: u64,
    bytes: u64,
    offset: u64,
}

enum Failure {
    /// Nothing was written.
    Full(LogError),
    /// Nobody knows what was written.
    Fatal(LogError),
}

impl Failure {
    fn of(error: LogError) -> Self {
        match error {
            LogError::StorageFull { .. } => Self::Full(error),
            _ => Self::Fatal(error),
        }
    }
}

impl Writer {
    /// Makes the next segment ahead and starts the thread.
    pub(super) fn start(
        shared: Arc<Shared>,
        found: Found,
        dir: &Path,
    ) -> Result<Worker<()>, LogError> {
        let empty = || LogError::Missing { file: dir.to_owned(), what: "no segment".into() };
        let writer = Self {
            file: found.segments.last().ok_or_else(empty)?.file.clone(),
            offset: found.offset,
            next_batch: found.before.next_batch,
            synced: found.before.end,
            state: found.before.state,
            marked: found.marked,
            buffer: BatchBuffer::default(),
            making: None,
            shared,
        };
        writer.make_spare_now();
        world::worker("log", writer.run()).map_err(LogError::io(dir, "start the writer"))
    }

    async fn run(mut self) {
        while let Some(load) = self.next_load().await {
            self.commit(load).await;
        }
        self.spare_is_made().await;
    }

    /// Waits for work; `None` ends the writer.
    async fn next_load(&mut self) -> Option<Load> {
        while self.is_idle() {
            if self.wait().await {
                self.make_spare();
                if let Some(mark) = self.idle_mark() {
                    return Some(mark);
                }
            }
        }
        let mut core = self.shared.core.lock();
        let over = core.poison.is_some() || (core.queue.is_empty() && !self.wants_mark(&core));
        if over { None } else { Some(self.load(&mut core)) }
    }

    fn is_idle(&self) -> bool {
        let core = self.shared.core.lock();
        core.queue.is_empty() && !core.closing && core.poison.is_none()
    }

    fn idle_mark(&self) -> Option<Load> {
        let mut core = self.shared.core.lock();
        let wanted = core.queue.is_empty() && self.wants_mark(&core);
        wanted.then(|| self.load(&mut core))
    }

    /// Whether the wait was as long as an idle log waits.
    async fn wait(&self) -> bool {
        let idle = self.shared.options.idle_mark;
        // Growth is refused until there is a spare: nothing else would make one.
        let idle = match self.shared.core.lock().has_spare() {
            true => idle,
            false => Some(idle.unwrap_or(SPARE_RETRY).min(SPARE_RETRY)),
        };
        let woken = self.shared.wake.notified();
        match idle {
            Some(idle) => timeout(idle, woken).await.is_err(),
            None => {
                woken.await;
                false
            }
        }
    }

    fn wants_mark(&self, core: &Core) -> bool {
        !self.marked || core.committed_changed || core.seal_wanted
    }

    /// A truncation or reset stands before the entries of its batch, so that no
    /// batch has two entries of one index.
    fn load(&self, core: &mut Core) -> Load {
        let mut tasks: Vec<Task> = Vec::new();
        let mut bytes = 0;
        let limit = self.shared.options.batch_bytes;
        while let Some(next) = core.queue.front() {
            if !tasks.is_empty() && (next.cuts() || bytes >= limit) {
                break;
            }
            bytes += next.cost();
            tasks.extend(core.queue.pop_front());
        }
        let changed = std::mem::take(&mut core.committed_changed);
        let committed = changed.then_some(core.tip.committed);
        let seal = std::mem::take(&mut core.seal_wanted);
        Load { mark: tasks.is_empty(), tasks, committed, seal }
    }

    async fn commit(&mut self, load: Load) {
        let fits = self.encode(&load) && !load.seal;
        let rotates = !fits && self.offset > SEGMENT_HEADER_BYTES as u64;
        if rotates {
            self.spare_is_made().await;
        }
        let mut written = self.write(&load, rotates);
        if written.is_ok() {
            world::before_sync().await;
            written = written.and_then(|written| self.sync().map(|()| written));
        }
        match written {
            Ok(written) => self.complete(load, written),
            Err(Failure::Full(error)) => self.give_up(load, &error),
            Err(Failure::Fatal(error)) => self.poison(load, &error),
        }
    }

    /// Writes what is encoded, in the next segment if that is wanted.
    fn write(&mut self, load: &Load, rotates: bool) -> Result<Written, Failure> {
        if rotates {
            self.rotate()?;
            self.encode(load);
        }
        let written = self.describe(load);
        let bytes = self.put()?;
        Ok(Written { bytes, ..written })
    }

    /// Whether the batch and a footer behind it fit into the segment.
    fn encode(&mut self, load: &Load) -> bool {
        self.begin();
        if let Some(committed) = load.committed {
            self.buffer.push(&Frame::Committed(committed));
        }
        load.tasks.iter().for_each(|task| push_task(&mut self.buffer, task));
        if load.mark {
            self.buffer.push(&Frame::Mark);
        }
        let end = self.offset + self.buffer.len() as u64 + self.footer_room();
        end <= self.file.id.capacity
    }

    fn begin(&mut self) {
        self.buffer.begin();
        if self.offset == SEGMENT_HEADER_BYTES as u64 {
            self.buffer.push(&Frame::Start(self.state.clone()));
        }
    }

    /// About what a footer takes; a little more makes the file grow a little.
    fn footer_room(&self) -> u64 {
        let peaks = self.state.head.tree.peaks().len() + self.state.purged_head.tree.peaks().len();
        let vote = self.state.vote.as_ref().map_or(0, |vote| vote.len());
        let runs = (self.offset / (64 * 1024)) * 16;
        (512 + vote + peaks * 32) as u64 + runs
    }

    fn describe(&self, load: &Load) -> Written {
        let mut state = self.state.clone();
        let (mut first, mut entries, mut payload) = (None, 0, 0);
        if let Some(committed) = load.committed {
            state.committed = committed;
        }
        for task in &load.tasks {
            task.work.leave(&mut state);
            if let Work::Append(appended, _) = &task.work {
                first = first.or(appended.first().map(|entry| entry.id.index));
                entries += appended.len() as u64;
                payload += appended.iter().map(|entry| entry.payload.len() as u64).sum::<u64>();
            }
        }
        Written { state, first, entries, payload, bytes: 0, offset: self.offset }
    }

    /// Writes the batch in the buffer.
    fn put(&mut self) -> Result<u64, Failure> {
        let header = BatchHeader {
            frames_len: 0,
            frames: 0,
            number: self.next_batch,
            synced: self.synced,
            tree_size: self.state.head.tree.size(),
            chain: self.state.head.chain,
        };
        let bytes = self.buffer.finish(&self.file.id, self.offset, header);
        match self.file.file.write_all_at(bytes, self.offset) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                self.next_batch += 1;
                Ok(bytes.len() as u64)
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                let wiped = wipe(&self.file, self.offset, bytes.len());
                let full = LogError::io(&self.file.path, "write")(error);
                match wiped {
                    Ok(()) => Err(Failure::Full(full)),
                    Err(_) => Err(Failure::Fatal(full)),
                }
            }
            Err(error) => Err(Failure::Fatal(LogError::io(&self.file.path, "write")(error))),
        }
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        self.shared.core.lock().sync_began = Some(began);
        let synced = match world::breaks(Mutation::SegmentUnsynced) {
            true => Ok(()),
            false => self.file.file.sync_data(),
        };
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut core = self.shared.core.lock();
        core.sync_began = None;
        core.stats.note_sync(took);
        drop(core);
        let failed = |error| Failure::Fatal(LogError::io(&self.file.path, "sync")(error));
        synced.map_err(failed)?;
        self.synced = (self.file.id.number, self.offset);
        Ok(())
    }

    /// Seals the segment and goes on in the next, which is made first: so a sealed
    /// segment that is the last proves that a file is missing.
    fn rotate(&mut self) -> Result<(), Failure> {
        let spare = self.shared.core.lock().spare.clone();
        let next = match spare {
            Some(spare) => spare,
            None => self.make_next().map_err(Failure::of)?,
        };
        self.shared.core.lock().spare = Some(next.clone());
        self.seal()?;
        // The zeros behind the footer are not needed; without this they stay, no more.
        let _ = self.file.file.set_len(self.offset);
        self.file = next.clone();
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.begin_segment(next);
        self.make_spare_beside();
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Failure> {
        let seal = {
            let core = self.shared.core.lock();
            core.segments.last().map(|segment| Seal {
                state: self.state.clone(),
                before: segment.before,
                chain_before: segment.chain_before,
                first_batch: segment.first_batch,
                runs: segment.runs.as_slice().to_vec(),
            })
        };
        self.buffer.begin();
        seal.into_iter().for_each(|seal| self.buffer.push(&Frame::Seal(Box::new(seal))));
        self.put()?;
        self.sync()
    }

    fn begin_segment(&self, file: Arc<SegmentFile>) {
        let mut core = self.shared.core.lock();
        if let Some(last) = core.segments.last_mut() {
            last.end = self.state.last.map(|last| last.index);
        }
        core.spare = None;
        core.making_spare = true;
        core.written_to = self.offset;
        core.segments.push(Segment {
            file,
            runs: Runs::default(),
            before: self.state.last,
            end: None,
            chain_before: self.state.head.chain,
            first_batch: self.next_batch,
        });
    }

    /// The next segment's own number and id.
    fn next_id(&self) -> SegmentId {
        fresh_id(self.file.id.number + 1, self.file.id.id, &self.shared.options)
    }

    fn make_next(&self) -> Result<Arc<SegmentFile>, LogError> {
        self.shared.make_segment(self.next_id())
    }

    /// The next segment is made ahead: it is the reserve for what shrinks when
    /// the disk is full. Failing is no failure yet.
    fn make_spare_now(&self) {
        if self.shared.begins_spare() {
            self.shared.make_spare(self.next_id());
        }
    }

    fn make_spare(&mut self) {
        if self.shared.begins_spare() {
            self.make_spare_beside();
        }
    }

    /// Beside the batches: making a file waits for all that the file system has to write.
    fn make_spare_beside(&mut self) {
        let (shared, id) = (self.shared.clone(), self.next_id());
        match world::worker("log-ahead", async move { shared.make_spare(id) }) {
            Ok(worker) => self.making = Some(worker),
            Err(_) => self.shared.make_spare(self.next_id()),
        }
    }

    async fn spare_is_made(&mut self) {
        if let Some(making) = self.making.take() {
            // Whether there is one, the core says.
            let _ = making.ended().await;
        }
    }

    fn complete(&mut self, load: Load, written: Written) {
        self.marked = load.mark;
        self.shared.look_at_room();
        let purges = load.tasks.iter().any(|task| matches!(task.work, Work::Purge { .. }));
        let unused = {
            let mut core = self.shared.core.lock();
            core.note_batch(&load, &written);
            core.shrink_tail(self.shared.options.tail_bytes);
            if purges { core.take_unused(written.state.purged) } else { Vec::new() }
        };
        self.state = written.state;
        self.remove(unused);
        let failed = self.shared.core.lock().spare_failed;
        if failed.is_some_and(|failed| failed.elapsed() >= SPARE_RETRY) {
            self.make_spare();
        }
        load.tasks.into_iter().for_each(|task| (task.done)(Ok(())));
    }

    /// The oldest first, each durably, so that a crash leaves no gap.
    fn remove(&mut self, unused: Vec<Segment>) {
        let shared = &self.shared;
        for segment in unused {
            let path = &segment.file.path;
            let removed = shared.disk.remove(path).and_then(|()| shared.disk.sync_dir(&shared.dir));
            if let Err(error) = removed {
                tracing::warn!(file = %path.display(), %error, "a purged segment stays");
                return;
            }
        }
        self.make_spare();
    }

    /// The disk is full: all that was promised is taken back.
    fn give_up(&mut self, load: Load, error: &LogError) {
        // A mark is tried once.
        self.marked |= load.mark;
        let queued = self.shared.core.lock().roll_back(&self.state);
        fail(load.tasks.into_iter().chain(queued), error);
    }

    fn poison(&mut self, load: Load, error: &LogError) {
        let reason: Arc<str> = error.to_string().into();
        tracing::error!(%error, "the log is stopped");
        let queued: Vec<Task> = {
            let mut core = self.shared.core.lock();
            core.poison = Some(reason.clone());
            core.queue.drain(..).collect()
        };
        self.shared.failed.send_replace(Some(reason.to_string()));
        fail(load.tasks.into_iter().chain(queued), &LogError::Poisoned { reason });
    }
}

fn fail(tasks: impl Iterator<Item = Task>, error: &LogError) {
    tasks.for_each(|task| (task.done)(Err(error.clone())));
}

/// Takes back a write that found no room: what is behind the last batch is zero again.
fn wipe(file: &SegmentFile, offset: u64, len: usize) -> io::Result<()> {
    let there = file.file.len()?;
    let end = there.min(offset + len as u64);
    let zeros = vec![0; usize::try_from(end.saturating_sub(offset)).unwrap_or(0)];
    file.file.write_all_at(&zeros, offset)?;
    if there > file.id.capacity { file.file.set_len(file.id.capacity.max(offset)) } else { Ok(()) }
}

impl Core {
    fn note_batch(&mut self, load: &Load, written: &Written) {
        for task in &load.tasks {
            if let Some(last) = task.work.cut_to() {
                self.segments.iter_mut().for_each(|segment| segment.runs.clip(last));
            }
        }
        if let (Some(first), Some(segment)) = (written.first, self.segments.last_mut()) {
            segment.runs.note(first, written.offset);
        }
        if let Some(task) = load.tasks.last() {
            self.became_durable(task.number, &written.state);
        }
        self.written_to = written.offset + written.bytes;
        self.stats.note_batch(written.entries, written.bytes);
        self.stats.backlog_bytes = self.stats.backlog_bytes.saturating_sub(written.payload);
    }

    /// The oldest segments of which nothing is needed any more.
    fn take_unused(&mut self, purged: Option<super::LogId>) -> Vec<Segment> {
        let purged = super::core::index_of(purged);
        let sealed = self.segments.len().saturating_sub(1);
        let unused = self.segments.iter().take(sealed).take_while(|s| s.end <= purged).count();
        self.segments.drain(..unused).collect()
    }
}

impl Work {
    /// The log after this.
    fn leave(&self, state: &mut State) {
        match self {
            Self::Append(entries, head) => {
                state.last = entries.last().map(|entry| entry.id).or(state.last);
                state.head = head.clone();
            }
            Self::Vote(vote) => state.vote = Some(vote.clone()),
            Self::Truncate { last, head } => {
                (state.last, state.head) = (*last, head.clone());
            }
            Self::Purge { upto, head } => {
                (state.purged, state.purged_head) = (Some(*upto), head.clone());
            }
            Self::Reset { last, head } => state.reset(*last, head.clone()),
        }
    }

    fn cut_to(&self) -> Option<Option<LogIndex>> {
        match self {
            Self::Truncate { last, .. } => Some(last.map(|last| last.index)),
            Self::Reset { last, .. } => Some(Some(last.index)),
            _ => None,
        }
    }
}

impl Task {
    fn cuts(&self) -> bool {
        self.work.cut_to().is_some()
    }

    fn cost(&self) -> usize {
        match &self.work {
            Work::Append(entries, _) => entries.iter().map(|e| e.payload.len() + 64).sum(),
            _ => 64,
        }
    }
}

fn push_task(buffer: &mut BatchBuffer, task: &Task) {
    match &task.work {
        Work::Append(entries, _) => {
            entries.iter().for_each(|entry| buffer.push(&Frame::Entry(entry.frame())));
        }
        Work::Vote(vote) => buffer.push(&Frame::Vote(vote)),
        Work::Truncate { last, head } => {
            buffer.push(&Frame::Truncate { last: *last, head: head.clone() });
        }
        Work::Purge { upto, head } => {
            buffer.push(&Frame::Purge { upto: *upto, head: head.clone() });
        }
        Work::Reset { last, head } => {
            buffer.push(&Frame::Reset { last: *last, head: head.clone() });
        }
    }
}

impl LogEntry {
    fn frame(&self) -> EntryFrame<'_> {
        let Self { id, kind, time, stamp, payload, .. } = self;
        EntryFrame { id: *id, kind: *kind, stamp: *stamp, time: *time, payload }
    }
}
