//! Who belongs to the cluster, and what all members have agreed on. Always as of
//! now: the past of a cluster is in its log.

use redoubt_log::id::{Hash, NodeId};
use redoubt_log::record::{Archived, NewLineage};
use serde::de::DeserializeOwned;

use super::{Key, Parts, StoreError, Table, View, decode};
use crate::apply::{FIRST_LEVEL, FIRST_NODE};
use crate::keys::{Meta, head_keys, nodes};
use crate::rows::{HeadKeyRow, NodeRow, TokenRow};

impl View {
    /// The level in force: record kinds of a higher one wait for `cluster finalize`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn level(&self) -> Result<u32, StoreError> {
        Ok(level(self.reader())?)
    }

    /// Nodes that got their ids from the log or were removed, by rising id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn nodes(&self) -> Result<Vec<(NodeId, NodeRow)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Directory, &nodes(), usize::MAX)? {
            let node = Parts::new(key.get(1..).unwrap_or_default()).u64().unwrap_or_default();
            found.push((NodeId(node), decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }

    /// The keys that sign heads of this history, each with whose it is, the oldest first. Those of
    /// nodes of a history before this one are not among them.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn head_keys(&self) -> Result<Vec<(Hash, HeadKeyRow)>, StoreError> {
        let first = self.lineage()?.map_or(FIRST_NODE, |lineage| lineage.node);
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Directory, &head_keys(), usize::MAX)? {
            let name = key.get(1..).unwrap_or_default().try_into();
            let name = name.map_err(|_| {
                crate::storage::StorageError::corrupt(Table::Directory, &key, "no key")
            })?;
            let row: HeadKeyRow = decode(Table::Directory, &key, &value)?;
            found.push((Hash(name), row));
        }
        found.retain(|(_, row)| row.node >= first);
        found.sort_by_key(|(_, row)| row.index);
        Ok(found)
    }

    /// The id that the next node will get.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn next_node(&self) -> Result<NodeId, StoreError> {
        Ok(self.meta(Meta::NextNode)?.map_or(NodeId(FIRST_NODE.0 + 1), NodeId))
    }

    /// How far the backup repository holds the log, as the log says.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn archived(&self) -> Result<Option<Archived>, StoreError> {
        self.meta(Meta::Archived)
    }

    /// The history that this one was made from, if it was.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn lineage(&self) -> Result<Option<NewLineage>, StoreError> {
        self.meta(Meta::Lineage)
    }

    fn meta<T: DeserializeOwned>(&self, meta: Meta) -> Result<Option<T>, StoreError> {
        let key = Key::Meta(meta);
        let found = self.reader().get(key.table(), &key.bytes())?;
        let read = found.map(|value| decode(key.table(), &key.bytes(), &value));
        Ok(read.transpose()?)
    }

    /// A join token, by the hash of its secret.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn token(&self, token: Hash) -> Result<Option<TokenRow>, StoreError> {
        let key = Key::Token(token);
        let found = self.reader().get(key.table(), &key.bytes())?;
        let read = found.map(|value| decode(key.table(), &key.bytes(), &value));
        Ok(read.transpose()?)
    }
}

/// The level in force in some tables.
pub(crate) fn level(
    reader: &dyn crate::storage::Read,
) -> Result<u32, crate::storage::StorageError> {
    let key = Key::Meta(Meta::Version);
    match reader.get(key.table(), &key.bytes())? {
        Some(value) => decode(key.table(), &key.bytes(), &value),
        None => Ok(FIRST_LEVEL),
    }
}
