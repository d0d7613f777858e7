//! The read and write interface that every caller shares. Only this module proposes.
//!
//! Writers wait until their record is committed, durable with every blob it
//! names, and applied here; then the views show it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redoubt_log::blob::{BlobError, BlobStore};
use redoubt_log::id::{AccountId, BlobId, LogIndex, MailboxId, ModSeq, OperationId, Uid};
use redoubt_log::raft::Node;
use redoubt_log::record::{
    Actor, Arrival, Change, Outcome, Rejection, RestoreOptions, RestoreStep, Restored, SpecialUse,
};
use redoubt_log::segment::SegmentLog;
use tokio::task::AbortHandle;

use crate::Ending;
use crate::alarms::Alarms;
use crate::auth::Authenticator;
use crate::cache::{OutlineCache, ParsedCache};
use crate::changes::{Feeds, Touched, Watch};
use crate::check::Violation;
use crate::checkpoint::{Base, BaseError, Bases};
use crate::ingest::Ingest;
use crate::mime::{self, Parsed};
use crate::restore::{Plan, Summary, Wish};
use crate::rows::RestoreRow;
use crate::search::Shelf;
use crate::spool::SpoolRoom;
use crate::storage::RocksStorage;
use crate::view::{Mailbox, View};

mod append;
mod archived;
mod blob;
mod capture;
mod checkpoints;
mod checks;
mod compare;
mod contact;
mod deliver;
mod discovery;
mod erased;
mod erasures;
mod error;
mod gate;
pub(crate) mod holds;
mod images;
mod latency;
mod layout;
mod light;
mod light_erased;
mod login;
pub(crate) mod machine;
mod mailboxes;
mod membership;
mod names;
mod open;
mod outline;
mod pieces;
mod place;
pub(crate) mod policies;
mod propose;
mod purge;
mod reads;
mod recent;
mod recover;
mod refusals;
mod renew;
mod request;
mod rescue;
pub(crate) mod reserve;
mod restores;
pub(crate) mod retention;
pub(crate) mod rounds;
mod scrub;
mod status;
pub(crate) mod sweep;
mod upkeep;
mod views;
mod workers;

pub use crate::spool::Spool;
pub use archived::ArchiveGate;
pub(crate) use archived::brings_mail;
pub use blob::BlobReader;
pub use checks::check_at_rest;
pub use compare::{Difference, How, Verdict};
pub use contact::{CutOff, Waits};
pub use discovery::DiscoveryAsked;
pub use erased::{Erased, Reached, Reaches, Reaching};
pub use erasures::{EraseAsked, ErasePlan};
pub use error::{AuthError, OpenError, StoreError, WriteError};
pub use latency::ProposalStats;
pub use layout::{Layout, Lock, NodeFile, ShardSecret};
pub use login::{Access, Login, Revoked};
pub use membership::{ClusterFile, Joining, Peers};
pub use names::MailboxPath;
pub use open::{Rebuilt, rebuild};
pub use policies::PolicyRound;
pub use purge::KeepLog;
pub use reads::ReadAsked;
pub use recover::{Survivor, look_at_survivor, recover_alone};
pub use refusals::Refusal;
pub use renew::{
    Binding, Recovered, Recovery, Renewal, Replay, Rights, Tables, only_account, renewal,
};
pub use request::{
    DeliveryRecipient, Envelope, FlagUpdate, Flagged, MailboxRef, NewMessage, Options, Sent,
};
pub use restores::{PastEmail, RestoreError};
pub use scrub::{Finished, ScrubStatus};
pub use status::StoreStatus;

/// What all clones of a [`Mailstore`] share. The last one that goes ends it as a crash would.
struct Inner {
    node: Node,
    contact: contact::Contact,
    storage: RocksStorage,
    blobs: BlobStore,
    cache: Arc<ParsedCache>,
    outlines: OutlineCache,
    sheets: Shelf,
    ingest: Arc<Ingest>,
    feeds: Arc<Feeds>,
    progress: Arc<machine::Progress>,
    alarms: Alarms,
    rescuer: Arc<rescue::Rescuer>,
    comparer: Arc<compare::Comparer>,
    compare_every: std::time::Duration,
    scrubber: scrub::Scrubber,
    log: SegmentLog,
    spools: Arc<SpoolRoom>,
    reserve: Arc<reserve::Reserve>,
    auth: Authenticator,
    workers: workers::Workers,
    gates: gate::Gates,
    flight: propose::Flight,
    proposals: latency::Proposals,
    recent: recent::Recent,
    logins: reads::LoginCounts,
    refusals: refusals::Refusals,
    reaching: erased::Places,
    checkpoints: checkpoints::Checkpoints,
    archive_gate: Option<ArchiveGate>,
    ending: Ending,
    keep_log: KeepLog,
    keep_log_for: std::time::Duration,
    keep_history: Option<std::time::Duration>,
    /// Whether it has views, whose history goes.
    trims: bool,
    /// How often it is looked for what policies take.
    policies_every: std::time::Duration,
    /// What that found last.
    policies_seen: parking_lot::Mutex<PolicyRound>,
    opened: Instant,
    identity: NodeFile,
    membership: parking_lot::Mutex<ClusterFile>,
    layout: Layout,
    tasks: Tasks,
    /// The last to go, here and in the machine: who gets it finds the views closed.
    _lock: Arc<Lock>,
}

/// Tasks behind the scene; they end with this.
#[derive(Debug, Default)]
struct Tasks(parking_lot::Mutex<Vec<AbortHandle>>);

impl Tasks {
    fn add(&self, task: AbortHandle) {
        self.0.lock().push(task);
    }
    fn end(&self) {
        self.0.lock().drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

/// The mailstore of one node. Clones share it.
#[derive(Clone)]
pub struct Mailstore {
    inner: Arc<Inner>,
}

impl fmt::Debug for Mailstore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailstore").field("node", &self.inner.identity).finish_non_exhaustive()
    }
}

/// What the configuration says of all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// For how many seconds history is kept; `None` is for ever.
    pub history: Option<u64>,
    /// Octets of the largest message.
    pub largest_message: u64,
    /// Mailboxes that an account may have.
    pub mailboxes: u32,
}

impl Mailstore {
    // ---------------------------------------------------------- life cycle

    /// Opens a data directory, made if it is not there; ready to serve when it returns.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed but what a crash left half done.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        open::open(options).await
    }
    /// Lets another node lead, if this one does: before an orderly end, while it still serves.
    pub async fn hand_over(&self) {
        self.inner.hand_over().await;
    }
    /// Lets what was proposed end, flushes the views and gives the directory free.
    /// Calls that come later get [`WriteError::Unavailable`].
    pub async fn shutdown(&self) {
        self.inner.shutdown().await;
    }

    // ------------------------------------------------------------- reading

    /// Everything as of now, linearizable: no answer older than what any client was told.
    ///
    /// # Errors
    /// When this node cannot be sure (no leader within [`Waits::leader`]) or has stopped.
    pub async fn view(&self) -> Result<View, StoreError> {
        self.inner.view().await
    }
    /// Everything that is applied here: what this node's own calls were answered is in it, what
    /// other nodes' clients were told may not be. For what nobody asked, and never for an answer.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub fn local_view(&self) -> Result<View, StoreError> {
        self.inner.local_view()
    }
    /// Whether this node serves, asked of a quorum: found out within `patience`.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ready(&self, patience: Duration) -> Result<(), StoreError> {
        self.inner.up_to_date(Instant::now() + patience).await
    }
    /// Tells when this node has been cut off for longer than [`Waits::cut_off`].
    pub fn cut_off(&self) -> CutOff {
        self.inner.contact.cut_off()
    }
    /// Wakes when something of the account changed.
    pub fn watch(&self, account: AccountId) -> Watch {
        self.inner.feeds.changes.subscribe(account)
    }
    /// Which accounts are touched from now on: for an index that follows them all.
    pub fn follow(&self) -> Arc<Touched> {
        self.inner.feeds.changes.follow()
    }
    /// Envelope, structure and headers of a message, from the cache where it is there. Blocks.
    pub fn parsed(&self, blob: &BlobId) -> Result<Arc<Parsed>, StoreError> {
        self.inner.parsed(blob)
    }
    /// All octets of a message, verified. Blocks. For large ones use [`Mailstore::open_blob`].
    pub fn blob(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        self.inner.blob(blob)
    }
    /// A message's octets piece by piece, verified, in bounded memory. Blocks.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn open_blob(&self, blob: &BlobId) -> Result<BlobReader, StoreError> {
        self.inner.open_blob(*blob)
    }

    // --------------------------------------------------------------- login

    /// Checks a password; waits longer after failures. Never blocks a worker.
    pub async fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        default_domain: &str,
        from: Option<std::net::IpAddr>,
    ) -> Result<Login, AuthError> {
        self.inner.authenticate(name, password, default_domain, from).await
    }
    /// A PHC string (argon2id) for a new password.
    ///
    /// # Errors
    /// [`WriteError::Invalid`] for one that is empty or longer than `MAX_PASSWORD` octets.
    pub async fn hash_password(&self, password: &[u8]) -> Result<String, WriteError> {
        self.inner.hash_password(password).await
    }

    // -------------------------------------------------------------- writing

    /// What holds for accounts of which neither they nor their classes say anything.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            history: self.inner.keep_history.map(|keep| keep.as_secs()),
            largest_message: self.inner.spools.max_message(),
            mailboxes: crate::mailbox::MAX_MAILBOXES,
        }
    }

    /// Proposes a small change (directory, mailbox, subscription) as it is.
    pub async fn submit(
        &self,
        actor: &Actor,
        operation: OperationId,
        change: Change,
    ) -> Result<Outcome, WriteError> {
        self.inner.propose(actor, operation, change).await
    }
    /// A place for a message that comes in.
    pub fn spool(&self) -> Spool {
        self.inner.spools.spool()
    }
    /// Delivers one message: one record for all recipients, an answer for each in their order.
    /// `trace` is what we put before the message (Return-Path, Received).
    pub async fn deliver(
        &self,
        actor: &Actor,
        envelope: Envelope,
        trace: Bytes,
        content: Spool,
        recipients: Vec<DeliveryRecipient>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        self.inner.deliver(actor, envelope, trace, content, recipients).await
    }
    /// Captures a message that is sent, where a rule wants that; whether one did.
    pub async fn capture_sent(
        &self,
        actor: &Actor,
        sent: Sent,
        content: Result<Spool, WriteError>,
    ) -> Result<bool, WriteError> {
        self.inner.capture_sent(actor, sent, content).await
    }
    /// Appends messages to a mailbox, all or none.
    pub async fn append(
        &self,
        actor: &Actor,
        to: MailboxRef,
        items: Vec<NewMessage>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        self.inner.append(actor, to, items).await
    }
    /// Makes a mailbox, and those above it that are not there (RFC 9051 section 6.3.4).
    pub async fn create_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<Mailbox, WriteError> {
        self.inner.create_mailbox(actor, account, name, special_use).await
    }
    /// The same, for its id alone: once it is made, no other session can make an error of it.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn make_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, WriteError> {
        self.inner.make_mailbox(actor, account, name, special_use).await
    }
    /// Renames a mailbox; INBOX's mail moves into a new one (RFC 9051 section 6.3.6).
    pub async fn rename_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<(), WriteError> {
        self.inner.rename_mailbox(actor, account, from, to).await
    }
    /// Deletes a mailbox; its emails go in pieces behind the scene.
    pub async fn delete_mailbox(
        &self,
        actor: &Actor,
        account: AccountId,
        name: &str,
    ) -> Result<(), WriteError> {
        self.inner.delete_mailbox(actor, account, name).await
    }
    /// Changes flags of any number of emails, in bounded records. Answers by UID in the given order.
    pub async fn set_flags(
        &self,
        actor: &Actor,
        mailbox: MailboxRef,
        reader: AccountId,
        uids: Vec<Uid>,
        update: FlagUpdate,
    ) -> Result<Vec<(Uid, Result<Flagged, Rejection>)>, WriteError> {
        self.inner.set_flags(actor, mailbox, reader, uids, update).await
    }
    /// More placements in another mailbox of the account, all or none where they fit one record.
    /// Answers pairs of source and new UID; what is gone is left out.
    pub async fn copy(
        &self,
        actor: &Actor,
        from: MailboxRef,
        to: MailboxId,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        self.inner.copy(actor, from, to, uids).await
    }
    /// Like copy, and the source's placements go in the same record (RFC 6851).
    pub async fn move_to(
        &self,
        actor: &Actor,
        from: MailboxRef,
        to: MailboxId,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        self.inner.move_to(actor, from, to, uids).await
    }
    /// Placements go; with `only_deleted` only those that have `\Deleted`. Answers those that went.
    pub async fn expunge(
        &self,
        actor: &Actor,
        mailbox: MailboxRef,
        uids: Vec<Uid>,
        only_deleted: bool,
    ) -> Result<Vec<(Uid, ModSeq)>, WriteError> {
        self.inner.expunge(actor, mailbox, uids, only_deleted).await
    }
    // ------------------------------------------------------------ restores

    /// Brings emails that the history knows into a mailbox, at once and in their order: what COPY
    /// out of a past mailbox is. `from` is whose they were; `at` only says in the audit which
    /// moment was looked at. They keep their ids, threads and dates in their own account, and get
    /// new UIDs. An answer for each: [`Restored::Created`] with its arrival, [`Restored::Merged`]
    /// where the mailbox has the email already (`View::placements_of` says under which UID),
    /// [`Restored::Failed`] with the reason, for example over quota.
    ///
    /// # Errors
    /// [`WriteError`]; of more than some hundred emails some may be there already then. Asking
    /// again merges them.
    pub async fn restore_emails(
        &self,
        actor: &Actor,
        from: AccountId,
        at: Option<LogIndex>,
        to: MailboxRef,
        emails: Vec<PastEmail>,
        options: RestoreOptions,
    ) -> Result<Vec<Restored>, WriteError> {
        self.inner.restore_emails(actor, from, at, to, emails, options).await
    }
    /// What a restore would do, as of now, and a summary of it. Changes nothing.
    ///
    /// # Errors
    /// [`RestoreError::Plan`] when there is no plan for it.
    pub async fn plan_restore(&self, wish: Wish) -> Result<(Plan, Summary), RestoreError> {
        self.inner.plan_restore(wish).await
    }
    /// Plans a restore and begins it; whichever node leads does it behind the scene.
    /// [`View::restore`] says how far it has come.
    ///
    /// # Errors
    /// [`RestoreError`]; with [`Rejection::Restore`] when another one of the account goes on.
    pub async fn begin_restore(
        &self,
        actor: &Actor,
        wish: Wish,
        options: RestoreOptions,
    ) -> Result<OperationId, RestoreError> {
        self.inner.begin_restore(actor, wish, options).await
    }
    /// Goes on at once with restores that wait after a failure.
    pub fn resume_restores(&self) {
        self.inner.progress.restore_due.notify_one();
    }
    /// Ends a restore before it is done; what was done stays.
    ///
    /// # Errors
    /// [`WriteError::Rejected`] when there is none, or it has ended.
    pub async fn cancel_restore(
        &self,
        actor: &Actor,
        restore: OperationId,
    ) -> Result<(), WriteError> {
        self.inner.cancel_restore(actor, restore).await
    }
    /// What a restore was asked to do. Blocks.
    ///
    /// # Errors
    /// When its blob cannot be read.
    pub fn restore_wish(&self, row: &RestoreRow) -> Result<Option<Wish>, StoreError> {
        self.inner.restore_wish(row)
    }
    /// Steps of a restore's plan, from a place on, at most `limit`. Blocks.
    ///
    /// # Errors
    /// When its blobs cannot be read.
    pub fn restore_steps(
        &self,
        row: &RestoreRow,
        from: u64,
        limit: usize,
    ) -> Result<Vec<RestoreStep>, StoreError> {
        self.inner.restore_steps(row, from, limit)
    }
    /// The highest UID that a session with the right to reset `\Recent` has been told of; raises it
    /// when `claim`. Soft state (RFC 3501 section 2.3.2).
    pub fn recent(&self, mailbox: MailboxRef, last: Option<Uid>, claim: bool) -> Option<Uid> {
        self.inner.recent.get(mailbox, last, claim)
    }
    /// The index applied here.
    pub fn applied(&self) -> LogIndex {
        self.inner.progress.applied().unwrap_or_default()
    }

    // -------------------------------------------------------- housekeeping

    /// Numbers for whoever watches the node.
    pub fn status(&self) -> StoreStatus {
        self.inner.status()
    }
    /// Compares what all nodes have at one index, and finds the first row that differs.
    /// Takes as long as hashing all rows does.
    ///
    /// # Errors
    /// [`WriteError`] when no mark can be put into the log.
    pub async fn compare(&self) -> Result<Verdict, WriteError> {
        self.inner.compare_now().await
    }
    /// Reads everything that lies here now, at the configured rate, and repairs what it
    /// can; `false` when the store was shut down before the end.
    pub async fn scrub(&self) -> bool {
        self.inner.scrub_now().await
    }
    /// What somebody has to look after on this node.
    pub fn alarms(&self) -> &Alarms {
        &self.inner.alarms
    }
    /// Resolves with the reason when this node has stopped serving the shard.
    pub async fn stopped(&self) -> String {
        self.inner.node.stopped().await.to_string()
    }
    /// The log's replica, for reading the log and its heads.
    pub fn node(&self) -> &Node {
        &self.inner.node
    }
    /// The blobs, for checks and scrubs.
    pub fn blobs(&self) -> &BlobStore {
        &self.inner.blobs
    }
    /// Who this node is.
    pub fn identity(&self) -> &NodeFile {
        &self.inner.identity
    }
    /// What this node knows of its part in the cluster.
    pub fn membership(&self) -> ClusterFile {
        self.inner.membership.lock().clone()
    }
    /// The join is done: from now on this node just starts. Blocks on a file.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub fn joined(&self) -> Result<(), OpenError> {
        self.inner.remember(|file| file.joining = None)
    }
    /// This node is about to let another in: from now on its log must not be gone at a start.
    /// Blocks on a file.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub fn has_others(&self) -> Result<(), OpenError> {
        self.inner.remember(|file| file.has_others |= !file.joined)
    }
    /// The state knows of those that were lost. Blocks on a file.
    pub(super) fn forget_lost(&self) -> Result<(), OpenError> {
        let mut file = self.inner.membership.lock();
        let done = ClusterFile { lost: Vec::new(), ..file.clone() };
        done.save(&self.inner.layout)?;
        *file = done;
        Ok(())
    }
    /// The shard's secret, for a node that joins. Blocks on a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn secret(&self) -> Result<ShardSecret, OpenError> {
        ShardSecret::load_or_make(&self.inner.layout, true)
    }
    /// Whether this node is a light voter: log and blobs, no views; it serves nobody.
    pub fn is_light(&self) -> bool {
        self.inner.membership.lock().light
    }
    /// Runs the invariants over everything as of now, every blob read through: at most
    /// `limit` violations. Reads the whole store; others go on meanwhile.
    ///
    /// # Errors
    /// When something cannot be read at all.
    pub async fn check(&self, limit: usize) -> Result<Vec<Violation>, StoreError> {
        self.inner.check(limit).await
    }
    /// Takes a checkpoint now, verifies it, keeps the newest two.
    ///
    /// # Errors
    /// [`BaseError`]; also when no place for checkpoints was given.
    pub async fn checkpoint(&self) -> Result<Base, BaseError> {
        self.inner.take_checkpoint().await
    }
    /// Where its checkpoints are kept, for who carries them elsewhere.
    pub fn bases(&self) -> Option<Arc<dyn Bases>> {
        self.inner.checkpoints.bases()
    }
}

impl Inner {
    fn remember(&self, change: impl FnOnce(&mut ClusterFile)) -> Result<(), OpenError> {
        let mut now = self.membership.lock();
        let mut file = now.clone();
        change(&mut file);
        if file != *now {
            file.save(&self.layout)?;
            *now = file;
        }
        Ok(())
    }

    /// What is applied here, perhaps not yet the newest that others were told of.
    fn local_view(&self) -> Result<View, StoreError> {
        if self.membership.lock().light {
            let why = "this node is a light voter and keeps no views: ask another node";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        View::new(Arc::new(self.storage.snapshot()?))
    }

    fn parsed(&self, blob: &BlobId) -> Result<Arc<Parsed>, StoreError> {
        if let Some(parsed) = self.cache.get(blob) {
            return Ok(parsed);
        }
        let parsed = Arc::new(mime::parse(&self.blob(blob)?));
        self.cache.put(blob, &parsed);
        Ok(parsed)
    }

    fn open_blob(&self, blob: BlobId) -> Result<BlobReader, StoreError> {
        BlobReader::open(&self.blobs, Arc::downgrade(&self.rescuer), blob)
    }

    fn blob(&self, blob: &BlobId) -> Result<Bytes, StoreError> {
        self.open_blob(*blob)?.all()
    }
}

/// What the blob store's error is to a reader.
fn not_whole(blob: BlobId, error: &BlobError) -> StoreError {
    match error {
        BlobError::Poisoned(_) => StoreError::Stopped(error.to_string()),
        _ => StoreError::Blob(blob, error.to_string()),
    }
}
