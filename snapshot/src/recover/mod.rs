//! A data directory out of the repository: repository, key and program are enough.
//!
//! All is made in a folder beside the one that was asked for, and gets its name
//! when everything was verified: until then nothing is there.

mod blobs;
mod place;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use redoubt_log::blob::BlobError;
use redoubt_log::id::{AccountId, BlobId, LogIndex, OperationId};
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::{Address, EraseBegin, PART};
use redoubt_store::Pauses;
use redoubt_store::checkpoint::Bases;
use redoubt_store::mailstore::{
    Binding, OpenError, Options, Recovered, Recovery, Renewal, StoreError,
};

use crate::base::BaseDir;
use crate::plan::{self, Plan, PlanError};
use crate::repo::forget::Forgettings;
use crate::repo::pack::Catalogue;
use crate::repo::{RepoError, Repository};
use blobs::{Fetch, Fetched};
pub use state::replay;

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
    /// It was not made yet, or is of another history.
    #[error("no account had the address {address} at entry {index}, deleted ones included")]
    NoAccount {
        /// Which one.
        address: Address,
        /// At which moment.
        index: LogIndex,
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The address that the only account has that is recovered, or had when it was deleted;
    /// `None` for all of them.
    pub account: Option<Address>,
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
    /// Holds over accounts that were not made yet: nothing of them is there.
    pub holds_over_none: u64,
    /// The first entry behind the moment that cannot be followed: what binds is known up to
    /// there.
    pub blind: Option<LogIndex>,
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

/// How far a recovery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Octets of the base's files.
    Base {
        /// So far.
        done: u64,
        /// In all.
        all: u64,
    },
    /// Entries of the log that were applied.
    Entries {
        /// So far.
        done: u64,
        /// In all, about.
        all: u64,
    },
    /// Entries behind the moment that were looked at for what binds it.
    Later {
        /// So far.
        done: u64,
        /// In all, about.
        all: u64,
    },
    /// Stored octets of content.
    Blobs {
        /// So far.
        done: u64,
        /// In all.
        all: u64,
    },
}

/// Told how far it is.
type Tell<'t> = &'t mut (dyn FnMut(Progress) + Send);

/// Makes a data directory as planned. One that was killed goes on with the content that it had
/// fetched when the same is planned again.
///
/// # Errors
/// See [`RecoverError`]: nothing is at `into` then. What was fetched is kept for the next try
/// when the repository did not answer, and only then.
pub async fn recover(
    repository: &Repository,
    plan: &Plan,
    into: &Path,
    wishes: Wishes,
    progress: Tell<'_>,
) -> Result<Done, RecoverError> {
    check_empty(into)?;
    let place = place::begin(repository, plan, wishes.account.as_ref(), into)?;
    let made = make(repository, plan, &place, &wishes, progress).await;
    match made {
        Ok(done) => place::end(&place, into).map(|()| done),
        Err(error @ RecoverError::Repository(RepoError::Unreachable { .. })) => Err(error),
        Err(error) => place::clear(&place).and(Err(error)),
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
    wishes: &Wishes,
    progress: Tell<'_>,
) -> Result<Done, RecoverError> {
    let secret = repository.secret(&plan.lineage).await?;
    let catalogue = Arc::new(repository.catalogue().await?);
    let recovery = begin(repository, plan, place, progress).await?;
    let (all, mut entries) = (plan.entries(), 0);
    let mut count = |done| {
        entries = done;
        progress(Progress::Entries { done, all });
    };
    let stages = &plan.stages;
    let ran = state::run(repository, stages, recovery, Recovery::replay, &mut count).await?;
    let (recovery, stopped) = ran;
    stopped.map_or(Ok(()), Err)?;
    let (binding, blind) = binding(repository, plan, &recovery, progress).await?;
    let (address, there) = (wishes.account.clone(), catalogue.clone());
    let forgotten = repository.forgettings().await?;
    let chosen = blocking(move || choose(recovery, binding, address, &there, &forgotten)).await?;
    let Chosen { recovery, binding, holds_over_none, only, wanted } = chosen;
    let missing = blobs::missing(&catalogue, &wanted);
    if let Some(first) = missing.first().filter(|_| !wishes.missing) {
        return Err(RecoverError::Missing { count: missing.len(), first: *first });
    }
    let fetch = Fetch::new(repository, catalogue, recovery.blobs().clone());
    let mut count = |done, all| progress(Progress::Blobs { done, all });
    let Fetched { blobs, bytes } = fetch.run(&wanted, &mut count).await?;
    let part = only.map_or(String::new(), |only| format!("{PART}{only}"));
    let (from, validity) = (format!("{}{part}", plan.lineage), !wishes.keep_validity);
    let wish = Renewal { from, secret, validity, binding };
    let recovered = blocking(move || Ok(recovery.finish(&wish)?)).await?;
    let missing = missing.len() as u64;
    Ok(Done { recovered, entries, blobs, bytes, missing, holds_over_none, blind })
}

/// What is recovered of a state.
struct Chosen {
    recovery: Recovery,
    binding: Option<Binding>,
    holds_over_none: u64,
    /// The only account, if not all.
    only: Option<AccountId>,
    /// Content to be fetched.
    wanted: BTreeSet<BlobId>,
}

fn choose(
    recovery: Recovery,
    binding: Option<Binding>,
    address: Option<Address>,
    there: &Catalogue,
    forgotten: &Forgettings,
) -> Result<Chosen, RecoverError> {
    let without = match &binding {
        Some(binding) => binding.without_account(&recovery.view()?).map_err(unread)?,
        None => Vec::new(),
    };
    let only = address.map(|address| account(&recovery, address)).transpose()?;
    let (recovery, binding) = match only {
        Some(only) => {
            let recovery = recovery.only(only)?;
            let domains = recovery.view()?.domains().map_err(unread)?;
            let domains: Vec<String> = domains.into_iter().map(|domain| domain.name).collect();
            (recovery, binding.map(|binding| binding.over(only, &domains)))
        }
        None => (recovery, binding),
    };
    let binding = and_forgotten(&recovery, binding, there, forgotten)?;
    let mut wanted = BTreeSet::new();
    let named = recovery.view()?.named_blobs(&mut |blob, needed| {
        if needed || there.head(&blob).is_some() {
            wanted.insert(blob);
        }
    });
    named.map_err(unread)?;
    if let Some(binding) = &binding {
        // What was erased is not brought back for as long as it takes to erase it again.
        let dying = binding.dying(&recovery.view()?).map_err(unread)?;
        wanted.retain(|blob| !dying.contains(blob));
        let lists = binding.erasing.iter().flat_map(EraseBegin::blobs);
        wanted.extend(lists);
    }
    Ok(Chosen { recovery, binding, holds_over_none: without.len() as u64, only, wanted })
}

/// What binds, and what was forgotten for good: also where nothing else came later.
fn and_forgotten(
    recovery: &Recovery,
    binding: Option<Binding>,
    there: &Catalogue,
    forgotten: &Forgettings,
) -> Result<Option<Binding>, RecoverError> {
    let gone = forgotten.0.iter().filter(|(blob, _)| there.head(blob).is_none());
    let gone: BTreeMap<BlobId, OperationId> =
        gone.map(|(blob, (erasure, _))| (*blob, *erasure)).collect();
    let view = recovery.view()?;
    let mut binding = match binding {
        None if gone.is_empty() => return Ok(None),
        None => Binding::of(&view).map_err(unread)?,
        Some(binding) => binding,
    };
    binding.and_forgotten(&view, &gone).map_err(unread)?;
    // A record may name nothing that is not there.
    binding.erasing.retain(|begun| begun.blobs().all(|blob| there.head(&blob).is_some()));
    Ok(Some(binding))
}

fn unread(error: StoreError) -> OpenError {
    OpenError::Views(error.to_string())
}

/// The account that has an address, or had it last of those that are deleted.
fn account(recovery: &Recovery, address: Address) -> Result<AccountId, RecoverError> {
    let (view, index) = (recovery.view()?, recovery.reached().map(|state| state.id.index));
    let there = view.login(&address.to_string(), &address.domain).map_err(unread)?;
    let mut deleted = view.deleted_accounts().map_err(unread)?.into_iter();
    let deleted = deleted.rfind(|account| account.address == address);
    let index = index.unwrap_or_default();
    let found = there.or(deleted).map(|account| account.id);
    found.ok_or(RecoverError::NoAccount { address, index })
}

/// With the plan's base, whose files and rows have the hashes that it says, or with nothing.
async fn begin(
    repository: &Repository,
    plan: &Plan,
    place: &Path,
    progress: Tell<'_>,
) -> Result<Recovery, RecoverError> {
    let (options, image) = (options(place), place.join("image"));
    let Some(base) = &plan.base else {
        return blocking(move || Ok(Recovery::begin(&options, None)?)).await;
    };
    let mut count = |done, all| progress(Progress::Base { done, all });
    repository.fetch_base(base, &image, &mut count).await?;
    let name = base.name().name(&base.lineage);
    blocking(move || {
        let dir = BaseDir::new(options.disk.clone(), &image);
        let examined = dir.examine(&image, &Pauses::none());
        let base = examined.map_err(|error| RepoError::damaged(&name, error))?;
        let recovery = Recovery::begin(&options, Some(&base))?;
        let removed = fs::remove_dir_all(&image);
        let path = image.display().to_string();
        removed.map(|()| recovery).map_err(|error| RecoverError::Io { path, error })
    })
    .await
}

/// What the newest known state says that binds whoever goes back to an earlier one, and the
/// first entry that it does not know of. An entry that cannot be applied is what some go back
/// from: it is no reason to refuse.
async fn binding(
    repository: &Repository,
    plan: &Plan,
    recovery: &Recovery,
    progress: Tell<'_>,
) -> Result<(Option<Binding>, Option<LogIndex>), RecoverError> {
    if plan.later.is_empty() {
        return Ok((None, plan.blind));
    }
    let all = plan::entries(&plan.later);
    let mut count = |done| progress(Progress::Later { done, all });
    let later = recovery.later()?;
    let ran = state::run(repository, &plan.later, later, |state| state, &mut count).await?;
    let (later, stopped) = ran;
    let blind = stopped.map(|error| {
        tracing::warn!(%error, "what came later cannot be followed to its end");
        LogIndex(state::next(&later))
    });
    let earlier = recovery.view()?;
    let read = move || {
        let later = later.view()?;
        let binding = Binding::of(&later).and_then(|it| it.with_rights(&earlier, &later));
        Ok(binding.map_err(unread)?)
    };
    Ok((Some(blocking(read).await?), blind.or(plan.blind)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecoverError> + Send + 'static,
) -> Result<T, RecoverError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RepoError::Source(error.to_string()))?
}
