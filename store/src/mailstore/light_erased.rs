//! Erasures on a light voter. It keeps no views that would say what was erased, but the packs:
//! so it asks a full node what is dead, takes the bytes out, and has that node report for it.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use redoubt_log::blob::{Doomed, Reclaimed};
use redoubt_log::codec;
use redoubt_log::id::{BlobId, LogIndex, NodeId, OperationId};
use redoubt_log::raft::{Node, Role, Service};
use redoubt_log::record::{ErasePlace, EraseReached, EraseReport};
use serde::{Deserialize, Serialize};

use super::erased::{erased, is_complete};
use super::{Inner, StoreError};
use crate::Ending;
use crate::reclaim::{Reclaimer, State, needed};
use crate::rows::ErasureState;
use crate::view::View;

/// The topic of these calls: those of [`super::compare`] come before.
const TOPIC: u16 = redoubt_log::raft::topic::STORE + 3;
/// How often it is asked.
const EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take.
const CALL: Duration = Duration::from_secs(60);
/// Blobs of one answer.
const IDS: usize = 50_000;

/// What a light voter asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    /// What it has to reach still.
    Due,
    /// Dead blobs of an erasure, behind one.
    Dead(OperationId, Option<BlobId>),
    /// Which of these have to stay, as of an entry at the earliest: some that were dead, and
    /// parts that messages were put together from.
    Needed(Vec<BlobId>, Vec<BlobId>, LogIndex),
    /// It has come so far.
    Reached(OperationId, EraseReached),
}

/// An erasure that is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Due {
    erasure: OperationId,
    /// The entry from which on the state says all of it.
    since: LogIndex,
    /// Messages and envelopes that others have too.
    shared: u64,
}

// -------------------------------------------------------------- full nodes

/// Answers light voters.
struct Answers(Weak<Inner>);

/// Light voters are answered from now on.
pub(super) fn serve(inner: &Arc<Inner>) {
    inner.node.register(TOPIC, Arc::new(Answers(Arc::downgrade(inner))));
}

impl Service for Answers {
    fn call(
        &self,
        from: NodeId,
        body: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>> {
        let inner = self.0.upgrade();
        Box::pin(async move {
            let inner = inner.ok_or("this node is stopping")?;
            let question = codec::from_bytes(&body).map_err(|error| error.to_string())?;
            let answer = answer(&inner, from, question).await?;
            Ok(Bytes::from(answer))
        })
    }
}

async fn answer(inner: &Arc<Inner>, from: NodeId, question: Question) -> Result<Vec<u8>, String> {
    if let Question::Reached(erasure, reached) = question {
        let report = EraseReport { erasure, node: from, places: vec![reached] };
        inner.report(report).await.map_err(|error| error.to_string())?;
        return encoded(&());
    }
    let view = inner.local_view().map_err(|error| error.to_string())?;
    let read = inner.work(move || match question {
        Question::Due => due(&view, from).map(|due| encoded(&due)),
        Question::Dead(erasure, after) => dead(&view, erasure, after).map(|dead| encoded(&dead)),
        Question::Needed(dead, parts, index) if view.index() >= index => {
            needed(&view, &dead, parts.iter(), index).map(|needed| encoded(&needed))
        }
        _ => Ok(Err("this node has not come so far".to_owned())),
    });
    let read = read.await.map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())?
}

fn encoded(answer: &impl Serialize) -> Result<Vec<u8>, String> {
    codec::to_bytes(answer).map_err(|error| error.to_string())
}

fn due(view: &View, node: NodeId) -> Result<Option<Due>, StoreError> {
    for (erasure, row) in view.erasures()? {
        let reported = view.erase_reports(erasure)?.remove(&node);
        let over = reported.is_some_and(|row| is_complete(&row));
        if row.state != ErasureState::Done || row.erased == 0 || over {
            continue;
        }
        if let Some(all) = erased(view, erasure)? {
            return Ok(Some(Due { erasure, since: all.since, shared: all.shared }));
        }
    }
    Ok(None)
}

fn dead(
    view: &View,
    erasure: OperationId,
    after: Option<BlobId>,
) -> Result<Vec<BlobId>, StoreError> {
    let all = erased(view, erasure)?.map(|all| all.dead).unwrap_or_default();
    let behind = all.into_iter().filter(|blob| after.is_none_or(|after| *blob > after));
    Ok(behind.take(IDS).collect())
}

// ------------------------------------------------------------- light voters

/// Asks and does, for as long as the store is there; nothing on a full node.
pub(super) async fn run(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(inner) = store.upgrade().filter(|inner| !inner.trims) else { return };
        if let Err(error) = inner.reach_light().await {
            tracing::debug!(error, "what was erased is reached later");
        }
    }
}

async fn ask<A: serde::de::DeserializeOwned>(
    node: &Node,
    peer: NodeId,
    question: &Question,
) -> Result<A, String> {
    let body = Bytes::from(encoded(question)?);
    let answer = node.call(peer, TOPIC, body, CALL).await.map_err(|error| error.to_string())?;
    codec::from_bytes(&answer).map_err(|error| error.to_string())
}

impl Inner {
    /// A full node that can be asked.
    fn full_peer(&self) -> Result<NodeId, String> {
        let cluster = self.node.cluster();
        let leader = cluster.leader.filter(|leader| *leader != cluster.node);
        let mut members = cluster.members.iter();
        let full =
            members.find(|it| !it.light && it.node != cluster.node && it.role != Role::Learner);
        leader.or(full.map(|it| it.node)).ok_or_else(|| "there is no full node".to_owned())
    }

    async fn reach_light(self: &Arc<Self>) -> Result<(), String> {
        let peer = self.full_peer()?;
        while let Some(due) = ask::<Option<Due>>(&self.node, peer, &Question::Due).await? {
            if self.progress.applied() < Some(due.since) || self.ending.has_begun() {
                return Ok(());
            }
            let pending = self.reach_one(peer, due).await?;
            let place = ErasePlace::Packs;
            let waits = pending.is_some();
            let reached = EraseReached { place, stays: due.shared, pending };
            ask::<()>(&self.node, peer, &Question::Reached(due.erasure, reached)).await?;
            if waits {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the bytes of one erasure out; why some are here still, if so.
    async fn reach_one(self: &Arc<Self>, peer: NodeId, due: Due) -> Result<Option<String>, String> {
        let (mut after, mut left) = (None, 0);
        loop {
            let question = Question::Dead(due.erasure, after);
            let dead: Vec<BlobId> = ask(&self.node, peer, &question).await?;
            let Some(last) = dead.last().copied() else { break };
            after = Some(last);
            let _turn = self.reaching.reclaims.lock().await;
            let state = Arc::new(Told {
                store: Arc::downgrade(self),
                node: self.node.clone(),
                peer,
                dead: dead.clone(),
                ending: self.ending.clone(),
            });
            let (blobs, log) = (self.blobs.clone(), self.log.clone());
            let round = Reclaimer { blobs, log, state, share: 0 }.round().await;
            let Reclaimed { complete, .. } = round.map_err(|error| error.to_string())?;
            if !complete {
                return Ok(Some("a pack is written to, or damaged".to_owned()));
            }
            let here = |blob: &&BlobId| self.blobs.contains(blob).unwrap_or(true);
            left += dead.iter().filter(here).count();
        }
        Ok((left > 0).then(|| format!("{left} blobs are in use")))
    }
}

/// What a full node says is dead.
struct Told {
    store: Weak<Inner>,
    node: Node,
    peer: NodeId,
    dead: Vec<BlobId>,
    ending: Ending,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl State for Told {
    fn view(&self) -> Result<View, StoreError> {
        Err(StoreError::Unavailable("a light voter keeps no views".to_owned()))
    }

    fn applied(&self) -> Option<LogIndex> {
        self.store.upgrade()?.progress.applied()
    }

    fn bound(&self) -> Option<LogIndex> {
        self.applied()
    }

    /// What is applied again at a start asks peers for what is not here, and hears that it died.
    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn pace(&self, _: u64) -> ControlFlow<()> {
        match self.ending.has_begun() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn dead(&self, after: Option<BlobId>) -> Result<(Vec<BlobId>, Option<BlobId>), StoreError> {
        Ok((if after.is_none() { self.dead.clone() } else { Vec::new() }, None))
    }

    fn needed(
        &self,
        dead: &[BlobId],
        doomed: &Doomed,
        bound: LogIndex,
    ) -> Result<Vec<BlobId>, StoreError> {
        let parts = doomed.parts().copied().collect();
        let question = Question::Needed(dead.to_vec(), parts, bound);
        let asked = ask(&self.node, self.peer, &question);
        tokio::runtime::Handle::current().block_on(asked).map_err(StoreError::Unavailable)
    }
}
