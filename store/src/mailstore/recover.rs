//! When a majority of a cluster is lost for good: what this node has becomes a
//! cluster of its own, with a lineage of its own.

use redoubt_log::id::NodeId;
use redoubt_log::raft::{RegroupError, Survey, regroup, survey};
use redoubt_log::segment::SegmentLog;

use super::{ClusterFile, Layout, Lock, NodeFile, OpenError, Options};

/// A node that is to go on alone.
#[derive(Debug, Clone)]
pub struct Survivor {
    /// Which node it was, and stays.
    pub node: NodeId,
    /// Which cluster it belonged to.
    pub lineage: String,
    /// What its log holds.
    pub survey: Survey,
}

/// What this node could go on with. Changes nothing but what a crash left half
/// done. Blocks.
///
/// # Errors
/// See [`OpenError`].
pub fn look_at_survivor(options: &Options) -> Result<Survivor, OpenError> {
    let (_lock, _, log, survivor) = open(options)?;
    close(&log)?;
    Ok(survivor)
}

/// Makes a cluster of this node alone. Its history, ids and secrets stay; its
/// lineage is a new one, so that no node of the old cluster takes it for its own.
/// Blocks.
///
/// # Errors
/// See [`OpenError`]; after any of them it can be called again.
pub fn recover_alone(options: &Options, address: &str) -> Result<NodeFile, OpenError> {
    let (_lock, layout, log, survivor) = open(options)?;
    // The new name first: the old members must never meet a group of one that bears theirs.
    let identity = NodeFile { node: survivor.node, lineage: NodeFile::new_lineage() };
    identity.save(&layout)?;
    let ClusterFile { incarnation, mut lost, .. } = ClusterFile::load(&layout)?;
    lost.extend(survivor.survey.voters.iter().filter(|node| **node != survivor.node));
    ClusterFile { incarnation, lost, ..ClusterFile::default() }.save(&layout)?;
    forget_peers(&layout)?;
    regroup(&log, survivor.node, address).map_err(not_made)?;
    close(&log)?;
    Ok(identity)
}

fn open(options: &Options) -> Result<(Lock, Layout, SegmentLog, Survivor), OpenError> {
    let layout = Layout::new(&options.data);
    let lock = Lock::take(&layout)?;
    let missing = || OpenError::Node("node.toml is missing: nothing was ever stored here".into());
    let NodeFile { node, lineage } = NodeFile::load(&layout)?.ok_or_else(missing)?;
    let opened = SegmentLog::open(options.disk.clone(), &layout.log(), options.log.clone());
    let (log, _) = opened.map_err(|error| OpenError::Log(error.to_string()))?;
    let survey = survey(&log).map_err(not_made)?;
    if survey.last.is_none() {
        return Err(not_made(RegroupError::Empty));
    }
    Ok((lock, layout, log, Survivor { node, lineage, survey }))
}

fn close(log: &SegmentLog) -> Result<(), OpenError> {
    log.close().map_err(|error| OpenError::Log(error.to_string()))
}

fn not_made(error: RegroupError) -> OpenError {
    OpenError::Log(error.to_string())
}

/// What was seen of the lost members is of no use, and their ids may be.
fn forget_peers(layout: &Layout) -> Result<(), OpenError> {
    match std::fs::remove_file(layout.seen()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::io(&layout.seen(), error))
        }
        _ => Ok(()),
    }
}
