//! Replicas compared at marks in the log: at one index all have the same chain
//! and the same rows. Each hashes its rows as they were there, asks the others
//! for theirs, and where they differ finds the first row that does.
//!
//! The rows are pinned by a snapshot from the mark on for as long as somebody
//! may ask, a quarter of an hour at most.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redoubt_log::blob::BlobStore;
use redoubt_log::codec;
use redoubt_log::id::{BlobId, Hash, LogIndex, NodeId, Timestamp};
use redoubt_log::raft::{Node, Service};
use redoubt_log::segment::LogEntry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::alarms::{AlarmKind, Alarms};
use crate::hash::StateHash;
use crate::storage::{RocksSnapshot, RocksStorage, StorageError};
use crate::{Ending, Pauses};

mod judge;
mod ranges;

use judge::judge;
pub use judge::{Difference, How, Verdict};
use ranges::{Ask, Narrowing, Place, Run, Step};

/// Topics of calls.
const BLOB_IDS: u16 = redoubt_log::raft::topic::STORE;
const SUMMARY: u16 = BLOB_IDS + 1;
const RUNS: u16 = BLOB_IDS + 2;

/// How long rows stay pinned.
const PINNED: Duration = Duration::from_secs(15 * 60);
/// How long the others may take to hash theirs, and how often they are asked.
const OTHERS: Duration = Duration::from_secs(10 * 60);
const AGAIN: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(60);
/// Results that are kept.
const KEPT: usize = 16;
/// Ids in one answer.
const IDS: u32 = 50_000;
/// Questions that narrow one difference down.
const MOST_STEPS: usize = 10_000;

/// What a node has at a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    index: LogIndex,
    time: Timestamp,
    chain: Hash,
    /// The hash that `apply` has kept up; `None` for a node without views.
    kept: Option<Hash>,
    /// The hash of all rows, and of each table's.
    rows: Option<Hash>,
    tables: Vec<Hash>,
}

/// A mark that was applied.
struct Marked {
    index: LogIndex,
    time: Timestamp,
    chain: Hash,
    rows: Option<RocksSnapshot>,
}

/// Where `apply` leaves marks.
#[derive(Default)]
pub(crate) struct Marks {
    last: Mutex<Last>,
    newest: Mutex<Option<Marked>>,
    came: Notify,
}

#[derive(Default)]
struct Last {
    at: Option<Instant>,
    records: u64,
}

impl std::fmt::Debug for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marks").finish_non_exhaustive()
    }
}

impl Marks {
    /// A mark was applied just now.
    pub(crate) fn mark(&self, entry: &LogEntry, storage: &RocksStorage) {
        *self.last.lock() = Last { at: Some(Instant::now()), records: 0 };
        let (index, time, chain) = (entry.id.index, entry.time, entry.chain);
        *self.newest.lock() = Some(Marked { index, time, chain, rows: storage.snapshot().ok() });
        self.came.notify_one();
    }

    /// A record was applied that is no mark.
    pub(crate) fn count(&self) {
        self.last.lock().records += 1;
    }

    /// Whether something has changed since the last mark, and that was so long ago.
    fn is_due(&self, every: Duration) -> bool {
        let mut last = self.last.lock();
        let at = *last.at.get_or_insert_with(Instant::now);
        last.records > 0 && at.elapsed() >= every
    }
}

/// Compares this node with the others.
#[derive(Debug)]
pub(super) struct Comparer {
    node: Node,
    blobs: BlobStore,
    alarms: Alarms,
    marks: Arc<Marks>,
    file: PathBuf,
    results: Mutex<VecDeque<Summary>>,
    pinned: Mutex<Option<(LogIndex, RocksSnapshot)>>,
    ending: Ending,
    /// What came of the last comparison.
    done: watch::Sender<Option<Verdict>>,
}

impl Comparer {
    pub(super) fn new(
        node: &Node,
        blobs: &BlobStore,
        alarms: &Alarms,
        marks: Arc<Marks>,
        file: PathBuf,
        ending: &Ending,
    ) -> Arc<Self> {
        let comparer = Arc::new(Self {
            node: node.clone(),
            blobs: blobs.clone(),
            alarms: alarms.clone(),
            marks,
            results: Mutex::new(load(&file)),
            file,
            pinned: Mutex::default(),
            ending: ending.clone(),
            done: watch::Sender::new(None),
        });
        for topic in [BLOB_IDS, SUMMARY, RUNS] {
            let comparer = Arc::downgrade(&comparer);
            node.register(topic, Arc::new(Answers { topic, comparer }));
        }
        comparer
    }

    /// Lets go what is pinned; nothing is answered any more.
    pub(super) fn end(&self) {
        *self.marks.newest.lock() = None;
        *self.pinned.lock() = None;
    }

    /// Lets go what is pinned of a state from before an entry: what the replicas had there was
    /// told, and which row differs cannot be found any more.
    pub(super) fn let_go(&self, before: LogIndex) {
        let mut pinned = self.pinned.lock();
        if pinned.as_ref().is_some_and(|(index, _)| *index < before) {
            *pinned = None;
        }
    }

    /// The last comparison.
    pub(super) fn last(&self) -> Option<Verdict> {
        self.done.borrow().clone()
    }

    /// Alone it is only done when somebody waits for it.
    fn is_wanted(&self) -> bool {
        self.node.cluster().members.len() > 1 || self.done.receiver_count() > 0
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Verdict>> {
        self.done.subscribe()
    }

    /// Waits for a comparison at or behind an index.
    pub(super) async fn at(
        mut done: watch::Receiver<Option<Verdict>>,
        index: LogIndex,
    ) -> Option<Verdict> {
        let reached =
            |verdict: &Option<Verdict>| verdict.as_ref().is_some_and(|v| v.index >= index);
        done.wait_for(reached).await.ok().and_then(|verdict| verdict.clone())
    }

    /// Whether a mark should be proposed by this node now.
    pub(super) fn mark_is_due(&self, every: Duration) -> bool {
        !every.is_zero() && self.node.is_leader() && self.marks.is_due(every)
    }

    async fn compare(self: &Arc<Self>, marked: Marked) -> Result<(), StorageError> {
        *self.pinned.lock() = marked.rows.clone().map(|rows| (marked.index, rows));
        let (rows, pauses) = (marked.rows.clone(), Pauses::gentle(&self.ending));
        let hashed = tokio::task::spawn_blocking(move || summary(&marked, &pauses)).await;
        let gone = |error: tokio::task::JoinError| StorageError::Encode(error.to_string());
        let summary = hashed.map_err(gone)??;
        self.keep(&summary);
        let others = self.others(&summary).await;
        let me = self.node.status().node;
        let mut verdict = judge(me, &summary, &others);
        let members = self.node.cluster().members.into_iter().filter(|member| !member.light);
        let members = members.map(|member| member.node);
        verdict.silent = members.filter(|n| *n != me && !others.contains_key(n)).collect();
        let verdict = self.with_keys(verdict, &summary, &others, rows).await;
        self.raise(&verdict);
        self.done.send_replace(Some(verdict));
        Ok(())
    }

    /// Kept in memory and beside the views, so that a restart can still answer.
    fn keep(&self, summary: &Summary) {
        let mut results = self.results.lock();
        results.push_back(summary.clone());
        while results.len() > KEPT {
            results.pop_front();
        }
        let written = serde_json::to_vec(&*results).map_err(std::io::Error::other);
        let written = written.and_then(|text| std::fs::write(&self.file, text));
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.file.display(), "marks are not kept");
        }
    }

    /// What the others have there, as far as they answer in time.
    async fn others(&self, summary: &Summary) -> BTreeMap<NodeId, Summary> {
        let me = self.node.status().node;
        let until = Instant::now() + OTHERS;
        let mut others = BTreeMap::new();
        loop {
            let members = self.node.cluster().members;
            let mut left = false;
            // A light voter has no rows.
            for member in members.iter().filter(|member| member.node != me && !member.light) {
                if others.contains_key(&member.node) {
                    continue;
                }
                match ask(&self.node, member.node, SUMMARY, &summary.index).await {
                    Ok(Some(theirs)) => drop(others.insert(member.node, theirs)),
                    // It has not got there, or does not answer now.
                    Ok(None) | Err(_) => left = true,
                }
            }
            if !left || Instant::now() >= until || self.is_overtaken() {
                return others;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn is_overtaken(&self) -> bool {
        self.marks.newest.lock().is_some()
    }

    /// Names the first differing row where that can be found.
    async fn with_keys(
        &self,
        mut verdict: Verdict,
        ours: &Summary,
        others: &BTreeMap<NodeId, Summary>,
        rows: Option<RocksSnapshot>,
    ) -> Verdict {
        let Some(rows) = rows else { return verdict };
        for difference in verdict.differences.iter_mut().filter(|d| d.kind == AlarmKind::State) {
            let Some(peer) = difference.ask else { continue };
            let Some(theirs) = others.get(&peer) else { continue };
            match self.first_row(peer, ours, theirs, &rows).await {
                Ok(Some(place)) => difference.place = Some(place.to_string()),
                Ok(None) => {}
                Err(why) => tracing::warn!(%peer, why, "the row that differs was not found"),
            }
        }
        verdict
    }

    async fn first_row(
        &self,
        peer: NodeId,
        ours: &Summary,
        theirs: &Summary,
        rows: &RocksSnapshot,
    ) -> Result<Option<Place>, String> {
        let table = ours.tables.iter().zip(&theirs.tables).position(|(a, b)| a != b);
        let Some(table) = table.and_then(|table| u8::try_from(table).ok()) else { return Ok(None) };
        let (mut narrowing, mut question) = (Narrowing::new(table), None);
        for _ in 0..MOST_STEPS {
            let next: Ask = question.take().unwrap_or_else(|| narrowing.ask());
            let runs: Option<Vec<Run>> = ask(&self.node, peer, RUNS, &(ours.index, next)).await?;
            let runs = runs.ok_or("its rows are not pinned any more")?;
            let rows = rows.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let step = narrowing.take(&rows, &runs);
                (narrowing, step)
            });
            let (back, step) = looked.await.map_err(|error| error.to_string())?;
            narrowing = back;
            match step.map_err(|error| error.to_string())? {
                Step::Ask(next) => question = Some(next),
                Step::Found(place) => return Ok(place),
            }
        }
        Err("it took too many questions".to_owned())
    }

    fn raise(&self, verdict: &Verdict) {
        for kind in [AlarmKind::State, AlarmKind::Chain] {
            let of_kind = || verdict.differences.iter().filter(move |d| d.kind == kind);
            of_kind().for_each(|d| self.alarms.raise(kind, d.subject(), d.to_string()));
            // Who did not answer may still differ.
            self.alarms.retain(kind, |subject| {
                let heard = verdict.same.iter().any(|node| judge::subject(*node) == subject);
                of_kind().any(|d| d.subject() == subject) || !heard
            });
        }
    }
}

/// Hashes what a mark has pinned.
fn summary(marked: &Marked, pauses: &Pauses) -> Result<Summary, StorageError> {
    let Marked { index, time, chain, rows } = marked;
    let mut summary = Summary {
        index: *index,
        time: *time,
        chain: *chain,
        kept: None,
        rows: None,
        tables: Vec::new(),
    };
    if let Some(rows) = rows {
        let (tables, all) = ranges::tables(rows, pauses)?;
        (summary.rows, summary.tables) = (Some(all), tables);
        summary.kept = Some(StateHash::stored(rows)?.digest());
    }
    Ok(summary)
}

fn load(file: &Path) -> VecDeque<Summary> {
    let text = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Compares at each mark, for as long as the store is there.
pub(super) async fn run(comparer: Weak<Comparer>, marks: Arc<Marks>) {
    loop {
        let pinned = tokio::time::timeout(PINNED, marks.came.notified()).await.is_ok();
        let Some(comparer) = comparer.upgrade() else { return };
        if !pinned {
            *comparer.pinned.lock() = None;
            continue;
        }
        let marked = marks.newest.lock().take();
        let Some(marked) = marked else { continue };
        let index = marked.index;
        if !comparer.is_wanted() {
            continue;
        }
        if let Err(error) = comparer.compare(marked).await {
            tracing::error!(%error, %index, "the state was not compared");
        }
    }
}

// ------------------------------------------------------------------- calls

async fn ask<Q: Serialize, A: DeserializeOwned>(
    node: &Node,
    peer: NodeId,
    topic: u16,
    question: &Q,
) -> Result<A, String> {
    let body = codec::to_bytes(question).map_err(|error| error.to_string())?;
    let answer = node.call(peer, topic, Bytes::from(body), CALL).await;
    let answer = answer.map_err(|error| error.to_string())?;
    codec::from_bytes(&answer).map_err(|error| error.to_string())
}

struct Answers {
    topic: u16,
    comparer: Weak<Comparer>,
}

impl Service for Answers {
    fn call(
        &self,
        _: NodeId,
        body: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>> {
        let (topic, comparer) = (self.topic, self.comparer.upgrade());
        Box::pin(async move {
            let comparer = comparer.ok_or("this node is stopping")?;
            let answer = tokio::task::spawn_blocking(move || comparer.answer(topic, &body));
            answer.await.map_err(|error| error.to_string())?.map(Bytes::from)
        })
    }
}

/// Blobs that a node has, behind one, and whether none of it is known to be missing.
type Ids = (Vec<BlobId>, bool);

impl Comparer {
    /// Answers another node. Blocks.
    fn answer(&self, topic: u16, body: &[u8]) -> Result<Vec<u8>, String> {
        if self.ending.has_begun() {
            return Err("this node is stopping".to_owned());
        }
        let wrong = |error: redoubt_log::codec::CodecError| error.to_string();
        match topic {
            BLOB_IDS => {
                let after: Option<BlobId> = codec::from_bytes(body).map_err(wrong)?;
                let ids = self.blobs.ids(after, IDS as usize).map_err(|error| error.to_string())?;
                let stats = self.blobs.stats();
                let ids: Ids = (ids, stats.damaged == 0 && stats.holes == 0);
                codec::to_bytes(&ids).map_err(wrong)
            }
            SUMMARY => {
                let index: LogIndex = codec::from_bytes(body).map_err(wrong)?;
                let results = self.results.lock();
                let found = results.iter().rev().find(|summary| summary.index == index);
                codec::to_bytes(&found).map_err(wrong)
            }
            _ => {
                let (index, ask): (LogIndex, Ask) = codec::from_bytes(body).map_err(wrong)?;
                let pinned = self.pinned.lock().clone();
                let rows = pinned.filter(|(at, _)| *at == index).map(|(_, rows)| rows);
                let runs = rows.map(|rows| ranges::runs(&rows, &ask)).transpose();
                codec::to_bytes(&runs.map_err(|error| error.to_string())?).map_err(wrong)
            }
        }
    }
}

/// Fetches every blob that others have and this node has not, until one that is
/// whole itself has been gone through.
pub(super) async fn fetch_missing(node: Node, blobs: BlobStore) -> Result<u64, String> {
    let me = node.status().node;
    let (mut fetched, mut why) = (0, "nobody answered".to_owned());
    for member in node.cluster().members.into_iter().filter(|member| member.node != me) {
        match fetch_all_of(&node, member.node, &blobs).await {
            Ok((count, true)) => return Ok(fetched + count),
            Ok((count, false)) => {
                fetched += count;
                why = format!("node {} has damage of its own", member.node);
            }
            Err(error) => why = format!("node {}: {error}", member.node),
        }
    }
    Err(why)
}

async fn fetch_all_of(node: &Node, peer: NodeId, blobs: &BlobStore) -> Result<(u64, bool), String> {
    let (mut after, mut fetched, mut sound) = (None, 0, true);
    loop {
        let (ids, whole): Ids = ask(node, peer, BLOB_IDS, &after).await?;
        sound &= whole;
        let Some(last) = ids.last().copied() else { return Ok((fetched, sound)) };
        after = Some(last);
        for id in ids {
            if !blobs.contains(&id).map_err(|error| error.to_string())? {
                node.fetch_blob(id).await.map_err(|error| error.to_string())?;
                fetched += 1;
            }
        }
    }
}
