//! A base: the state image of a running node, and every blob that it names, into the
//! repository. Pieces that are there are not sent again, so that one that was broken off
//! goes on by being begun anew; the description is written last.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use redoubt_log::id::{LogIndex, Timestamp};
use redoubt_log::raft::Pin;
use redoubt_store::checkpoint::{Base, BaseError};
use redoubt_store::contents::Contents;
use redoubt_store::mailstore::Mailstore;
use redoubt_store::{Ending, Pauses};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use super::known::Known;
use super::send::{send, source};
use crate::manifest::{self, FileEntry, Manifest};
use crate::repo::base::{BLOBS, BlobList, Counts, Description, FORMAT, PIECE, PieceRef, Sizes};
use crate::repo::names::{self, PieceName};
use crate::repo::seal::Kind;
use crate::repo::sweep::LOOK_AGAIN;
use crate::repo::{RepoError, Repository};

/// Pieces that are on their way at one time.
const AT_ONCE: usize = 4;
/// The longest wait after failures in a row.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Times that a checkpoint may be gone before it was pinned.
const PINS: u32 = 3;

/// What is being done for a base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePhase {
    /// The image is taken and read through.
    #[default]
    Checkpoint,
    /// Blobs that the repository has not yet are sent.
    Blobs,
    /// Files of the image are sent.
    Files,
}

/// How the newest base of this process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseState {
    /// None was begun.
    #[default]
    None,
    /// One is being taken.
    Running,
    /// It is there.
    Done,
    /// It was given up; the error says why.
    Failed,
}

/// A base under way, or the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRun {
    /// How it is.
    pub state: BaseState,
    /// What is done.
    pub phase: BasePhase,
    /// The index that it is of, once the image is taken.
    pub index: Option<LogIndex>,
    /// When it was begun, in milliseconds since 1970.
    pub begun: i64,
    /// For how long it has been going on, or took, in milliseconds.
    pub took_ms: u64,
    /// Octets of files that are there.
    pub done: u64,
    /// Octets of all files.
    pub all: u64,
    /// Octets of files that were sent.
    pub sent: u64,
    /// Octets of blobs that were sent.
    pub blobs: u64,
    /// In how many seconds the files may be there, at the rate so far.
    pub eta_seconds: Option<u64>,
    /// Why it waits, or was given up.
    pub error: Option<String>,
}

/// What is shared with whoever asks how bases are, or for one.
#[derive(Debug, Clone, Default)]
pub struct BaseWatcher(Arc<Mutex<Watched>>, Arc<tokio::sync::Mutex<()>>);

#[derive(Debug, Default)]
struct Watched {
    run: BaseRun,
    since: Option<Instant>,
    files_since: Option<Instant>,
    wanted: bool,
}

impl BaseWatcher {
    /// How it is now.
    pub fn status(&self) -> BaseRun {
        let watched = self.0.lock();
        let mut run = watched.run.clone();
        if run.state == BaseState::Running {
            run.took_ms = watched.since.map_or(0, millis);
            run.eta_seconds = watched.files_since.and_then(|since| eta(&run, since.elapsed()));
        }
        run
    }

    /// Asks for a base; nothing where one is being taken.
    pub fn request(&self) {
        let mut watched = self.0.lock();
        watched.wanted = watched.run.state != BaseState::Running;
    }

    /// While this is held none is taken; `None` while one is.
    pub(super) fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        self.1.clone().try_lock_owned().ok()
    }

    /// Whether one was asked for, once.
    pub(super) fn wanted(&self) -> bool {
        std::mem::take(&mut self.0.lock().wanted)
    }

    fn change(&self, change: impl FnOnce(&mut BaseRun)) {
        change(&mut self.0.lock().run);
    }

    fn begin(&self) {
        let mut watched = self.0.lock();
        let begun = Timestamp::now().0;
        watched.run = BaseRun { state: BaseState::Running, begun, ..BaseRun::default() };
        (watched.since, watched.files_since, watched.wanted) = (Some(Instant::now()), None, false);
    }

    fn files(&self, all: u64) {
        let mut watched = self.0.lock();
        watched.files_since = Some(Instant::now());
        let run = &mut watched.run;
        (run.phase, run.all, run.done, run.error) = (BasePhase::Files, all, 0, None);
    }

    fn end(&self, came: &Result<Description, RepoError>) {
        let mut watched = self.0.lock();
        watched.run.took_ms = watched.since.map_or(0, millis);
        match came {
            Ok(_) => (watched.run.state, watched.run.error) = (BaseState::Done, None),
            Err(error) => {
                let error = Some(error.to_string());
                (watched.run.state, watched.run.error) = (BaseState::Failed, error);
            }
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn eta(run: &BaseRun, took: Duration) -> Option<u64> {
    let left = run.all.checked_sub(run.done)?;
    let rate = run.done as f64 / took.as_secs_f64().max(0.001);
    (run.phase == BasePhase::Files && rate > 0.0).then_some((left as f64 / rate).ceil() as u64)
}

/// Takes bases of one node's state.
#[derive(Debug, Clone)]
pub struct Job {
    store: Mailstore,
    repository: Repository,
    lineage: String,
    known: Arc<Known>,
    ending: Ending,
    /// Names pieces: who does not know it cannot tell whether some content is there.
    key: [u8; 32],
}

/// What a base is made of, held here until it is there.
struct Taken {
    base: Base,
    files: Vec<FileEntry>,
    contents: Contents,
    begun: i64,
    _pin: Pin,
}

/// Pieces that may be counted on, and the generation of those that are sent now.
struct There {
    pieces: BTreeMap<[u8; 32], PieceName>,
    generation: u32,
    looked: Instant,
}

impl Job {
    pub(super) fn new(
        store: Mailstore,
        repository: Repository,
        lineage: String,
        known: Arc<Known>,
        secret: &[u8; 32],
    ) -> Self {
        let key = blake3::derive_key("redoubt backup 1: name of a piece", secret);
        Self { store, repository, lineage, known, ending: Ending::default(), key }
    }

    /// Says to its long work that it is to end.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Takes one. What passes by itself is waited for; `watcher` is told how it goes.
    ///
    /// # Errors
    /// [`RepoError`]: no base is there then, and what was sent is not sent again.
    pub async fn take(&self, watcher: &BaseWatcher) -> Result<Description, RepoError> {
        // Nothing goes meanwhile that it counts on.
        let _turn = watcher.1.lock().await;
        watcher.begin();
        let came = self.taken(watcher).await;
        watcher.end(&came);
        came
    }

    async fn taken(&self, watcher: &BaseWatcher) -> Result<Description, RepoError> {
        let taken = self.image().await?;
        watcher.change(|run| run.index = Some(taken.base.index()));
        let mut wait = FIRST_WAIT;
        loop {
            match self.carry(&taken, watcher).await {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "the base waits for the repository");
                    watcher.change(|run| run.error = Some(error.to_string()));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                came => return came,
            }
        }
    }

    /// A crash may have come between a description and its mark.
    async fn mark_all(&self) -> Result<(), RepoError> {
        let objects = self.repository.objects();
        for name in self.repository.bases(&self.lineage).await? {
            let mark = names::taken(&self.lineage, &name);
            if objects.has(&mark).await? {
                continue;
            }
            self.repository.mark(&mark).await?;
            // Expired meanwhile: nobody is to miss it.
            if !objects.has(&name.name(&self.lineage)).await? {
                objects.delete(&mark).await?;
            }
        }
        Ok(())
    }

    /// An image that stays while it is held, and what it holds.
    async fn image(&self) -> Result<Taken, RepoError> {
        let begun = Timestamp::now().0;
        let bases = self.store.bases().ok_or_else(|| source("this node keeps no checkpoints"))?;
        for _ in 1..PINS {
            let base = self.store.checkpoint().await.map_err(source)?;
            match bases.pin(base.index()) {
                // Others are taken too: two newer ones, and this one is gone.
                Err(BaseError::NoSuch(_)) => {}
                Ok((pin, _)) => return read_through(base, pin, begun, self.ending.clone()).await,
                Err(error) => return Err(source(error)),
            }
        }
        Err(source("checkpoints come and go faster than they can be carried away"))
    }

    async fn carry(&self, taken: &Taken, watcher: &BaseWatcher) -> Result<Description, RepoError> {
        watcher.change(|run| run.phase = BasePhase::Blobs);
        self.mark_all().await?;
        let mut sizes = Sizes::default();
        loop {
            self.known.refresh(&self.repository).await?;
            let there = self.there().await?;
            sizes.blobs += self.blobs(taken, watcher).await?;
            let all = taken.files.iter().map(|file| file.size).sum();
            watcher.files(all);
            let mut files = Vec::with_capacity(taken.files.len());
            for file in &taken.files {
                files.push(self.file(taken, file, &there, &mut sizes, watcher).await?);
            }
            let blobs = self.list(taken, &there, &mut sizes).await?;
            sizes.files = all;
            let base = self.describe(taken, files, blobs, sizes)?;
            if self.stands(&base, &there).await? {
                return self.repository.put_base(&base).await;
            }
        }
    }

    async fn there(&self) -> Result<There, RepoError> {
        let looked = Instant::now();
        let sweeps = self.repository.sweeps().await?;
        let mut pieces = BTreeMap::new();
        for name in self.repository.pieces().await?.into_keys() {
            if !sweeps.names(&name.name()) {
                pieces.insert(name.id, name);
            }
        }
        Ok(There { pieces, generation: sweeps.newest, looked })
    }

    /// Whether all that it names is there still, and will be.
    async fn stands(&self, base: &Description, there: &There) -> Result<bool, RepoError> {
        let sweeps = self.repository.sweeps().await?;
        if there.looked.elapsed() < LOOK_AGAIN && sweeps.newest == there.generation {
            return Ok(true);
        }
        let named = base.pieces().any(|piece| sweeps.names(&piece.name.name()));
        let lacks = self.repository.lacks(base, &self.repository.pieces().await?);
        // Blobs in packs that are to go are sent again by the next round.
        Ok(!named && lacks.is_empty() && sweeps.newest == there.generation)
    }

    async fn blobs(&self, taken: &Taken, watcher: &BaseWatcher) -> Result<u64, RepoError> {
        let (mut bytes, store) = (0, self.store.blobs().clone());
        for some in taken.contents.blobs.chunks(BLOBS) {
            let wanted = some.iter().copied().filter(|id| !self.known.has(id)).collect();
            let sent = send(&self.repository, &store, &self.known, wanted).await?;
            if sent.reclaimed > 0 {
                let text = "blobs that the state names are not on this node: see `redoubt check`";
                return Err(source(text));
            }
            bytes += sent.bytes;
            watcher.change(|run| run.blobs += sent.bytes);
        }
        Ok(bytes)
    }

    async fn file(
        &self,
        taken: &Taken,
        file: &FileEntry,
        there: &There,
        sizes: &mut Sizes,
        watcher: &BaseWatcher,
    ) -> Result<Vec<PieceRef>, RepoError> {
        let path = taken.base.dir.join(&file.name);
        let offsets = (0..file.size.div_ceil(PIECE as u64)).map(|n| n * PIECE as u64);
        let pieces = offsets.map(|offset| {
            let (path, left) = (path.clone(), file.size - offset);
            async move {
                let octets = read(path, offset, left.min(PIECE as u64)).await?;
                self.piece(octets, there).await
            }
        });
        let mut pieces = stream::iter(pieces).buffered(AT_ONCE);
        let mut refs = Vec::new();
        while let Some((piece, sent)) = pieces.try_next().await? {
            let octets = u64::from(piece.size);
            *(if sent { &mut sizes.sent } else { &mut sizes.reused }) += octets;
            watcher.change(|run| {
                run.done += octets;
                run.sent += if sent { octets } else { 0 };
            });
            refs.push(piece);
        }
        Ok(refs)
    }

    /// Sends a piece, unless it is there.
    async fn piece(&self, octets: Vec<u8>, there: &There) -> Result<(PieceRef, bool), RepoError> {
        let id = *blake3::keyed_hash(&self.key, &octets).as_bytes();
        let size = u32::try_from(octets.len()).map_err(source)?;
        if let Some(name) = there.pieces.get(&id) {
            return Ok((PieceRef { name: *name, size }, false));
        }
        let name = PieceName { id, generation: there.generation };
        self.repository.put(Kind::Piece, &name.name(), &octets).await?;
        Ok((PieceRef { name, size }, true))
    }

    /// The ids of all blobs. Lists of the newest base are used again where they still hold.
    async fn list(
        &self,
        taken: &Taken,
        there: &There,
        sizes: &mut Sizes,
    ) -> Result<BlobList, RepoError> {
        let blobs = &taken.contents.blobs;
        let mut listed = vec![false; blobs.len()];
        let mut lists = self.old_lists(taken, there, &mut listed).await?;
        sizes.reused += lists.iter().map(|piece| u64::from(piece.size)).sum::<u64>();
        let rest = blobs.iter().zip(&listed).filter(|(_, listed)| !**listed);
        let rest: Vec<[u8; 32]> = rest.map(|(id, _)| id.0).collect();
        for some in rest.chunks(BLOBS) {
            let (piece, sent) = self.piece(some.concat(), there).await?;
            *(if sent { &mut sizes.sent } else { &mut sizes.reused }) += u64::from(piece.size);
            lists.push(piece);
        }
        Ok(BlobList { count: blobs.len() as u64, lists })
    }

    async fn old_lists(
        &self,
        taken: &Taken,
        there: &There,
        listed: &mut [bool],
    ) -> Result<Vec<PieceRef>, RepoError> {
        let blobs = &taken.contents.blobs;
        let mut damaged = Vec::new();
        let at = taken.base.index();
        let newest = self.repository.newest_base(&self.lineage, at, &mut damaged).await?;
        let mut lists = Vec::new();
        for piece in newest.iter().flat_map(|base| &base.blobs.lists) {
            if there.pieces.get(&piece.name.id) != Some(&piece.name) {
                continue;
            }
            let ids = match self.repository.list_of(piece).await {
                Err(RepoError::Damaged { .. }) => continue,
                ids => ids?,
            };
            let places: Option<Vec<usize>> =
                ids.iter().map(|id| blobs.binary_search(id).ok()).collect();
            let Some(places) = places else { continue };
            if places.iter().any(|place| listed.get(*place) != Some(&false)) {
                continue;
            }
            places.iter().filter_map(|place| listed.get_mut(*place).map(|is| *is = true)).count();
            lists.push(*piece);
        }
        Ok(lists)
    }

    fn describe(
        &self,
        taken: &Taken,
        files: Vec<Vec<PieceRef>>,
        blobs: BlobList,
        sizes: Sizes,
    ) -> Result<Description, RepoError> {
        let Contents { level, accounts, mailboxes, emails, raw_bytes, .. } = taken.contents;
        let base = &taken.base;
        let manifest = Manifest::read(&redoubt_log::disk::RealDisk, &base.dir).map_err(source)?;
        let manifest = manifest.ok_or_else(|| source("the checkpoint has lost its manifest"))?;
        Ok(Description {
            format: FORMAT,
            lineage: self.lineage.clone(),
            node: self.store.identity().node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level,
            begun: taken.begun,
            ended: Timestamp::now().0,
            manifest,
            files,
            blobs,
            counts: Counts { accounts, mailboxes, emails, raw_bytes },
            sizes,
        })
    }
}

async fn read_through(
    base: Base,
    pin: Pin,
    begun: i64,
    ending: Ending,
) -> Result<Taken, RepoError> {
    let read = move || {
        let pauses = Pauses::gentle(&ending);
        let manifest = Manifest::read(&redoubt_log::disk::RealDisk, &base.dir).map_err(source)?;
        let files = manifest.ok_or_else(|| source("the checkpoint has lost its manifest"))?.files;
        let contents = Contents::of_image(&base.dir, &pauses).map_err(source)?;
        Ok(Taken { base, files, contents, begun, _pin: pin })
    };
    tokio::task::spawn_blocking(read).await.map_err(source)?
}

async fn read(path: PathBuf, offset: u64, len: u64) -> Result<Vec<u8>, RepoError> {
    let read = move || manifest::piece(&path, offset, len).map_err(source);
    tokio::task::spawn_blocking(read).await.map_err(source)?
}
