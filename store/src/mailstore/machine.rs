//! What the node applies the log to: the views, and who is told of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use redoubt_log::codec;
use redoubt_log::id::{AccountId, Hash, LogIndex, Timestamp};
use redoubt_log::raft::{AppliedState, Checkpoint, Committed, Fatal, LogId, StateMachine};
use redoubt_log::record::{Approves, Change, Done, NamedChange, Outcome, Record, RestoreStep};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::apply::{self, Position};
use crate::changes::Feeds;
use crate::checkpoint::{Base, Bases};
use crate::mailstore::compare::Marks;
use crate::mailstore::{Layout, Lock};
use crate::mailstore::{login, place};
use crate::storage::{self, Hold, Read, RocksOptions, RocksStorage, Storage, StorageError};

/// What the log's entries say beside their records; kept in the same batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    id: LogId,
    time: Timestamp,
    chain: Hash,
    membership: Vec<u8>,
}

impl Mark {
    fn of(entry: &Committed) -> Self {
        Self {
            id: entry.entry.id,
            time: entry.entry.time,
            chain: entry.entry.chain,
            membership: entry.membership.to_vec(),
        }
    }
}

/// How far some tables have come, as the node wants to know it.
///
/// # Errors
/// The tables cannot be read, or do not agree with each other.
pub(crate) fn applied_state(reader: &dyn Read) -> Result<Option<AppliedState>, StorageError> {
    let Some(applied) = storage::applied(reader)? else { return Ok(None) };
    let mark = apply::mark(reader)?.unwrap_or_default();
    let corrupt = |what: String| StorageError::corrupt(storage::Table::Meta, b"mark", what);
    let mark: Mark = codec::from_bytes(&mark).map_err(|error| corrupt(error.to_string()))?;
    if mark.id.index != applied.index {
        return Err(corrupt(format!("{} beside {}", mark.id.index, applied.index)));
    }
    Ok(Some(AppliedState {
        id: mark.id,
        membership: Bytes::from(mark.membership),
        chain: mark.chain,
        time: mark.time,
    }))
}

/// Numbers that change with every entry, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last index applied and 1, 0 for none.
    applied: AtomicU64,
    /// Records applied since the start.
    records: AtomicU64,
    /// Records since the last checkpoint was asked for.
    since_checkpoint: AtomicU64,
    /// Marks at which replicas are compared.
    pub(crate) marks: Arc<Marks>,
    /// Woken when a checkpoint is due.
    pub(crate) checkpoint_due: Notify,
    /// Woken when a mailbox was deleted, here or through another node.
    pub(crate) sweep_due: Notify,
    /// Woken when a restore began, here or through another node.
    pub(crate) restore_due: Notify,
    /// Woken when an erasure began, was approved or went on, here or through another node.
    pub(crate) erase_due: Notify,
    /// The same for what each node does of it.
    pub(crate) reach_due: Notify,
}

impl Progress {
    pub(crate) fn applied(&self) -> Option<LogIndex> {
        self.applied.load(Ordering::Acquire).checked_sub(1).map(LogIndex)
    }

    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn set_applied(&self, index: LogIndex) {
        self.applied.store(index.0 + 1, Ordering::Release);
    }

    fn installed(&self, index: LogIndex) {
        self.since_checkpoint.store(0, Ordering::Relaxed);
        self.set_applied(index);
    }

    /// A mark that a checkpoint was taken asks for no other one.
    fn count(&self, record: &Record, checkpoint_every: u64) {
        self.records.fetch_add(1, Ordering::Relaxed);
        if deletes(&record.change) {
            self.sweep_due.notify_one();
        }
        if matches!(record.change, Change::RestoreBegin(_)) {
            self.restore_due.notify_one();
        }
        if erases(&record.change) {
            self.erase_due.notify_one();
            self.reach_due.notify_one();
        }
        if checkpoint_every == 0 || matches!(record.change, Change::CheckpointMark(_)) {
            return;
        }
        let since = self.since_checkpoint.fetch_add(1, Ordering::Relaxed) + 1;
        if since >= checkpoint_every {
            self.since_checkpoint.store(0, Ordering::Relaxed);
            self.checkpoint_due.notify_one();
        }
    }
}

/// The views of one shard on this node.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) storage: RocksStorage,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) bases: Option<Arc<dyn Bases>>,
    pub(crate) checkpoint_every: u64,
    /// What this program can follow; less than it could only in tests.
    pub(crate) level: u32,
    /// Whether the newest checkpoint in `bases` may be one that the log does not
    /// go on behind yet.
    pub(crate) unsettled: bool,
    pub(crate) layout: Layout,
    pub(crate) rocks: RocksOptions,
    /// The last to go: who gets it finds the views closed.
    pub(crate) lock: Arc<Lock>,
}

impl Machine {
    /// An entry behind the checkpoint is durable in the log: so is where the log begins.
    fn settle(&mut self) -> Result<(), Fatal> {
        if std::mem::take(&mut self.unsettled) {
            self.bases.iter().try_for_each(|bases| bases.settle()).map_err(Fatal::new)?;
        }
        Ok(())
    }

    fn replace(&mut self, base: &Base) -> Result<(), Fatal> {
        let path = place::replace(&self.layout, base).map_err(Fatal::new)?;
        let storage = RocksStorage::open(&path, &self.rocks).map_err(Fatal::new)?;
        let hold: Hold = self.lock.clone();
        self.storage.replace_by(&storage, &hold);
        Ok(())
    }
}

impl StateMachine for Machine {
    fn applied(&mut self) -> Result<Option<AppliedState>, Fatal> {
        let state = applied_state(&self.storage).map_err(Fatal::new)?;
        state.iter().for_each(|state| self.progress.set_applied(state.id.index));
        Ok(state)
    }

    fn apply(&mut self, entry: Committed) -> Result<Option<Outcome>, Fatal> {
        follows(&entry, self.level).map_err(Fatal::new)?;
        self.settle()?;
        let outcome = apply_entry(&mut self.storage, &entry).map_err(Fatal::new)?;
        let index = entry.entry.id.index;
        self.progress.set_applied(index);
        if let (Some(record), Some(outcome)) = (&entry.record, &outcome) {
            self.progress.count(record, self.checkpoint_every);
            match record.change {
                Change::CheckpointMark(_) => self.progress.marks.mark(&entry.entry, &self.storage),
                _ => self.progress.marks.count(),
            }
            let Feeds { changes, logins } = &*self.feeds;
            // Who is shut out must not be told of anything first.
            login::concerned(&record.change).inspect(|account| logins.wake(*account, index));
            touched(record, outcome).into_iter().for_each(|account| changes.wake(account, index));
        }
        Ok(outcome)
    }

    fn level(&mut self) -> Result<u32, Fatal> {
        crate::view::level(&self.storage).map_err(Fatal::new)
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        self.storage.flush().map_err(Fatal::new)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        let Some(bases) = &self.bases else { return Ok(None) };
        let newest = bases.newest().map_err(Fatal::new)?;
        Ok(newest.map(Base::checkpoint))
    }

    fn installed(&mut self) -> Result<Option<Checkpoint>, Fatal> {
        let Some(bases) = &self.bases else { return Ok(None) };
        let received = bases.received().map_err(Fatal::new)?;
        self.unsettled = received.is_some();
        Ok(received.map(Base::checkpoint))
    }

    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        let nowhere = || Fatal::new("no place for checkpoints was configured");
        let bases = self.bases.as_ref().ok_or_else(nowhere)?;
        let base = bases.adopt(&checkpoint.location).map_err(Fatal::new)?;
        self.unsettled = true;
        if base.state != checkpoint.state {
            return Err(Fatal(format!("{} is not of {}", base.dir.display(), checkpoint.state.id)));
        }
        self.replace(&base)?;
        self.progress.installed(base.index());
        self.feeds.wake_all(base.index());
        tracing::info!(index = %base.index(), "the views are those of a checkpoint from a peer");
        Ok(())
    }
}

/// Refuses what a program of this level does not know: the shard stops here, and
/// goes on with a newer program.
pub(crate) fn follows(entry: &Committed, level: u32) -> Result<(), StorageError> {
    let asked = entry.record.as_ref().map_or(0, |record| match record.change {
        Change::Version(version) => version.apply,
        ref change => change.level(),
    });
    match asked > level {
        true => Err(StorageError::Version(asked, level)),
        false => Ok(()),
    }
}

/// Applies an entry of the log. The same here, at a rebuild and at a replay.
///
/// # Errors
/// The tables cannot be read or written: the shard stops.
pub(crate) fn apply_entry<S: Storage>(
    storage: &mut S,
    entry: &Committed,
) -> Result<Option<Outcome>, StorageError> {
    let position = position(entry)?;
    match &entry.record {
        Some(record) => apply::apply(storage, &position, record).map(Some),
        None => apply::pass(storage, &position).map(|()| None),
    }
}

fn position(entry: &Committed) -> Result<Position, StorageError> {
    let mark = codec::to_bytes(&Mark::of(entry));
    let LogId { term, index } = entry.entry.id;
    Ok(Position {
        index,
        term,
        time: entry.entry.time,
        mark: mark.map_err(|error| StorageError::Encode(error.to_string()))?,
    })
}

fn deletes(change: &Change) -> bool {
    match change {
        Change::MailboxDelete(_) => true,
        Change::MailboxNamed(named) => named.then == NamedChange::Delete,
        Change::AccountDelete(_) => true,
        Change::RestorePiece(piece) => {
            piece.steps.iter().any(|step| matches!(step, RestoreStep::Delete { .. }))
        }
        _ => false,
    }
}

fn erases(change: &Change) -> bool {
    let begins = match change {
        Change::EraseBegin(_) => true,
        Change::Approval(approval) => matches!(approval.of, Approves::Erasure(_)),
        _ => false,
    };
    let goes = matches!(change, Change::ErasePiece(_) | Change::ErasuresKept(_));
    begins || goes || matches!(change, Change::BlobsDead(_))
}

/// Whose sessions a record concerns.
fn touched(record: &Record, outcome: &Outcome) -> BTreeSet<AccountId> {
    let Ok(done) = &outcome.result else { return BTreeSet::new() };
    let one = |account: AccountId| BTreeSet::from([account]);
    match &record.change {
        Change::Deliver(deliver) => {
            deliver.recipients.iter().map(|recipient| recipient.account).collect()
        }
        Change::DeliverCaptured(r) => {
            let recipients = r.deliver.recipients.iter().map(|recipient| recipient.account);
            recipients.chain(r.archives.iter().copied()).collect()
        }
        Change::Capture(r) => r.archives.iter().copied().collect(),
        Change::AccountAdd(_) => match done {
            Done::Account(account) => one(*account),
            _ => BTreeSet::new(),
        },
        Change::AccountSet(r) => one(r.account),
        Change::AccountRename(r) => one(r.account),
        Change::AccountDelete(r) => one(r.account),
        Change::AccountSweep(r) => one(r.account),
        Change::RestorePiece(r) => one(r.account),
        Change::RestoreNow(r) => one(r.account),
        Change::AliasAdd(r) => one(r.account),
        Change::AccountClass(r) => one(r.account),
        Change::RoleGrant(r) | Change::RoleRevoke(r) => one(r.account),
        Change::PersonalTokenAdd(r) => one(r.account),
        Change::CredentialSet(r) => one(r.account),
        Change::CredentialRemove(r) => one(r.account),
        Change::MailboxCreate(r) => one(r.account),
        Change::MailboxRename(r) => one(r.account),
        Change::MailboxDelete(r) => one(r.account),
        Change::MailboxNamed(r) => one(r.account),
        Change::Subscribe(r) => one(r.account),
        Change::Append(r) => one(r.account),
        Change::Copy(r) => one(r.account),
        Change::Move(r) => one(r.account),
        Change::SetFlags(r) => one(r.account).into_iter().chain([r.reader]).collect(),
        Change::Expunge(r) => one(r.account),
        Change::PurgePolicy(r) => one(r.account),
        Change::Renumber(r) => one(r.account),
        Change::ErasePiece(r) => one(r.account),
        Change::ErasuresKept(r) => one(r.account),
        Change::DomainAdd(_)
        | Change::ClassAdd(_)
        | Change::ClassSet(_)
        | Change::ClassRemove(_)
        | Change::CaptureSet(_)
        | Change::CaptureRemove(_)
        | Change::DomainClass(_)
        | Change::PersonalTokenRevoke(_)
        | Change::DomainSet(_)
        | Change::DomainRemove(_)
        | Change::AliasRemove(_)
        | Change::RestoreBegin(_)
        | Change::RestoreAudit(_)
        | Change::DiscoveryBegin(_)
        | Change::DiscoveryEnd(_)
        | Change::HeadKey(_)
        | Change::DiscoveryRemove(_)
        | Change::MailRead(_)
        | Change::DiscoveryLook(_)
        | Change::MatterAdd(_)
        | Change::MatterSet(_)
        | Change::MatterMember(_)
        | Change::MatterCustodian(_)
        | Change::MatterNote(_)
        | Change::Approval(_)
        | Change::Logins(_)
        | Change::Refused(_)
        | Change::HistoryFloor(_)
        | Change::HistoryTrim(_)
        | Change::HoldSet(_)
        | Change::HoldRelease(_)
        | Change::HoldStays(_)
        | Change::HoldEnd(_)
        | Change::HoldMove(_)
        | Change::HoldMarks(_)
        | Change::HoldsKept(_)
        | Change::PolicySet(_)
        | Change::PolicyLock(_)
        | Change::PolicyRemove(_)
        | Change::Label(_)
        | Change::Unlabel(_)
        | Change::RetentionEvent(_)
        | Change::PolicyMatched(_)
        | Change::PoliciesKept(_)
        | Change::CountReferences(_)
        | Change::BlobsDead(_)
        | Change::EraseBegin(_)
        | Change::EraseReport(_)
        | Change::Version(_)
        | Change::CheckpointMark(_)
        | Change::TokenAdd(_)
        | Change::NodeAdd(_)
        | Change::NodeRemove(_)
        | Change::Archived(_)
        | Change::NewLineage(_)
        // Nobody is logged in where a history begins.
        | Change::RightsKept(_) => BTreeSet::new(),
    }
}
