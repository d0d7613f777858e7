//! The members of the group: added, given a vote, removed, one at a time; and
//! leadership handed over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use crate::codec;
use crate::id::{BlobId, LogIndex, NodeId};
use crate::raft::cluster::Cluster;
use crate::raft::error::{CallError, FetchError, MembershipError};
use crate::raft::hub::Hub;
use crate::raft::node::Node;
use crate::raft::peers::{PeerStream, Service, topic};
use crate::raft::read_index::Raft;
use crate::raft::serve::serve;
use crate::raft::types::{Member, TypeConfig};
use crate::raft::wire::Lane;
use crate::segment::LogEntry;
use crate::world::watch;

/// How long a change of the members may take to be committed.
const CHANGE: Duration = Duration::from_secs(30);
/// How long the hand-over of leadership may take.
const TRANSFER: Duration = Duration::from_millis(2000);
/// The wait before a change is tried again.
const AGAIN: Duration = Duration::from_millis(25);
/// How long a learner may be silent while it catches up.
const SILENT: Duration = Duration::from_secs(30);
/// Records that a member may be behind when it is given a vote, or leadership.
const CLOSE: u64 = 1000;
/// Records that a learner should be behind at most when it is given a vote, which the very
/// next record may need; and how long that is waited for.
pub(crate) const NEAR: u64 = 16;
const NEARER: Duration = Duration::from_secs(5);
/// Records that are being applied at any time.
const ON_ITS_WAY: u64 = 200;
/// How often one that waits for a learner looks at it at least.
const LOOK: Duration = Duration::from_secs(1);

type Changed = Result<(), MembershipError>;

impl Node {
    /// Serves what a peer sends over this stream, on Raft's own threads, until it
    /// ends. `identity` is what the peer's certificate says, where it has one.
    pub async fn serve_peer(&self, stream: Box<dyn PeerStream>, identity: Option<NodeId>) {
        let (mut done, ended) = tokio::sync::oneshot::channel::<()>();
        let hub = self.hub().clone();
        self.hub().spawn(async move {
            tokio::select! {
                biased;
                () = serve(hub, stream, identity) => {}
                // The caller has dropped this.
                () = done.closed() => {}
            }
        });
        drop(ended.await);
    }

    /// Runs a task on Raft's own threads, which nothing else keeps busy: where
    /// peers' streams are best made and accepted.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.hub().spawn(task);
    }

    /// Who leads, where that is known.
    pub fn leader(&self) -> Option<NodeId> {
        self.status().leader
    }

    /// Whether this node leads, as far as it knows: a read index makes sure.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.hub().me())
    }

    /// Who leads, whenever that changes.
    pub fn watch_leader(&self) -> watch::Receiver<Option<NodeId>> {
        self.hub().leader.subscribe()
    }

    /// Adds a node that gets the log and has no vote; returns when it has the
    /// log but for what came meanwhile. Again for a learner it only waits. Only on
    /// the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, node: NodeId, address: String, light: bool) -> Changed {
        if self.hub().member(node).is_none() {
            self.hub().note_address(node, &address);
        }
        self.hub().prepare_joiner(node).await;
        let member = Member { address, light };
        {
            let change = self.hub().begin_change().await?;
            change.add(node, member).await?;
        }
        self.hub().caught_up(node).await
    }

    /// Gives a learner that is close behind a vote. Only on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn promote(&self, node: NodeId) -> Changed {
        self.hub().nearly_there(node).await?;
        self.hub().begin_change().await?.promote(node).await
    }

    /// Removes a member for good. Only on the leader, which hands leadership
    /// over first if it is the one to go.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove(&self, node: NodeId) -> Changed {
        self.hub().remove(node).await
    }

    /// Hands leadership to a voter, `None` for the one that is furthest; returns
    /// when it leads. Only on the leader.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn transfer(&self, to: Option<NodeId>) -> Changed {
        self.hub().transfer(to).await
    }

    /// The group, as this node sees it.
    pub fn cluster(&self) -> Cluster {
        self.hub().cluster()
    }

    /// Calls a service on another node, or on this one.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        peer: NodeId,
        topic: u16,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        self.hub().call(peer, Lane::Calls, topic, body, timeout).await
    }

    /// Answers calls on this topic from now on.
    pub fn register(&self, topic: u16, service: Arc<dyn Service>) {
        self.hub().services.lock().insert(topic, service);
    }

    /// Fetches a blob, and the parts of its recipe, from any peer that has it,
    /// and makes it durable here. Says who had it.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch_blob(&self, id: BlobId) -> Result<NodeId, FetchError> {
        self.hub().fetch_from_any(id).await
    }

    /// Applied entries of a range from any peer, as many as fit into `max_bytes`
    /// and at least one, verified by the chain: that of the entry before the range
    /// must be at hand here.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch_entries(
        &self,
        range: Range<LogIndex>,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, FetchError> {
        self.hub().fetch_entries(range, max_bytes).await
    }

    /// All applied entries of a range from any peers, verified as by
    /// [`Node::fetch_entries`], however many there are.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch_all_entries(
        &self,
        range: Range<LogIndex>,
    ) -> Result<Vec<LogEntry>, FetchError> {
        self.hub().fetch_all_entries(range).await
    }
}

/// The right to change the members: one at a time.
struct Change<'a> {
    hub: &'a Hub,
    raft: &'a Raft,
    _one: MutexGuard<'a, ()>,
}

impl Hub {
    async fn begin_change(&self) -> Result<Change<'_>, MembershipError> {
        let raft = self.raft_as_leader()?;
        let one = self.changing.try_lock().map_err(|_| MembershipError::InProgress)?;
        let change = Change { hub: self, raft, _one: one };
        if self.is_joint() {
            change.commit(ChangeMembers::AddVoterIds(BTreeSet::new())).await?;
        }
        Ok(change)
    }

    /// Whether two majorities decide: who changed the voters has ended between the two halves
    /// of the change (Raft dissertation, section 4.3), or is about to do the second.
    pub(crate) fn is_joint(&self) -> bool {
        self.membership().membership().get_joint_config().len() > 1
    }

    /// Does the second half of a change of which nobody else will. Only on the leader.
    pub(crate) async fn finish_change(&self) -> Changed {
        self.begin_change().await.map(drop)
    }

    pub(crate) fn raft_as_leader(&self) -> Result<&Raft, MembershipError> {
        if let Some(why) = self.stop.get() {
            return Err(MembershipError::Stopped(why.to_string()));
        }
        if self.peers().is_none() {
            return Err(MembershipError::Alone);
        }
        let leader = *self.leader.borrow();
        match self.raft() {
            Some(raft) if leader == Some(self.me()) => Ok(raft),
            _ => Err(MembershipError::NotLeader { leader }),
        }
    }

    pub(crate) fn member(&self, node: NodeId) -> Option<Member> {
        let membership = self.membership();
        membership.nodes().find(|(id, _)| **id == node.0).map(|(_, member)| member.clone())
    }

    pub(crate) fn is_voter(&self, node: NodeId) -> bool {
        self.membership().voter_ids().any(|voter| voter == node.0)
    }

    /// Waits until a learner has what the log had when this was called.
    async fn caught_up(&self, node: NodeId) -> Changed {
        let raft = self.raft_as_leader()?;
        let target = self.log.last().map(|id| id.index.0);
        let mut metrics = raft.metrics();
        let (mut moved, mut known) = ((Instant::now(), None), false);
        loop {
            self.raft_as_leader()?;
            let matched = matched(raft, node);
            if matched >= target {
                return Ok(());
            }
            if matched != moved.1 || self.heard_within(node, SILENT) {
                moved = (Instant::now(), matched);
            }
            if moved.0.elapsed() > SILENT {
                let why = "it is not heard and does not catch up".to_owned();
                return Err(MembershipError::Unreachable { node, why });
            }
            // What was added is seen a moment later.
            if std::mem::replace(&mut known, self.member(node).is_some()) && !known {
                return Err(MembershipError::UnknownNode(node));
            }
            let changed = timeout_at(Instant::now() + LOOK, metrics.changed());
            if matches!(changed.await, Ok(Err(_))) {
                return Err(MembershipError::Stopped("Raft has ended".to_owned()));
            }
        }
    }

    /// Waits until a learner is as good as there: under load it is never quite. While it is far
    /// behind, proposals are held back for it.
    async fn nearly_there(&self, node: NodeId) -> Changed {
        let (mut metrics, mut until) = (self.raft_as_leader()?.metrics(), None);
        loop {
            let raft = self.raft_as_leader()?;
            let now = Instant::now();
            let there = match self.behind(raft, node) {
                behind if behind <= NEAR => true,
                behind if behind <= CLOSE => *until.get_or_insert(now + NEARER) <= now,
                _ => !self.heard_within(node, SILENT) || self.member(node).is_none(),
            };
            if there || matches!(timeout_at(now + LOOK, metrics.changed()).await, Ok(Err(_))) {
                return Ok(());
            }
        }
    }

    pub(crate) fn heard_within(&self, node: NodeId, time: Duration) -> bool {
        let heard = self.heard.lock();
        let last = heard.get(&node).and_then(|heard| heard.last.as_ref());
        last.is_some_and(|(at, _)| at.elapsed() < time)
    }

    pub(crate) async fn remove(&self, node: NodeId) -> Changed {
        if node == self.me() {
            let voters = self.membership().voter_ids().count();
            if voters <= 1 {
                return Err(MembershipError::LastVoter(node));
            }
            self.transfer(None).await?;
            return self.ask_leader_to_remove(node).await;
        }
        self.begin_change().await?.remove(node).await
    }

    async fn ask_leader_to_remove(&self, node: NodeId) -> Changed {
        let leader = *self.leader.borrow();
        let leader = leader.ok_or(MembershipError::NotLeader { leader: None })?;
        let unknown = |error: &dyn std::fmt::Display| MembershipError::Unknown(error.to_string());
        let body = codec::to_bytes(&node).map_err(|error| unknown(&error))?;
        let asked = self.call(leader, Lane::Calls, topic::REMOVE, body.into(), CHANGE).await;
        let answer: Removed = codec::from_bytes(&asked.map_err(|error| unknown(&error))?)
            .map_err(|error| unknown(&error))?;
        answer.0.map_err(MembershipError::Unknown)
    }

    /// Hands leadership over and waits until the other leads.
    pub(crate) async fn transfer(&self, to: Option<NodeId>) -> Changed {
        let raft = self.raft_as_leader()?;
        let to = match to {
            Some(to) if to == self.me() => return Ok(()),
            Some(to) if self.is_voter(to) => to,
            Some(to) => return Err(MembershipError::UnknownNode(to)),
            None => self.furthest().ok_or(MembershipError::LastVoter(self.me()))?,
        };
        self.is_close(raft, to)?;
        let mut leader = self.leader.subscribe();
        let stopped = |error: &dyn std::fmt::Display| MembershipError::Stopped(error.to_string());
        raft.trigger().transfer_leader(to.0).await.map_err(|error| stopped(&error))?;
        let other = async {
            let done = leader.wait_for(|now| now.is_some_and(|now| now != self.me())).await;
            done.ok().flatten()
        };
        match timeout_at(Instant::now() + TRANSFER, other).await {
            Ok(Some(now)) if now == to => Ok(()),
            Ok(Some(now)) => Err(MembershipError::Unknown(format!("node {now} leads instead"))),
            // While it hands over it sends no heartbeats, so that the others elect somebody. This
            // node must not stand now: it may have given its vote to one that begins to lead.
            _ => {
                let why = "it did not take over in time".to_owned();
                Err(MembershipError::Unreachable { node: to, why })
            }
        }
    }

    /// Records that a member has not got, or not applied.
    pub(crate) fn behind(&self, raft: &Raft, node: NodeId) -> u64 {
        let last = self.log.last().map_or(0, |id| id.index.0.saturating_add(1));
        let has = matched(raft, node).map_or(0, |index| index.saturating_add(1));
        last.saturating_sub(has).saturating_add(self.backlog(node))
    }

    /// Records that a member has in its log and not in its state, by its own word, without what
    /// is always on its way.
    pub(crate) fn backlog(&self, node: NodeId) -> u64 {
        let heard = self.heard.lock();
        let pulse = heard.get(&node).and_then(|heard| heard.last.as_ref()).map(|(_, pulse)| pulse);
        let log_and_state = pulse.filter(|pulse| !pulse.light).and_then(|pulse| {
            Some((pulse.durable?.index.0, pulse.applied.map_or(0, |applied| applied.0)))
        });
        let (durable, applied) = log_and_state.unwrap_or_default();
        durable.saturating_sub(applied).saturating_sub(ON_ITS_WAY)
    }

    /// Whether a member has nearly all of the log, and has applied it.
    fn is_close(&self, raft: &Raft, node: NodeId) -> Changed {
        match self.behind(raft, node) {
            lag if lag > CLOSE => Err(MembershipError::NotCaughtUp { node, lag }),
            _ => Ok(()),
        }
    }

    /// The other voter that is furthest, of those that were heard lately and may lead well.
    pub(crate) fn furthest(&self) -> Option<NodeId> {
        let raft = self.raft()?;
        let membership = self.membership();
        let light = |node: &NodeId| self.member(*node).is_some_and(|member| member.light);
        let others = membership.voter_ids().map(NodeId).filter(|node| *node != self.me());
        let rank = |node: &NodeId| {
            let heard = self.heard_within(*node, Duration::from_secs(2));
            (heard, !light(node), self.has_room(*node), matched(raft, *node))
        };
        others.max_by_key(rank)
    }
}

/// The last entry that a member is known to have, on the leader.
pub(crate) fn matched(raft: &Raft, node: NodeId) -> Option<u64> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let replication = metrics.replication.as_ref()?;
    replication.get(&node.0).copied().flatten().map(|id| id.index)
}

impl Change<'_> {
    async fn add(&self, node: NodeId, member: Member) -> Changed {
        match self.hub.member(node) {
            Some(there) if there == member => return Ok(()),
            Some(_) => return Err(MembershipError::AlreadyMember(node)),
            None => {}
        }
        self.commit(ChangeMembers::AddNodes(BTreeMap::from([(node.0, member)]))).await
    }

    async fn promote(&self, node: NodeId) -> Changed {
        if self.hub.member(node).is_none() {
            return Err(MembershipError::UnknownNode(node));
        }
        if self.hub.is_voter(node) {
            return Ok(());
        }
        self.hub.is_close(self.raft, node)?;
        self.commit(ChangeMembers::AddVoterIds(BTreeSet::from([node.0]))).await
    }

    async fn remove(&self, node: NodeId) -> Changed {
        let nodes = BTreeSet::from([node.0]);
        match (self.hub.member(node), self.hub.is_voter(node)) {
            (None, _) => Err(MembershipError::UnknownNode(node)),
            (Some(_), true) => self.commit(ChangeMembers::RemoveVoters(nodes)).await,
            (Some(_), false) => self.commit(ChangeMembers::RemoveNodes(nodes)).await,
        }
    }

    /// Proposes a change and waits until it is committed and applied.
    async fn commit(&self, change: ChangeMembers<u64, Member>) -> Changed {
        let done = self.raft.change_membership(change, false);
        match timeout_at(Instant::now() + CHANGE, done).await {
            Err(_) => Err(MembershipError::Unknown("no quorum has answered in time".to_owned())),
            Ok(done) => done.map(drop).map_err(refused),
        }
    }
}

fn refused(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MembershipError {
    use ChangeMembershipError as Change;
    match error {
        RaftError::Fatal(error) => MembershipError::Stopped(error.to_string()),
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            MembershipError::NotLeader { leader: to.leader_id.map(NodeId) }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            Change::InProgress(_) => MembershipError::InProgress,
            Change::LearnerNotFound(missing) => {
                MembershipError::UnknownNode(NodeId(missing.node_id))
            }
            other => MembershipError::Unknown(other.to_string()),
        },
        RaftError::APIError(other) => MembershipError::Unknown(other.to_string()),
    }
}

impl Hub {
    /// Writes new addresses of members into the membership. Only on the leader.
    pub(crate) async fn correct_addresses(&self, moved: BTreeMap<NodeId, String>) -> Changed {
        let change = self.begin_change().await?;
        let correct = |(node, address): (NodeId, String)| {
            self.member(node).map(|member| (node.0, Member { address, ..member }))
        };
        let nodes: BTreeMap<u64, Member> = moved.into_iter().filter_map(correct).collect();
        change.commit(ChangeMembers::SetNodes(nodes)).await
    }
}

/// What a leader says to one that wants to be removed.
#[derive(Debug, Serialize, Deserialize)]
struct Removed(Result<(), String>);

/// Removes a member that has handed leadership to this node.
pub(crate) struct RemoveService(pub(crate) Weak<Hub>);

impl Service for RemoveService {
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            hub.must_be_member(from)?;
            let node: NodeId = codec::from_bytes(&body).map_err(|error| error.to_string())?;
            let done = match node == from {
                true => hub.begin_change_and_remove(node).await,
                false => Err("a node only removes itself this way".to_owned()),
            };
            codec::to_bytes(&Removed(done)).map(Bytes::from).map_err(|error| error.to_string())
        }
        .boxed()
    }
}

impl Hub {
    async fn begin_change_and_remove(&self, node: NodeId) -> Result<(), String> {
        let deadline = Instant::now() + TRANSFER;
        loop {
            // Others may know sooner than this node that it leads.
            let mut leader = self.leader.subscribe();
            let leads = async { leader.wait_for(|now| *now == Some(self.me())).await.is_ok() };
            drop(timeout_at(deadline, leads).await);
            let done = async { self.begin_change().await?.remove(node).await }.await;
            match done {
                // It has only just begun to lead.
                Err(MembershipError::NotLeader { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                done => return done.map_err(|error| error.to_string()),
            }
        }
    }
}

/// Tells whenever another leads.
pub(crate) async fn follow_leader(raft: Raft, hub: Arc<Hub>) {
    let mut metrics = raft.metrics();
    loop {
        hub.look_for_itself();
        let leader = metrics.borrow_watched().current_leader.map(NodeId);
        hub.leader.send_if_modified(|now| std::mem::replace(now, leader) != leader);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
