//! What holds for the whole shard.

use redoubt_log::record::{Done, Version};

use super::work::Work;
use super::{APPLY_VERSION, Ruled};
use crate::keys::{Key, Meta};
use crate::storage::StorageError;

/// From here on `apply` does what this version does; it never goes back.
pub(crate) fn version(work: &mut Work<'_>, record: Version) -> Ruled<Done> {
    if record.apply > APPLY_VERSION {
        return Err(StorageError::Version(record.apply, APPLY_VERSION).into());
    }
    let key = Key::Meta(Meta::Version);
    let old: u32 = work.tx.get(&key)?.unwrap_or(0);
    work.tx.put(&key, &old.max(record.apply))?;
    Ok(Done::Unit)
}
