//! A naive mailstore, as oracle: plain lists, written from the RFCs and the
//! design, sharing no rule with `store`. Slow, and easy to see through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(missing_docs)]

mod agree;
mod approvals;
pub mod arranging;
mod captures;
mod classes;
mod directory;
mod emails;
mod erase;
mod holds;
mod mailboxes;
mod matters;
mod queries;
mod restore;
mod retention;
mod texts;
mod travel;

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::*;
use redoubt_log::record::*;

pub use agree::{agree, agree_above};
use approvals::Word;
pub use captures::Captured;
pub use holds::HoldM;
pub use queries::{Asked, Doings, queries};
pub use texts::{result_without_texts, without_texts};
pub use travel::travels;

#[derive(Debug, Clone, Default)]
pub struct State {
    pub domains: BTreeMap<String, DomainSettings>,
    pub accounts: BTreeMap<AccountId, AccountM>,
    pub aliases: BTreeMap<Address, AccountId>,
    /// Accounts that are deleted, with the aliases that they had.
    pub deleted: BTreeMap<AccountId, (AccountM, Vec<Address>)>,
    pub classes: BTreeMap<ClassId, (String, ClassSettings)>,
    pub domain_classes: BTreeMap<String, ClassId>,
    pub account_classes: BTreeMap<AccountId, AccountClass>,
    pub rules: BTreeMap<CaptureId, CaptureRule>,
    pub captured: BTreeMap<AccountId, Captured>,
    pub domains_captured: BTreeMap<String, Captured>,
}

#[derive(Debug, Clone)]
pub struct AccountM {
    pub address: Address,
    pub settings: AccountSettings,
    pub created: Timestamp,
    pub credentials: BTreeMap<String, String>,
    pub mailboxes: Vec<MailboxM>,
    pub subscriptions: BTreeSet<String>,
    pub emails: BTreeMap<EmailId, EmailM>,
    pub threads: Vec<(ThreadKey, ThreadKey, ThreadId)>,
    pub mailboxes_made: u32,
    pub last_validity: u32,
    /// Emails that were erased since, and their octets: what was used then is told as it was.
    pub erased: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Live,
    OnlyName,
    Deleted,
}

#[derive(Debug, Clone)]
pub struct MailboxM {
    pub id: MailboxId,
    pub name: String,
    pub parent: Option<MailboxId>,
    pub special_use: Option<SpecialUse>,
    pub stage: Stage,
    pub validity: u32,
    pub uid_next: u64,
    pub highest: u64,
    pub keywords: Vec<String>,
    pub messages: Vec<MessageM>,
    pub vanished: Vec<(Uid, u64)>,
}

#[derive(Debug, Clone)]
pub struct MessageM {
    pub uid: Uid,
    pub email: EmailId,
    pub flags: u8,
    pub keywords: Vec<String>,
    pub saved: Timestamp,
    pub modseq: u64,
    pub readers: BTreeSet<AccountId>,
}

#[derive(Debug, Clone)]
pub struct EmailM {
    pub blob: BlobId,
    pub size: u64,
    pub received: Timestamp,
    pub thread: ThreadId,
    pub keys: ThreadKeys,
    pub envelope: Option<BlobId>,
}

/// An outcome that is remembered until a time.
#[derive(Debug, Clone)]
struct Memory<T> {
    until: i64,
    value: T,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub now: State,
    /// The state after each index.
    pub past: BTreeMap<LogIndex, State>,
    clock: i64,
    records: BTreeMap<OperationId, Memory<Outcome>>,
    deliveries: BTreeMap<(OperationId, AccountId), Memory<Arrival>>,
    imports: Vec<((OperationId, AccountId, MailboxId), Memory<Arrival>)>,
    accounts_made: u64,
    classes_made: u64,
    captures_made: u64,
    /// Who has which role, over which domain or all.
    pub grants: BTreeSet<RoleGrant>,
    pub tokens: BTreeMap<Hash, PersonalTokenAdd>,
    restores: BTreeMap<OperationId, restore::RestoreM>,
    erasures: BTreeMap<OperationId, erase::ErasureM>,
    /// Where histories begin; account 0 is the directory.
    pub floors: BTreeMap<AccountId, LogIndex>,
    pub holds: BTreeMap<HoldId, HoldM>,
    holds_made: u64,
    pub matters: BTreeMap<MatterId, matters::MatterM>,
    pub jobs: BTreeMap<OperationId, matters::JobM>,
    approvals: BTreeMap<Approves, (Principal, Word)>,
}

/// One record at work.
struct At {
    index: u64,
    time: Timestamp,
}

type Answer<T> = Result<T, Rejection>;

const HOUR: i64 = 3600 * 1000;

impl Model {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn apply(&mut self, index: LogIndex, time: Timestamp, record: &Record) -> Outcome {
        self.clock = self.clock.max(time.0);
        let outcome = self.remembered(index, record);
        self.past.insert(index, self.now.clone());
        outcome
    }

    /// What goes on from a moment of this one, and knows nothing of what came later.
    #[must_use]
    pub fn as_of(&self, index: LogIndex) -> Self {
        let past: BTreeMap<_, _> =
            self.past.range(..=index).map(|(i, s)| (*i, s.clone())).collect();
        let now = past.values().next_back().cloned().unwrap_or_default();
        let ids = now.accounts.keys().chain(now.deleted.keys());
        let accounts_made = ids.map(|id| id.0).max().unwrap_or(0);
        let classes = past.values().flat_map(|state| state.classes.keys());
        let classes_made = classes.map(|id| id.0).max().unwrap_or(0);
        let rules = past.values().flat_map(|state| state.rules.keys());
        let captures_made = rules.map(|id| id.0).max().unwrap_or(0);
        Self { now, past, accounts_made, classes_made, captures_made, ..Self::default() }
    }

    fn remembered(&mut self, index: LogIndex, record: &Record) -> Outcome {
        let clock = self.clock;
        if let Some(memory) = self.records.get(&record.operation).filter(|m| m.until > clock) {
            return memory.value.clone();
        }
        let at = At { index: index.0, time: Timestamp(clock) };
        let before =
            (self.now.clone(), self.deliveries.clone(), self.imports.clone(), self.accounts_made);
        let (restores, erasures) = (self.restores.clone(), self.erasures.clone());
        let (holds, approvals) = (self.holds.clone(), self.approvals.clone());
        let result = self.change(&at, record);
        if result.is_err() {
            (self.now, self.deliveries, self.imports, self.accounts_made) = before;
            (self.restores, self.erasures) = (restores, erasures);
            (self.holds, self.approvals) = (holds, approvals);
        }
        let outcome = Outcome { index, time: at.time, result };
        let memory = Memory { until: clock + 24 * HOUR, value: outcome.clone() };
        self.records.insert(record.operation, memory);
        outcome
    }

    fn change(&mut self, at: &At, record: &Record) -> Answer<Done> {
        self.check_actor(record)?;
        match &record.change {
            Change::DomainAdd(r) => self.domain_add(r),
            Change::DomainSet(r) => self.domain_set(r),
            Change::DomainRemove(r) => self.domain_remove(r),
            Change::AccountAdd(r) => self.account_add(at, r),
            Change::AccountSet(r) => self.account_set(r),
            Change::AccountRename(r) => self.account_rename(r),
            Change::AliasAdd(r) => self.alias_add(r),
            Change::AliasRemove(r) => self.alias_remove(r),
            Change::CredentialSet(r) => self.credential_set(r),
            Change::CredentialRemove(r) => self.credential_remove(r),
            Change::ClassAdd(r) => self.class_add(r),
            Change::ClassSet(r) => self.class_set(r),
            Change::ClassRemove(r) => self.class_remove(r),
            Change::AccountClass(r) => self.account_class(r),
            Change::DomainClass(r) => self.domain_class(r),
            Change::DiscoveryBegin(r) => self.discovery_begin(record.actor.principal, r),
            Change::DiscoveryEnd(r) => self.discovery_end(r),
            Change::MatterAdd(r) => self.matter_add(record.actor.principal, r),
            Change::MatterSet(r) => self.matter_set(r),
            Change::MatterMember(r) => self.matter_member(record.actor.principal, r),
            Change::MatterCustodian(r) => self.matter_custodian(r),
            Change::MatterNote(r) => self.matter_note(r),
            Change::Approval(r) => self.approval(record.actor.principal, r),
            Change::RoleGrant(r) => self.role_grant(record, r),
            Change::RoleRevoke(r) => self.role_revoke(r),
            Change::PersonalTokenAdd(r) => self.token_add(at, r),
            Change::PersonalTokenRevoke(r) => self.token_revoke(r),
            Change::MailboxCreate(r) => {
                let most = self.now.most_mailboxes(r.account)?;
                self.now.account(r.account)?.create(at, r, most)
            }
            Change::MailboxRename(r) => self.now.account(r.account)?.rename(r),
            Change::MailboxDelete(r) => self.now.account(r.account)?.delete(r),
            Change::MailboxNamed(r) => self.now.account(r.account)?.named_change(r),
            Change::Subscribe(r) => self.now.account(r.account)?.subscribe(r),
            Change::CaptureSet(r) => self.capture_set(r),
            Change::CaptureRemove(r) => self.capture_remove(*r),
            Change::Capture(r) => self.capture(at, r),
            Change::Deliver(r) => Ok(self.deliver(at, r, &[])),
            Change::DeliverCaptured(r) => Ok(self.deliver(at, &r.deliver, &r.archives)),
            Change::Append(r) => self.append(at, r),
            Change::Copy(r) => self.now.account(r.account)?.copy(at, r.from, r.to, &r.items, false),
            Change::Move(r) => self.now.account(r.account)?.copy(at, r.from, r.to, &r.items, true),
            Change::SetFlags(r) => self.set_flags(at, r),
            Change::Expunge(r) => self.now.account(r.account)?.expunge(at, r),
            Change::AccountDelete(r) => self.account_delete(*r),
            Change::AccountSweep(r) => self.account_sweep(at, r),
            Change::RestoreBegin(r) => self.restore_begin(r),
            Change::RestorePiece(r) => self.restore_piece(at, r),
            Change::RestoreNow(r) => self.restore_now(at, r),
            Change::RestoreAudit(r) => self.restore_audit(r),
            Change::HistoryFloor(r) => self.history_floor(at, r),
            Change::HistoryTrim(r) => self.history_trim(r),
            Change::HoldSet(r) => self.hold_set(at, r),
            Change::HoldRelease(r) => self.hold_release(at, record.actor.principal, r),
            Change::HoldStays(r) => self.hold_stays(r),
            Change::HoldEnd(r) => self.hold_end(at, r),
            Change::HoldMove(r) => self.hold_move(*r),
            Change::HoldMarks(r) => self.hold_marks(r),
            Change::HoldsKept(r) => self.holds_kept(r),
            Change::CountReferences(_) => Ok(Done::More(false)),
            // What is dead depends on what was trimmed; see `Model::is_needed`.
            Change::BlobsDead(_) => Ok(Done::Dead(Vec::new())),
            // The model knows no policies: what they say is judged in store/tests/judging.
            Change::PolicySet(_)
            | Change::PolicyLock(_)
            | Change::PolicyRemove(_)
            | Change::PolicyMatched(_)
            | Change::PoliciesKept(_)
            | Change::Label(_)
            | Change::Unlabel(_)
            | Change::RetentionEvent(_)
            | Change::PurgePolicy(_) => Err(Rejection::Policy(String::new())),
            Change::EraseBegin(r) => self.erase_begin(record, r),
            Change::ErasePiece(r) => self.erase_piece(at, r),
            Change::EraseReport(r) => self.erase_report(r),
            Change::ErasuresKept(r) => self.erasures_kept(at, r),
            // Of mail they say nothing.
            Change::Version(_)
            | Change::CheckpointMark(_)
            | Change::DiscoveryLook(_)
            // It comes where a history begins, which the model's do not; tests/tests/rights.rs.
            | Change::RightsKept(_)
            | Change::HeadKey(_)
            | Change::DiscoveryRemove(_)
            | Change::MailRead(_)
            | Change::Logins(_)
            | Change::Refused(_)
            | Change::TokenAdd(_)
            | Change::NodeAdd(_)
            | Change::NodeRemove(_)
            | Change::Archived(_)
            | Change::NewLineage(_) => Ok(Done::Unit),
            Change::Renumber(r) => self.now.account_too(r.account)?.renumber(at, r),
        }
    }

    /// A user that is locked out changes nothing of its own any more, and nobody an archive.
    fn check_actor(&mut self, record: &Record) -> Answer<()> {
        let account = match &record.change {
            Change::MailboxCreate(r) => r.account,
            Change::MailboxRename(r) => r.account,
            Change::MailboxDelete(r) => r.account,
            Change::MailboxNamed(r) => r.account,
            Change::Subscribe(r) => r.account,
            Change::Append(r) => r.account,
            Change::Copy(r) => r.account,
            Change::Move(r) => r.account,
            Change::SetFlags(r) => r.account,
            Change::Expunge(r) => r.account,
            Change::RestoreNow(r) => r.account,
            _ => return Ok(()),
        };
        let state = self.now.account(account)?.settings.state;
        let renumbers = matches!(&record.change, Change::Move(r) if r.from == r.to);
        if !renumbers || record.actor.principal != Principal::System {
            self.no_archive(account)?;
        }
        if record.actor.principal == Principal::Account(account) && state != AccountState::Active {
            return Err(Rejection::AccountState(state));
        }
        Ok(())
    }
}

impl State {
    fn account(&mut self, id: AccountId) -> Answer<&mut AccountM> {
        self.accounts.get_mut(&id).ok_or(Rejection::NoSuchAccount)
    }

    /// One that is deleted, too.
    fn account_too(&mut self, id: AccountId) -> Answer<&mut AccountM> {
        let deleted = self.deleted.get_mut(&id).map(|(account, _)| account);
        self.accounts.get_mut(&id).or(deleted).ok_or(Rejection::NoSuchAccount)
    }

    fn quota(&self, id: AccountId) -> Option<u64> {
        let account = &self.accounts[&id];
        let domain = self.domains[&account.address.domain].default_quota;
        let class = self.class_of(id).and_then(|class| class.quota);
        account.settings.quota.or(class).or(domain)
    }
}
