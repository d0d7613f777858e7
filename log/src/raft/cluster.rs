//! What a node knows of the members of its group.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, RaftMetrics};

use crate::id::{LogIndex, NodeId, Term, Timestamp};
use crate::raft::heard::{Heard, Pulse};
use crate::raft::hub::Hub;
use crate::raft::members::matched;
use crate::raft::types::{Member, TypeConfig};

/// A leader that no majority has answered for so long does not lead.
const FOLLOWED: Duration = Duration::from_millis(1500);

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

/// What the status is drawn from, looked at once.
struct Looked {
    leader: Option<NodeId>,
    /// The last entry known here.
    last: Option<LogIndex>,
    /// The effective time of the last entry applied here.
    time: Option<Timestamp>,
}

impl Hub {
    /// The group, as this node sees it.
    pub(crate) fn cluster(&self) -> Cluster {
        let (term, leader, changing) = self.at_the_moment();
        let last = self.log.last().map(|id| id.index);
        let looked = Looked { leader, last, time: self.applied.get().map(|state| state.time) };
        let membership = self.membership();
        let nodes = membership.nodes().map(|(node, member)| (NodeId(*node), member.clone()));
        let members = nodes.map(|(node, member)| self.one(node, member, &looked)).collect();
        Cluster { node: self.me(), term, leader, level: self.applied.level(), changing, members }
    }

    /// Whether a majority follows this node, should it lead: one that is cut off goes on
    /// believing that it does.
    pub(crate) fn is_followed(&self, metrics: &RaftMetrics<TypeConfig>) -> bool {
        let leads = metrics.current_leader == Some(self.me().0);
        let alone = metrics.membership_config.voter_ids().count() <= 1;
        let acked = metrics.last_quorum_acked.as_ref().map(|at| at.elapsed());
        !leads || alone || acked.is_some_and(|ago| ago < FOLLOWED)
    }

    fn at_the_moment(&self) -> (Term, Option<NodeId>, bool) {
        let Some(raft) = self.raft() else { return (Term(0), None, false) };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader.map(NodeId).filter(|_| self.is_followed(&metrics));
        let effective = metrics.membership_config.log_id();
        let pending = effective != metrics.committed_membership_config.log_id();
        let joint = metrics.membership_config.membership().get_joint_config().len() > 1;
        let changing = pending || joint || self.changing.try_lock().is_err();
        (Term(metrics.current_term), leader, changing)
    }

    fn one(&self, node: NodeId, member: Member, looked: &Looked) -> ClusterMember {
        let role = match (looked.leader == Some(node), self.is_voter(node)) {
            (true, _) => Role::Leader,
            (false, true) => Role::Voter,
            (false, false) => Role::Learner,
        };
        let Member { address, light } = member;
        let nothing = ClusterMember {
            node,
            address,
            role,
            light,
            matched: None,
            applied: None,
            lag_records: None,
            lag: None,
            last_contact: None,
            incarnation: None,
            level: None,
            version: None,
            clock_offset_ms: None,
            growth_allowed: None,
            trouble: None,
        };
        match node == self.me() {
            true => self.itself(nothing),
            false => self.other(nothing, looked),
        }
    }

    fn itself(&self, member: ClusterMember) -> ClusterMember {
        let peers = self.peers();
        ClusterMember {
            matched: self.log.durable().map(|id| id.index),
            applied: self.applied.index(),
            lag_records: Some(0),
            lag: Some(Duration::ZERO),
            incarnation: peers.map(|peers| peers.incarnation),
            level: Some(peers.map_or(super::LEVEL, |peers| peers.level)),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            clock_offset_ms: Some(0),
            growth_allowed: Some(self.log.growth_was_allowed().0),
            trouble: self.stop.get().map(|why| why.to_string()).or_else(|| self.clock_trouble()),
            ..member
        }
    }

    fn other(&self, member: ClusterMember, looked: &Looked) -> ClusterMember {
        let heard = self.heard.lock().get(&member.node).cloned().unwrap_or_default();
        let Heard { last, offset_ms, trouble, .. } = heard;
        let known = self.raft().and_then(|raft| matched(raft, member.node)).map(LogIndex);
        let Some((at, pulse)) = last else {
            return ClusterMember { matched: known, trouble, ..member };
        };
        let matched = known.max(pulse.durable.map(|id| id.index));
        ClusterMember {
            matched,
            applied: pulse.applied,
            lag_records: Some(behind(looked.last, matched)),
            lag: lag(&pulse, looked, matched),
            last_contact: Some(at.elapsed()),
            incarnation: Some(pulse.incarnation),
            level: Some(pulse.level),
            version: Some(pulse.version),
            clock_offset_ms: Some(offset_ms),
            growth_allowed: Some(pulse.growth_allowed),
            trouble,
            ..member
        }
    }
}

fn behind(last: Option<LogIndex>, matched: Option<LogIndex>) -> u64 {
    let count = |index: Option<LogIndex>| index.map_or(0, |index| index.0.saturating_add(1));
    count(last).saturating_sub(count(matched))
}

/// Nothing for one that has all; else from the time of the last record applied there.
fn lag(pulse: &Pulse, looked: &Looked, matched: Option<LogIndex>) -> Option<Duration> {
    if behind(looked.last, matched) == 0 {
        return Some(Duration::ZERO);
    }
    let millis = looked.time?.0.saturating_sub(pulse.time?.0);
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}
