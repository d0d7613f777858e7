//! Proposals, from wherever they come to whoever leads. What may yet be
//! committed is never called failed; a record whose fate is not known is proposed
//! again under the same operation id, which the state recognises.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::blob::BlobError;
use crate::codec;
use crate::id::{BlobId, NodeId};
use crate::raft::error::{CallError, ProposeError};
use crate::raft::hub::Hub;
use crate::raft::node::grows;
use crate::raft::peers::{Service, topic};
use crate::raft::types::{Proposal, TypeConfig};
use crate::raft::wire::Lane;
use crate::record::{Outcome, Record};
use crate::world;

/// The wait before the next try, where no other leader is heard of before.
const AGAIN: Duration = Duration::from_millis(50);
/// How often one that waits for a leader looks whether it still belongs to the cluster.
const LOOK: Duration = Duration::from_millis(500);
/// The least time that a leader is given.
const LEAST: Duration = Duration::from_millis(100);
/// For so long it is believed that the disk has room.
const FRESH: Duration = Duration::from_millis(50);

/// What a node is told that belongs to the cluster no more.
pub(crate) const REMOVED: &str = "this node was removed from the cluster: empty its data \
     directory, and let it join with a new token";

/// What came of one try.
enum Tried {
    Done(Outcome),
    /// It will never be committed, and another try is no use.
    Refused(ProposeError),
    /// It was not handed in anywhere.
    NotHandedIn,
    /// It may be committed yet.
    Unknown(String),
}

/// A record on its way to a leader.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    record: Vec<u8>,
    /// How long the asker waits.
    millis: u64,
}

/// What a leader says of it.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Done(Outcome),
    NotLeader,
    Unknown(String),
    TooLarge(String),
    Blob(BlobId, String),
    DiskFull,
    Clock(i64),
    Level { needed: u32, level: u32 },
    Stopped(String),
}

impl Hub {
    /// Proposes a record until it has an outcome or the deadline passes.
    pub(crate) async fn propose(
        self: &Arc<Self>,
        mut record: Record,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        let bytes =
            codec::encode_record(&record).map_err(|e| ProposeError::TooLarge(e.to_string()))?;
        let blobs: Vec<BlobId> = record.blobs().into_iter().collect();
        let mut unknown = None;
        loop {
            self.refuse_if_stopped().map_err(|error| or_unknown(error, unknown.clone()))?;
            if self.is_removed() {
                return Err(or_unknown(self.stopped(REMOVED), unknown));
            }
            let leader = *self.leader.borrow();
            let tried = match leader {
                Some(leader) if leader == self.me() => {
                    self.push_ahead(&blobs);
                    self.propose_here(&mut record, deadline).await
                }
                Some(leader) => self.forward(leader, &bytes, &blobs, deadline).await,
                None => Tried::NotHandedIn,
            };
            match tried {
                Tried::Done(outcome) => return self.applied_here(outcome, deadline).await,
                Tried::Refused(error) => return Err(or_unknown(error, unknown)),
                Tried::Unknown(why) => unknown = Some(why),
                Tried::NotHandedIn => {}
            }
            if Instant::now() >= deadline || !self.another_try(leader, deadline).await {
                return Err(or_unknown(ProposeError::Unavailable, unknown));
            }
            // The same record, proposed now.
            record.stamp = record.stamp.max(world::now());
        }
    }

    /// Waits a little, or until another leads; false when there is no time left.
    async fn another_try(&self, leader: Option<NodeId>, deadline: Instant) -> bool {
        let mut leads = self.leader.subscribe();
        let until = match leader {
            Some(_) => deadline.min(Instant::now() + AGAIN),
            None => deadline.min(Instant::now() + LOOK),
        };
        let other = leads.wait_for(|now| *now != leader);
        drop(timeout_at(until, other).await);
        Instant::now() < deadline
    }

    /// An answer means that the record is applied here.
    async fn applied_here(
        &self,
        outcome: Outcome,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        let late =
            || ProposeError::Unknown("it is committed, and not applied here in time".to_owned());
        tokio::select! {
            biased;
            reached = timeout_at(deadline, self.applied.reached(outcome.index)) => {
                reached.map(|()| outcome).map_err(|_| late())
            }
            why = self.stop.wait() => Err(ProposeError::Unknown(format!("it is committed; {why}"))),
        }
    }

    /// What must hold before anything is proposed.
    pub(crate) fn refuse_if_stopped(&self) -> Result<(), ProposeError> {
        let log = self.log.poisoned().map(|why| why.to_string());
        if let Some(why) = self.gate.poisoned().or(log) {
            self.stop.fatal(why);
        }
        match self.stop.get() {
            Some(why) => Err(self.stopped(why)),
            None => Ok(()),
        }
    }

    fn stopped(&self, why: impl ToString) -> ProposeError {
        let why = self.stop.get().map_or_else(|| why.to_string(), |why| why.to_string());
        ProposeError::Stopped { shard: self.options.shard, why }
    }

    /// Proposes as the leader.
    async fn propose_here(self: &Arc<Self>, record: &mut Record, deadline: Instant) -> Tried {
        match self.hand_in(record, deadline).await {
            Ok(tried) => tried,
            Err(error) => Tried::Refused(error),
        }
    }

    async fn hand_in(
        self: &Arc<Self>,
        record: &mut Record,
        deadline: Instant,
    ) -> Result<Tried, ProposeError> {
        // Without views there is no outcome: it hands leadership over.
        if self.options.light {
            return Ok(Tried::NotHandedIn);
        }
        let grows = grows(&record.change);
        if grows && !self.has_room_here().await {
            return Err(ProposeError::DiskFull);
        }
        self.may_propose(&record.change, grows)?;
        if !self.pacing.turn(&record.change, deadline).await {
            return Ok(Tried::NotHandedIn);
        }
        let Some(stamp) = self.stamp(record.stamp, deadline).await else {
            self.may_propose(&record.change, grows)?;
            return Ok(Tried::NotHandedIn);
        };
        record.stamp = stamp;
        let proposal = Proposal::new(record);
        let mut proposal = proposal.map_err(|error| ProposeError::TooLarge(error.to_string()))?;
        let held = timeout_at(deadline, self.gate.pass(&mut proposal)).await;
        held.map_err(|_| ProposeError::Unavailable)?.map_err(|error| self.no_blob(error))?;
        let raft = self.raft().ok_or(ProposeError::Unavailable)?;
        let (responder, answer) = ProgressResponder::complete_only();
        // Dropped before it is done, the hand-over has not happened.
        let handed_in = timeout_at(deadline, raft.client_write_ff(proposal, Some(responder))).await;
        handed_in.map_err(|_| ProposeError::Unavailable)?.map_err(|error| self.stopped(error))?;
        Ok(match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => tried(answer),
            Ok(Err(_)) => Tried::Unknown(self.why()),
            Err(_) => Tried::Unknown("the deadline passed".to_owned()),
        })
    }

    /// Whether this node's disk has room for mail to grow. Under load what the log's writer
    /// saw a moment ago will do; else the disk is asked, off the workers.
    async fn has_room_here(&self) -> bool {
        if matches!(self.log.growth_was_allowed(), (true, ago) if ago < FRESH) {
            return true;
        }
        let log = self.log.clone();
        world::blocking(move || log.growth_allowed()).await.unwrap_or(false)
    }

    fn why(&self) -> String {
        self.stop.get().map_or_else(|| "Raft has ended".to_owned(), |why| why.to_string())
    }

    /// What a blob that is not whole means for the record that names it.
    fn no_blob(&self, error: BlobError) -> ProposeError {
        let why = error.to_string();
        match error {
            BlobError::Missing(blob) | BlobError::Part { blob, .. } => {
                ProposeError::Blob { blob, why }
            }
            BlobError::DiskFull { .. } => ProposeError::DiskFull,
            _ => {
                self.stop.fatal(&why);
                self.stopped(why)
            }
        }
    }

    /// Blobs go to the followers beside the sync here: a sync less to wait for.
    fn push_ahead(&self, blobs: &[BlobId]) {
        if blobs.is_empty() || self.peers().is_none() {
            return;
        }
        for peer in self.others() {
            if self.link(peer, Lane::Bulk).warm() {
                drop(self.carriers.give(peer, blobs.to_vec(), true));
            }
        }
    }

    /// Proposes at the leader: the blobs first, then the record.
    async fn forward(
        self: &Arc<Self>,
        leader: NodeId,
        record: &[u8],
        blobs: &[BlobId],
        deadline: Instant,
    ) -> Tried {
        let given = async {
            self.push_ahead(blobs);
            self.carriers.give(leader, blobs.to_vec(), true).await
        };
        let both = join(self.gate.hold(blobs.to_vec()), given);
        let Ok((held, given)) = timeout_at(deadline, both).await else { return Tried::NotHandedIn };
        if let Err(error) = held {
            return Tried::Refused(self.no_blob(error));
        }
        if let Err(why) = given {
            tracing::debug!(%leader, why, "blobs did not reach the leader");
            return Tried::NotHandedIn;
        }
        let patience = deadline.saturating_duration_since(Instant::now()).max(LEAST);
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let asked = Asked { record: record.to_vec(), millis };
        let Ok(body) = codec::to_bytes(&asked) else {
            return Tried::Refused(ProposeError::TooLarge("it does not encode".to_owned()));
        };
        let called = self.call(leader, Lane::Calls, topic::PROPOSE, body.into(), patience);
        // Another leads: what the old one does with it is not known, and no more waited for.
        let mut leads = self.leader.subscribe();
        let moved = leads.wait_for(|now| now.is_some_and(|now| now != leader));
        tokio::select! {
            biased;
            said = called => of_call(said),
            _ = moved => Tried::Unknown(format!("node {leader} leads no more")),
        }
    }

    /// Only members are served.
    pub(crate) fn must_be_member(&self, node: NodeId) -> Result<(), String> {
        match self.membership().nodes().any(|(member, _)| *member == node.0) {
            true => Ok(()),
            false => Err(format!("node {node} is no member of this cluster")),
        }
    }
}

fn or_unknown(error: ProposeError, unknown: Option<String>) -> ProposeError {
    unknown.map_or(error, ProposeError::Unknown)
}

fn tried(answer: ClientWriteResult<TypeConfig>) -> Tried {
    match answer {
        Ok(response) => match response.data.0 {
            Some(outcome) => Tried::Done(outcome),
            None => Tried::Unknown("the record was applied without an outcome".to_owned()),
        },
        // Said only of what was never appended.
        Err(ClientWriteError::ForwardToLeader(_)) => Tried::NotHandedIn,
        Err(error) => Tried::Unknown(error.to_string()),
    }
}

fn of_call(said: Result<Bytes, CallError>) -> Tried {
    let bytes = match said {
        Ok(bytes) => bytes,
        Err(error) => return of_error(&error),
    };
    match codec::from_bytes(&bytes) {
        Ok(Said::Done(outcome)) => Tried::Done(outcome),
        Ok(Said::NotLeader | Said::Stopped(_)) => Tried::NotHandedIn,
        Ok(Said::Unknown(why)) => Tried::Unknown(why),
        Ok(Said::TooLarge(why)) => Tried::Refused(ProposeError::TooLarge(why)),
        Ok(Said::Blob(blob, why)) => Tried::Refused(ProposeError::Blob { blob, why }),
        Ok(Said::DiskFull) => Tried::Refused(ProposeError::DiskFull),
        Ok(Said::Clock(offset_ms)) => Tried::Refused(ProposeError::Clock { offset_ms }),
        Ok(Said::Level { needed, level }) => Tried::Refused(ProposeError::Level { needed, level }),
        Err(error) => Tried::Unknown(error.to_string()),
    }
}

/// A call that never left, or that the service refused, proposed nothing.
fn of_error(error: &CallError) -> Tried {
    match error {
        CallError::Unreachable { .. }
        | CallError::NoService { .. }
        | CallError::Failed { .. }
        | CallError::TooLong(_) => Tried::NotHandedIn,
        CallError::Timeout(_) | CallError::Lost { .. } => Tried::Unknown(error.to_string()),
    }
}

/// Proposes what followers forward.
pub(crate) struct ProposeService(pub(crate) Weak<Hub>);

impl Service for ProposeService {
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            hub.must_be_member(from)?;
            let asked: Asked = codec::from_bytes(&body).map_err(|error| error.to_string())?;
            let record = codec::decode_record(&asked.record).map_err(|error| error.to_string())?;
            let said = hub.propose_for(from, record, asked.millis).await;
            codec::to_bytes(&said).map(Bytes::from).map_err(|error| error.to_string())
        }
        .boxed()
    }
}

impl Hub {
    /// Who asks has given the blobs to all, so that they are not given again.
    async fn propose_for(self: &Arc<Self>, from: NodeId, mut record: Record, millis: u64) -> Said {
        if *self.leader.borrow() != Some(self.me()) {
            return Said::NotLeader;
        }
        // The order and the time of records are the leader's.
        record.stamp = world::now();
        let blobs: Vec<BlobId> = record.blobs().into_iter().collect();
        // A caller never waits for ever.
        let deadline = Instant::now() + Duration::from_millis(millis.min(3_600_000));
        let _using = self.gate.using();
        // One that is not here after all is fetched; else the gate says what is wrong.
        drop(timeout_at(deadline, self.complete(from, blobs)).await);
        match self.propose_here(&mut record, deadline).await {
            Tried::Done(outcome) => Said::Done(outcome),
            Tried::NotHandedIn => Said::NotLeader,
            Tried::Unknown(why) => Said::Unknown(why),
            Tried::Refused(error) => refused(error),
        }
    }
}

fn refused(error: ProposeError) -> Said {
    match error {
        ProposeError::Unavailable => Said::NotLeader,
        ProposeError::Unknown(why) => Said::Unknown(why),
        ProposeError::TooLarge(why) => Said::TooLarge(why),
        ProposeError::Blob { blob, why } => Said::Blob(blob, why),
        ProposeError::DiskFull => Said::DiskFull,
        ProposeError::Clock { offset_ms } => Said::Clock(offset_ms),
        ProposeError::Level { needed, level } => Said::Level { needed, level },
        ProposeError::Stopped { why, .. } => Said::Stopped(why),
    }
}
