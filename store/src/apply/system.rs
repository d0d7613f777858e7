//! What holds for the whole shard.

use redoubt_log::record::{Done, Rejection, Version};

use super::work::Work;
use super::{Ruled, blobs};
use crate::keys::{Key, Meta};

/// From here on `apply` does what this version does; it never goes back. Whoever
/// calls `apply` has made sure that this program can follow.
pub(crate) fn version(work: &mut Work<'_>, record: Version) -> Ruled<Done> {
    let key = Key::Meta(Meta::Version);
    let old: u32 = work.tx.get(&key)?.unwrap_or(0);
    work.tx.put(&key, &old.max(record.apply))?;
    if old < blobs::COUNTED_FROM && record.apply >= blobs::COUNTED_FROM {
        blobs::begin(work)?;
    }
    Ok(Done::Unit)
}

/// The level of a state that no `Version` record has raised.
pub(crate) const FIRST_LEVEL: u32 = 1;

/// The level in force.
pub(crate) fn level(work: &Work<'_>) -> Ruled<u32> {
    Ok(work.tx.get(&Key::Meta(Meta::Version))?.unwrap_or(FIRST_LEVEL))
}

/// Rejects what members of the level in force need not know.
pub(crate) fn reached(work: &Work<'_>, needed: u32) -> Ruled<()> {
    if needed <= FIRST_LEVEL {
        return Ok(());
    }
    let level = level(work)?;
    match level < needed {
        true => Err(Rejection::Level { needed, level }.into()),
        false => Ok(()),
    }
}
