//! Searches and exports over accounts are records: nothing that was found is told before.

use redoubt_log::id::{BlobId, Hash, LogIndex, MatterId, NodeId, OperationId};
use redoubt_log::record::{
    Actor, Change, DiscoveryBegin, DiscoveryEnd, DiscoveryRemove, DiscoveryWork, HeadKey, Outcome,
};

use super::{Inner, Mailstore, StoreError, WriteError};

/// Octets of salt before a small blob's own.
const SALT: usize = 16;

/// What is about to be searched or exported.
#[derive(Debug, Clone)]
pub struct DiscoveryAsked {
    /// By which it is asked for.
    pub job: OperationId,
    /// What is done.
    pub work: DiscoveryWork,
    /// The search that an export takes its emails from.
    pub of: Option<OperationId>,
    /// What was asked, with the reason, as JSON.
    pub asked: Vec<u8>,
    /// The index that it is pinned to.
    pub pinned: LogIndex,
    /// The matter that it is of.
    pub matter: Option<MatterId>,
}

impl Mailstore {
    /// Puts into the log that mail is searched or exported; the record's index and time. A retry
    /// with the same job's id gets the first outcome.
    ///
    /// # Errors
    /// [`WriteError`]: then nothing may be told.
    pub async fn discovery_begins(
        &self,
        actor: &Actor,
        asked: DiscoveryAsked,
    ) -> Result<Outcome, WriteError> {
        self.inner.discovery_begins(actor, asked).await
    }

    /// Puts into the log what came of a search or export. A retry with the same end gets the first
    /// outcome.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn discovery_ends(
        &self,
        actor: &Actor,
        end: DiscoveryEnd,
    ) -> Result<Outcome, WriteError> {
        let operation = end_of(&end);
        self.inner.propose(actor, operation, Change::DiscoveryEnd(end)).await
    }

    /// Puts into the log that what a node keeps of a search or export goes.
    ///
    /// # Errors
    /// [`WriteError`]: then it stays.
    pub async fn discovery_goes(&self, actor: &Actor, job: OperationId) -> Result<(), WriteError> {
        let change = Change::DiscoveryRemove(DiscoveryRemove { job });
        self.inner.propose(actor, OperationId::random(), change).await.map(drop)
    }

    /// Makes known by which key this node signs heads of the log.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn head_key_known(&self, node: NodeId, key: Hash) -> Result<(), WriteError> {
        let change = Change::HeadKey(HeadKey { node, key });
        self.inner.propose(&Actor::SYSTEM, OperationId::random(), change).await.map(drop)
    }

    /// The content of a small blob that was stored with salt before it: an SMTP envelope, what a
    /// search asked for. Blocks.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn salted(&self, blob: &BlobId) -> Result<Vec<u8>, StoreError> {
        let octets = self.inner.blob(blob)?;
        Ok(octets.get(SALT..).unwrap_or_default().to_vec())
    }
}

/// The operation by which an end is known: who does not know whether it was taken tries again.
fn end_of(end: &DiscoveryEnd) -> OperationId {
    let text = format!("discovery ends: {end:?}");
    let [hash @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = BlobId::of(text.as_bytes()).0;
    OperationId(hash)
}

impl Inner {
    async fn discovery_begins(
        &self,
        actor: &Actor,
        asked: DiscoveryAsked,
    ) -> Result<Outcome, WriteError> {
        // What is found here stays until the record that names it is applied.
        let _using = self.blobs.using();
        let DiscoveryAsked { job, work, of, asked: text, pinned, matter } = asked;
        let ingest = self.ingest.clone();
        let blob = self.work(move || ingest.salted(&text)).await??;
        let begin = DiscoveryBegin { job, work, of, asked: blob, pinned, matter };
        self.propose(actor, job, Change::DiscoveryBegin(begin)).await
    }
}
