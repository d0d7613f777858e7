//! Record → one write batch. The only place that changes views.
//!
//! A function of the state and the record alone: no clock, no randomness, no
//! configuration, no network, and no table of Unicode, which differ between
//! builds. A rejected record changes nothing but the applied index, the clock
//! and the table of operations.

mod account;
mod append;
mod approval;
mod blobs;
mod capture;
mod class;
mod cluster;
mod copy;
mod credential;
mod deliver;
mod domain;
mod erase;
mod expunge;
mod flags;
mod history;
mod hold;
mod label;
mod lineage;
mod mailbox;
mod matter;
mod operations;
mod placing;
mod policy;
mod purge;
mod restore;
mod rights;
mod role;
mod subscribe;
mod system;
mod tx;
mod work;

use redoubt_log::id::{LogIndex, Term, Timestamp};
use redoubt_log::record::{Change, Done, Outcome, Principal, Record, Rejection};

use crate::keys::{Key, Meta};
use crate::rows::RecordRow;
use crate::storage::{
    APPLIED_KEY, Applied, Storage, StorageError, Table, Write, applied, decode, encode,
};
pub(crate) use cluster::FIRST_NODE;
pub(crate) use system::FIRST_LEVEL;
pub(crate) use tx::Tx;
use work::Work;

/// What this program's `apply` does: the highest `Version` record that it can follow.
/// 1 knows everything up to the first durable node, 2 also who belongs to the cluster, 3 how
/// what was comes back, and floors, holds and which emails a blob is of.
pub const APPLY_VERSION: u32 = redoubt_log::raft::LEVEL;

/// Where an entry stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its index.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// Its effective time.
    pub time: Timestamp,
    /// The caller's own bytes (membership, chain head), written in the same batch; see [`mark`].
    pub mark: Vec<u8>,
}

/// Why a rule stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The same on every replica.
    Rejected(Rejection),
    /// This node's state cannot be read.
    Broken(StorageError),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Broken(error)
    }
}

/// What a rule answers.
pub(crate) type Ruled<T> = Result<T, Stop>;

/// Takes rejections for values, and leaves errors.
pub(crate) fn settle<T>(ruled: Ruled<T>) -> Result<Result<T, Rejection>, StorageError> {
    match ruled {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Rejected(rejection)) => Ok(Err(rejection)),
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// Applies a record, in one batch.
///
/// # Errors
/// The state cannot be read or written: nothing was changed, and the shard stops
/// on this node.
pub fn apply<S: Storage>(
    storage: &mut S,
    position: &Position,
    record: &Record,
) -> Result<Outcome, StorageError> {
    let time = in_order(storage, position)?;
    let mut work = Work::new(Tx::new(storage, position.index), position.index, time);
    let outcome = match operations::first_outcome(&work, record.operation)? {
        Some(outcome) => outcome,
        None => act(&mut work, record)?,
    };
    blobs::named(&mut work, record, &outcome)?;
    operations::sweep(&mut work)?;
    let batch = storage_batch(work.tx, position, time)?;
    storage.write(batch)?;
    Ok(outcome)
}

/// Passes over an entry without a record (blank, membership): only the applied
/// index, the clock and the mark go on.
///
/// # Errors
/// The state cannot be read or written.
pub fn pass<S: Storage>(storage: &mut S, position: &Position) -> Result<(), StorageError> {
    let time = in_order(storage, position)?;
    let batch = storage_batch(Tx::new(storage, position.index), position, time)?;
    storage.write(batch)
}

/// The bytes given as [`Position::mark`] with the applied entry.
///
/// # Errors
/// The state cannot be read.
pub fn mark(reader: &dyn crate::storage::Read) -> Result<Option<Vec<u8>>, StorageError> {
    reader.get(Table::Meta, &Key::Meta(Meta::Mark).bytes())
}

/// The effective time: never before the previous record's.
fn in_order<S: Storage>(storage: &S, position: &Position) -> Result<Timestamp, StorageError> {
    if let Some(applied) = applied(storage)?.filter(|applied| applied.index >= position.index) {
        return Err(StorageError::OutOfOrder { index: position.index, applied: applied.index });
    }
    let key = Key::Meta(Meta::Clock).bytes();
    match storage.get(Table::Meta, &key)? {
        Some(bytes) => Ok(position.time.max(decode(Table::Meta, &key, &bytes)?)),
        None => Ok(position.time),
    }
}

fn act(work: &mut Work<'_>, record: &Record) -> Result<Outcome, StorageError> {
    let result = settle(change(work, record))?;
    match &result {
        Ok(_) => {
            if work.save()? {
                let row = record_row(work, record);
                work.tx.put(&Key::Record(work.index), &row)?;
            }
        }
        Err(_) => work.tx.clear(),
    }
    let outcome = Outcome { index: work.index, time: work.time, result };
    operations::remember(work, record.operation, &outcome)?;
    Ok(outcome)
}

fn record_row(work: &Work<'_>, record: &Record) -> RecordRow {
    RecordRow {
        time: work.time,
        operation: record.operation,
        actor: record.actor.clone(),
        why: record.why.clone(),
        kind: record.change.kind(),
    }
}

fn change(work: &mut Work<'_>, record: &Record) -> Ruled<Done> {
    let actor = &record.actor;
    system::reached(work, record.change.level())?;
    match &record.change {
        Change::DomainAdd(r) => domain::add(work, r),
        Change::DomainSet(r) => domain::set(work, r),
        Change::DomainRemove(r) => domain::remove(work, r),
        Change::AccountAdd(r) => account::add(work, r),
        Change::AccountSet(r) => account::set(work, r),
        Change::AccountRename(r) => account::rename(work, r),
        Change::AccountDelete(r) => account::delete(work, *r),
        Change::AccountSweep(r) => account::sweep(work, r),
        Change::AliasAdd(r) => account::alias_add(work, r),
        Change::AliasRemove(r) => account::alias_remove(work, r),
        Change::CredentialSet(r) => credential::set(work, r),
        Change::CredentialRemove(r) => credential::remove(work, r),
        Change::ClassAdd(r) => class::add(work, r),
        Change::ClassSet(r) => class::set(work, r),
        Change::ClassRemove(r) => class::remove(work, *r),
        Change::AccountClass(r) => class::of_account(work, r),
        Change::DomainClass(r) => class::of_domain(work, r),
        Change::RoleGrant(r) => role::grant(work, actor, r),
        Change::RoleRevoke(r) => role::revoke(work, r),
        Change::PersonalTokenAdd(r) => role::token_add(work, actor, r),
        Change::PersonalTokenRevoke(r) => role::token_revoke(work, *r),
        Change::MailboxCreate(r) => {
            work.may_write(actor, r.account)?;
            mailbox::create(work, r)
        }
        Change::MailboxRename(r) => {
            work.may_write(actor, r.account)?;
            mailbox::rename(work, r)
        }
        Change::MailboxDelete(r) => {
            work.may_write(actor, r.account)?;
            mailbox::delete(work, r)
        }
        Change::MailboxNamed(r) => {
            work.may_write(actor, r.account)?;
            mailbox::named_change(work, r)
        }
        Change::Subscribe(r) => {
            work.may_write(actor, r.account)?;
            subscribe::subscribe(work, r)
        }
        Change::CaptureSet(r) => capture::set(work, r),
        Change::CaptureRemove(r) => capture::remove(work, *r),
        Change::Capture(r) => capture::capture(work, r),
        Change::Deliver(r) => deliver::deliver(work, r, &[]),
        Change::DeliverCaptured(r) => deliver::deliver(work, &r.deliver, &r.archives),
        Change::Append(r) => {
            work.may_write(actor, r.account)?;
            append::append(work, actor, r)
        }
        Change::Copy(r) => {
            work.may_write(actor, r.account)?;
            copy::copy(work, r)
        }
        Change::Move(r) => {
            // The server itself gives new UIDs after a recovery: in archives too.
            match actor.principal == Principal::System && r.from == r.to {
                true => work.account(r.account).map(drop)?,
                false => work.may_write(actor, r.account)?,
            }
            copy::move_to(work, r)
        }
        Change::SetFlags(r) => {
            work.may_write(actor, r.account)?;
            flags::set(work, r)
        }
        Change::Expunge(r) => {
            work.may_write(actor, r.account)?;
            expunge::expunge(work, r)
        }
        Change::RestoreBegin(r) => restore::begin(work, actor, r),
        Change::RestorePiece(r) => restore::piece(work, r),
        Change::RestoreNow(r) => {
            work.may_write(actor, r.account)?;
            restore::now(work, actor, r)
        }
        Change::RestoreAudit(r) => restore::audit(work, r),
        // The record itself is the audit.
        Change::DiscoveryRemove(_)
        | Change::DiscoveryLook(_)
        | Change::MailRead(_)
        | Change::Refused(_)
        | Change::Logins(_) => Ok(Done::Unit),
        Change::DiscoveryBegin(r) => matter::begins(work, actor, r),
        Change::DiscoveryEnd(r) => matter::ends(work, r),
        Change::MatterAdd(r) => matter::add(work, actor, r),
        Change::MatterSet(r) => matter::set(work, r),
        Change::MatterMember(r) => matter::member(work, actor, *r),
        Change::MatterCustodian(r) => matter::custodian(work, *r),
        Change::MatterNote(r) => matter::note(work, actor, r),
        Change::Approval(r) => approval::decide(work, actor, r),
        Change::HeadKey(r) => cluster::head_key(work, *r),
        Change::HistoryFloor(r) => history::floor(work, r),
        Change::HistoryTrim(r) => history::trim(work, r),
        Change::HoldSet(r) => hold::set(work, r),
        Change::HoldRelease(r) => hold::release(work, actor, *r),
        Change::HoldStays(r) => hold::stay(work, *r),
        Change::HoldEnd(r) => hold::end(work, *r),
        Change::HoldMove(r) => hold::move_to(work, *r),
        Change::HoldMarks(r) => hold::marks(work, r),
        Change::HoldsKept(r) => hold::keep(work, r),
        Change::PolicySet(r) => policy::set(work, actor, r),
        Change::PolicyLock(r) => policy::lock(work, *r),
        Change::PolicyRemove(r) => policy::remove(work, actor, *r),
        Change::PolicyMatched(r) => policy::matched(work, r),
        Change::PoliciesKept(r) => policy::keep(work, actor, r),
        Change::Label(r) => label::label(work, r),
        Change::Unlabel(r) => label::unlabel(work, r),
        Change::RetentionEvent(r) => label::event(work, r),
        Change::PurgePolicy(r) => purge::purge(work, r),
        Change::CountReferences(_) => blobs::count(work),
        Change::BlobsDead(r) => blobs::dead(work, r),
        Change::EraseBegin(r) => erase::begin(work, actor, r),
        Change::ErasePiece(r) => erase::piece(work, r),
        Change::EraseReport(r) => erase::report(work, r),
        Change::ErasuresKept(r) => erase::keep(work, r),
        Change::Version(r) => system::version(work, *r),
        Change::CheckpointMark(_) => Ok(Done::Unit),
        Change::TokenAdd(r) => cluster::token_add(work, r),
        Change::NodeAdd(r) => cluster::node_add(work, r),
        Change::NodeRemove(r) => cluster::node_remove(work, *r),
        Change::Archived(r) => lineage::archived(work, r),
        Change::NewLineage(r) => lineage::begin(work, r),
        Change::Renumber(r) => lineage::renumber(work, r),
        Change::RightsKept(r) => rights::keep(work, r),
    }
}

/// The record's batch with the rows that every entry writes.
fn storage_batch(
    mut tx: Tx<'_>,
    position: &Position,
    time: Timestamp,
) -> Result<Vec<Write>, StorageError> {
    tx.put(&Key::Meta(Meta::Clock), &time)?;
    tx.put_raw(&Key::Meta(Meta::Mark), position.mark.clone());
    let (mut batch, hash) = tx.finish()?;
    let applied = encode(&Applied { index: position.index, term: position.term, time })?;
    batch.extend(Table::ALL.map(|table| Write {
        table,
        key: APPLIED_KEY.to_vec(),
        value: Some(applied.clone()),
    }));
    let key = Key::Meta(Meta::StateHash).bytes();
    batch.push(Write { table: Table::Meta, key, value: Some(hash.to_bytes()) });
    Ok(batch)
}
