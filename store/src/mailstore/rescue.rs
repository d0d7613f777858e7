//! Blobs that have decayed here are brought back from a peer: for a reader that
//! met one, which waits, and behind the scene for those that are known.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::blob::{BlobError, BlobStore};
use redoubt_log::id::{BlobId, NodeId};
use redoubt_log::raft::Node;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use super::compare;
use crate::alarms::{AlarmKind, Alarms};

/// Blobs fetched at one time.
const AT_ONCE: usize = 4;
/// How long one blob may take; a large one over a slow link.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a reader waits for one.
const READER: Duration = Duration::from_secs(30);
/// How long after a failure, and after none, the list is gone through again.
const RETRY: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(60);
/// Blobs of the list that are looked at in one go.
const MOST: usize = 1000;
/// The alarm's subject for what has no name.
const HOLES: &str = "packs";

/// What is answered later.
pub(super) type Later<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// Who has blobs that this node should have too.
pub(super) trait Source: fmt::Debug + Send + Sync {
    /// Whether there is anybody.
    fn has_peers(&self) -> bool;
    /// Whether nothing refers to a blob any more, so that nobody need have it. Blocks.
    fn is_dead(&self, _: &BlobId) -> bool {
        false
    }
    /// Brings a blob and its parts here, durably; says from whom.
    fn fetch(&self, id: BlobId) -> Later<NodeId>;
    /// Brings all blobs that somebody has and this node has not; says how many.
    fn fetch_missing(&self, blobs: &BlobStore) -> Later<u64>;
}

impl Source for Node {
    fn has_peers(&self) -> bool {
        self.cluster().members.len() > 1
    }

    fn is_dead(&self, id: &BlobId) -> bool {
        self.dead_since(id).is_some()
    }

    fn fetch(&self, id: BlobId) -> Later<NodeId> {
        let node = self.clone();
        Box::pin(async move { node.fetch_blob(id).await.map_err(|error| error.to_string()) })
    }

    fn fetch_missing(&self, blobs: &BlobStore) -> Later<u64> {
        Box::pin(compare::fetch_missing(self.clone(), blobs.clone()))
    }
}

/// Brings back what has decayed.
#[derive(Debug)]
pub(super) struct Rescuer {
    source: Arc<dyn Source>,
    blobs: BlobStore,
    alarms: Alarms,
    runtime: Handle,
    turns: Semaphore,
    wake: Arc<Notify>,
}

impl Rescuer {
    pub(super) fn new(source: Arc<dyn Source>, blobs: BlobStore, alarms: Alarms) -> Self {
        let (runtime, wake) = (Handle::current(), Arc::default());
        Self { source, blobs, alarms, runtime, turns: Semaphore::new(AT_ONCE), wake }
    }

    /// Something was noted: do not wait.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// For a reader that met a bad blob. Blocks until it is good again, or not
    /// to be had.
    pub(super) fn for_reader(self: &Arc<Self>, id: BlobId) -> Result<(), String> {
        let (tell, told) = mpsc::sync_channel(1);
        let rescuer = self.clone();
        self.runtime.spawn(async move { drop(tell.send(rescuer.rescue(id).await)) });
        told.recv_timeout(READER).unwrap_or_else(|_| Err("no peer has given it in time".into()))
    }

    /// Makes a blob whole again: looks what of it does not read, and fetches that.
    pub(super) async fn rescue(&self, id: BlobId) -> Result<(), String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let rescued = match tokio::time::timeout(PATIENCE, self.bring(id)).await {
            Ok(rescued) => rescued,
            Err(_) => Err("peers took too long".to_owned()),
        };
        let subject = id.to_string();
        match &rescued {
            Ok(()) => self.alarms.clear(AlarmKind::Blob, &subject),
            Err(why) => self.alarms.raise(AlarmKind::Blob, subject, self.advice(why)),
        }
        rescued
    }

    fn advice(&self, why: &str) -> String {
        match self.source.has_peers() {
            true => format!("it is damaged or missing here: {why}; tried again every few seconds"),
            false => format!(
                "{why}; this node has no peers: stop it and restore the pack from a copy of the disk"
            ),
        }
    }

    async fn bring(&self, id: BlobId) -> Result<(), String> {
        if self.is_nobodys(id).await? {
            return Ok(());
        }
        // A recipe's parts are known once the recipe itself reads, and each part once.
        for _ in 0..3 {
            let bad = self.examine(id).await?;
            if bad.is_empty() {
                return Ok(());
            }
            if !self.source.has_peers() {
                return Err(self.why(&id));
            }
            for id in bad {
                let from = self.source.fetch(id).await?;
                tracing::warn!(%id, %from, "a damaged blob was repaired from a peer");
            }
        }
        Err("what peers gave does not read either".to_owned())
    }

    /// What is dead may be gone, here and elsewhere: nobody misses it.
    async fn is_nobodys(&self, id: BlobId) -> Result<bool, String> {
        let (source, blobs) = (self.source.clone(), self.blobs.clone());
        let look = move || match source.is_dead(&id) {
            true => blobs.forgive(&[id]).map(|()| true),
            false => Ok(false),
        };
        let looked = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())?;
        looked.map_err(|error| error.to_string())
    }

    fn why(&self, id: &BlobId) -> String {
        let read = self.blobs.reader(id).and_then(|reader| {
            reader.for_each_chunk(0, u64::MAX, &mut |_| std::ops::ControlFlow::Continue(()))
        });
        read.err().map_or_else(|| "it does not read".to_owned(), |error| error.to_string())
    }

    async fn examine(&self, id: BlobId) -> Result<Vec<BlobId>, String> {
        let blobs = self.blobs.clone();
        let examined = tokio::task::spawn_blocking(move || blobs.examine(&id)).await;
        let gone = |error: tokio::task::JoinError| BlobError::Poisoned(error.to_string());
        examined.map_err(gone).flatten().map_err(|error| error.to_string())
    }

    /// Goes through all that is known; says whether something is left.
    async fn rescue_all(&self) -> bool {
        let known: BTreeSet<BlobId> =
            self.blobs.damaged(MOST).into_iter().map(|damage| damage.id).collect();
        let mut left = false;
        for id in &known {
            left |= self.rescue(*id).await.is_err();
        }
        self.alarms.retain(AlarmKind::Blob, |subject| {
            subject == HOLES || subject.parse().is_ok_and(|id| known.contains(&id))
        });
        left |= self.blobs.has_holes() && self.fill_holes().await.is_err();
        left || self.blobs.stats().damaged > known.len() as u64
    }

    /// Parts of packs do not read, and nobody can say what was in them: whatever
    /// others have and this node has not.
    async fn fill_holes(&self) -> Result<(), String> {
        let filled = match self.source.has_peers() {
            true => self.source.fetch_missing(&self.blobs).await,
            false => Err("parts of packs do not read, and with them blobs are missing".to_owned()),
        };
        let filled = filled.and_then(|fetched| {
            tracing::warn!(fetched, "packs were damaged: what peers have is here again");
            self.blobs.holes_filled().map_err(|error| error.to_string())
        });
        self.alarms.set(AlarmKind::Blob, HOLES, filled.as_ref().err().map(|why| self.advice(why)));
        filled
    }
}

/// Goes through what is known at the start, whenever it is woken, and now and then.
pub(super) async fn run(rescuer: Weak<Rescuer>) {
    loop {
        let Some(strong) = rescuer.upgrade() else { return };
        let left = strong.rescue_all().await;
        let wake = strong.wake.clone();
        drop(strong);
        let pause = tokio::time::sleep(if left { RETRY } else { QUIET });
        tokio::select! {
            () = wake.notified() => {}
            () = pause => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use redoubt_log::blob::{BlobOptions, IndexKind};
    use redoubt_log::disk::Disk;
    use redoubt_log::disk::sim::SimDisk;

    use super::*;
    use crate::mailstore::BlobReader;

    /// Another store, if there is one.
    #[derive(Debug)]
    struct Other(Option<BlobStore>, BlobStore);

    impl Source for Other {
        fn has_peers(&self) -> bool {
            self.0.is_some()
        }
        fn fetch(&self, id: BlobId) -> Later<NodeId> {
            let (other, here) = (self.0.clone().unwrap(), self.1.clone());
            Box::pin(async move {
                here.import(&other.export(&id).unwrap()).unwrap();
                here.durable(vec![id]).await.unwrap();
                Ok(NodeId(2))
            })
        }
        fn fetch_missing(&self, _: &BlobStore) -> Later<u64> {
            Box::pin(async { Ok(0) })
        }
    }

    fn open(disk: &SimDisk) -> BlobStore {
        let options = BlobOptions { index: IndexKind::Memory, ..BlobOptions::default() };
        BlobStore::open(Arc::new(disk.clone()), Path::new("/blobs"), options).unwrap().0
    }

    /// A store with one blob, whose last octets are then turned over, and a copy from before.
    fn damaged() -> (BlobStore, BlobStore, BlobId) {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let octets: Vec<u8> = (0..100_000u32).flat_map(|n| (n ^ n >> 3).to_le_bytes()).collect();
        let id = store.put(&octets).unwrap().id;
        store.wait_durable(&[id]).unwrap();
        let copy = open(&disk.copy());
        let path = Path::new("/blobs/0000000000000001.pack");
        disk.open(path).unwrap().write_all_at(&[7; 9], 5_000).unwrap();
        (store, copy, id)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_waits_and_never_notices() {
        let (store, copy, id) = damaged();
        let source = Arc::new(Other(Some(copy), store.clone()));
        let rescuer = Arc::new(Rescuer::new(source, store.clone(), Alarms::default()));
        assert!(store.reader(&id).unwrap().read_all(u64::MAX).is_err());
        let read = tokio::task::spawn_blocking(move || {
            let reader = BlobReader::open(&store, Arc::downgrade(&rescuer), id).unwrap();
            let read = reader.all();
            assert!(rescuer.alarms.active().is_empty());
            read
        });
        assert_eq!(BlobId::of(&read.await.unwrap().unwrap()), id);
    }

    #[derive(Debug)]
    struct Nobody;

    impl Source for Nobody {
        fn has_peers(&self) -> bool {
            true
        }
        fn is_dead(&self, _: &BlobId) -> bool {
            true
        }
        fn fetch(&self, _: BlobId) -> Later<NodeId> {
            Box::pin(async { Err("dead since entry 9".to_owned()) })
        }
        fn fetch_missing(&self, _: &BlobStore) -> Later<u64> {
            Box::pin(async { Ok(0) })
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_dead_is_missed_by_nobody() {
        let store = open(&SimDisk::new(2));
        let id = BlobId::of(b"never here");
        store.note_missing(&id).unwrap();
        let alarms = Alarms::default();
        let rescuer = Rescuer::new(Arc::new(Nobody), store.clone(), alarms.clone());
        assert!(!rescuer.rescue_all().await);
        assert!(alarms.active().is_empty() && !store.is_damaged(&id));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn alone_the_error_says_what_to_do_and_an_alarm_stands() {
        let (store, _, id) = damaged();
        let alarms = Alarms::default();
        let source = Arc::new(Other(None, store.clone()));
        let rescuer = Arc::new(Rescuer::new(source, store.clone(), alarms.clone()));
        let weak = Arc::downgrade(&rescuer);
        let read = tokio::task::spawn_blocking(move || {
            let reader = BlobReader::open(&store, weak, id).unwrap();
            reader.all().unwrap_err().to_string()
        });
        let error = read.await.unwrap();
        assert!(error.contains("0000000000000001.pack is damaged at offset"), "{error}");
        let [alarm] = alarms.active().try_into().unwrap();
        assert_eq!((alarm.kind, alarm.subject), (AlarmKind::Blob, id.to_string()));
        assert!(alarm.text.contains("restore the pack"), "{}", alarm.text);
        assert!(rescuer.rescue_all().await, "it stays on the list");
    }
}
