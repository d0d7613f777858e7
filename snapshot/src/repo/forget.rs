//! Blobs that are forgotten for good. With encryption the key of each goes: indexes are written
//! anew without it, and the old ones removed, so that it is gone also where a pack cannot be.
//! Without, packs are written anew without its octets.
//!
//! What is forgotten is said before anything goes, in an object of its own: so that whoever
//! verifies or recovers knows that it is gone on purpose, that what a crash left is gone on with,
//! and that older versions are looked for where the storage keeps such.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redoubt_log::id::{BlobId, LogIndex, OperationId};
use serde::{Deserialize, Serialize};

use super::names::{self, FORGOTTEN, INDEX, IndexName};
use super::pack::{Draft, Piece, encode_index};
use super::seal::{Kind, look};
use super::{RepoError, Repository};

/// What was forgotten together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// By which erasure.
    pub erasure: OperationId,
    /// Entries up to this one name them although they are gone; one behind it needs them.
    pub upto: LogIndex,
    /// Which.
    pub blobs: BTreeSet<BlobId>,
    /// Objects that had keys or octets of them, each with the version that it had, where the
    /// storage keeps versions.
    pub gone: BTreeMap<String, Option<String>>,
}

/// Which blobs were forgotten, by which erasure, and up to which entry that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgettings(pub BTreeMap<BlobId, (OperationId, LogIndex)>);

impl Forgettings {
    /// Whether whoever names a blob in an entry, or in a state as of it, can go without.
    pub fn allow(&self, blob: &BlobId, index: LogIndex) -> bool {
        self.0.get(blob).is_some_and(|(_, upto)| index <= *upto)
    }
}

/// Which packs have what, every copy of it, and what is put together from what.
#[derive(Debug, Default)]
pub struct Lying {
    at: HashMap<BlobId, BTreeSet<IndexName>>,
    recipes: HashMap<BlobId, Vec<BlobId>>,
    indexes: BTreeSet<IndexName>,
}

impl Lying {
    fn add(&mut self, name: IndexName, pieces: &[Piece]) {
        self.indexes.insert(name);
        for piece in pieces {
            let head = &piece.head;
            self.at.entry(head.id).or_default().insert(name);
            if !head.parts.is_empty() {
                self.recipes.entry(head.id).or_insert_with(|| head.parts.clone());
            }
        }
    }

    /// What some blobs are put together from, and whether others here are, too.
    pub fn parts(&self, of: &BTreeSet<BlobId>) -> BTreeMap<BlobId, bool> {
        let parts = of.iter().filter_map(|id| self.recipes.get(id)).flatten();
        let mut parts: BTreeMap<BlobId, bool> = parts.map(|part| (*part, false)).collect();
        for (_, others) in self.recipes.iter().filter(|(id, _)| !of.contains(*id)) {
            for other in others {
                if let Some(shared) = parts.get_mut(other) {
                    *shared = true;
                }
            }
        }
        parts
    }

    /// The packs that have any of some blobs.
    fn having(&self, blobs: &BTreeSet<BlobId>) -> BTreeSet<IndexName> {
        blobs.iter().filter_map(|blob| self.at.get(blob)).flatten().copied().collect()
    }
}

/// An index whose place another one took; `None`: nothing is left of its pack.
pub type Replaced = (IndexName, Option<IndexName>);

impl Repository {
    /// What lies where. Takes memory by the number of blobs.
    ///
    /// # Errors
    /// [`RepoError::Damaged`], [`RepoError::Unreachable`].
    pub async fn lying(&self) -> Result<Lying, RepoError> {
        let mut lying = Lying::default();
        for name in self.indexes().await? {
            lying.add(name, &self.index(&name).await?);
        }
        Ok(lying)
    }

    /// Everything that was forgotten, in the order of erasures.
    ///
    /// # Errors
    /// [`RepoError::Damaged`], [`RepoError::Unreachable`].
    pub async fn forgotten(&self) -> Result<Vec<Forgotten>, RepoError> {
        let mut all = Vec::new();
        for object in self.objects().list(FORGOTTEN, None).await? {
            let json = self.get(Kind::Forgotten, &object.name).await?;
            let read = serde_json::from_slice(&json);
            all.push(read.map_err(|error| RepoError::damaged(&object.name, error))?);
        }
        Ok(all)
    }

    /// The same by blob.
    ///
    /// # Errors
    /// As [`Repository::forgotten`].
    pub async fn forgettings(&self) -> Result<Forgettings, RepoError> {
        let mut found: BTreeMap<BlobId, (OperationId, LogIndex)> = BTreeMap::new();
        for Forgotten { erasure, upto, blobs, .. } in self.forgotten().await? {
            for blob in blobs {
                let known = found.entry(blob).or_insert((erasure, upto));
                if known.1 < upto {
                    *known = (erasure, upto);
                }
            }
        }
        Ok(Forgettings(found))
    }

    /// Forgets blobs in the packs that `lying` knows; what was written since stays as it is.
    /// Gives which indexes took the place of which. After an error or a crash it is to be called
    /// again.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`], also where the storage does not let an object go.
    pub async fn forget(
        &self,
        lying: &Lying,
        erasure: OperationId,
        upto: LogIndex,
        blobs: &BTreeSet<BlobId>,
    ) -> Result<Vec<Replaced>, RepoError> {
        let having = lying.having(blobs);
        let mut names: BTreeSet<String> = having.iter().map(IndexName::name).collect();
        if !self.is_encrypted() {
            names.extend(having.iter().map(|index| names::pack(&index.pack)));
        }
        names.extend(self.old_indexes().await?);
        let mut gone = BTreeMap::new();
        for name in names {
            match self.objects().version(&name).await {
                Ok(version) => drop(gone.insert(name, version)),
                // Somebody else was there first.
                Err(RepoError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let blobs = blobs.clone();
        let forgotten = Forgotten { erasure, upto, blobs, gone };
        self.say(&forgotten).await?;
        let mut replaced = Vec::new();
        for index in having {
            let next = match self.is_encrypted() {
                true => self.rekey(&index, &forgotten.blobs).await?,
                false => self.rewrite(&index, &forgotten.blobs).await?,
            };
            replaced.push((index, next));
        }
        // Of a pack its index goes first: what is half removed is not there.
        for name in forgotten.gone.keys() {
            self.objects().delete(name).await?;
        }
        Ok(replaced)
    }

    async fn say(&self, forgotten: &Forgotten) -> Result<(), RepoError> {
        let listed = self.objects().list(FORGOTTEN, None).await?;
        let of_it = format!("{}-", forgotten.erasure);
        let of = |object: &&super::Listed| object.last().starts_with(&of_it);
        let number = listed.iter().filter(of).count();
        let name = names::forgotten(&forgotten.erasure, u32::try_from(number).unwrap_or(u32::MAX));
        let json =
            serde_json::to_vec(forgotten).map_err(|error| RepoError::damaged(&name, error))?;
        self.put(Kind::Forgotten, &name, &json).await.map(drop)
    }

    /// The index without the keys.
    async fn rekey(
        &self,
        index: &IndexName,
        blobs: &BTreeSet<BlobId>,
    ) -> Result<Option<IndexName>, RepoError> {
        let Some(mut pieces) = self.index_if_there(index).await? else { return Ok(None) };
        pieces.retain(|piece| !blobs.contains(&piece.head.id));
        let next = IndexName { generation: index.generation.saturating_add(1), ..*index };
        self.put(Kind::Index, &next.name(), &encode_index(&pieces)).await?;
        Ok(Some(next))
    }

    /// A pack of what the old one has besides; `None` where that is nothing.
    async fn rewrite(
        &self,
        index: &IndexName,
        blobs: &BTreeSet<BlobId>,
    ) -> Result<Option<IndexName>, RepoError> {
        let Some(pieces) = self.index_if_there(index).await? else { return Ok(None) };
        let name = names::pack(&index.pack);
        let bytes = self.objects().get(&name).await?;
        look(&name, &bytes)?;
        let mut draft = Draft::new(false);
        for piece in pieces.iter().filter(|piece| !blobs.contains(&piece.head.id)) {
            let octets = self.open_piece(&index.pack, piece, &bytes)?;
            draft.add(&piece.head, piece.piece, &octets)?;
        }
        match draft.is_empty() {
            true => Ok(None),
            false => self.put_pack(draft).await.map(Some),
        }
    }

    async fn index_if_there(&self, index: &IndexName) -> Result<Option<Vec<Piece>>, RepoError> {
        match self.index(index).await {
            Ok(pieces) => Ok(Some(pieces)),
            Err(RepoError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Indexes that do not count any more, and have keys all the same: a crash leaves such.
    async fn old_indexes(&self) -> Result<BTreeSet<String>, RepoError> {
        let newest: BTreeSet<IndexName> = self.indexes().await?.into_iter().collect();
        let listed = self.objects().list(INDEX, None).await?;
        let old = |object: &super::Listed| {
            let name = IndexName::parse(object.last())?;
            (!newest.contains(&name)).then(|| object.name.clone())
        };
        Ok(listed.iter().filter_map(old).collect())
    }

    /// Of what an erasure removed, objects of which the storage keeps the version that was.
    ///
    /// # Errors
    /// As [`Repository::forgotten`].
    pub async fn kept_versions(&self, erasure: OperationId) -> Result<Vec<String>, RepoError> {
        let mut kept = BTreeSet::new();
        for forgotten in self.forgotten().await?.into_iter().filter(|it| it.erasure == erasure) {
            for (name, version) in forgotten.gone {
                if self.objects().has_version(&name, version.as_deref()).await? {
                    kept.insert(name);
                }
            }
        }
        Ok(kept.into_iter().collect())
    }
}
