//! The cluster as JSON: over the admin socket, and between nodes.

use redoubt_log::id::{NodeId, Timestamp};
use redoubt_log::raft::{Cluster, ClusterMember, Role};
use redoubt_log::record::Actor;
use serde::{Deserialize, Serialize};

/// The cluster; names and meaning are stable, more may come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterBody {
    /// Which cluster: 32 hexadecimal digits.
    pub cluster: String,
    /// The node that was asked.
    pub node: NodeId,
    /// Its term.
    pub term: u64,
    /// Who leads, where that is known.
    pub leader: Option<NodeId>,
    /// The level in force.
    pub level: u32,
    /// The level that `cluster finalize` would raise it to.
    pub next_level: Option<u32>,
    /// Whether a change of the members is under way.
    pub changing: bool,
    /// Everybody, by rising node.
    pub members: Vec<MemberLine>,
}

/// A member that was not heard for so long does not count as running, in seconds.
const SILENT: f64 = 3.0;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It leads.
    Leader,
    /// It votes, and follows.
    Voter,
    /// It gets the log and has no vote.
    Learner,
    /// It has an id, and does not get the log yet.
    Joining,
}

/// A member. What is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberLine {
    /// Its id.
    pub node: NodeId,
    /// Where its peers reach it.
    pub address: String,
    /// What it does.
    pub role: Part,
    /// Whether it keeps no views and serves nobody.
    pub light: bool,
    /// The last entry that is durable there.
    pub matched: Option<u64>,
    /// The last entry applied there.
    pub applied: Option<u64>,
    /// Records that it is behind.
    pub lag_records: Option<u64>,
    /// Seconds that it is behind.
    pub lag_seconds: Option<f64>,
    /// Seconds since it was heard; 0 for the one that tells.
    pub last_contact_seconds: Option<f64>,
    /// How often it was started.
    pub incarnation: Option<u64>,
    /// The level that it supports.
    pub level: Option<u32>,
    /// Its program's version.
    pub version: Option<String>,
    /// Its clock minus the leader's, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Bytes free on its disk.
    pub disk_free_bytes: Option<u64>,
    /// Whether mail may grow there.
    pub growth_allowed: Option<bool>,
    /// Why it is refused or does not answer.
    pub trouble: Option<String>,
    /// Its alarms.
    pub alarms: Vec<String>,
}

impl MemberLine {
    /// As the node that looked sees it.
    pub fn of(member: &ClusterMember, looked: NodeId) -> Self {
        let itself = member.node == looked;
        let contact = member.last_contact.map(|past| past.as_secs_f64());
        Self {
            node: member.node,
            address: member.address.clone(),
            role: part(member.role),
            light: member.light,
            matched: member.matched.map(|index| index.0),
            applied: member.applied.map(|index| index.0),
            lag_records: member.lag_records,
            lag_seconds: member.lag.map(|lag| lag.as_secs_f64()),
            last_contact_seconds: if itself { Some(0.0) } else { contact },
            incarnation: member.incarnation,
            level: member.level,
            version: member.version.clone(),
            clock_offset_ms: member.clock_offset_ms,
            disk_free_bytes: None,
            growth_allowed: member.growth_allowed,
            trouble: member.trouble.clone(),
            alarms: Vec::new(),
        }
    }

    /// Whether it was heard lately.
    pub(super) fn runs(&self) -> bool {
        self.last_contact_seconds.is_some_and(|seconds| seconds < SILENT)
    }

    /// Whether it votes.
    pub fn votes(&self) -> bool {
        matches!(self.role, Part::Leader | Part::Voter)
    }
}

fn part(role: Role) -> Part {
    match role {
        Role::Leader => Part::Leader,
        Role::Voter => Part::Voter,
        Role::Learner => Part::Learner,
    }
}

impl ClusterBody {
    /// As a node sees it by itself.
    pub fn of(cluster: &Cluster, lineage: &str) -> Self {
        let common = cluster.common_level().filter(|level| *level > cluster.level);
        Self {
            cluster: lineage.into(),
            node: cluster.node,
            term: cluster.term.0,
            leader: cluster.leader,
            level: cluster.level,
            next_level: common,
            changing: cluster.changing,
            members: cluster.members.iter().map(|m| MemberLine::of(m, cluster.node)).collect(),
        }
    }

    /// Whether the one that looked hears a majority: without it nobody leads.
    pub(super) fn has_majority(&self) -> bool {
        let voters = self.members.iter().filter(|member| member.votes());
        let (all, running) = voters
            .fold((0, 0), |(all, running), member| (all + 1, running + u32::from(member.runs())));
        running * 2 > all
    }

    /// Who leads; nobody where the one that looked hears no majority any more, whoever was
    /// elected last.
    pub(crate) fn followed_leader(&self) -> Option<NodeId> {
        self.leader.filter(|_| self.has_majority())
    }

    /// The member with this id.
    pub fn member(&self, node: NodeId) -> Option<&MemberLine> {
        self.members.iter().find(|member| member.node == node)
    }
}

/// What only a node itself can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Bytes free on its disk.
    pub disk_free_bytes: u64,
    /// Its alarms.
    pub alarms: Vec<String>,
}

/// A new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenWish {
    /// Seconds for which it is good.
    pub valid_seconds: u64,
    /// Whether it admits a light voter, and nothing else.
    pub light: bool,
}

/// The token, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBody {
    /// Its text.
    pub token: String,
    /// From when on it is good for nothing.
    pub expires: Timestamp,
    /// Where this node is joined.
    pub address: String,
}

/// Who shall lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferWish {
    /// Which voter; `None` for the one that is furthest.
    pub to: Option<NodeId>,
}

/// What is asked of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaderCall {
    /// By whom.
    pub(crate) actor: Actor,
    /// What.
    pub(crate) wish: LeaderWish,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LeaderWish {
    /// The cluster as the leader sees it.
    Look,
    /// A node with an id becomes a voter; answers how far it is.
    Seat {
        node: NodeId,
        address: String,
        light: bool,
    },
    Transfer {
        to: Option<NodeId>,
    },
    Remove {
        node: NodeId,
    },
    Finalize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum LeaderAnswer {
    Cluster(Box<ClusterBody>),
    /// Whether it votes, and else how many records it is behind.
    Seat {
        voter: bool,
        lag: Option<u64>,
    },
    Leader(NodeId),
    Level(u32),
    Done,
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It would do harm, or makes no sense: exit code 5.
    #[error("{0}")]
    Refused(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
    /// Nobody leads, or the leader is not reached: exit code 4.
    #[error("{0}")]
    Unavailable(String),
    /// Another node leads by now.
    #[error("another node leads by now")]
    NotLeader,
}
