//! A data directory out of the repository: repository, key and program are enough.
//!
//! All is made in a folder beside the one that was asked for, and gets its name
//! when everything was verified: until then nothing is there.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::blob::{BlobError, ExportedKind};
use redoubt_log::id::{BlobId, LogIndex};
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_store::mailstore::{OpenError, Options, Recovered, Recovery};

use crate::base::BaseDir;
use crate::plan::{Plan, PlanError};
use crate::repo::names;
use crate::repo::pack::Catalogue;
use crate::repo::range::Range;
use crate::repo::{RepoError, Repository};

/// Packs that are kept in memory: blobs lie there in the order of the log.
const PACKS: usize = 6;

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// No plan, or a range that does not read any more.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The repository does not give what is needed.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// The directory cannot be made of it.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Something is there already.
    #[error("{0} is not empty: recover into a directory that is not there")]
    NotEmpty(String),
    /// A blob is not what it should be.
    #[error("a blob of the repository cannot be stored: {0}")]
    Blob(#[from] BlobError),
    /// The system's answer.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: String,
        /// The answer.
        error: std::io::Error,
    },
    /// Blobs that the log names are not there.
    #[error(
        "{count} blobs are not in the repository, the first is {first}; --missing recovers all \
         but these"
    )]
    Missing {
        /// How many.
        count: usize,
        /// One of them.
        first: BlobId,
    },
}

/// How a recovery is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// UIDVALIDITY stays: whoever asks for it knows that nothing was lost.
    pub keep_validity: bool,
    /// Blobs that are not in the repository are passed over.
    pub missing: bool,
}

/// What a recovery has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What it came to.
    pub recovered: Recovered,
    /// Entries that were applied.
    pub entries: u64,
    /// Blobs that were stored.
    pub blobs: u64,
    /// Their stored octets.
    pub bytes: u64,
    /// Blobs that were not in the repository.
    pub missing: u64,
}

/// Reads blobs, a pack at a time.
#[derive(Debug)]
pub(crate) struct Blobs<'a> {
    repository: &'a Repository,
    pub(crate) catalogue: Catalogue,
    packs: HashMap<[u8; 16], Bytes>,
    order: VecDeque<[u8; 16]>,
}

impl<'a> Blobs<'a> {
    pub(crate) async fn open(repository: &'a Repository) -> Result<Self, RepoError> {
        let catalogue = repository.catalogue().await?;
        Ok(Self { repository, catalogue, packs: HashMap::new(), order: VecDeque::new() })
    }

    /// The octets of a pack whose checksum fits.
    async fn pack(&mut self, id: [u8; 16]) -> Result<Bytes, RepoError> {
        if let Some(pack) = self.packs.get(&id) {
            return Ok(pack.clone());
        }
        let name = names::pack(&id);
        let bytes = self.repository.objects().get(&name).await?;
        crate::repo::seal::look(&name, &bytes)?;
        if self.order.len() >= PACKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.packs.remove(&oldest);
        }
        self.order.push_back(id);
        self.packs.insert(id, bytes.clone());
        Ok(bytes)
    }

    pub(crate) async fn get(
        &mut self,
        id: &BlobId,
    ) -> Result<redoubt_log::blob::Exported, RepoError> {
        let mut packs = HashMap::new();
        for pack in self.catalogue.packs_of(id) {
            packs.insert(pack, self.pack(pack).await?);
        }
        self.repository.blob_in(&self.catalogue, id, &packs)
    }

    /// A blob and the parts that it is put together from, these first.
    fn closure(&self, id: BlobId) -> Vec<BlobId> {
        let head = self.catalogue.head(&id);
        let parts = head.filter(|head| head.kind == ExportedKind::Recipe);
        parts.iter().flat_map(|head| head.parts.iter().copied()).chain([id]).collect()
    }

    /// Of these and their parts, what is not there.
    pub(crate) fn missing(&self, wanted: &BTreeSet<BlobId>) -> BTreeSet<BlobId> {
        let all = wanted.iter().flat_map(|id| self.closure(*id));
        all.filter(|id| self.catalogue.head(id).is_none()).collect()
    }
}

/// Every blob that entries up to an index name.
///
/// # Errors
/// When a record does not decode.
pub fn blobs_of(entries: &[LogEntry], upto: LogIndex) -> Result<BTreeSet<BlobId>, RepoError> {
    let mut blobs = BTreeSet::new();
    let records = entries.iter().filter(|entry| entry.kind == EntryKind::Record);
    for entry in records.filter(|entry| entry.id.index <= upto) {
        let unread = |error: redoubt_log::codec::CodecError| {
            RepoError::damaged(&format!("entry {}", entry.id.index), error)
        };
        blobs.extend(record_of(&entry.payload).map_err(unread)?.blobs());
    }
    Ok(blobs)
}

/// Refuses what is not an empty place.
///
/// # Errors
/// [`RecoverError::NotEmpty`].
pub fn check_empty(into: &Path) -> Result<(), RecoverError> {
    match fs::read_dir(into).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(RecoverError::NotEmpty(into.display().to_string())),
    }
}

/// The folder beside, in which all is made.
fn beside(into: &Path) -> PathBuf {
    let name = into.file_name().map(|name| name.to_string_lossy().into_owned());
    into.with_file_name(format!(".{}.recovering", name.unwrap_or_default()))
}

/// Makes a data directory as planned; `progress` is told entries done and in all.
///
/// # Errors
/// See [`RecoverError`]: nothing is at `into` then.
pub async fn recover(
    repository: &Repository,
    plan: &Plan,
    into: &Path,
    wishes: Wishes,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Done, RecoverError> {
    check_empty(into)?;
    let secret = repository.secret(&plan.lineage).await?;
    let place = beside(into);
    let io = |error| RecoverError::Io { path: place.display().to_string(), error };
    clear(&place).map_err(io)?;
    let made = make(repository, plan, &place, secret, wishes, progress).await;
    match made {
        Ok(done) => {
            fs::rename(&place, into).map_err(io)?;
            let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty());
            let synced =
                fs::File::open(parent.unwrap_or(Path::new("."))).and_then(|f| f.sync_all());
            synced.map_err(io)?;
            Ok(done)
        }
        Err(error) => {
            clear(&place).map_err(io)?;
            Err(error)
        }
    }
}

fn clear(place: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn options(place: &Path) -> Options {
    let options = Options::new(place);
    let bases = BaseDir::new(options.disk.clone(), place.join("shards/0/base"));
    Options { bases: Some(Arc::new(bases)), ..options }
}

async fn make(
    repository: &Repository,
    plan: &Plan,
    place: &Path,
    secret: [u8; 32],
    wishes: Wishes,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Done, RecoverError> {
    let mut blobs = Blobs::open(repository).await?;
    let options = options(place);
    let recovery = blocking(move || Ok(Recovery::begin(&options, None)?)).await?;
    let mut work = Work { recovery, entries: 0, blobs: 0, bytes: 0, missing: BTreeSet::new() };
    for name in &plan.ranges {
        let range = repository.range(&plan.lineage, name).await?;
        work = work.range(&mut blobs, range, plan.index, wishes.missing).await?;
        progress(work.entries, plan.index.0.saturating_add(1));
    }
    let (lineage, validity) = (plan.lineage.clone(), !wishes.keep_validity);
    let Work { recovery, entries, blobs, bytes, missing } = work;
    let finish = move || Ok(recovery.finish(&lineage, secret, validity)?);
    let recovered = blocking(finish).await?;
    Ok(Done { recovered, entries, blobs, bytes, missing: missing.len() as u64 })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecoverError> + Send + 'static,
) -> Result<T, RecoverError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RepoError::Source(error.to_string()))?
}

/// A recovery under way, and what it has done.
struct Work {
    recovery: Recovery,
    entries: u64,
    blobs: u64,
    bytes: u64,
    missing: BTreeSet<BlobId>,
}

impl Work {
    /// Blobs first, then the entries that name them.
    async fn range(
        mut self,
        blobs: &mut Blobs<'_>,
        range: Range,
        upto: LogIndex,
        pass_over: bool,
    ) -> Result<Self, RecoverError> {
        let next = self.recovery.reached().map_or(0, |state| state.id.index.0.saturating_add(1));
        let entries: Vec<LogEntry> = range
            .entries
            .into_iter()
            .filter(|entry| (next..=upto.0).contains(&entry.id.index.0))
            .collect();
        let wanted = blobs_of(&entries, upto)?;
        let missing = blobs.missing(&wanted);
        if let Some(first) = missing.first().filter(|_| !pass_over) {
            return Err(RecoverError::Missing { count: missing.len(), first: *first });
        }
        for id in wanted {
            self = self.blob(blobs, id, &missing).await?;
        }
        self.missing.extend(missing);
        self.entries += entries.len() as u64;
        blocking(move || {
            entries.into_iter().try_for_each(|entry| self.recovery.apply(entry))?;
            Ok(self)
        })
        .await
    }

    async fn blob(
        mut self,
        blobs: &mut Blobs<'_>,
        id: BlobId,
        missing: &BTreeSet<BlobId>,
    ) -> Result<Self, RecoverError> {
        let closure = blobs.closure(id);
        // What lacks a part cannot be put together.
        if closure.iter().any(|id| missing.contains(id)) {
            return Ok(self);
        }
        for id in closure {
            if self.recovery.blobs().contains(&id)? {
                continue;
            }
            let exported = blobs.get(&id).await?;
            self = blocking(move || {
                self.bytes += exported.head.stored;
                self.blobs += 1;
                self.recovery.blobs().import(&exported)?;
                Ok(self)
            })
            .await?;
        }
        Ok(self)
    }
}
