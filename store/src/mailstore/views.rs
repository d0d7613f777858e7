//! The views at the start: opened as they are, or built anew when they are
//! missing or damaged; refused when nothing joins the log.

use std::path::Path;

use redoubt_log::id::LogIndex;
use redoubt_log::segment::SegmentLog;

use super::machine::applied_state;
use super::{Layout, OpenError, Options};
use crate::checkpoint::{Base, Bases, install};
use crate::storage::{RocksOptions, RocksStorage, StorageError};

/// Opens the views, or puts the newest verified checkpoint in their place, or
/// makes empty ones; the node then replays what the log has above them.
pub(super) fn open(
    layout: &Layout,
    options: &Options,
    log: &SegmentLog,
) -> Result<RocksStorage, OpenError> {
    let views = layout.views();
    if views.exists() {
        match usable(&views, options, log) {
            Ok(Some(storage)) => return Ok(storage),
            Ok(None) => {}
            Err(error) if is_corruption(&error) => {
                tracing::error!(%error, "the views are damaged and are built anew");
            }
            Err(error) => return Err(OpenError::Views(error.to_string())),
        }
        std::fs::remove_dir_all(&views).map_err(|error| OpenError::io(&views, error))?;
    }
    rebuild(layout, options, log, true)
}

/// The views if they can go on with this log; `None` when they are empty or end before it begins.
fn usable(
    views: &Path,
    options: &Options,
    log: &SegmentLog,
) -> Result<Option<RocksStorage>, StorageError> {
    let storage = RocksStorage::open(views, &rocks(options))?;
    let applied = applied_state(&storage)?.map(|state| state.id.index);
    let purged = log.purged().map(|id| id.index);
    let fresh = applied.is_none() && log.last().is_none();
    Ok((fresh || applied.is_some() && applied >= purged).then_some(storage))
}

/// New views from the newest checkpoint that joins the log (unless `from_base` is
/// false), else empty ones if the log reaches back to its start.
pub(super) fn rebuild(
    layout: &Layout,
    options: &Options,
    log: &SegmentLog,
    from_base: bool,
) -> Result<RocksStorage, OpenError> {
    let views = layout.views();
    let bases = options.bases.as_deref().filter(|_| from_base);
    let base = bases.map(|bases| newest_that_joins(bases, log)).transpose()?.flatten();
    match base {
        Some(base) => {
            tracing::info!(index = %base.index(), "the views begin with a checkpoint");
            install(&base.dir, &views).map_err(|error| OpenError::io(&views, error))?;
        }
        None => refuse_if_purged(log)?,
    }
    RocksStorage::open(&views, &rocks(options)).map_err(|e| OpenError::Views(e.to_string()))
}

fn refuse_if_purged(log: &SegmentLog) -> Result<(), OpenError> {
    match log.purged() {
        None => Ok(()),
        Some(purged) => Err(OpenError::DoesNotJoin(format!(
            "the log begins behind entry {}, and no sound checkpoint in base/ reaches there; \
             restore base/ or the whole data directory from a backup",
            purged.index
        ))),
    }
}

/// A checkpoint is only taken of what the log holds durably.
fn refuse_if_behind(list: &[Base], log: &SegmentLog) -> Result<(), OpenError> {
    let last = log.last().map(|id| id.index);
    match list.iter().map(Base::index).max().filter(|index| Some(*index) > last) {
        None => Ok(()),
        Some(index) => Err(OpenError::DoesNotJoin(format!(
            "base/ has a checkpoint of entry {index}, but the log ends before it ({last:?}): it \
             has lost entries; restore the log from a backup"
        ))),
    }
}

/// Verifies from the newest on: one that is damaged is passed over, and said so.
fn newest_that_joins(bases: &dyn Bases, log: &SegmentLog) -> Result<Option<Base>, OpenError> {
    let list = bases.list().map_err(|error| OpenError::DoesNotJoin(error.to_string()))?;
    refuse_if_behind(&list, log)?;
    for base in list.into_iter().filter(|base| joins(base, log)) {
        match bases.verify(base.index()) {
            Ok(base) => return Ok(Some(base)),
            Err(error) => tracing::error!(%error, "a checkpoint is passed over"),
        }
    }
    Ok(None)
}

/// Whether the log holds the entry that the base is of, with the same chain, or begins behind it.
fn joins(base: &Base, log: &SegmentLog) -> bool {
    let index = base.index();
    let begins: Option<LogIndex> = log.purged().map(|id| id.index);
    Some(index) >= begins && log.chain_at(index).is_ok_and(|chain| chain == base.state.chain)
}

pub(super) fn rocks(options: &Options) -> RocksOptions {
    RocksOptions { block_cache: options.block_cache, ..RocksOptions::default() }
}

/// Whether the tables are wrong, and not only out of reach (descriptors, permissions, the disk).
fn is_corruption(error: &StorageError) -> bool {
    match error {
        StorageError::Corrupt { .. } => true,
        StorageError::Io { error, .. } => {
            let missing = error.contains("No such file") || error.contains("does not exist");
            error.contains("Corruption") || missing
        }
        _ => false,
    }
}
