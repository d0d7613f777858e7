//! The bytes of dead blobs go, on this node alone.
//!
//! That a blob is dead is in the state, which every node has; when its bytes go is each node's
//! own affair. They go only when nothing can ask for them again: everybody who found them
//! before has left, everything in the log is applied, and the state, asked once more, still
//! says that nobody has them, since long enough for all that pins the past.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::blob::{BlobError, BlobStore, Compaction, Doomed, Next, Reclaimed};
use redoubt_log::id::{BlobId, LogIndex};
use redoubt_log::segment::SegmentLog;
use redoubt_log::world;
use tokio::time::Instant;

use crate::mailstore::StoreError;
use crate::view::View;

/// Dead blobs looked at together: their packs are looked through once for them.
const TOGETHER: usize = 100_000;
/// Rows of the state that are read in one go.
const PAGE: usize = 5_000;
/// How long to wait until nobody relies any more on what is doomed.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// What this node has applied.
pub trait State: Debug + Send + Sync + 'static {
    /// As it is now.
    ///
    /// # Errors
    /// It cannot be read.
    fn view(&self) -> Result<View, StoreError>;
    /// The last index applied.
    fn applied(&self) -> Option<LogIndex>;
    /// The last entry whose deaths may be acted on: every image that this node may be rebuilt
    /// from or gives away has them, and all that pin the past. `None` while that is not known.
    fn bound(&self) -> Option<LogIndex>;
    /// Makes everything applied durable: a start replays nothing from before.
    ///
    /// # Errors
    /// The disk.
    fn flush(&self) -> Result<(), StoreError>;
    /// Told octets that were read or written; may sleep, or end the work.
    fn pace(&self, octets: u64) -> ControlFlow<()>;

    /// Dead blobs behind one that may go; where to go on, if not at the end.
    ///
    /// # Errors
    /// The state cannot be read.
    fn dead(&self, after: Option<BlobId>) -> Result<(Vec<BlobId>, Option<BlobId>), StoreError> {
        match self.bound() {
            Some(bound) => some_dead(&self.view()?, bound, after),
            None => Ok((Vec::new(), None)),
        }
    }

    /// Which of these stay: of dead ones those that came back, or died again since, of parts
    /// those that are mail too.
    ///
    /// # Errors
    /// The state cannot be read.
    fn needed(
        &self,
        dead: &[BlobId],
        doomed: &Doomed,
        bound: LogIndex,
    ) -> Result<Vec<BlobId>, StoreError> {
        needed(&self.view()?, dead, doomed.parts(), bound)
    }
}

/// Takes bytes out of a node's packs. One at a time.
#[derive(Debug, Clone)]
pub struct Reclaimer {
    /// From where.
    pub blobs: BlobStore,
    /// What is on its way into the state.
    pub log: SegmentLog,
    /// What says what is dead.
    pub state: Arc<dyn State>,
    /// Packs are written anew of which at least so many of a hundred octets are nobody's.
    pub share: u64,
}

impl Reclaimer {
    /// All that may go now.
    ///
    /// # Errors
    /// The state or the packs cannot be read or written; what went is gone.
    pub async fn round(&self) -> Result<Reclaimed, StoreError> {
        let mut after = None;
        loop {
            let (state, from) = (self.state.clone(), after);
            let (dead, last) = blocking(move || state.dead(from)).await?;
            if !dead.is_empty() {
                self.forget(dead).await?;
            }
            let Some(last) = last else { break };
            after = Some(last);
        }
        self.compact().await
    }

    /// Those that are here go out of the index.
    async fn forget(&self, dead: Vec<BlobId>) -> Result<u64, StoreError> {
        let blobs = self.blobs.clone();
        let doom = move || {
            let doomed = blobs.doom(&dead)?;
            if doomed.is_empty() {
                // What was noted as missing here is missed by nobody.
                blobs.forgive(&dead)?;
            }
            Ok((doomed, dead))
        };
        let (doomed, dead) = blocking(move || doom().map_err(failed)).await?;
        if doomed.is_empty() || !self.is_settled(&doomed).await {
            return Ok(0);
        }
        let this = self.clone();
        let gone = blocking(move || this.forget_now(&dead, &doomed)).await?;
        tracing::debug!(gone, "dead blobs are forgotten");
        Ok(gone)
    }

    /// Waits until nobody relies on what was found before, and all that was in the log then is
    /// applied.
    async fn is_settled(&self, doomed: &Doomed) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut last = None;
        // What is just coming gets the time to be seen.
        tokio::time::sleep(LOOK).await;
        while Instant::now() < end {
            if last.is_none() && self.blobs.is_quiet(doomed) {
                last = Some(self.log.last().map(|id| id.index));
            }
            if last.is_some_and(|last| self.state.applied() >= last) {
                return true;
            }
            if self.state.pace(0).is_break() {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    fn forget_now(&self, dead: &[BlobId], doomed: &Doomed) -> Result<u64, StoreError> {
        let Some(bound) = self.state.bound() else { return Ok(0) };
        self.state.flush()?;
        self.blobs.spare(&self.state.needed(dead, doomed, bound)?);
        let spared = self.blobs.spare_parts(doomed, &mut |octets| self.state.pace(octets));
        match spared.map_err(failed)? {
            true => self.blobs.forget(doomed).map_err(failed),
            false => Ok(0),
        }
    }

    /// Writes packs anew.
    async fn compact(&self) -> Result<Reclaimed, StoreError> {
        let mut compaction = Compaction::new(self.share);
        loop {
            let this = self.clone();
            let step = move || {
                let next = this.blobs.compact(&mut compaction, &mut |n| this.state.pace(n));
                next.map(|next| (next, compaction)).map_err(failed)
            };
            let (next, again) = blocking(step).await?;
            compaction = again;
            match next {
                Next::Wait(ids) => self.blobs.durable(ids).await.map_err(failed)?,
                Next::Done(done) => return Ok(done),
            }
        }
    }
}

fn some_dead(
    view: &View,
    bound: LogIndex,
    mut after: Option<BlobId>,
) -> Result<(Vec<BlobId>, Option<BlobId>), StoreError> {
    let mut dead = Vec::new();
    while dead.len() < TOGETHER {
        let page = view.dead_blobs(after, PAGE)?;
        let Some((last, _)) = page.last().copied() else { return Ok((dead, None)) };
        after = Some(last);
        dead.extend(page.iter().filter(|(_, since)| *since <= bound).map(|(blob, _)| *blob));
    }
    Ok((dead, after))
}

/// What [`State::needed`] gives, by a view.
pub(crate) fn needed<'p>(
    view: &View,
    dead: &[BlobId],
    parts: impl Iterator<Item = &'p BlobId>,
    bound: LogIndex,
) -> Result<Vec<BlobId>, StoreError> {
    let mut needed = Vec::new();
    for blob in dead {
        if view.dead_since(blob)?.is_none_or(|since| since > bound) {
            needed.push(*blob);
        }
    }
    for part in parts {
        if view.is_known(part, bound)? {
            needed.push(*part);
        }
    }
    Ok(needed)
}

fn failed(error: BlobError) -> StoreError {
    match error {
        BlobError::DiskFull { .. } => StoreError::Unavailable(error.to_string()),
        error => StoreError::Stopped(error.to_string()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = world::blocking(work).await;
    done.map_err(|error| StoreError::Stopped(error.to_string())).flatten()
}
