//! Blobs on their way between nodes: a node has an entry only when it has every
//! blob that the entry names, so these travel first.
//!
//! - given: by whoever proposes, as soon as they are put, and by the leader in
//!   front of the entries for a follower that is not known to have them
//! - fetched: by the receiver, what is large or still missing
//!
//! Invariant: a peer is taken to have a blob only when it said so, or gave it. It appends no
//! entry before the blob is durable there, whatever is taken here. Small blobs travel
//! together; of a large one a piece at a time is in memory at the sender, the whole once at
//! the receiver, within [`BUDGET`].
//!
//! A blob that died by an entry which is committed may be gone. Entries from before that one
//! are taken without it: nothing is served here before that entry is applied. An entry behind
//! it needs the blob again.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lru::LruCache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::blob::{BlobError, Exported, ExportedHead, MAX_EXPORTED};
use crate::codec;
use crate::id::{BlobId, LogIndex, NodeId};
use crate::raft::error::FetchError;
use crate::raft::hub::Hub;
use crate::raft::peers::{Service, topic};
use crate::raft::wire::Lane;
use crate::world;

/// Octets of a blob that are fetched at once; a smaller one is given whole.
pub(crate) const PIECE: usize = 1 << 20;
/// Octets of blobs that are given together.
const TOGETHER: usize = 1 << 20;
/// Blobs that are given together.
const TOGETHER_COUNT: usize = 256;
/// Messages with blobs that are on their way to one peer at one time.
const FLIGHTS: usize = 4;
/// Blobs that a peer is remembered to have.
const KNOWN: usize = 1 << 16;
/// Octets of large blobs that are being received at one time, in units of [`UNIT`].
const BUDGET: u32 = 4096;
/// See [`BUDGET`].
const UNIT: u64 = 64 << 10;
/// What a peer says of a blob that it has not got any more, before the index.
const DEAD_SINCE: &str = "dead since entry ";
/// How long a peer may take to make blobs durable, or to read a piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ways of blobs to all peers, and the room for those that come.
#[derive(Debug)]
pub(crate) struct Carriers {
    hub: Weak<Hub>,
    to: Mutex<HashMap<NodeId, mpsc::UnboundedSender<Word>>>,
    room: Arc<Semaphore>,
}

/// What the task that carries to a peer is told.
#[derive(Debug)]
enum Word {
    Give(Job),
    /// The peer has these.
    Has(Vec<BlobId>),
}

/// Blobs that a peer must have.
#[derive(Debug)]
struct Job {
    ids: Vec<BlobId>,
    /// They were just put here: the peer is not asked whether it has them.
    fresh: bool,
    done: oneshot::Sender<Result<(), String>>,
}

impl Carriers {
    pub(crate) fn new(hub: Weak<Hub>) -> Self {
        let room = Arc::new(Semaphore::new(BUDGET as usize));
        Self { hub, to: Mutex::default(), room }
    }

    /// Resolves when the peer has these durably. It goes on when this is dropped.
    pub(crate) fn give(
        &self,
        peer: NodeId,
        ids: Vec<BlobId>,
        fresh: bool,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (done, told) = oneshot::channel();
        if ids.is_empty() {
            drop(done.send(Ok(())));
        } else {
            self.say(peer, Word::Give(Job { ids, fresh, done }));
        }
        async { told.await.unwrap_or_else(|_| Err("the replica has ended".to_owned())) }
    }

    /// A peer has these: they came from it.
    pub(crate) fn note(&self, peer: NodeId, ids: Vec<BlobId>) {
        self.say(peer, Word::Has(ids));
    }

    fn say(&self, peer: NodeId, word: Word) {
        let mut to = self.to.lock();
        let Some(hub) = self.hub.upgrade() else { return };
        let start = || {
            let (words, queue) = mpsc::unbounded_channel();
            hub.spawn(carry(self.hub.clone(), peer, queue));
            words
        };
        drop(to.entry(peer).or_insert_with(start).send(word));
    }
}

/// One who waits until all of some blobs are there.
#[derive(Debug)]
struct Waiting {
    left: usize,
    done: Option<oneshot::Sender<Result<(), String>>>,
}

/// What is known of one peer's blobs.
struct Carrier {
    known: LruCache<BlobId, ()>,
    /// On their way, and the numbers of those who wait for them.
    flying: HashMap<BlobId, Vec<u64>>,
    waiting: HashMap<u64, Waiting>,
    next: u64,
    /// Not on their way yet.
    queued: Vec<(BlobId, bool)>,
}

type Flight = BoxFuture<'static, (Vec<BlobId>, Result<(), String>)>;

/// Carries blobs to one peer, until the hub is gone.
async fn carry(hub: Weak<Hub>, peer: NodeId, mut words: mpsc::UnboundedReceiver<Word>) {
    let mut carrier = Carrier {
        known: LruCache::new(NonZeroUsize::new(KNOWN).unwrap_or(NonZeroUsize::MIN)),
        flying: HashMap::new(),
        waiting: HashMap::new(),
        next: 0,
        queued: Vec::new(),
    };
    let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some((ids, result)) = flights.next() => carrier.landed(&ids, &result),
            word = words.recv() => match word {
                Some(Word::Give(job)) => carrier.take(job),
                Some(Word::Has(ids)) => carrier.has(&ids),
                None => return,
            },
        }
        while flights.len() < FLIGHTS && !carrier.queued.is_empty() {
            let Some(hub) = hub.upgrade() else { return };
            let (ids, fresh) = carrier.board();
            flights.push(fly(hub, peer, ids, fresh).boxed());
        }
    }
}

impl Carrier {
    fn take(&mut self, job: Job) {
        let mut left: Vec<BlobId> = job.ids;
        left.sort_unstable();
        left.dedup();
        left.retain(|id| self.known.get(id).is_none());
        if left.is_empty() {
            drop(job.done.send(Ok(())));
            return;
        }
        self.next += 1;
        for id in &left {
            let waiters = self.flying.entry(*id).or_default();
            if waiters.is_empty() {
                self.queued.push((*id, job.fresh));
            }
            waiters.push(self.next);
        }
        self.waiting.insert(self.next, Waiting { left: left.len(), done: Some(job.done) });
    }

    /// The next that go together.
    fn board(&mut self) -> (Vec<BlobId>, bool) {
        let fresh = self.queued.first().is_some_and(|(_, fresh)| *fresh);
        let alike = self.queued.iter().take_while(|(_, other)| *other == fresh).count();
        let ids = self.queued.drain(..alike.min(TOGETHER_COUNT)).map(|(id, _)| id);
        (ids.collect(), fresh)
    }

    /// The peer has these by itself.
    fn has(&mut self, ids: &[BlobId]) {
        self.queued.retain(|(id, _)| !ids.contains(id));
        self.landed(ids, &Ok(()));
    }

    fn landed(&mut self, ids: &[BlobId], result: &Result<(), String>) {
        for id in ids {
            if result.is_ok() {
                self.known.put(*id, ());
            }
            for waiter in self.flying.remove(id).unwrap_or_default() {
                self.tell(waiter, result);
            }
        }
    }

    fn tell(&mut self, waiter: u64, result: &Result<(), String>) {
        let Some(waiting) = self.waiting.get_mut(&waiter) else { return };
        waiting.left = waiting.left.saturating_sub(1);
        if waiting.left > 0 && result.is_ok() {
            return;
        }
        if let Some(done) = waiting.done.take() {
            drop(done.send(result.clone()));
        }
        self.waiting.remove(&waiter);
    }
}

async fn fly(
    hub: Arc<Hub>,
    peer: NodeId,
    ids: Vec<BlobId>,
    fresh: bool,
) -> (Vec<BlobId>, Result<(), String>) {
    let result = give_all(&hub, peer, &ids, fresh).await;
    (ids, result)
}

async fn give_all(hub: &Hub, peer: NodeId, ids: &[BlobId], fresh: bool) -> Result<(), String> {
    let mut wanted = ids.to_vec();
    if !fresh {
        let body = encode(&Ask::Have(wanted), &[])?;
        let answer = ask(hub, peer, body).await?;
        wanted = codec::from_bytes(&answer).map_err(|error| error.to_string())?;
        wanted.retain(|id| ids.contains(id));
    }
    while !wanted.is_empty() {
        let (load, rest) = load(hub, wanted).await?;
        wanted = rest;
        ask(hub, peer, load).await?;
    }
    Ok(())
}

async fn ask(hub: &Hub, peer: NodeId, body: Bytes) -> Result<Bytes, String> {
    let asked = hub.call(peer, Lane::Bulk, topic::GIVE_BLOB, body, PATIENCE).await;
    asked.map_err(|error| error.to_string())
}

/// As many blobs as go together, with their parts before them, and the rest.
async fn load(hub: &Hub, wanted: Vec<BlobId>) -> Result<(Bytes, Vec<BlobId>), String> {
    let gate = hub.gate.clone();
    let loaded = move || {
        let mut load = Load::default();
        let mut rest = wanted.into_iter();
        while load.octets < TOGETHER {
            let Some(id) = rest.next() else { break };
            load.add(&gate, &id).map_err(|error| error.to_string())?;
        }
        let body = encode(&Ask::Take { heads: load.heads, fetch: load.fetch }, &load.bodies)?;
        Ok::<_, String>((body, rest.collect()))
    };
    world::blocking(loaded).await.map_err(|error| error.to_string())?
}

#[derive(Default)]
struct Load {
    heads: Vec<ExportedHead>,
    bodies: Vec<Bytes>,
    fetch: Vec<BlobId>,
    octets: usize,
}

impl Load {
    fn add(&mut self, gate: &crate::raft::gate::Gate, id: &BlobId) -> Result<(), BlobError> {
        match small(gate, id) {
            Ok(Some(Exported { head, body })) => {
                self.octets += body.len();
                self.heads.push(head);
                self.bodies.push(body);
            }
            Err(error @ (BlobError::Poisoned(_) | BlobError::Index(_))) => return Err(error),
            // One that has decayed here may be with others, and stops nothing else.
            Ok(None) | Err(_) => self.fetch.push(*id),
        }
        Ok(())
    }
}

/// What is large, or has parts, is fetched: only the receiver knows what it lacks.
fn small(gate: &crate::raft::gate::Gate, id: &BlobId) -> Result<Option<Exported>, BlobError> {
    let exporter = gate.exporter(id)?;
    let fetched = exporter.head().stored > PIECE as u64 || !exporter.head().parts.is_empty();
    if fetched { Ok(None) } else { exporter.whole().map(Some) }
}

/// What is asked on [`topic::GIVE_BLOB`].
#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// Which of these it has not got.
    Have(Vec<BlobId>),
    /// To make these durable: some follow, the others are to be fetched from the asker.
    Take { heads: Vec<ExportedHead>, fetch: Vec<BlobId> },
}

/// What is asked on [`topic::BLOB`]: stored octets from an offset.
#[derive(Debug, Serialize, Deserialize)]
struct Fetch {
    id: BlobId,
    offset: u64,
}

fn encode<T: Serialize>(head: &T, bulk: &[Bytes]) -> Result<Bytes, String> {
    let head = codec::to_bytes(head).map_err(|error| error.to_string())?;
    let mut body =
        BytesMut::with_capacity(4 + head.len() + bulk.iter().map(Bytes::len).sum::<usize>());
    body.put_u32_le(u32::try_from(head.len()).unwrap_or(u32::MAX));
    body.put_slice(&head);
    bulk.iter().for_each(|bulk| body.put_slice(bulk));
    Ok(body.freeze())
}

fn decode<T: serde::de::DeserializeOwned>(mut body: Bytes) -> Result<(T, Bytes), String> {
    let short = || "a message about blobs is cut short".to_owned();
    if body.len() < 4 {
        return Err(short());
    }
    let len = body.get_u32_le() as usize;
    if len > body.len() {
        return Err(short());
    }
    let head = body.split_to(len);
    Ok((codec::from_bytes(&head).map_err(|error| error.to_string())?, body))
}

/// Takes blobs from peers, and says which it has not got.
pub(crate) struct TakeService(pub(crate) Weak<Hub>);

impl Service for TakeService {
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            match decode(body)? {
                (Ask::Have(ids), _) => hub.lacks(ids).await,
                (Ask::Take { heads, fetch }, bulk) => {
                    hub.take_blobs(from, heads, fetch, bulk).await.map(|()| Bytes::new())
                }
            }
        }
        .boxed()
    }
}

/// Gives blobs to peers, piece by piece.
pub(crate) struct BlobService(pub(crate) Weak<Hub>);

impl Service for BlobService {
    fn call(&self, _: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let hub = self.0.upgrade();
        async move {
            let hub = hub.ok_or("the replica has ended")?;
            let Fetch { id, offset } = codec::from_bytes(&body).map_err(|e| e.to_string())?;
            let (gate, dead) = (hub.gate.clone(), hub.dead.get().cloned());
            let read = move || {
                let exporter = gate.exporter(&id).map_err(|error| {
                    match dead.and_then(|dead| dead.since(&id)) {
                        Some(since) => format!("{DEAD_SINCE}{since}"),
                        None => error.to_string(),
                    }
                })?;
                let piece = exporter.piece(offset, PIECE).map_err(|error| error.to_string())?;
                encode(exporter.head(), &[piece])
            };
            world::blocking(read).await.map_err(|error| error.to_string())?
        }
        .boxed()
    }
}

/// The highest index that peers have named, if one did: who is behind knows of an earlier
/// death only.
fn dead_since(why: &str) -> Option<LogIndex> {
    let named = why.split(DEAD_SINCE).skip(1).filter_map(|digits| {
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok().map(LogIndex)
    });
    named.max()
}

/// One that came damaged is fetched, perhaps from another peer.
fn import_or_fetch(
    gate: &crate::raft::gate::Gate,
    from: NodeId,
    blob: &Exported,
) -> Result<(), BlobError> {
    match gate.import(blob) {
        Err(error @ BlobError::Foreign { .. }) => {
            tracing::warn!(%from, %error, "a peer has sent a damaged blob");
            Ok(())
        }
        imported => imported,
    }
}

impl Hub {
    async fn lacks(&self, ids: Vec<BlobId>) -> Result<Bytes, String> {
        let gate = self.gate.clone();
        let lacking = move || {
            ids.into_iter().filter(|id| !gate.contains(id).unwrap_or(false)).collect::<Vec<_>>()
        };
        let lacking = world::blocking(lacking).await.map_err(|error| error.to_string())?;
        codec::to_bytes(&lacking).map(Bytes::from).map_err(|error| error.to_string())
    }

    async fn take_blobs(
        self: &Arc<Self>,
        from: NodeId,
        heads: Vec<ExportedHead>,
        fetch: Vec<BlobId>,
        mut bulk: Bytes,
    ) -> Result<(), String> {
        let mut ids = fetch;
        let mut whole = Vec::with_capacity(heads.len());
        for head in heads {
            let len = usize::try_from(head.stored).unwrap_or(usize::MAX);
            if len > bulk.len() {
                return Err("blobs are cut short".to_owned());
            }
            ids.push(head.id);
            whole.push(Exported { head, body: bulk.split_to(len) });
        }
        self.carriers.note(from, ids.clone());
        let (gate, _using) = (self.gate.clone(), self.gate.using());
        let import = move || whole.iter().try_for_each(|blob| import_or_fetch(&gate, from, blob));
        let imported = world::blocking(import).await.map_err(|error| error.to_string())?;
        imported.map_err(|error| error.to_string())?;
        self.complete(from, ids).await
    }

    /// Resolves when these are durable here; what is missing is fetched, from `from` if it
    /// has it. One that a peer says is dead is noted so, and not waited for.
    ///
    /// # Errors
    /// Why one is not: what names it must not be appended.
    pub(crate) async fn complete(
        self: &Arc<Self>,
        from: NodeId,
        mut ids: Vec<BlobId>,
    ) -> Result<(), String> {
        let _using = self.gate.using();
        loop {
            if ids.is_empty() {
                return Ok(());
            }
            match self.gate.hold(ids.clone()).await {
                Ok(()) => return Ok(()),
                Err(BlobError::Missing(_)) => {
                    let dead = self.fetch_missing(from, &ids).await?;
                    ids.retain(|id| !dead.contains(id));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Those that are dead.
    async fn fetch_missing(
        self: &Arc<Self>,
        from: NodeId,
        ids: &[BlobId],
    ) -> Result<Vec<BlobId>, String> {
        let (gate, wanted) = (self.gate.clone(), ids.to_vec());
        let missing = move || {
            let mut missing = Vec::new();
            for id in wanted {
                if !gate.contains(&id)? {
                    missing.push(id);
                }
            }
            Ok::<_, BlobError>(missing)
        };
        let missing = world::blocking(missing).await.map_err(|error| error.to_string())?;
        let missing = missing.map_err(|error| error.to_string())?;
        if missing.is_empty() {
            return Err("a blob is there and is not: its index is damaged".to_owned());
        }
        let others = self.others().into_iter().filter(|peer| *peer != from);
        let peers: Vec<NodeId> = std::iter::once(from).chain(others).collect();
        let mut dead = Vec::new();
        for id in missing {
            let Err(why) = self.fetch_from(&peers, id).await else { continue };
            let since = dead_since(&why).ok_or(why)?;
            self.gate.note_dead(id, since);
            dead.push(id);
        }
        Ok(dead)
    }

    /// Fetches a blob from the first of these that has it; says who that is.
    async fn fetch_from(self: &Arc<Self>, peers: &[NodeId], id: BlobId) -> Result<NodeId, String> {
        let mut whys = Vec::new();
        for peer in peers {
            match self.fetch(*peer, id).await {
                Ok(()) => return Ok(*peer),
                Err(why) => whys.push(format!("node {peer}: {why}")),
            }
        }
        let whys = if whys.is_empty() { "there are no peers".to_owned() } else { whys.join("; ") };
        Err(format!("blob {id}: {whys}"))
    }

    /// Fetches a blob and the parts that are missing, from one peer. Not durable yet.
    pub(crate) async fn fetch(self: &Arc<Self>, from: NodeId, id: BlobId) -> Result<(), String> {
        // Parts that are here stay until what they are parts of is.
        let _using = self.gate.using();
        let (head, first) = self.piece(from, id, 0).await?;
        for part in &head.parts {
            let (gate, part) = (self.gate.clone(), *part);
            let there = world::blocking(move || gate.contains(&part)).await;
            let there = there.map_err(|error| error.to_string())?;
            if !there.map_err(|error| error.to_string())? {
                let (head, first) = self.piece(from, part, 0).await?;
                if !head.parts.is_empty() {
                    return Err(format!("part {part} is a recipe itself"));
                }
                self.rest(from, head, first).await?;
            }
        }
        self.rest(from, head, first).await
    }

    async fn piece(
        &self,
        from: NodeId,
        id: BlobId,
        offset: u64,
    ) -> Result<(ExportedHead, Bytes), String> {
        let body = codec::to_bytes(&Fetch { id, offset }).map_err(|error| error.to_string())?;
        let piece = self.call(from, Lane::Bulk, topic::BLOB, body.into(), PATIENCE).await;
        let (head, piece): (ExportedHead, _) = decode(piece.map_err(|error| error.to_string())?)?;
        match head.id == id && head.stored <= MAX_EXPORTED {
            true => Ok((head, piece)),
            false => Err("it gave another blob".to_owned()),
        }
    }

    /// The pieces behind the first; then it is stored here.
    async fn rest(
        self: &Arc<Self>,
        from: NodeId,
        head: ExportedHead,
        first: Bytes,
    ) -> Result<(), String> {
        let units = u32::try_from(head.stored.div_ceil(UNIT)).unwrap_or(BUDGET).clamp(1, BUDGET);
        let _room = self.carriers.room.acquire_many(units).await.map_err(|e| e.to_string())?;
        let mut body = BytesMut::from(first);
        while (body.len() as u64) < head.stored {
            let (again, piece) = self.piece(from, head.id, body.len() as u64).await?;
            if piece.is_empty() || again != head {
                return Err("it changed while it was fetched".to_owned());
            }
            body.put_slice(&piece);
        }
        let exported = Exported { head, body: body.freeze() };
        let gate = self.gate.clone();
        let imported = world::blocking(move || gate.import(&exported)).await;
        imported.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Fetches a blob from whichever peer has it, and makes it durable.
    pub(crate) async fn fetch_from_any(self: &Arc<Self>, id: BlobId) -> Result<NodeId, FetchError> {
        let peer = self.fetch_from(&self.others(), id).await.map_err(FetchError::Nobody)?;
        let held = self.gate.hold(vec![id]).await;
        held.map(|()| peer).map_err(|error| FetchError::Store(error.to_string()))
    }
}
