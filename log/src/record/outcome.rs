//! What `apply` answers to a record.

use serde::{Deserialize, Serialize};

use super::{AccountState, Restored, SpecialUse};
use crate::id::{
    AccountId, CaptureId, ClassId, EmailId, HoldId, LogIndex, MailboxId, MatterId, ModSeq, NodeId,
    PolicyId, Sequence, ThreadId, Timestamp, Uid, UidValidity,
};

/// What `apply` answers to a record, the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Where the record stands; that of the first one for a recognised retry.
    pub index: LogIndex,
    /// The effective time.
    pub time: Timestamp,
    /// What came of it.
    pub result: Result<Done, Rejection>,
}

/// What a record that was not rejected as a whole did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// Nothing more to say.
    Unit,
    /// The new account.
    Account(AccountId),
    /// The new mailbox.
    Mailbox(MailboxId, UidValidity),
    /// An answer for each recipient, in their order.
    Delivered(Vec<Result<Arrival, Rejection>>),
    /// An answer for each item of APPEND, COPY or MOVE, in their order.
    Arrived(Vec<Result<Arrival, Rejection>>),
    /// An answer for each UID of a flag change or expunge, in their order.
    Changed(Vec<Result<Sequence, Rejection>>),
    /// The new node.
    Node(NodeId),
    /// An answer for each step of a restore, in their order.
    Restored(Vec<Restored>),
    /// The new hold.
    Hold(HoldId),
    /// Rows that went.
    Trimmed(u32),
    /// Whether another piece of the same work is left.
    More(bool),
    /// An answer for each blob, in their order.
    Dead(Vec<Result<(), Rejection>>),
    /// The new class.
    Class(ClassId),
    /// The new capture rule.
    Capture(CaptureId),
    /// The new matter.
    Matter(MatterId),
    /// The policy, and the version that it has now.
    Policy(PolicyId, u32),
    /// An answer for each email that a policy was to take, in their order: placements that went.
    Purged(Vec<Result<u32, Rejection>>),
    /// An answer for each email of an erasure, in their order.
    Erased(Vec<Result<(), Rejection>>),
    /// An answer for each account whose emails were judged, in their order.
    Marked(Vec<Result<(), Rejection>>),
}

/// An email that came to stand in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The email.
    pub email: EmailId,
    /// Its thread.
    pub thread: ThreadId,
    /// Where it stands now; INBOX where the wished one was gone.
    pub mailbox: MailboxId,
    /// That mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Its UID there.
    pub uid: Uid,
    /// Its MODSEQ there.
    pub modseq: ModSeq,
}

/// Why a record, or one item of it, was not applied: deterministic, never an I/O error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// No such domain.
    #[error("there is no domain {0}")]
    NoSuchDomain(String),
    /// It exists already.
    #[error("{0} exists already")]
    Exists(String),
    /// No such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// The account's state forbids it.
    #[error("the account is {0:?}")]
    AccountState(AccountState),
    /// No such alias or credential.
    #[error("there is no {0}")]
    NotFound(String),
    /// The domain still has accounts or aliases.
    #[error("the domain still has accounts or aliases: remove these first")]
    DomainInUse,
    /// No such mailbox.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// The mailbox cannot be selected.
    #[error("the mailbox holds no messages")]
    NoSelect,
    /// INBOX is neither deleted nor a child.
    #[error("INBOX cannot be changed so")]
    Inbox,
    /// A mailbox under itself.
    #[error("a mailbox cannot stand below itself")]
    Cycle,
    /// A limit of the account or of the mailbox.
    #[error("limit reached: {0}")]
    Limit(String),
    /// The quota does not allow for it.
    #[error("over quota: {used} of {limit} bytes are used")]
    OverQuota {
        /// Bytes of live emails.
        used: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The placement is gone.
    #[error("the message is not there any more")]
    Gone,
    /// UNCHANGEDSINCE does not hold; this is the MODSEQ.
    #[error("the message was changed in the meantime")]
    Modified(ModSeq),
    /// It has not got `\Deleted`.
    #[error("the message is not marked \\Deleted")]
    NotDeleted,
    /// The wished UID is below UIDNEXT.
    #[error("UID {0} is below UIDNEXT")]
    UidTaken(Uid),
    /// The mailbox has used its last UID.
    #[error("the mailbox has no UIDs left")]
    UidsExhausted,
    /// A name that cannot be: of a mailbox, a keyword, an address, a domain.
    #[error("the name is not possible: {0}")]
    InvalidName(String),
    /// Another mailbox of the account has this use already.
    #[error("another mailbox has the use {0:?} already")]
    UseTaken(SpecialUse),
    /// A join token that admits nobody (any more).
    #[error("the join token {0}: make a new one with `redoubt cluster token`")]
    Token(String),
    /// Members of the cluster's level need not know this kind of record.
    #[error(
        "this needs level {needed}, the cluster is at {level}: when every member runs the \
             newer version, say `redoubt cluster finalize`"
    )]
    Level {
        /// The level that it needs.
        needed: u32,
        /// The level in force.
        level: u32,
    },
    /// A restore that cannot begin, go on or end so.
    #[error("{0}")]
    Restore(String),
    /// A history floor that is above the wished one.
    #[error("history begins at {0}, and a floor never goes back")]
    FloorBack(LogIndex),
    /// A history floor that is not possible.
    #[error("history cannot begin there: {0}")]
    Floor(String),
    /// A hold is over it.
    #[error("hold {0} is over it: release that first")]
    Held(HoldId),
    /// A blob that something refers to, or that a later record has named.
    #[error("the blob is referred to")]
    Referenced,
    /// A hold was set since it was decided.
    #[error("a hold was set after this was decided: decide again")]
    HeldSince,
    /// Which emails a blob is of is not counted to the end yet.
    #[error("references to blobs are not counted to the end yet")]
    NotCounted,
    /// A message that is larger than the account takes.
    #[error("the account takes messages of {limit} octets at most, this has {size}")]
    TooLarge {
        /// Octets of the message.
        size: u64,
        /// Octets that the account takes.
        limit: u64,
    },
    /// A matter, or what is of one, forbids it.
    #[error("{0}")]
    Matter(String),
    /// A hold that cannot be set, released or ended so.
    #[error("{0}")]
    Hold(String),
    /// Emails are judged up to another one than was thought.
    #[error("emails are judged up to another one by now")]
    MarkedSince,
    /// A role that cannot be had so.
    #[error("{0}")]
    Role(String),
    /// An archive account is changed by nobody but retention.
    #[error("this is an archive: retention alone changes what is in it")]
    Archive,
    /// Only what was made an archive is one, and it stays one.
    #[error("an account is an archive from its beginning, and stays one")]
    ArchiveForEver,
    /// A capture rule needs it.
    #[error("capture rule {0} needs it: remove that first")]
    CaptureRule(CaptureId),
    /// What the rules want captured cannot be, so it is not taken at all.
    #[error("it cannot be captured: {0}")]
    NotCaptured(String),
    /// A policy that cannot be so.
    #[error("{0}")]
    Policy(String),
    /// A policy keeps it.
    #[error("policy {0} keeps it")]
    Retained(PolicyId),
    /// A hold, a policy, a label or an event was set since it was decided.
    #[error("a hold, a policy, a label or an event was set after this was decided: decide again")]
    DecidedBefore,
    /// An erasure that cannot begin or go on so.
    #[error("{0}")]
    Erasure(String),
    /// What a second person has to decide, and this one cannot, or not any more.
    #[error("{0}")]
    Approval(String),
}
