//! An object store that fails as it is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code, unreachable_pub, missing_docs)]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use redoubt_snapshot::repo::Objects;

/// What is there, and how it answers. Clones share both.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<InMemory>,
    pub faults: Arc<Faults>,
}

#[derive(Debug)]
pub struct Faults {
    /// Objects that may still be made; then all is dead, as after a crash.
    pub puts_left: AtomicU64,
    /// Whether the last object that is made is made although the answer never comes.
    pub answer_lost: AtomicBool,
    /// Calls that fail before one works again.
    pub errors: AtomicU64,
    /// Calls so far.
    pub calls: AtomicU64,
    /// Calls that are still answered; then nothing is.
    pub calls_left: AtomicU64,
    /// Whether nothing in `index` can be removed.
    pub locked: AtomicBool,
}

impl Faulty {
    pub fn new() -> Self {
        Self::over(Arc::new(InMemory::new()), u64::MAX)
    }

    fn over(inner: Arc<InMemory>, puts: u64) -> Self {
        let faults = Faults {
            puts_left: AtomicU64::new(puts),
            answer_lost: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            calls_left: AtomicU64::new(u64::MAX),
            locked: AtomicBool::new(false),
        };
        Self { inner, faults: Arc::new(faults) }
    }

    /// The same objects, seen by somebody who dies after so many puts.
    pub fn dying_after(&self, puts: u64, answer_lost: bool) -> Self {
        let dying = Self::over(self.inner.clone(), puts);
        dying.faults.answer_lost.store(answer_lost, Ordering::SeqCst);
        dying
    }

    pub fn objects(&self) -> Objects {
        Objects::new(Arc::new(self.clone())).with_wait(Duration::from_micros(10))
    }

    fn check(&self) -> Result<()> {
        self.faults.calls.fetch_add(1, Ordering::SeqCst);
        if self.faults.puts_left.load(Ordering::SeqCst) == 0 {
            return Err(failed("dead"));
        }
        let take = |left: u64| left.checked_sub(1);
        if self.faults.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            return Err(failed("gone"));
        }
        match self.faults.errors.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Err(failed("out of order")),
            Err(_) => Ok(()),
        }
    }
}

fn failed(why: &str) -> Error {
    Error::Generic { store: "faulty", source: why.to_owned().into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.check()?;
        let last = self.faults.puts_left.load(Ordering::SeqCst) == 1;
        let done = if last && !self.faults.answer_lost.load(Ordering::SeqCst) {
            Err(failed("died"))
        } else {
            self.inner.put_opts(location, payload, opts).await
        };
        if self.faults.puts_left.load(Ordering::SeqCst) != u64::MAX {
            self.faults.puts_left.fetch_sub(1, Ordering::SeqCst);
        }
        if last { Err(failed("died")) } else { done }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // Each removal is a step at which all may end, as each object that is made.
        let me = self.clone();
        let gone = locations.then(move |location| {
            let me = me.clone();
            async move {
                let location = location?;
                me.check()?;
                if me.faults.locked.load(Ordering::SeqCst)
                    && location.as_ref().starts_with("index/")
                {
                    let (path, source) = (location.to_string(), "it is locked".into());
                    return Err(Error::PermissionDenied { path, source });
                }
                let last = me.faults.puts_left.load(Ordering::SeqCst) == 1;
                if !last || me.faults.answer_lost.load(Ordering::SeqCst) {
                    me.inner.delete(&location).await?;
                }
                if me.faults.puts_left.load(Ordering::SeqCst) != u64::MAX {
                    me.faults.puts_left.fetch_sub(1, Ordering::SeqCst);
                }
                if last { Err(failed("died")) } else { Ok(location) }
            }
        });
        gone.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Each object removed, cut and flipped in turn, and put back: its name, and whether it is there.
/// But for a last range of the log that is gone: where the log ends only the server knows.
pub async fn each_damaged(objects: &Objects, mut then: impl AsyncFnMut(&str, bool)) {
    let listed = objects.list("", None).await.unwrap();
    let newest = listed.iter().rfind(|object| object.name.starts_with("log/"));
    let newest = newest.unwrap().name.clone();
    for object in listed {
        let whole = objects.get(&object.name).await.unwrap();
        let middle = whole.len() / 2;
        let mut flipped = whole.to_vec();
        flipped[middle] ^= 0x10;
        for bad in [None, Some(whole.slice(..middle)), Some(flipped.into())] {
            if bad.is_none() && object.name == newest {
                continue;
            }
            objects.delete(&object.name).await.unwrap();
            let there = bad.is_some();
            if let Some(bad) = bad {
                objects.create(&object.name, bad).await.unwrap();
            }
            then(&object.name, there).await;
        }
        objects.delete(&object.name).await.unwrap();
        objects.create(&object.name, whole).await.unwrap();
    }
}
