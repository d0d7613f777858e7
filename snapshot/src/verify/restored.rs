//! A scratch restore: the newest state is made of the repository, and on the way there its
//! hash must be the one that the log recorded at each mark, and that each base says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use redoubt_log::disk::RealDisk;
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::Change;
use redoubt_store::Pauses;
use redoubt_store::checkpoint::Bases;
use redoubt_store::mailstore::{Options, Recovery};
use serde::{Deserialize, Serialize};

use super::{Report, Subset};
use crate::BaseDir;
use crate::plan::cover;
use crate::repo::base::Description;
use crate::repo::names::{self, RangeName};
use crate::repo::{RepoError, Repository};

/// The folder in which all is made and removed again.
const FOLDER: &str = "redoubt-verify-restore";

/// What a scratch restore came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Of which history.
    pub lineage: String,
    /// The base that it began with; `None` for the beginning of the log.
    pub base: Option<LogIndex>,
    /// The last entry that was applied.
    pub index: LogIndex,
    /// Entries that were applied.
    pub entries: u64,
    /// At how many entries the state had the hash that was recorded for it.
    pub compared: u64,
    /// The state's hash in the end.
    pub state_hash: Hash,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// As [`super::verify`] with every octet read, and then a scratch restore of the newest
/// history in a folder of `scratch`. Without a sound chain there is none.
///
/// # Errors
/// [`RepoError::Unreachable`]; [`RepoError::Source`] when nothing can be made in `scratch`.
pub async fn verify_restored(
    repository: &Repository,
    subset: Option<Subset>,
    scratch: &Path,
) -> Result<Report, RepoError> {
    let mut report = super::verify(repository, super::Level::Data, subset).await?;
    let newest = report.histories.iter().max_by_key(|history| history.last);
    let newest = newest.filter(|history| !history.spans.is_empty());
    if let Some(lineage) = newest.map(|history| history.lineage.clone()) {
        let place = Place::make(scratch)?;
        let made = restore(repository, &lineage, place.0.clone(), &mut report).await;
        match made {
            Ok(restored) => report.restored = Some(restored),
            Err(error) => report.take(error, || format!("history {lineage}"))?,
        }
        report.findings.sort();
        report.judge();
    }
    Ok(report)
}

/// A folder that goes in the end.
struct Place(PathBuf);

impl Place {
    fn make(scratch: &Path) -> Result<Self, RepoError> {
        let place = scratch.join(FOLDER);
        let made = clear(&place).and_then(|()| std::fs::create_dir_all(&place));
        let source = |error| RepoError::Source(format!("{}: {error}", place.display()));
        made.map_err(source)?;
        Ok(Self(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.0) {
            tracing::warn!(%error, place = %self.0.display(), "a scratch restore stays");
        }
    }
}

fn clear(place: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where a scratch restore begins, which ranges it reads, and which hashes are known.
struct Way {
    base: Option<Description>,
    ranges: Vec<RangeName>,
    hashes: BTreeMap<LogIndex, Hash>,
}

async fn restore(
    repository: &Repository,
    lineage: &str,
    place: PathBuf,
    report: &mut Report,
) -> Result<Restored, RepoError> {
    let begun = Instant::now();
    let way = way(repository, lineage).await?;
    let mut recovery = begin(repository, way.base.as_ref(), &place).await?;
    let mut restored = Restored {
        lineage: lineage.to_owned(),
        base: way.base.as_ref().map(Description::index),
        compared: u64::from(way.base.is_some()),
        ..Restored::default()
    };
    let hashes = Arc::new(way.hashes);
    for name in &way.ranges {
        let entries = repository.range_or_larger(lineage, name).await?.entries;
        let hashes = hashes.clone();
        let applied = blocking(move || apply(recovery, entries, &hashes)).await?;
        recovery = applied.recovery;
        restored.entries += applied.entries;
        restored.compared += applied.compared;
        for problem in applied.wrong {
            report.affecting(&names::log_of(lineage), problem, "every moment from there on");
        }
    }
    restored.index = recovery.reached().map_or(LogIndex(0), |state| state.id.index);
    restored.state_hash = blocking(move || hash(&recovery)).await?;
    restored.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(restored)
}

/// From the newest base behind which the log recorded a hash; else from the one before it,
/// whose way leads through the newer one, or from the beginning.
async fn way(repository: &Repository, lineage: &str) -> Result<Way, RepoError> {
    let names = repository.ranges(lineage, None).await?;
    let Some(last) = names.iter().map(|name| name.last).max() else {
        return from(repository, lineage, &names, LogIndex(0), Vec::new()).await;
    };
    let mut newer = Vec::new();
    for name in repository.bases(lineage).await?.into_iter().rev() {
        let base = repository.base(lineage, &name).await?;
        newer.push(base);
        let way = from(repository, lineage, &names, last, newer.clone()).await?;
        if way.hashes.keys().any(|index| Some(*index) > way.base.as_ref().map(Description::index)) {
            return Ok(way);
        }
    }
    let whole = cover(&names, LogIndex(0), last);
    match (newer.first().cloned(), whole) {
        // Nothing is recorded behind any base: the newest one alone.
        (Some(newest), Err(_)) => from(repository, lineage, &names, last, vec![newest]).await,
        (_, Ok(ranges)) => {
            let mut hashes = marks(repository, lineage, &ranges).await?;
            hashes.extend(newer.iter().map(|base| (base.index(), base.manifest.state_hash)));
            Ok(Way { base: None, ranges, hashes })
        }
        (None, Err(index)) => {
            let problem = format!("entry {index} is in no range");
            Err(RepoError::damaged(&names::log_of(lineage), problem))
        }
    }
}

/// From the last of some bases on, through the others.
async fn from(
    repository: &Repository,
    lineage: &str,
    names: &[RangeName],
    last: LogIndex,
    mut bases: Vec<Description>,
) -> Result<Way, RepoError> {
    let base = bases.pop();
    let next = base.as_ref().map_or(LogIndex(0), |base| LogIndex(base.index().0.saturating_add(1)));
    let gap = |index| {
        RepoError::damaged(&names::log_of(lineage), format!("entry {index} is in no range"))
    };
    let ranges = if next > last { Vec::new() } else { cover(names, next, last).map_err(gap)? };
    let mut hashes = marks(repository, lineage, &ranges).await?;
    hashes.extend(bases.iter().map(|base| (base.index(), base.manifest.state_hash)));
    Ok(Way { base, ranges, hashes })
}

/// The hashes that the log recorded, by the entry that each is of.
async fn marks(
    repository: &Repository,
    lineage: &str,
    ranges: &[RangeName],
) -> Result<BTreeMap<LogIndex, Hash>, RepoError> {
    let mut marks = BTreeMap::new();
    for name in ranges {
        let entries = repository.range_or_larger(lineage, name).await?.entries;
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Record) {
            let record = record_of(&entry.payload);
            let record = record.map_err(|e| RepoError::damaged(&name.name(lineage), e))?;
            if let Change::CheckpointMark(mark) = record.change {
                marks.insert(mark.index, mark.state);
            }
        }
    }
    Ok(marks)
}

async fn begin(
    repository: &Repository,
    base: Option<&Description>,
    place: &Path,
) -> Result<Recovery, RepoError> {
    let (data, image) = (place.join("data"), place.join("image"));
    if let Some(base) = base {
        repository.fetch_base(base, &image, &mut |_, _| {}).await?;
    }
    let name = base.map(|base| base.name().name(&base.lineage));
    blocking(move || {
        let examine = |name: String| {
            let dir = BaseDir::new(Arc::new(RealDisk), &image);
            let examined = dir.examine(&image, &Pauses::none());
            examined.map_err(|error| RepoError::damaged(&name, error))
        };
        let base = name.map(examine).transpose()?;
        Recovery::begin(&Options::new(&data), base.as_ref()).map_err(source)
    })
    .await
}

/// What came of applying a range.
struct Applied {
    recovery: Recovery,
    entries: u64,
    compared: u64,
    wrong: Vec<String>,
}

fn apply(
    mut recovery: Recovery,
    entries: Vec<LogEntry>,
    hashes: &BTreeMap<LogIndex, Hash>,
) -> Result<Applied, RepoError> {
    let (mut applied, mut compared, mut wrong) = (0, 0, Vec::new());
    let reached = recovery.reached().map(|state| state.id.index);
    for entry in entries.into_iter().filter(|entry| Some(entry.id.index) > reached) {
        let index = entry.id.index;
        recovery
            .apply(entry)
            .map_err(|error| RepoError::damaged(&format!("entry {index}"), error))?;
        applied += 1;
        let Some(wanted) = hashes.get(&index) else { continue };
        let found = hash(&recovery)?;
        if found == *wanted {
            compared += 1;
        } else {
            wrong.push(format!("the state at entry {index} is {found}, and {wanted} was recorded"));
        }
    }
    Ok(Applied { recovery, entries: applied, compared, wrong })
}

fn hash(recovery: &Recovery) -> Result<Hash, RepoError> {
    recovery.view().map_err(source)?.state_hash().map_err(source)
}

fn source(error: impl ToString) -> RepoError {
    RepoError::Source(error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepoError> + Send + 'static,
) -> Result<T, RepoError> {
    tokio::task::spawn_blocking(work).await.map_err(source)?
}
