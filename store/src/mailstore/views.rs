//! The views at the start: opened as they are, or built anew when they are
//! missing or damaged, or when a checkpoint from a peer was to take their place;
//! refused when nothing joins the log.

use redoubt_log::id::LogIndex;
use redoubt_log::segment::SegmentLog;

use super::machine::applied_state;
use super::{Layout, OpenError, Options, place};
use crate::Pauses;
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
    place::settle(layout).map_err(|error| OpenError::io(&views, error))?;
    let received = received(options)?;
    if views.exists() {
        match usable(layout, options, log, received.as_ref()) {
            Ok(Some(storage)) => return Ok(storage),
            Ok(None) => {}
            Err(error) if is_corruption(&error) => {
                tracing::error!(%error, "the views are damaged and are built anew");
            }
            Err(error) => return Err(OpenError::Views(error.to_string())),
        }
        place::clear(layout).map_err(|error| OpenError::io(&views, error))?;
    }
    rebuild(layout, options, log, true)
}

/// A checkpoint from a peer that was taken over before the node ended, if it is sound.
fn received(options: &Options) -> Result<Option<Base>, OpenError> {
    let Some(bases) = &options.bases else { return Ok(None) };
    let unreadable = |error: &dyn ToString| OpenError::DoesNotJoin(error.to_string());
    let received = bases.received().map_err(|error| unreadable(&error))?;
    let Some(base) = received else { return Ok(None) };
    match bases.verify(base.index(), &Pauses::none()) {
        Ok(base) => Ok(Some(base)),
        Err(error) => {
            tracing::error!(%error, "a checkpoint from a peer is not used");
            bases.settle().map_err(|error| unreadable(&error))?;
            Ok(None)
        }
    }
}

/// The views if they can go on with this log; `None` when they are empty, end
/// before it begins, or are older than a checkpoint that is to take their place.
fn usable(
    layout: &Layout,
    options: &Options,
    log: &SegmentLog,
    received: Option<&Base>,
) -> Result<Option<RocksStorage>, StorageError> {
    let storage = RocksStorage::open(&layout.views(), &rocks(options))?;
    let applied = applied_state(&storage)?.map(|state| state.id.index);
    let purged = log.purged().map(|id| id.index);
    let fresh = applied.is_none() && log.last().is_none();
    let joins = fresh || applied.is_some() && applied >= purged;
    Ok((joins && applied >= received.map(Base::index)).then_some(storage))
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

/// A checkpoint is only taken of what the log holds durably; one from a peer may be ahead.
fn refuse_if_behind(
    list: &[Base],
    received: Option<LogIndex>,
    log: &SegmentLog,
) -> Result<(), OpenError> {
    let last = log.last().map(|id| id.index).max(received);
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
    let unreadable = |error: &dyn ToString| OpenError::DoesNotJoin(error.to_string());
    let list = bases.list().map_err(|error| unreadable(&error))?;
    let received = bases.received().map_err(|error| unreadable(&error))?;
    let received = received.map(|base| base.index());
    refuse_if_behind(&list, received, log)?;
    let joins = |base: &Base| joins(base, log) || is_ahead(base, received, log);
    for base in list.into_iter().filter(joins) {
        match bases.verify(base.index(), &Pauses::none()) {
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

/// Whether it is from a peer, and the log is yet to begin anew behind it.
fn is_ahead(base: &Base, received: Option<LogIndex>, log: &SegmentLog) -> bool {
    Some(base.index()) == received && log.last().map(|id| id.index) < received
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
