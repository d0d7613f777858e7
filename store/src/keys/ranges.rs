//! The beginnings of keys of rows that are read together.

use redoubt_log::id::{AccountId, BlobId, HoldId, MailboxId, MatterId, OperationId, PolicyId};
use redoubt_log::record::Approves;

use super::{Bytes, DIRECTORY, Parts};
use crate::storage::KeyRange;

/// The beginning of the keys of a kind of row that is no account's.
pub(super) fn shared(kind: u8) -> Bytes {
    Bytes::account(DIRECTORY).u8(kind)
}

/// The beginning of the keys of all policies.
pub(crate) fn policies() -> Bytes {
    shared(b'y')
}

/// The beginning of the keys of what policies know of emails.
pub(crate) fn retained() -> Bytes {
    shared(b't')
}

/// The beginning of the keys of what policies know of an account's emails.
pub(crate) fn retained_of(account: AccountId) -> Bytes {
    retained().u64(account.0)
}

/// The beginning of the keys of policies that were over an account.
pub(crate) fn left_account(account: AccountId) -> Bytes {
    shared(b'w').u8(b'a').u64(account.0)
}

/// The beginning of the keys of policies that were over a domain.
pub(crate) fn left_domain(domain: &str) -> Bytes {
    shared(b'w').u8(b'd').raw(domain.as_bytes()).u8(0)
}

/// The beginning of the keys of policies that were over a mailbox.
pub(crate) fn left_mailbox(account: AccountId, mailbox: MailboxId) -> Bytes {
    left_mailboxes(account).u32(mailbox.0)
}

/// The beginning of the keys of policies that were over an account's mailboxes.
pub(crate) fn left_mailboxes(account: AccountId) -> Bytes {
    shared(b'w').u8(b'm').u64(account.0)
}

/// The beginning of the keys of what happened to an account.
pub(crate) fn events_of(account: AccountId) -> Bytes {
    shared(b'v').u64(account.0)
}

/// The beginning of the keys of how far queries of policies were asked of an account.
pub(crate) fn asked_of(account: AccountId) -> Bytes {
    shared(b'q').u64(account.0)
}

/// The beginning of the keys of all floors, by floor.
pub(crate) fn floors() -> Bytes {
    Bytes::account(DIRECTORY).u8(b'o')
}

/// The beginning of the keys of holds over an account; under account 0 of all holds.
pub(crate) fn holds_over(account: AccountId) -> Bytes {
    Bytes::account(account).u8(b'h')
}

/// The beginning of the keys of holds over a domain; with an empty name over all.
pub(crate) fn holds_on(domain: &str) -> Bytes {
    Bytes::default().u8(b'h').raw(domain.as_bytes()).u8(0)
}

/// The beginning of the keys of accounts that a hold knows more of.
pub(crate) fn judged_by(hold: HoldId) -> Bytes {
    judged().u64(hold.0)
}

/// The same of all holds.
pub(crate) fn judged() -> Bytes {
    Bytes::account(DIRECTORY).u8(b'J')
}

/// The beginning of the keys of emails that a query holds.
pub(crate) fn marks_of(hold: HoldId) -> Bytes {
    marks().u64(hold.0)
}

/// The same of all holds.
pub(crate) fn marks() -> Bytes {
    Bytes::account(DIRECTORY).u8(b'm')
}

/// The beginning of the keys of all rows that say which emails a blob is of.
pub(crate) fn referrers() -> Bytes {
    Bytes::account(DIRECTORY).u8(b'r')
}

/// The beginning of the keys of the emails that a blob is of.
pub(crate) fn referrers_of(blob: &BlobId) -> Bytes {
    referrers().raw(&blob.0)
}

/// The beginning of the keys of all blobs that are nobody's any more.
pub(crate) fn unreferenced() -> Bytes {
    Bytes::account(DIRECTORY).u8(b'z')
}

/// The beginning of the keys of all erasures.
pub(crate) fn erasures() -> Bytes {
    Bytes::account(DIRECTORY).u8(b'E')
}

/// The beginning of the keys that say which emails of an account were erased.
pub(crate) fn erased_of(account: AccountId) -> Bytes {
    Bytes::account(account).u8(b'E')
}

/// The beginning of the keys of what an erasure was refused.
pub(crate) fn erase_kept(erasure: OperationId) -> Bytes {
    Bytes::account(DIRECTORY).u8(b'K').raw(&erasure.0)
}

/// The beginning of the keys of the blobs that an erasure's emails had.
pub(crate) fn erased_blobs(erasure: OperationId) -> Bytes {
    Bytes::account(DIRECTORY).u8(b'B').raw(&erasure.0)
}

/// The beginning of the keys of what nodes have reached of an erasure.
pub(crate) fn erase_reports(erasure: OperationId) -> Bytes {
    Bytes::account(DIRECTORY).u8(b'N').raw(&erasure.0)
}

/// The keys of what belongs to accounts: not to the shard as a whole.
pub(crate) fn of_accounts() -> KeyRange {
    KeyRange { from: Bytes::account(AccountId(1)).done(), to: None }
}

/// The beginning of the keys of all classes.
pub(crate) fn classes() -> Bytes {
    Bytes::default().u8(b's')
}

/// The beginning of the keys of all capture rules.
pub(crate) fn captures() -> Bytes {
    Bytes::default().u8(b'r')
}

/// The beginning of the keys of what was captured, by domain.
pub(crate) fn captured_domains() -> Bytes {
    Bytes::default().u8(b'x')
}

/// The beginning of the keys of all roles that are given.
pub(crate) fn grants() -> Bytes {
    Bytes::default().u8(b'g')
}

/// The beginning of the keys of an account's roles.
pub(crate) fn grants_of(account: AccountId) -> Bytes {
    grants().u64(account.0)
}

/// The beginning of the keys of all personal tokens.
pub(crate) fn personal_tokens() -> Bytes {
    Bytes::default().u8(b'p')
}

/// The beginning of the keys of all matters.
pub(crate) fn matters() -> Bytes {
    Bytes::default().raw(b"Ma")
}

/// The beginning of the keys of all members of matters.
pub(crate) fn members() -> Bytes {
    Bytes::default().raw(b"Mm")
}

/// The beginning of the keys of a matter's members.
pub(crate) fn members_of(matter: MatterId) -> Bytes {
    members().u64(matter.0)
}

/// The beginning of the keys of all custodians of matters.
pub(crate) fn custodians() -> Bytes {
    Bytes::default().raw(b"Mc")
}

/// The beginning of the keys of a matter's custodians.
pub(crate) fn custodians_of(matter: MatterId) -> Bytes {
    custodians().u64(matter.0)
}

/// The beginning of the keys of a matter's notes.
pub(crate) fn notes_of(matter: MatterId) -> Bytes {
    Bytes::default().raw(b"Mn").u64(matter.0)
}

/// The beginning of the keys of a matter's searches and exports.
pub(crate) fn jobs_of(matter: MatterId) -> Bytes {
    Bytes::default().raw(b"Mj").u64(matter.0)
}

/// The beginning of the keys of all that a second person has to decide, or had to.
pub(crate) fn approvals() -> Bytes {
    Bytes::default().raw(b"Mv")
}

/// The key of one of these.
pub(super) fn approval(of: Approves) -> Bytes {
    match of {
        Approves::Export(job) => approvals().u8(b'x').raw(&job.0),
        Approves::HoldRelease(hold) => approvals().u8(b'h').u64(hold.0),
        Approves::Policy { policy, version } => approvals().u8(b'p').u64(policy.0).u32(version),
        Approves::Erasure(erasure) => approvals().u8(b'e').raw(&erasure.0),
    }
}

/// What such a key is of.
pub(crate) fn approves(mut parts: Parts<'_>) -> Option<Approves> {
    parts.u8().and(parts.u8())?;
    let of = match parts.u8()? {
        b'x' => Approves::Export(parts.operation()?),
        b'h' => Approves::HoldRelease(HoldId(parts.u64()?)),
        b'p' => Approves::Policy { policy: PolicyId(parts.u64()?), version: parts.u32()? },
        b'e' => Approves::Erasure(parts.operation()?),
        _ => return None,
    };
    parts.end().map(|()| of)
}

/// The keys of all join tokens.
pub(crate) fn tokens() -> KeyRange {
    KeyRange::prefix(b"t")
}

/// The keys of all nodes that got their ids from the log.
pub(crate) fn nodes() -> KeyRange {
    KeyRange::prefix(b"o")
}

/// The keys of all keys that sign heads.
pub(crate) fn head_keys() -> KeyRange {
    KeyRange::prefix(b"k")
}
