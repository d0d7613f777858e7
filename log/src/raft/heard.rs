//! What members say of themselves: each asks every other twice a second. From it
//! come the status, and what a leader must know before it proposes: clocks, room
//! on disks, levels.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::codec;
use crate::id::{Hash, LogIndex, NodeId, Term, Timestamp};
use crate::raft::error::{CallError, ProposeError};
use crate::raft::hub::Hub;
use crate::raft::peers::{Service, topic};
use crate::raft::seen::{Life, Shown, Trace};
use crate::raft::types::from_raft;
use crate::raft::wire::Lane;
use crate::record::Change;
use crate::segment::LogId;
use crate::world::{self, Mutation};

/// How often each member is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_millis(2000);
/// For how long what a member said counts.
const FRESH: Duration = Duration::from_secs(5);
/// How far clocks may be from each other.
pub(crate) const CLOCKS: Duration = Duration::from_secs(2);

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pulse {
    pub(crate) now: Timestamp,
    pub(crate) term: Term,
    pub(crate) incarnation: u64,
    pub(crate) level: u32,
    pub(crate) version: String,
    pub(crate) light: bool,
    /// Where it is reached.
    pub(crate) address: String,
    pub(crate) growth_allowed: bool,
    pub(crate) durable: Option<LogId>,
    pub(crate) chain: Option<Hash>,
    pub(crate) applied: Option<LogIndex>,
    /// The effective time of the last entry applied.
    pub(crate) time: Option<Timestamp>,
    /// Whether the asker is a member, as far as the asked one knows.
    pub(crate) knows: bool,
}

/// A member, as it was last heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) last: Option<(Instant, Pulse)>,
    /// When it was asked for that.
    pub(crate) asked: Option<Instant>,
    /// Its clock minus this one's, in milliseconds.
    pub(crate) offset_ms: i64,
    /// Why it is refused or does not answer.
    pub(crate) trouble: Option<String>,
}

impl Heard {
    /// What it said, if that was not long ago.
    fn fresh(&self) -> Option<&Pulse> {
        self.last.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, pulse)| pulse)
    }
}

/// Answers those who ask how this node is.
pub(crate) struct PulseService(pub(crate) std::sync::Weak<Hub>);

impl Service for PulseService {
    fn call(&self, from: NodeId, _: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            let bytes = codec::to_bytes(&hub.pulse(Some(from)).await);
            bytes.map(Bytes::from).map_err(|error| error.to_string())
        }
        .boxed()
    }
}

impl Hub {
    /// What this node says of itself.
    pub(crate) async fn pulse(&self, to: Option<NodeId>) -> Pulse {
        let log = self.log.clone();
        let growth_allowed = world::blocking(move || log.growth_allowed()).await.unwrap_or(false);
        let Trace { life: Life { incarnation, .. }, durable, term } = self.trace();
        let applied = self.applied.get();
        Pulse {
            now: self.clock.wall(),
            term,
            incarnation,
            level: self.peers().map_or(crate::raft::LEVEL, |peers| peers.level),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            light: self.options.light,
            address: self.peers().map(|peers| peers.address.clone()).unwrap_or_default(),
            growth_allowed,
            durable,
            chain: self.chain_at(durable),
            applied: applied.as_ref().map(|state| state.id.index),
            time: applied.map(|state| state.time),
            knows: to.is_none_or(|to| self.membership().nodes().any(|(node, _)| *node == to.0)),
        }
    }

    /// Asks every member, for ever.
    pub(crate) async fn ask_around(self: Arc<Self>) {
        let mut round = 0_u64;
        loop {
            for peer in self.others() {
                for lane in [Lane::Votes, Lane::Appends, Lane::Bulk] {
                    self.link(peer, lane).warm();
                }
                self.spawn(self.clone().ask(peer));
            }
            self.forget_strangers();
            round += 1;
            self.settle_seen();
            // The file is a guard, not a record: it counts when all start anew at once, and
            // then a second less is near enough.
            if round.is_multiple_of(2) {
                self.save_seen();
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn ask(self: Arc<Self>, peer: NodeId) {
        let began = (Instant::now(), self.clock.wall());
        let asked = self.call(peer, Lane::Calls, topic::PING, Bytes::new(), PATIENCE).await;
        let pulse: Result<Pulse, String> = asked
            .map_err(|error| match error {
                CallError::Unreachable { why, .. } => {
                    let who = format!("node {peer}: ");
                    format!("not reached: {}", why.strip_prefix(&who).unwrap_or(&why))
                }
                other => other.to_string(),
            })
            .and_then(|bytes| codec::from_bytes(&bytes).map_err(|error| error.to_string()));
        match pulse {
            Ok(pulse) => self.heard(peer, pulse, began),
            Err(why) => self.note_trouble(peer, why),
        }
    }

    fn heard(&self, peer: NodeId, pulse: Pulse, (sent, clock): (Instant, Timestamp)) {
        let middle = clock.0 + i64::try_from(sent.elapsed().as_millis() / 2).unwrap_or(0);
        let offset_ms = pulse.now.0.saturating_sub(middle);
        let trouble = (!pulse.knows)
            .then(|| format!("node {peer} says that this node is no member any more"));
        let before = {
            let mut heard = self.heard.lock();
            let heard = heard.entry(peer).or_default();
            let before = heard.last.replace((Instant::now(), pulse.clone()));
            (heard.offset_ms, heard.trouble) = (offset_ms, trouble);
            heard.asked = Some(sent);
            before
        };
        self.settle_clock();
        self.trace_of(peer, &pulse);
        // What it said before may be committed by now.
        if let Some((_, before)) = before {
            self.trace_of(peer, &before);
        }
    }

    /// Notes what a node has for good: an entry that is here too, and committed.
    fn trace_of(&self, peer: NodeId, pulse: &Pulse) {
        let Some(seen) = &self.seen else { return };
        let committed = |id: LogId| self.is_committed(id);
        let durable = pulse.durable.filter(|id| committed(*id));
        let life = Life { incarnation: pulse.incarnation, nonce: 0 };
        let said = Trace { life, durable: pulse.durable, term: pulse.term };
        if seen.check(peer, &said, &committed).is_ok() {
            seen.note(peer, life, &Shown { durable, ..Shown::term(pulse.term) });
        }
    }

    /// Whether members are heard that were asked since then, and none of them knows
    /// this node.
    pub(crate) fn is_known_to_nobody(&self, since: Instant) -> bool {
        let known_at = self.membership().log_id().map(|id| from_raft(id).index);
        let heard = self.heard.lock();
        let asked = heard.values().filter(|heard| heard.asked >= Some(since));
        // One that joins, or is behind, does not know of this node yet.
        let mut fresh = asked.filter_map(Heard::fresh).filter(|pulse| pulse.applied > known_at);
        let first = fresh.next();
        first.is_some_and(|pulse| !pulse.knows) && fresh.all(|pulse| !pulse.knows)
    }

    fn forget_strangers(&self) {
        let membership = self.membership();
        self.heard.lock().retain(|node, _| membership.nodes().any(|(member, _)| *member == node.0));
    }

    /// Keeps for the status why a peer is refused or does not answer.
    pub(crate) fn note_trouble(&self, peer: NodeId, why: impl ToString) {
        self.heard.lock().entry(peer).or_default().trouble = Some(why.to_string());
    }

    pub(crate) fn clear_trouble(&self, peer: NodeId) {
        if let Some(heard) = self.heard.lock().get_mut(&peer) {
            heard.trouble = None;
        }
    }

    /// Whether a record may be proposed by this node, should it lead.
    ///
    /// # Errors
    /// [`ProposeError::Clock`], [`ProposeError::DiskFull`], [`ProposeError::Level`].
    pub(crate) fn may_propose(&self, change: &Change, grows: bool) -> Result<(), ProposeError> {
        let (needed, level) = (change.level(), self.applied.level());
        if needed > level {
            return Err(ProposeError::Level { needed, level });
        }
        if let Change::Version(version) = change
            && !world::breaks(Mutation::LevelUnasked)
        {
            self.all_support(version.apply)?;
        }
        // After a jump time goes on without the clock, until another leads.
        if let Some(offset_ms) = self.clock_is_off().filter(|_| !self.clock_has_jumped()) {
            return Err(ProposeError::Clock { offset_ms });
        }
        match grows && !self.majority_has_room() {
            true => Err(ProposeError::DiskFull),
            false => Ok(()),
        }
    }

    /// Whether mail may grow on a majority of the voters. One whose disk is full counts as gone
    /// for that; this node itself is asked elsewhere.
    fn majority_has_room(&self) -> bool {
        let (voters, heard) = (self.voters().len(), self.heard_voters());
        let room = heard.iter().filter(|(_, pulse)| pulse.growth_allowed).count();
        room == heard.len() || (room + 1) * 2 > voters
    }

    /// Whether mail may grow on another node, as it said lately.
    pub(crate) fn has_room(&self, node: NodeId) -> bool {
        let heard = self.heard.lock();
        heard.get(&node).and_then(Heard::fresh).is_some_and(|pulse| pulse.growth_allowed)
    }

    /// The group may be raised to a level only when every member supports it.
    fn all_support(&self, needed: u32) -> Result<(), ProposeError> {
        let heard = self.heard.lock();
        let lowest = self.others().iter().try_fold(u32::MAX, |lowest, node| {
            let pulse = heard.get(node).and_then(Heard::fresh)?;
            Some(lowest.min(pulse.level))
        });
        let own = self.peers().map_or(crate::raft::LEVEL, |peers| peers.level);
        // One that is not heard may be old.
        let level = lowest.unwrap_or(self.applied.level()).min(own);
        match needed > level.max(self.applied.level()) {
            true => Err(ProposeError::Level { needed, level }),
            false => Ok(()),
        }
    }

    /// Whether a majority's clocks, this one among them, are near each other: as those
    /// say that were asked since then.
    pub(crate) fn clocks_agree(&self, since: Instant) -> bool {
        let (voters, heard) = (self.voters(), self.heard.lock());
        let limit = i64::try_from(CLOCKS.as_millis()).unwrap_or(i64::MAX);
        let near = |heard: &Heard| {
            heard.asked.is_some_and(|asked| asked >= since)
                && heard.offset_ms.saturating_abs() <= limit
        };
        let others = voters.iter().filter(|voter| **voter != self.me());
        let near = others.filter_map(|voter| heard.get(voter)).filter(|heard| near(heard)).count();
        near + 1 > voters.len() / 2
    }

    pub(crate) fn voters(&self) -> Vec<NodeId> {
        self.membership().voter_ids().map(NodeId).collect()
    }

    /// The other voters that were heard lately: clock offsets and what they said.
    fn heard_voters(&self) -> Vec<(i64, Pulse)> {
        let (voters, heard) = (self.voters(), self.heard.lock());
        let others = voters.iter().filter(|voter| **voter != self.me());
        let heard = others.filter_map(|voter| heard.get(voter));
        heard.filter_map(|h| h.fresh().map(|pulse| (h.offset_ms, pulse.clone()))).collect()
    }

    /// How far this clock is from the others', if no quorum can agree with it.
    pub(crate) fn clock_is_off(&self) -> Option<i64> {
        let (voters, heard) = (self.voters().len(), self.heard_voters());
        let limit = i64::try_from(CLOCKS.as_millis()).unwrap_or(i64::MAX);
        let far = |offset: &i64| offset.saturating_abs() > limit;
        let mut far: Vec<i64> = heard.iter().map(|(offset, _)| *offset).filter(far).collect();
        far.sort_unstable();
        let quorum = voters / 2 + 1;
        let middle = far.get(far.len() / 2).map(|offset| offset.saturating_neg());
        middle.filter(|_| voters.saturating_sub(far.len()) < quorum)
    }
}
