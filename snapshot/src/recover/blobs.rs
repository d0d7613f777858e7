//! The content that a state names, fetched a pack at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use redoubt_log::blob::{BlobStore, ExportedKind};
use redoubt_log::id::BlobId;

use super::{RecoverError, blocking};
use crate::repo::pack::Catalogue;
use crate::repo::{RepoError, Repository, names, seal};

/// Packs that are on their way while others are stored.
const AHEAD: usize = 2;

/// What was fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
}

/// Blobs that lie in the same packs, those first that others are put together from.
type Groups = BTreeMap<BTreeSet<[u8; 16]>, Vec<BlobId>>;
/// Packs' octets, by id.
type Packs = HashMap<[u8; 16], Bytes>;

/// Puts blobs from a repository into a store.
pub(super) struct Fetch<'a> {
    repository: &'a Repository,
    catalogue: Arc<Catalogue>,
    store: BlobStore,
    fetched: Fetched,
    all: u64,
}

/// A blob and the parts that it is put together from.
fn closure(catalogue: &Catalogue, id: BlobId) -> Vec<BlobId> {
    let head = catalogue.head(&id).filter(|head| head.kind == ExportedKind::Recipe);
    head.iter().flat_map(|head| head.parts.iter().copied()).chain([id]).collect()
}

/// Of these and their parts, what is not there.
pub(super) fn missing(catalogue: &Catalogue, wanted: &BTreeSet<BlobId>) -> BTreeSet<BlobId> {
    let all = wanted.iter().flat_map(|id| closure(catalogue, *id));
    all.filter(|id| catalogue.head(id).is_none()).collect()
}

/// With their parts, without what cannot be put together.
fn with_parts(catalogue: &Catalogue, wanted: &BTreeSet<BlobId>) -> BTreeSet<BlobId> {
    let whole = |all: &Vec<BlobId>| all.iter().all(|id| catalogue.head(id).is_some());
    wanted.iter().map(|id| closure(catalogue, *id)).filter(whole).flatten().collect()
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        catalogue: Arc<Catalogue>,
        store: BlobStore,
    ) -> Self {
        Self { repository, catalogue, store, fetched: Fetched::default(), all: 0 }
    }

    /// All that is wanted and there; `progress` is told stored octets done and in all.
    pub(super) async fn run(
        mut self,
        wanted: &BTreeSet<BlobId>,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Fetched, RecoverError> {
        let all = with_parts(&self.catalogue, wanted);
        self.all = all.iter().map(|id| self.stored(id)).sum();
        let mut left = self.groups(&all);
        while !left.is_empty() {
            let before = self.fetched;
            left = self.pass(left, progress).await?;
            // Parts come in the first pass, what is put together from them in the second.
            if before == self.fetched && !left.is_empty() {
                let id = left.into_values().flatten().next().unwrap_or_default();
                return Err(RecoverError::Missing { count: 1, first: id });
            }
        }
        Ok(self.fetched)
    }

    fn stored(&self, id: &BlobId) -> u64 {
        self.catalogue.head(id).map_or(0, |head| head.stored)
    }

    fn groups(&self, all: &BTreeSet<BlobId>) -> Groups {
        let mut groups = Groups::new();
        for id in all {
            groups.entry(self.catalogue.packs_of(id)).or_default().push(*id);
        }
        let parts_first = |id: &BlobId| {
            self.catalogue.head(id).is_some_and(|head| head.kind == ExportedKind::Recipe)
        };
        groups.values_mut().for_each(|group| group.sort_by_key(parts_first));
        groups
    }

    /// Every pack once; gives what waits for parts that came later.
    async fn pass(
        &mut self,
        groups: Groups,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Groups, RecoverError> {
        let (repository, mut left) = (self.repository, Groups::new());
        let fetching = stream::iter(groups).map(|(ids, blobs)| fetch(repository, ids, blobs));
        let mut packs = std::pin::pin!(fetching.buffered(AHEAD));
        while let Some(group) = packs.next().await {
            let (ids, packs, blobs) = group?;
            let (repository, catalogue) = (repository.clone(), self.catalogue.clone());
            let store = self.store.clone();
            let import = move || import(&repository, &catalogue, &store, &packs, blobs);
            let (fetched, waits) = blocking(import).await?;
            self.fetched.blobs += fetched.blobs;
            self.fetched.bytes += fetched.bytes;
            progress(self.fetched.bytes, self.all);
            if !waits.is_empty() {
                left.insert(ids, waits);
            }
        }
        Ok(left)
    }
}

async fn fetch(
    repository: &Repository,
    ids: BTreeSet<[u8; 16]>,
    blobs: Vec<BlobId>,
) -> Result<(BTreeSet<[u8; 16]>, Packs, Vec<BlobId>), RepoError> {
    let mut packs = Packs::new();
    for id in &ids {
        let name = names::pack(id);
        let bytes = repository.objects().get(&name).await?;
        seal::look(&name, &bytes)?;
        packs.insert(*id, bytes);
    }
    Ok((ids, packs, blobs))
}

fn import(
    repository: &Repository,
    catalogue: &Catalogue,
    store: &BlobStore,
    packs: &Packs,
    blobs: Vec<BlobId>,
) -> Result<(Fetched, Vec<BlobId>), RecoverError> {
    let (mut fetched, mut waits) = (Fetched::default(), Vec::new());
    for id in blobs {
        let there = |part: &BlobId| store.contains(part);
        let parts = closure(catalogue, id).into_iter().filter(|part| *part != id);
        if parts.map(|part| there(&part)).collect::<Result<Vec<_>, _>>()?.contains(&false) {
            waits.push(id);
            continue;
        }
        if !there(&id)? {
            let exported = repository.blob_in(catalogue, &id, packs)?;
            fetched.bytes += exported.head.stored;
            store.import(&exported)?;
        }
        fetched.blobs += 1;
    }
    Ok((fetched, waits))
}
