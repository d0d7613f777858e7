//! What is needed still, and what nothing names any more.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{BlobId, LogIndex};

use crate::recover::blobs_of;
use crate::repo::base::Description;
use crate::repo::names::{self, IndexName, PieceName};
use crate::repo::pack::Catalogue;
use crate::repo::sweep::Sweeps;
use crate::repo::{Listed, RepoError, Repository};

/// Objects that stay for the sake of what is kept.
#[derive(Debug, Default)]
pub(super) struct Live {
    blobs: BTreeSet<BlobId>,
    /// Names of pieces and packs.
    pub(super) objects: BTreeSet<String>,
}

impl Live {
    pub(super) async fn base(
        &mut self,
        repository: &Repository,
        base: &Description,
    ) -> Result<(), RepoError> {
        self.objects.extend(base.pieces().map(|piece| piece.name.name()));
        self.blobs.extend(repository.base_blobs(base).await?);
        Ok(())
    }

    /// What the log names behind a floor.
    pub(super) async fn log(
        &mut self,
        repository: &Repository,
        lineage: &str,
        floor: Option<LogIndex>,
    ) -> Result<(), RepoError> {
        for name in repository.ranges(lineage, None).await? {
            if floor.is_none_or(|floor| name.last > floor) {
                let range = repository.range_or_larger(lineage, &name).await?;
                self.blobs.extend(blobs_of(&range.entries, LogIndex(u64::MAX))?);
            }
        }
        Ok(())
    }

    /// The packs that have all of it. Those that a sweep names stay only where others
    /// have not got it.
    pub(super) async fn packs(
        &mut self,
        repository: &Repository,
        sweeps: &Sweeps,
    ) -> Result<(), RepoError> {
        let (mut lasting, mut all) = (Catalogue::default(), Catalogue::default());
        for index in repository.indexes().await? {
            let pieces = repository.index(&index).await?;
            if !sweeps.names(&names::pack(&index.pack)) {
                lasting.add(index.pack, pieces.clone());
            }
            all.add(index.pack, pieces);
        }
        let mut queue = std::mem::take(&mut self.blobs);
        let mut done = BTreeSet::new();
        while let Some(id) = queue.pop_first() {
            let from = if lasting.head(&id).is_some() { &lasting } else { &all };
            if !done.insert(id) {
                continue;
            }
            queue.extend(from.head(&id).iter().flat_map(|head| head.parts.iter().copied()));
            self.objects.extend(from.packs_of(&id).iter().map(names::pack));
        }
        self.blobs = done;
        Ok(())
    }
}

/// Packs and pieces that nothing needs, with their octets, and which no sweep names yet. What
/// is younger than `grace` may be on its way.
pub(super) fn garbage(
    listed: &[Listed],
    live: &Live,
    sweeps: &Sweeps,
    grace: i64,
) -> BTreeMap<String, u64> {
    let now = listed.iter().map(|object| object.made).max().unwrap_or(0);
    let kind = |name: &str| name.starts_with("packs/") || name.starts_with("pieces/");
    let goes = |object: &&Listed| {
        kind(&object.name)
            && !live.objects.contains(&object.name)
            && !sweeps.names(&object.name)
            && now.saturating_sub(object.made) >= grace
    };
    listed.iter().filter(goes).map(|object| (object.name.clone(), object.size)).collect()
}

/// A pack's indexes of whatever generation, by the pack.
pub(super) fn indexes(listed: &[Listed]) -> BTreeMap<String, Vec<String>> {
    let mut indexes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in listed.iter().filter(|object| object.name.starts_with("index/")) {
        if let Some(index) = IndexName::parse(object.last()) {
            indexes.entry(names::pack(&index.pack)).or_default().push(object.name.clone());
        }
    }
    indexes
}

/// Whether a name is one that sweeps may name: whoever writes there must not choose what else goes.
pub(super) fn may_go(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    match name.split('/').next() {
        Some("pieces") => PieceName::parse(last).is_some_and(|piece| piece.name() == name),
        Some("packs") => {
            crate::repo::seal::unhex::<16>(last).is_some_and(|id| names::pack(&id) == name)
        }
        _ => false,
    }
}
