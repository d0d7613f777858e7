//! Records of retention policies: what is kept for how long, when it goes, and who has said so.

use serde::{Deserialize, Serialize};

use super::{Held, Keyword, SpecialUse};
use crate::id::{
    AccountId, ClassId, EmailId, LogIndex, MailboxId, PolicyId, Sequence, Timestamp, Uid,
};

/// See [`Change::PolicySet`](super::Change::PolicySet). An id is given to a new one when it is
/// applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySet {
    /// Which policy; `None` for a new one.
    pub policy: Option<PolicyId>,
    /// All of what it says from now on.
    pub settings: PolicySettings,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySettings {
    /// What people call it.
    pub name: String,
    /// What it is over.
    pub scope: PolicyScope,
    /// From when on its times count.
    pub anchor: PolicyAnchor,
    /// For how many seconds an email is kept whatever its user does.
    pub floor: Option<u64>,
    /// After how many seconds an email goes.
    pub delete: Option<u64>,
    /// Whether its floor is over drafts too.
    pub drafts: bool,
    /// Whether a second person has to approve it before anything goes by it.
    pub review: bool,
    /// Emails that may go by it in a day (UTC); `None` is no bound.
    pub daily: Option<u32>,
}

/// What a policy is over: all of what is said has to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyScope {
    /// Whose mail.
    pub whose: PolicyWhose,
    /// What stands in such a mailbox.
    pub mailbox: Option<PolicyMailbox>,
    /// What has this keyword.
    pub tag: Option<Keyword>,
    /// What came, or what was sent.
    pub direction: Option<PolicyDirection>,
    /// What a query finds; it is asked outside of `apply`, see
    /// [`PolicyMatched`].
    pub query: Option<String>,
}

/// Whose mail a policy is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyWhose {
    /// Everybody's.
    All,
    /// That of a domain's accounts.
    Domain(String),
    /// That of whoever has a class of service.
    Class(ClassId),
    /// One account's.
    Account(AccountId),
}

/// Mailboxes that a policy is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyMailbox {
    /// The one with this whole name, and those below it.
    Named(String),
    /// The one with this use.
    Use(SpecialUse),
}

/// Which way an email went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyDirection {
    /// It was delivered: it has an SMTP envelope.
    Received,
    /// It stands in the mailbox for sent mail, or stood there.
    Sent,
}

/// From when on a policy's times count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyAnchor {
    /// The entry into the store.
    Received,
    /// The date that the email was stored with, never later than its entry; a floor counts from
    /// the entry, since a client chooses that date.
    Sent,
    /// The entry into the mailbox.
    Saved,
    /// When the policy was put on the email as a label.
    Labelled,
    /// When something of this name happened to the account.
    Event(String),
}

/// See [`Change::PolicyLock`](super::Change::PolicyLock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLock {
    /// Which policy.
    pub policy: PolicyId,
}

/// See [`Change::PolicyRemove`](super::Change::PolicyRemove).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRemove {
    /// Which policy.
    pub policy: PolicyId,
}

/// See [`Change::Label`](super::Change::Label) and [`Change::Unlabel`](super::Change::Unlabel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Whose emails.
    pub account: AccountId,
    /// The policy that is put on them; its anchor is [`PolicyAnchor::Labelled`].
    pub policy: PolicyId,
    /// Which emails.
    pub emails: Vec<EmailId>,
}

/// See [`Change::RetentionEvent`](super::Change::RetentionEvent).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionEvent {
    /// To whom it happened.
    pub account: AccountId,
    /// What happened, as policies name it.
    pub name: String,
    /// When.
    pub time: Timestamp,
}

/// See [`Change::PurgePolicy`](super::Change::PurgePolicy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgePolicy {
    /// Whose emails.
    pub account: AccountId,
    /// The policy that takes them.
    pub policy: PolicyId,
    /// The version of it that does.
    pub version: u32,
    /// What goes.
    pub items: Vec<PurgeItem>,
    /// The index of the state that the decision was made on.
    pub decided: LogIndex,
}

/// What goes of one email.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeItem {
    /// Which email.
    pub email: EmailId,
    /// The placements that go. With its last one the email goes from the history too; without
    /// any it is one that was expunged before.
    pub placements: Vec<(MailboxId, Uid)>,
}

/// See [`Change::PolicyMatched`](super::Change::PolicyMatched).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyMatched {
    /// The policy whose query was asked.
    pub policy: PolicyId,
    /// The version of it.
    pub version: u32,
    /// In whose mail.
    pub account: AccountId,
    /// What it has found; also what it cannot tell of, since not all of its text could be had: a
    /// floor is over that, a deletion is not.
    pub emails: Vec<(EmailId, Held)>,
    /// Emails that came up to here were asked about.
    pub upto: Sequence,
}

/// See [`Change::PoliciesKept`](super::Change::PoliciesKept).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesKept {
    /// Policies, under the ids that they had.
    pub policies: Vec<KeptPolicy>,
    /// Ids below this one are not given any more.
    pub next: PolicyId,
}

/// A policy of the history that this one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicy {
    /// Its id.
    pub policy: PolicyId,
    /// What it says now.
    pub settings: PolicySettings,
    /// Whether it can be made longer only.
    pub locked: bool,
}
