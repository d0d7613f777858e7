//! What a node knows of the members of its group.

use std::time::Duration;

use crate::id::{LogIndex, NodeId, Term};

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes, and follows.
    Voter,
    /// It gets the log and has no vote.
    Learner,
}

/// A group, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The node that looked.
    pub node: NodeId,
    /// Its term.
    pub term: Term,
    /// Who leads, where that is known.
    pub leader: Option<NodeId>,
    /// The level that the state is at: kinds of records above it are refused.
    pub level: u32,
    /// Whether a change of the members is under way.
    pub changing: bool,
    /// Everybody, by rising node.
    pub members: Vec<ClusterMember>,
}

impl Cluster {
    /// The member with this id.
    pub fn member(&self, node: NodeId) -> Option<&ClusterMember> {
        self.members.iter().find(|member| member.node == node)
    }

    /// Those that vote, the leader among them.
    pub fn voters(&self) -> impl Iterator<Item = &ClusterMember> {
        self.members.iter().filter(|member| member.role != Role::Learner)
    }

    /// The level that every member supports; `None` while one has not been heard.
    pub fn common_level(&self) -> Option<u32> {
        let levels: Option<Vec<u32>> = self.members.iter().map(|member| member.level).collect();
        levels?.into_iter().min()
    }
}

/// A member. What only it can say is `None` while it has not been heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    /// Its id.
    pub node: NodeId,
    /// Where its peers reach it.
    pub address: String,
    /// What it does.
    pub role: Role,
    /// Whether it keeps no views and serves nobody.
    pub light: bool,
    /// The last entry that is durable there: what the leader knows if this node
    /// leads, else what the member said.
    pub matched: Option<LogIndex>,
    /// The last entry applied there.
    pub applied: Option<LogIndex>,
    /// Records that it is behind the last one known here.
    pub lag_records: Option<u64>,
    /// How far the time of its last record is behind the last one known here.
    pub lag: Option<Duration>,
    /// How long ago it was heard; nothing for this node itself.
    pub last_contact: Option<Duration>,
    /// How often it was started.
    pub incarnation: Option<u64>,
    /// What it supports.
    pub level: Option<u32>,
    /// The program's version there.
    pub version: Option<String>,
    /// Its clock minus this node's, in milliseconds, give or take half the round trip.
    pub clock_offset_ms: Option<i64>,
    /// Whether its disk has room for mail to grow.
    pub growth_allowed: Option<bool>,
    /// Why it is refused or does not answer, in words.
    pub trouble: Option<String>,
}
