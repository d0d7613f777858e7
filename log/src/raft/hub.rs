//! What all that speaks to peers shares: who they are, what was seen and heard
//! of them, the connections, the services.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::id::{NodeId, Term};
use crate::raft::apply::AppliedCell;
use crate::raft::carry::{BlobService, Carriers, TakeService};
use crate::raft::clock::Clock;
use crate::raft::entries::EntriesService;
use crate::raft::error::CallError;
use crate::raft::forward::ProposeService;
use crate::raft::gate::Gate;
use crate::raft::heard::{Heard, PulseService};
use crate::raft::link::Link;
use crate::raft::members::RemoveService;
use crate::raft::node::NodeOptions;
use crate::raft::open::Parts;
use crate::raft::pacing::Pacing;
use crate::raft::peers::{Deadness, MAX_CALL_BYTES, PeerOptions, Service, topic};
use crate::raft::read_index::{Raft, ReadIndexService};
use crate::raft::seen::{Life, Seen, Trace};
use crate::raft::snapshot::Snapshots;
use crate::raft::stop::StopCell;
use crate::raft::types::RaftStoredMembership;
use crate::raft::wire::{
    Answer, CallFailure, Hello, Lane, NEWEST, OLDEST, Refusal, Request, Welcome,
};
use crate::segment::{LogId, SegmentLog};
use crate::world::{self, watch};

/// Who answers calls, by topic.
pub(crate) type Services = HashMap<u16, Arc<dyn Service>>;

/// Shared by a replica's handles and tasks.
pub(crate) struct Hub {
    pub(crate) options: NodeOptions,
    pub(crate) log: SegmentLog,
    pub(crate) gate: Gate,
    /// Who knows which blobs are dead, on a node with views.
    pub(crate) dead: OnceLock<Arc<dyn Deadness>>,
    pub(crate) applied: Arc<AppliedCell>,
    pub(crate) stop: StopCell,
    pub(crate) seen: Option<Seen>,
    pub(crate) services: Mutex<Services>,
    pub(crate) heard: Mutex<BTreeMap<NodeId, Heard>>,
    pub(crate) carriers: Carriers,
    pub(crate) leader: watch::Sender<Option<NodeId>>,
    /// Whether a change of the members is under way here.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// The latest start of each node that was heard; older ones are hung up on.
    sessions: watch::Sender<BTreeMap<NodeId, u64>>,
    pub(crate) clock: Clock,
    /// How fast proposals may come while others join.
    pub(crate) pacing: Pacing,
    /// Since when this start of the node has known itself to be a member.
    pub(crate) member_since: OnceLock<Instant>,
    /// Why members are refused, as long as they are.
    pub(crate) refused: Mutex<BTreeMap<NodeId, String>>,
    /// Tells this start of the node from all others.
    pub(crate) nonce: u64,
    /// Whether the other voters were asked whether they know this node's disk otherwise.
    pub(crate) looked: watch::Sender<bool>,
    /// The term of the durable vote.
    term: Arc<AtomicU64>,
    raft: OnceLock<Raft>,
    pub(crate) snapshots: OnceLock<Snapshots>,
    /// Raft's own threads; `None` in a simulation.
    threads: Option<Handle>,
    /// Where peers said that they are reached, or those who added them.
    addresses: Mutex<BTreeMap<NodeId, String>>,
    links: Mutex<BTreeMap<(NodeId, Lane), Arc<Link>>>,
    itself: Weak<Hub>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("node", &self.options.node).finish_non_exhaustive()
    }
}

impl Hub {
    /// Reads what was seen of peers: blocks. `threads` are Raft's own.
    pub(crate) fn new(parts: &Parts, term: Arc<AtomicU64>, threads: Option<Handle>) -> Arc<Self> {
        let Parts { options, log, gate, applied, stop } = parts.clone();
        let alone = options.peers.is_none();
        let seen = options.peers.as_ref().map(|peers| Seen::open(log.disk(), &peers.seen));
        Arc::new_cyclic(|itself| Self {
            carriers: Carriers::new(itself.clone()),
            itself: itself.clone(),
            options,
            log,
            gate,
            dead: OnceLock::new(),
            applied,
            stop,
            seen,
            services: Mutex::default(),
            heard: Mutex::default(),
            leader: watch::Sender::new(None),
            changing: tokio::sync::Mutex::new(()),
            sessions: watch::Sender::new(BTreeMap::new()),
            clock: Clock::new(),
            pacing: Pacing::default(),
            member_since: OnceLock::new(),
            refused: Mutex::default(),
            nonce: world::random::<u64>().max(1),
            looked: watch::Sender::new(alone),
            term,
            raft: OnceLock::new(),
            snapshots: OnceLock::new(),
            threads,
            addresses: Mutex::default(),
            links: Mutex::default(),
        })
    }

    /// This node.
    pub(crate) fn me(&self) -> NodeId {
        self.options.node
    }

    pub(crate) fn peers(&self) -> Option<&PeerOptions> {
        self.options.peers.as_ref()
    }

    /// Runs a task on Raft's own threads.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.threads {
            Some(threads) => drop(threads.spawn(task)),
            None => drop(world::spawn(task)),
        }
    }

    /// Raft, once it runs.
    pub(crate) fn raft(&self) -> Option<&Raft> {
        self.raft.get()
    }

    pub(crate) fn set_raft(&self, raft: Raft) {
        drop(self.raft.set(raft));
    }

    /// The members, as the last entry about them says, committed or not.
    pub(crate) fn membership(&self) -> Arc<RaftStoredMembership> {
        match self.raft() {
            Some(raft) => raft.metrics().borrow_watched().membership_config.clone(),
            None => Arc::default(),
        }
    }

    /// Every member but this node.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let membership = self.membership();
        let nodes = membership.nodes().map(|(node, _)| NodeId(*node));
        nodes.filter(|node| *node != self.me()).collect()
    }

    /// Where a peer is reached. Its own word counts before the membership's: one that has
    /// moved is to be reached before the membership can say so.
    pub(crate) fn address(&self, peer: NodeId) -> Option<String> {
        let said = self.addresses.lock().get(&peer).cloned();
        let of_member = || self.member(peer).map(|member| member.address);
        said.or_else(of_member).filter(|address| !address.is_empty())
    }

    /// Remembers where a peer is reached, by its own word or by that of who adds it.
    pub(crate) fn note_address(&self, peer: NodeId, address: &str) {
        if !address.is_empty() {
            self.addresses.lock().insert(peer, address.to_owned());
        }
    }

    /// The way to a peer for one purpose.
    pub(crate) fn link(&self, peer: NodeId, lane: Lane) -> Arc<Link> {
        let mut links = self.links.lock();
        let new = || Arc::new(Link::new(self.itself.clone(), peer, lane));
        links.entry((peer, lane)).or_insert_with(new).clone()
    }

    /// Ends what is spoken with a peer in either direction.
    pub(crate) fn hang_up(&self, peer: NodeId, why: &str) {
        self.hang_up_older(peer, u64::MAX);
        let links: Vec<Arc<Link>> = {
            let links = self.links.lock();
            let of_peer = links.iter().filter(|((to, _), _)| *to == peer);
            of_peer.map(|(_, link)| link.clone()).collect()
        };
        links.iter().for_each(|link| link.give_up(why));
    }

    /// What this node is, to a peer.
    pub(crate) fn trace(&self) -> Trace {
        let incarnation = self.peers().map_or(0, |peers| peers.incarnation);
        let life = Life { incarnation, nonce: self.nonce };
        let term = Term(self.term.load(Ordering::Relaxed));
        // An image that was installed is as good as the log that it stands for.
        let durable = self.log.durable().max(self.applied.installed());
        Trace { life, durable, term }
    }

    /// Registers what this crate answers itself.
    pub(crate) fn serve_log(&self) {
        let hub = || self.itself.clone();
        let own: [(u16, Arc<dyn Service>); 7] = [
            (topic::PING, Arc::new(PulseService(hub()))),
            (topic::PROPOSE, Arc::new(ProposeService(hub()))),
            (topic::READ_INDEX, Arc::new(ReadIndexService(hub()))),
            (topic::BLOB, Arc::new(BlobService(hub()))),
            (topic::GIVE_BLOB, Arc::new(TakeService(hub()))),
            (topic::ENTRIES, Arc::new(EntriesService(hub()))),
            (topic::REMOVE, Arc::new(RemoveService(hub()))),
        ];
        self.services.lock().extend(own);
    }

    fn level(&self) -> u32 {
        self.peers().map_or(crate::raft::LEVEL, |peers| peers.level)
    }

    pub(crate) fn hello(&self, to: NodeId, lane: Lane) -> Hello {
        let Trace { life: Life { incarnation, .. }, durable: last, term } = self.trace();
        let peers = self.peers();
        Hello {
            oldest: OLDEST,
            newest: NEWEST,
            cluster: peers.map(|peers| peers.cluster.clone()).unwrap_or_default(),
            node: self.me(),
            to,
            incarnation,
            level: self.level(),
            lane,
            address: peers.map(|peers| peers.address.clone()).unwrap_or_default(),
            last,
            chain: self.chain_at(last),
            term,
        }
    }

    /// The chain after an entry, if it is at hand.
    pub(crate) fn chain_at(&self, id: Option<LogId>) -> Option<crate::id::Hash> {
        let id = id?;
        self.log.recent(id.index).filter(|(there, _)| *there == id).map(|(_, chain)| chain)
    }

    /// Whether a caller is served; the nonce is that of its start.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn judge(
        &self,
        hello: &Hello,
        nonce: u64,
        identity: Option<NodeId>,
    ) -> Result<Welcome, Refusal> {
        if let Some(why) = self.stop.get() {
            return Err(Refusal::Stopped(why.to_string()));
        }
        let cluster = self.peers().map(|peers| peers.cluster.as_str()).unwrap_or_default();
        if hello.cluster != cluster {
            return Err(Refusal::Cluster(cluster.to_owned()));
        }
        if hello.to != self.me() || hello.node == self.me() {
            return Err(Refusal::OtherNode(self.me()));
        }
        if let Some(certificate) = identity.filter(|identity| *identity != hello.node) {
            return Err(Refusal::Identity { certificate, greeting: hello.node });
        }
        if hello.newest < OLDEST || hello.oldest > NEWEST {
            return Err(Refusal::Version { oldest: OLDEST, newest: NEWEST });
        }
        self.judge_level(hello.level)?;
        let Hello { node, last, chain, term, .. } = hello;
        let life = Life { incarnation: hello.incarnation, nonce };
        self.judge_trace(*node, &Trace { life, durable: *last, term: *term })?;
        self.judge_chain(*node, *last, *chain)?;
        self.note_address(*node, &hello.address);
        let Hello { incarnation, level, last, chain, term, .. } = self.hello(*node, hello.lane);
        let version = hello.newest.min(NEWEST);
        Ok(Welcome { version, node: self.me(), incarnation, level, last, chain, term })
    }

    fn judge_level(&self, said: u32) -> Result<(), Refusal> {
        let needed = self.applied.level();
        match said < needed {
            true => Err(Refusal::Level { needed, said }),
            false => Ok(()),
        }
    }

    fn judge_trace(&self, node: NodeId, trace: &Trace) -> Result<(), Refusal> {
        let Some(seen) = &self.seen else { return Ok(()) };
        if let Err(refusal) = seen.check(node, trace, &|id| self.is_committed(id)) {
            let lost = matches!(refusal, Refusal::Restored { .. } | Refusal::Forgot { .. });
            match lost {
                // It would look whole again once it has caught up.
                true => self.condemn(node, &refusal),
                false => tracing::error!(%node, %refusal, "a node is refused"),
            }
            self.note_trouble(node, &refusal);
            self.refused.lock().insert(node, refusal.to_string());
            return Err(refusal);
        }
        self.refused.lock().remove(&node);
        // What it says is durable may yet be cut off there: not noted here.
        if seen.greeted(node, trace.life, trace.term) {
            self.hang_up_older(node, trace.life.incarnation);
            self.save_seen();
        }
        Ok(())
    }

    /// Two logs that have an entry of one id must have one chain there.
    fn judge_chain(
        &self,
        node: NodeId,
        last: Option<LogId>,
        chain: Option<crate::id::Hash>,
    ) -> Result<(), Refusal> {
        match (last, self.chain_at(last), chain) {
            (Some(at), Some(here), Some(there)) if here != there => {
                let refusal = Refusal::Chain { node, at };
                tracing::error!(%node, %refusal, "a node is refused");
                self.note_trouble(node, &refusal);
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    /// Whether the one that answered is the one that was meant, and may be.
    ///
    /// # Errors
    /// Why it is not spoken to.
    pub(crate) fn welcomed(
        &self,
        peer: NodeId,
        welcome: &Welcome,
        nonce: u64,
    ) -> Result<(), Refusal> {
        let Welcome { version, node, incarnation, level, last, chain, term } = *welcome;
        if node != peer {
            return Err(Refusal::OtherNode(node));
        }
        if !(OLDEST..=NEWEST).contains(&version) {
            return Err(Refusal::Version { oldest: OLDEST, newest: NEWEST });
        }
        self.judge_level(level)?;
        let life = Life { incarnation, nonce };
        self.judge_trace(node, &Trace { life, durable: last, term })?;
        self.judge_chain(node, last, chain)?;
        self.clear_trouble(node);
        Ok(())
    }

    /// Writes what was seen of peers, in its own time.
    pub(crate) fn save_seen(&self) {
        if let Some(hub) = self.itself.upgrade() {
            self.spawn(async move { hub.seen_saved().await });
        }
    }

    /// Writes what was seen of peers, off the workers.
    pub(crate) async fn seen_saved(self: &Arc<Self>) {
        let hub = self.clone();
        let save = move || {
            if let Some(seen) = &hub.seen {
                seen.save();
            }
        };
        drop(world::blocking(save).await);
    }

    pub(crate) fn hang_up_older(&self, node: NodeId, incarnation: u64) {
        self.sessions.send_modify(|latest| {
            let latest = latest.entry(node).or_default();
            *latest = incarnation.max(*latest);
        });
    }

    /// Resolves when a later start of a node was heard.
    pub(crate) async fn superseded(&self, node: NodeId, incarnation: u64) {
        let mut latest = self.sessions.subscribe();
        let later = latest.wait_for(|all| all.get(&node).is_some_and(|last| *last > incarnation));
        if later.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Calls a service on a peer over one of the lanes.
    pub(crate) async fn call(
        &self,
        peer: NodeId,
        lane: Lane,
        topic: u16,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        if body.len() > MAX_CALL_BYTES {
            return Err(CallError::TooLong(body.len()));
        }
        let deadline = Instant::now() + patience;
        if peer == self.me() {
            return self.call_here(topic, body, deadline).await;
        }
        let conn = self.link(peer, lane).conn(deadline).await;
        let conn = conn.map_err(|why| CallError::Unreachable { node: peer, why })?;
        let lost = |lost: super::conn::Lost| CallError::Lost { node: peer, why: lost.0 };
        let request = Request::Call { topic };
        let asked = timeout_at(deadline, conn.ask(&request, body))
            .await
            .map_err(|_| CallError::Timeout(peer))?;
        match asked.map_err(lost)? {
            (Answer::Call(Ok(())), body) => Ok(body),
            (Answer::Call(Err(failure)), _) => Err(of_failure(peer, failure)),
            (Answer::Failed(why), _) => Err(CallError::Lost { node: peer, why }),
            _ => Err(CallError::Lost { node: peer, why: "it gave another answer".to_owned() }),
        }
    }

    /// As over the wire: whoever is called goes on, also when nobody waits any more.
    async fn call_here(
        &self,
        topic: u16,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let node = self.me();
        let lost = |why: &str| CallError::Lost { node, why: why.to_owned() };
        let hub = self.itself.upgrade().ok_or_else(|| lost("the replica has ended"))?;
        let (said, answer) = oneshot::channel();
        self.spawn(async move { drop(said.send(hub.answer(node, topic, body).await)) });
        let answer = timeout_at(deadline, answer).await.map_err(|_| CallError::Timeout(node))?;
        let answer = answer.map_err(|_| lost("it was given up"))?;
        answer.map_err(|failure| of_failure(node, failure))
    }

    /// Answers a call.
    pub(crate) async fn answer(
        &self,
        from: NodeId,
        topic: u16,
        body: Bytes,
    ) -> Result<Bytes, CallFailure> {
        let service = self.services.lock().get(&topic).cloned();
        let service = service.ok_or(CallFailure::NoService(topic))?;
        let answer = service.call(from, body).await.map_err(CallFailure::Failed)?;
        match answer.len() > MAX_CALL_BYTES {
            true => Err(CallFailure::Failed(format!("an answer of {} bytes", answer.len()))),
            false => Ok(answer),
        }
    }
}

fn of_failure(node: NodeId, failure: CallFailure) -> CallError {
    match failure {
        CallFailure::NoService(topic) => CallError::NoService { node, topic },
        CallFailure::Failed(why) => CallError::Failed { node, why },
    }
}
