//! The closed enum of redo records, and what `apply` answers to each.
//!
//! A record names exactly what it changes, who did it and why, and carries an
//! operation id. `apply` only assigns numbers from counters in the state;
//! whatever else decides the outcome is in the record or in the state.
//!
//! Invariants: an encoded record is at most [`MAX_RECORD_BYTES`] and makes at
//! most [`MAX_CHANGES`] changes; the numbers of [`Change::kind`] are never
//! reused; a field is never changed in place but by a new version (`codec`).

mod approval;
mod capture;
mod cluster;
mod directory;
mod discovery;
mod erase;
mod hold;
mod lineage;
mod mailbox;
mod matter;
mod outcome;
mod policy;
mod reads;
mod refused;
mod restore;
mod retention;
mod rights;

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use approval::{Approval, Approves, NotApproves};
pub use capture::{
    Capture, CaptureDirection, CaptureParty, CaptureRemove, CaptureRule, CaptureScope, CaptureSet,
    CaptureSource, DeliverCaptured,
};
pub use cluster::{NodeAdd, NodeRemove, TokenAdd};
pub use directory::{
    AccountAdd, AccountClass, AccountRename, AccountSet, AccountSettings, AccountState, Address,
    AliasAdd, AliasRemove, ClassAdd, ClassRemove, ClassSet, ClassSettings, CredentialRemove,
    CredentialSet, DomainAdd, DomainClass, DomainRemove, DomainSet, DomainSettings, JunkHeader,
    Limits, PersonalTokenAdd, PersonalTokenRevoke, Role, RoleGrant,
};
pub use discovery::{
    DiscoveryBegin, DiscoveryEnd, DiscoveryEnded, DiscoveryLook, DiscoveryRemove, DiscoveryWork,
    HeadKey,
};
pub use erase::{EraseBegin, ErasePiece, ErasePlace, EraseReached, EraseReport, ErasuresKept};
pub use hold::{
    Held, HoldEnd, HoldMarks, HoldMove, HoldOver, HoldQuery, HoldRelease, HoldScope, HoldSet,
    HoldStays, HoldsKept, Judged, KeptHold, Reach, Releasing,
};
pub use lineage::{Archived, NewLineage, PART, Renumber};
pub use mailbox::{
    MailboxCreate, MailboxDelete, MailboxNamed, MailboxRename, NamedChange, SpecialUse, Subscribe,
};
pub use matter::{
    MatterAdd, MatterCustodian, MatterMember, MatterNote, MatterRole, MatterSet, MatterSettings,
};
pub use outcome::{Arrival, Done, Outcome, Rejection};
pub use policy::{
    KeptPolicy, Label, PoliciesKept, PolicyAnchor, PolicyDirection, PolicyLock, PolicyMailbox,
    PolicyMatched, PolicyRemove, PolicyScope, PolicySet, PolicySettings, PolicyWhose, PurgeItem,
    PurgePolicy, RetentionEvent,
};
pub use reads::{LoginCount, LoginProtocol, Logins, MAX_LOGINS, MailRead, MailReadHow};
pub use refused::{MAX_REFUSED_TEXT, Refused};
pub use restore::{
    AccountDelete, AccountSweep, RestoreAudit, RestoreBegin, RestoreCounts, RestoreEmail,
    RestoreEnded, RestoreMode, RestoreNow, RestoreOptions, RestorePiece, RestorePlace, RestoreStep,
    RestoreTo, Restored,
};
pub use retention::{BlobsDead, CountReferences, HistoryFloor, HistoryTrim, TrimRow};
pub use rights::{KeptToken, Right, RightsKept};

use crate::id::{
    AccountId, BlobId, EmailId, LogIndex, MailboxId, ModSeq, OperationId, ThreadKey, Timestamp, Uid,
};

/// The most bytes that one encoded record may have.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;
/// The most emails, recipients or other items that one record may change.
pub const MAX_CHANGES: usize = 2000;

/// One redo record: everything that `apply` needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The leader's clock when it proposed; the effective time is never before the previous one's.
    pub stamp: Timestamp,
    /// Makes a retry safe.
    pub operation: OperationId,
    /// Who did it.
    pub actor: Actor,
    /// Why it was done.
    pub why: Why,
    /// What changes.
    pub change: Change,
}

/// Who did something, on whose behalf and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who did it.
    pub principal: Principal,
    /// For whom, where that is another account.
    pub on_behalf_of: Option<AccountId>,
    /// The network address that the wish came from.
    pub from: Option<IpAddr>,
}

impl Actor {
    /// The server itself.
    pub const SYSTEM: Self = Self { principal: Principal::System, on_behalf_of: None, from: None };

    /// A user, speaking for itself.
    pub fn account(account: AccountId, from: Option<IpAddr>) -> Self {
        Self { principal: Principal::Account(account), on_behalf_of: None, from }
    }

    /// An MTA that delivers.
    pub fn mta(from: Option<IpAddr>) -> Self {
        Self { principal: Principal::Mta, on_behalf_of: None, from }
    }

    /// An administrator over the local socket, by the uid of the calling process.
    pub fn admin(uid: u32) -> Self {
        Self { principal: Principal::LocalUser(uid), on_behalf_of: None, from: None }
    }
}

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// The server itself: sweeps, marks, versions.
    System,
    /// An MTA over LMTP.
    Mta,
    /// A user.
    Account(AccountId),
    /// An administrator on the machine, by uid.
    LocalUser(u32),
    /// A person with a role, by a personal token of this account.
    Person(AccountId),
}

/// Why something was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The policy and its version, where one caused it.
    pub policy: Option<(u64, u32)>,
    /// A salted blob with the text that a person typed.
    pub reason: Option<BlobId>,
}

/// What a record changes. Groups of a hundred hexadecimal each: directory 1,
/// mailbox 2, email 3, retention 4, restore 5, audit 6, system 7; 8 and up are
/// reserved for contacts, events, tasks, notes and Sieve scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new domain.
    DomainAdd(DomainAdd),
    /// A domain's settings, as a whole.
    DomainSet(DomainSet),
    /// A domain without accounts and aliases goes.
    DomainRemove(DomainRemove),
    /// A new account with its six mailboxes.
    AccountAdd(AccountAdd),
    /// An account's settings, as a whole.
    AccountSet(AccountSet),
    /// An account gets another address and keeps its id.
    AccountRename(AccountRename),
    /// An account is gone at once; its placements are expunged by records that follow.
    AccountDelete(AccountDelete),
    /// Placements of a deleted account go.
    AccountSweep(AccountSweep),
    /// Another name for an account.
    AliasAdd(AliasAdd),
    /// A name goes.
    AliasRemove(AliasRemove),
    /// A password, replaced or new.
    CredentialSet(CredentialSet),
    /// A password goes.
    CredentialRemove(CredentialRemove),
    /// A new class of service.
    ClassAdd(ClassAdd),
    /// A class's name and settings, as a whole.
    ClassSet(ClassSet),
    /// A class goes: whoever has it has none.
    ClassRemove(ClassRemove),
    /// An account's class and what it says above it, as a whole.
    AccountClass(AccountClass),
    /// The class of a domain's accounts that have none of their own.
    DomainClass(DomainClass),
    /// Somebody gets a role.
    RoleGrant(RoleGrant),
    /// Somebody has a role no more.
    RoleRevoke(RoleGrant),
    /// A secret by which a person is known.
    PersonalTokenAdd(PersonalTokenAdd),
    /// A personal token opens nothing any more.
    PersonalTokenRevoke(PersonalTokenRevoke),
    /// A new rule: whose mail is kept in an archive account too.
    CaptureSet(CaptureSet),
    /// A capture rule ends.
    CaptureRemove(CaptureRemove),
    /// A new mailbox.
    MailboxCreate(MailboxCreate),
    /// A mailbox gets another name or parent.
    MailboxRename(MailboxRename),
    /// A mailbox is gone at once; its placements are expunged by records that follow.
    MailboxDelete(MailboxDelete),
    /// A mailbox is renamed or deleted, if it still has the name that was asked for.
    MailboxNamed(MailboxNamed),
    /// A name is subscribed to, or not any more.
    Subscribe(Subscribe),
    /// One message to one or more accounts.
    Deliver(Deliver),
    /// Messages that a client or an import brings.
    Append(Append),
    /// More placements of emails.
    Copy(Copy),
    /// Placements replaced by others.
    Move(Move),
    /// Flags and keywords of placements.
    SetFlags(SetFlags),
    /// Placements go.
    Expunge(Expunge),
    /// What a milter or a journal report shows goes into archive accounts.
    Capture(Capture),
    /// One message to one or more accounts, and into archive accounts.
    DeliverCaptured(DeliverCaptured),
    /// A restore with a plan begins: one at a time an account.
    RestoreBegin(RestoreBegin),
    /// The next steps of a restore's plan.
    RestorePiece(RestorePiece),
    /// A small restore, all at once.
    RestoreNow(RestoreNow),
    /// A restore has ended: who, what, when, and what came of it.
    RestoreAudit(RestoreAudit),
    /// Somebody searches or exports mail of accounts: who, what, and as of which index.
    DiscoveryBegin(DiscoveryBegin),
    /// A search or export has ended, and what came of it.
    DiscoveryEnd(DiscoveryEnd),
    /// A key by which a node signs heads of the log from now on.
    HeadKey(HeadKey),
    /// Somebody removes what a node keeps of a search or export: the list of what was found.
    DiscoveryRemove(DiscoveryRemove),
    /// Somebody looks at what a search found.
    DiscoveryLook(DiscoveryLook),
    /// Somebody tried what he may not, or what may not be.
    Refused(Refused),
    /// A new matter.
    MatterAdd(MatterAdd),
    /// A matter's name and settings, as a whole.
    MatterSet(MatterSet),
    /// Somebody may do something in a matter, or nothing any more.
    MatterMember(MatterMember),
    /// An account's mail is what a matter is about, or not any more.
    MatterCustodian(MatterCustodian),
    /// A note in a matter.
    MatterNote(MatterNote),
    /// A second person lets what waits for it be, or not.
    Approval(Approval),
    /// An administrator looks at somebody's mail.
    MailRead(MailRead),
    /// Logins of some time on one node, counted.
    Logins(Logins),
    /// History below an index is none any more, of one account or the directory.
    HistoryFloor(HistoryFloor),
    /// Rows that the history floor lets go: the work behind [`Change::HistoryFloor`].
    HistoryTrim(HistoryTrim),
    /// A hold: what it is over is kept, whatever floors and policies say.
    HoldSet(HoldSet),
    /// A hold is released: it ends after a delay.
    HoldRelease(HoldRelease),
    /// A hold that was released stays in force after all.
    HoldStays(HoldStays),
    /// A hold is for another matter from now on.
    HoldMove(HoldMove),
    /// A hold that was released ends, when its delay is over.
    HoldEnd(HoldEnd),
    /// Which emails of accounts a query holds, up to one of each.
    HoldMarks(HoldMarks),
    /// Holds that were set after the moment that a history goes on from.
    HoldsKept(HoldsKept),
    /// A retention policy, new or as it is from now on.
    PolicySet(PolicySet),
    /// A policy can be made longer only, from now on.
    PolicyLock(PolicyLock),
    /// A policy ends: what it keeps it keeps for its waiting time, then nothing.
    PolicyRemove(PolicyRemove),
    /// A policy is put on emails.
    Label(Label),
    /// A policy is taken from emails that it was put on.
    Unlabel(Label),
    /// Something happened that policies count from.
    RetentionEvent(RetentionEvent),
    /// A policy takes emails: nothing of them is left in the history.
    PurgePolicy(PurgePolicy),
    /// What a policy's query has found among emails that it was asked about.
    PolicyMatched(PolicyMatched),
    /// Policies that were set after the moment that a history goes on from.
    PoliciesKept(PoliciesKept),
    /// One more piece of counting which emails a blob is of, in a state that began without.
    CountReferences(CountReferences),
    /// Blobs that nothing refers to: their bytes may go.
    BlobsDead(BlobsDead),
    /// Emails are to go for good: who wants it, and which.
    EraseBegin(EraseBegin),
    /// The next emails of an erasure go.
    ErasePiece(ErasePiece),
    /// What a node has reached of an erasure.
    EraseReport(EraseReport),
    /// What was erased after the moment that a history goes on from.
    ErasuresKept(ErasuresKept),
    /// What all members support: the gate for changes of what `apply` does.
    Version(Version),
    /// A checkpoint was taken, with the state's hash.
    CheckpointMark(CheckpointMark),
    /// A token that admits one node, once.
    TokenAdd(TokenAdd),
    /// A node that has shown a token gets an id that no node ever had.
    NodeAdd(NodeAdd),
    /// A node's id is never used again.
    NodeRemove(NodeRemove),
    /// The backup repository holds the log up to here, with all its blobs.
    Archived(Archived),
    /// What follows is a history of its own, made from a backup of another.
    NewLineage(NewLineage),
    /// Mailboxes pass over UIDs that a lost history may have given.
    Renumber(Renumber),
    /// Who may do what in a history that goes on from an earlier moment: what was so last.
    RightsKept(RightsKept),
}

impl Change {
    /// The number of this kind in the log, for ever.
    pub fn kind(&self) -> u16 {
        match self {
            Self::DomainAdd(_) => 0x0101,
            Self::DomainSet(_) => 0x0102,
            Self::DomainRemove(_) => 0x0103,
            Self::AccountAdd(_) => 0x0110,
            Self::AccountSet(_) => 0x0111,
            Self::AccountRename(_) => 0x0112,
            Self::AccountDelete(_) => 0x0113,
            Self::AccountSweep(_) => 0x0114,
            Self::AliasAdd(_) => 0x0120,
            Self::AliasRemove(_) => 0x0121,
            Self::CredentialSet(_) => 0x0130,
            Self::CredentialRemove(_) => 0x0131,
            Self::ClassAdd(_) => 0x0140,
            Self::ClassSet(_) => 0x0141,
            Self::ClassRemove(_) => 0x0142,
            Self::AccountClass(_) => 0x0143,
            Self::DomainClass(_) => 0x0144,
            Self::RoleGrant(_) => 0x0150,
            Self::RoleRevoke(_) => 0x0151,
            Self::PersonalTokenAdd(_) => 0x0152,
            Self::PersonalTokenRevoke(_) => 0x0153,
            Self::CaptureSet(_) => 0x0160,
            Self::CaptureRemove(_) => 0x0161,
            Self::MailboxCreate(_) => 0x0201,
            Self::MailboxRename(_) => 0x0202,
            Self::MailboxDelete(_) => 0x0203,
            Self::Subscribe(_) => 0x0204,
            Self::MailboxNamed(_) => 0x0205,
            Self::Deliver(_) => 0x0301,
            Self::Append(_) => 0x0302,
            Self::Copy(_) => 0x0303,
            Self::Move(_) => 0x0304,
            Self::SetFlags(_) => 0x0305,
            Self::Expunge(_) => 0x0306,
            Self::Capture(_) => 0x0310,
            Self::DeliverCaptured(_) => 0x0311,
            Self::RestoreBegin(_) => 0x0501,
            Self::RestorePiece(_) => 0x0502,
            Self::RestoreNow(_) => 0x0503,
            Self::RestoreAudit(_) => 0x0601,
            Self::DiscoveryBegin(_) => 0x0602,
            Self::DiscoveryEnd(_) => 0x0603,
            Self::HeadKey(_) => 0x0604,
            Self::DiscoveryRemove(_) => 0x0605,
            Self::MailRead(_) => 0x0606,
            Self::Logins(_) => 0x0607,
            Self::DiscoveryLook(_) => 0x0608,
            Self::Refused(_) => 0x0609,
            Self::MatterAdd(_) => 0x0610,
            Self::MatterSet(_) => 0x0611,
            Self::MatterMember(_) => 0x0612,
            Self::MatterCustodian(_) => 0x0613,
            Self::MatterNote(_) => 0x0614,
            Self::Approval(_) => 0x0620,
            Self::HistoryFloor(_) => 0x0401,
            Self::HistoryTrim(_) => 0x0402,
            Self::HoldSet(_) => 0x0403,
            Self::HoldRelease(_) => 0x0404,
            Self::CountReferences(_) => 0x0405,
            Self::BlobsDead(_) => 0x0406,
            Self::HoldsKept(_) => 0x0407,
            Self::PolicySet(_) => 0x0410,
            Self::PolicyLock(_) => 0x0411,
            Self::PolicyRemove(_) => 0x0412,
            Self::Label(_) => 0x0414,
            Self::Unlabel(_) => 0x0415,
            Self::RetentionEvent(_) => 0x0416,
            Self::PurgePolicy(_) => 0x0417,
            Self::PolicyMatched(_) => 0x0418,
            Self::PoliciesKept(_) => 0x0419,
            Self::EraseBegin(_) => 0x0420,
            Self::ErasePiece(_) => 0x0422,
            Self::EraseReport(_) => 0x0423,
            Self::ErasuresKept(_) => 0x0424,
            Self::HoldMarks(_) => 0x0408,
            Self::HoldStays(_) => 0x0409,
            Self::HoldEnd(_) => 0x040a,
            Self::HoldMove(_) => 0x040b,
            Self::Version(_) => 0x0701,
            Self::CheckpointMark(_) => 0x0702,
            Self::TokenAdd(_) => 0x0703,
            Self::NodeAdd(_) => 0x0704,
            Self::NodeRemove(_) => 0x0705,
            Self::Archived(_) => 0x0706,
            Self::NewLineage(_) => 0x0707,
            Self::Renumber(_) => 0x0708,
            Self::RightsKept(_) => 0x0709,
        }
    }

    /// From which level of the cluster on it may be proposed: an older program
    /// does not know it.
    pub fn level(&self) -> u32 {
        match self {
            Self::Archived(_) | Self::NewLineage(_) => 3,
            Self::Renumber(_) | Self::RightsKept(_) => 3,
            Self::TokenAdd(_) | Self::NodeAdd(_) | Self::NodeRemove(_) | Self::MailboxNamed(_) => 2,
            Self::AccountDelete(_) | Self::AccountSweep(_) => 3,
            Self::RestoreBegin(_) | Self::RestorePiece(_) | Self::RestoreNow(_) => 3,
            Self::RestoreAudit(_) => 3,
            Self::DiscoveryBegin(_) | Self::DiscoveryEnd(_) | Self::HeadKey(_) => 3,
            Self::DiscoveryRemove(_) | Self::MailRead(_) | Self::Logins(_) => 3,
            Self::DiscoveryLook(_) | Self::Refused(_) | Self::Approval(_) => 3,
            Self::MatterAdd(_) | Self::MatterSet(_) | Self::MatterMember(_) => 3,
            Self::MatterCustodian(_) | Self::MatterNote(_) => 3,
            Self::ClassAdd(_)
            | Self::ClassSet(_)
            | Self::ClassRemove(_)
            | Self::AccountClass(_)
            | Self::DomainClass(_)
            | Self::RoleGrant(_)
            | Self::RoleRevoke(_)
            | Self::PersonalTokenAdd(_)
            | Self::PersonalTokenRevoke(_) => 3,
            Self::CaptureSet(_)
            | Self::CaptureRemove(_)
            | Self::Capture(_)
            | Self::DeliverCaptured(_) => 3,
            Self::HistoryFloor(_)
            | Self::HistoryTrim(_)
            | Self::HoldSet(_)
            | Self::HoldRelease(_)
            | Self::HoldStays(_)
            | Self::HoldEnd(_)
            | Self::HoldMove(_)
            | Self::HoldMarks(_)
            | Self::HoldsKept(_)
            | Self::CountReferences(_)
            | Self::PolicySet(_)
            | Self::PolicyLock(_)
            | Self::PolicyRemove(_)
            | Self::Label(_)
            | Self::Unlabel(_)
            | Self::RetentionEvent(_)
            | Self::PurgePolicy(_)
            | Self::PolicyMatched(_)
            | Self::PoliciesKept(_)
            | Self::BlobsDead(_) => 3,
            Self::EraseBegin(_)
            | Self::ErasePiece(_)
            | Self::EraseReport(_)
            | Self::ErasuresKept(_) => 3,
            _ => 1,
        }
    }
}

impl Record {
    /// Every blob that this record names: a node holds the entry only when it holds them.
    pub fn blobs(&self) -> BTreeSet<BlobId> {
        let mut blobs: BTreeSet<BlobId> = self.why.reason.into_iter().collect();
        match &self.change {
            Change::Deliver(deliver) => {
                blobs.insert(deliver.message.blob);
                blobs.insert(deliver.envelope);
            }
            Change::DeliverCaptured(DeliverCaptured { deliver, .. }) => {
                blobs.insert(deliver.message.blob);
                blobs.insert(deliver.envelope);
            }
            Change::Capture(capture) => {
                blobs.insert(capture.message.blob);
                blobs.insert(capture.envelope);
            }
            Change::Append(append) => {
                blobs.extend(append.items.iter().map(|item| item.message.blob));
            }
            Change::RestoreBegin(begin) => {
                blobs.insert(begin.wish);
                blobs.extend(&begin.plan);
            }
            Change::RestorePiece(piece) => {
                blobs.extend(piece.steps.iter().flat_map(RestoreStep::blobs));
            }
            Change::RestoreNow(now) => {
                blobs.extend(now.steps.iter().flat_map(RestoreStep::blobs));
            }
            Change::RestoreAudit(audit) => {
                blobs.insert(audit.wish);
                blobs.extend(&audit.plan);
            }
            Change::DiscoveryBegin(begin) => {
                blobs.insert(begin.asked);
            }
            Change::MailRead(read) => {
                blobs.insert(read.asked);
            }
            Change::EraseBegin(begin) => {
                blobs.extend(begin.blobs());
            }
            _ => {}
        }
        blobs
    }
}

// -------------------------------------------------------------------- email

/// The system flags of a placement but `\Recent`, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(2);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(4);
    /// `\Deleted`
    pub const DELETED: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);

    /// Whether all of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With those of `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A keyword (RFC 9051 section 2.3.2) as first written; compared without case in ASCII.
pub type Keyword = String;

/// Content that an email is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The bytes that clients get, our trace lines included.
    pub blob: BlobId,
    /// The hash of the bytes as they came, without our trace lines.
    pub original: BlobId,
    /// Octets of `blob`: RFC822.SIZE.
    pub size: u64,
    /// What threads it (RFC 8621 section 3).
    pub thread: ThreadKeys,
}

/// Keyed hashes for threading; the log holds no subject and no correspondent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadKeys {
    /// Of Message-ID, In-Reply-To and References, each once, the own first.
    pub message_ids: Vec<ThreadKey>,
    /// Of the base subject (RFC 5256 section 2.1).
    pub subject: ThreadKey,
}

/// See [`Change::Deliver`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// What is delivered: one copy for all recipients.
    pub message: Message,
    /// INTERNALDATE and JMAP's receivedAt.
    pub received: Timestamp,
    /// A salted blob with the SMTP envelope.
    pub envelope: BlobId,
    /// Who gets it.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a delivery: one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Whose.
    pub account: AccountId,
    /// Where; INBOX when that is gone.
    pub mailbox: MailboxId,
    /// Hash of sender, recipient and DATA: the MTA's retry gets the first outcome.
    /// `None` where the domain switched that off.
    pub operation: Option<OperationId>,
    /// Flags from the start.
    pub flags: Flags,
    /// Keywords from the start.
    pub keywords: Vec<Keyword>,
}

/// See [`Change::Append`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// In which account.
    pub account: AccountId,
    /// Into which mailbox.
    pub mailbox: MailboxId,
    /// All or none are appended (RFC 3502).
    pub items: Vec<AppendItem>,
}

/// One message of an APPEND.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendItem {
    /// The content.
    pub message: Message,
    /// INTERNALDATE.
    pub received: Timestamp,
    /// Flags from the start.
    pub flags: Flags,
    /// Keywords from the start.
    pub keywords: Vec<Keyword>,
    /// The UID that an import asks for: granted if it is at least UIDNEXT, else
    /// the item is rejected. `None` takes UIDNEXT.
    pub uid: Option<Uid>,
    /// The email that an import asks to add a placement to is found by this
    /// operation id; an APPEND has `None`.
    pub operation: Option<OperationId>,
}

/// A placement as the proposer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its UID in the source.
    pub uid: Uid,
    /// The email that it places.
    pub email: EmailId,
}

/// See [`Change::Copy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// In which account.
    pub account: AccountId,
    /// From which mailbox.
    pub from: MailboxId,
    /// To which mailbox.
    pub to: MailboxId,
    /// Which, in the order in which UIDs are to be assigned.
    pub items: Vec<Placed>,
}

/// See [`Change::Move`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// In which account.
    pub account: AccountId,
    /// From which mailbox.
    pub from: MailboxId,
    /// To which mailbox.
    pub to: MailboxId,
    /// Which, in the order in which UIDs are to be assigned.
    pub items: Vec<Placed>,
}

/// How flags change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagChange {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// See [`Change::SetFlags`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFlags {
    /// In which account.
    pub account: AccountId,
    /// In which mailbox.
    pub mailbox: MailboxId,
    /// Whose `\Seen` changes: the owner's, or another reader's own.
    pub reader: AccountId,
    /// Which placements.
    pub uids: Vec<Uid>,
    /// How.
    pub how: FlagChange,
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<Keyword>,
    /// Only where MODSEQ is at most this (RFC 7162 section 3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// See [`Change::Expunge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expunge {
    /// In which account.
    pub account: AccountId,
    /// In which mailbox; one that was deleted too.
    pub mailbox: MailboxId,
    /// Which placements.
    pub uids: Vec<Uid>,
    /// Only those that have `\Deleted` when this is applied (RFC 9051 section 6.4.3).
    pub only_deleted: bool,
}

// ------------------------------------------------------------------- system

/// See [`Change::Version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What `apply` does from here on.
    pub apply: u32,
}

/// See [`Change::CheckpointMark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointMark {
    /// The index that the checkpoint is of.
    pub index: LogIndex,
    /// The state's hash there.
    pub state: crate::id::Hash,
}
