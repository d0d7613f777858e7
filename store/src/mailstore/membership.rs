//! `cluster.toml`: what a node knows of its own part in a cluster. Beside
//! `node.toml`, which never changes and which the release before reads.

use std::path::PathBuf;
use std::sync::Arc;

use redoubt_log::id::{NodeId, OperationId};
use redoubt_log::raft::Dialer;
use serde::{Deserialize, Serialize};

use super::layout::{damaged, read_small, write_small};
use super::{Layout, OpenError};

/// How a node is reached by its peers, and reaches them.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Makes streams to peers.
    pub dialer: Arc<dyn Dialer>,
    /// Where peers reach this node: `HOST:PORT`.
    pub address: String,
}

/// `cluster.toml`. Its absence is the default: a node that founded its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterFile {
    /// How often the node was started: raised and synced each time.
    pub incarnation: u64,
    /// Whether it keeps no views and serves nobody.
    pub light: bool,
    /// Whether it got its id from a cluster that was there, and did not found one.
    pub joined: bool,
    /// Whether it founded its cluster, and has let others in since.
    pub has_others: bool,
    /// Members that were lost for good with the cluster before this one: at the next start
    /// the state is told that they are removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<NodeId>,
    /// What is left to do until it is a voter; gone when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joining: Option<Joining>,
}

/// A join under way: enough to go on with it after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    /// What it calls itself until it has an id.
    pub joiner: OperationId,
    /// The token that it shows.
    pub token: String,
    /// Members that it asks, the one that it was told of first.
    pub members: Vec<String>,
}

impl ClusterFile {
    /// Reads it.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Io`].
    pub fn load(layout: &Layout) -> Result<Self, OpenError> {
        let path = path(layout);
        let Some(bytes) = read_small(&path)? else { return Ok(Self::default()) };
        let text =
            std::str::from_utf8(&bytes).map_err(|error| damaged(&path, error.to_string()))?;
        toml::from_str(text).map_err(|error| damaged(&path, error.to_string()))
    }

    /// Writes it; synced when this returns.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn save(&self, layout: &Layout) -> Result<(), OpenError> {
        let path = path(layout);
        let text = toml::to_string(self).map_err(|error| damaged(&path, error.to_string()))?;
        write_small(
            &path,
            format!("# Written by redoubt. Never edit or copy it.\n{text}").as_bytes(),
        )
    }

    /// Counts one start more. Only while the directory is locked.
    pub(super) fn begin(layout: &Layout) -> Result<Self, OpenError> {
        let mut file = Self::load(layout)?;
        file.incarnation = file.incarnation.saturating_add(1);
        file.save(layout)?;
        Ok(file)
    }
}

fn path(layout: &Layout) -> PathBuf {
    layout.root().join("cluster.toml")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_start_is_counted_and_the_rest_kept() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert_eq!(ClusterFile::load(&layout).unwrap(), ClusterFile::default());
        let joining = Joining {
            joiner: OperationId([3; 16]),
            token: "t".into(),
            members: vec!["a:7072".into(), "b:7072".into()],
        };
        let file = ClusterFile { joined: true, joining: Some(joining), ..ClusterFile::default() };
        file.save(&layout).unwrap();
        assert_eq!(ClusterFile::begin(&layout).unwrap().incarnation, 1);
        let again = ClusterFile::begin(&layout).unwrap();
        assert_eq!(again, ClusterFile { incarnation: 2, ..file });
        std::fs::write(dir.path().join("cluster.toml"), "incarnation = -1").unwrap();
        assert!(ClusterFile::load(&layout).is_err());
    }
}
