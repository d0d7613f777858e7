//! Retention policies: what is kept for how long, and when it goes. Judging is pure
//! ([`judge`]): from an email's facts, the policies and a time to a verdict with its reasons. `apply`,
//! the leader's worker, `why` and `simulate` all ask the same function; what they know of an
//! email is read by `facts.rs`, from the state alone.
//!
//! Rules (docs/retention.md): of floors the longest wins, of deletions the shortest; a floor wins
//! over a deletion. Longer rules act at once. What shortens acts after [`WAIT`]: until
//! then the version before binds too, so that an email goes only by what all of them allow.

mod facts;
mod judge;

use redoubt_log::id::{AccountId, ClassId, EmailId, LogIndex, MailboxId, PolicyId, Timestamp, Uid};
use redoubt_log::record::{
    Flags, Held, Keyword, PolicyAnchor, PolicySettings, Principal, SpecialUse,
};
use redoubt_log::world::{self, Mutation};
use serde::{Deserialize, Serialize};

pub(crate) use facts::{
    AccountFacts, Rows, account_facts, asked_upto, captured, email_facts, left_under,
    mailbox_named, policies, version_there,
};
pub use judge::{Judged, Kept, Until, Verdict, due_places, horizon_end, is_unasked, judge};
pub(crate) use judge::{covers, is_below};

/// What a new or shorter rule waits before it acts, in milliseconds: seven days.
pub const WAIT: i64 = 7 * 24 * 3600 * 1000;
/// Policies that there may be.
pub const MAX_POLICIES: usize = 1000;
/// Versions of one policy that are kept; the oldest that act no more go first.
pub const MAX_VERSIONS: usize = 100;

/// A policy with its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its id, for ever.
    pub id: PolicyId,
    /// Whether it can be made longer only.
    pub locked: bool,
    /// What it said and says, oldest first; never empty.
    pub versions: Vec<PolicyVersion>,
}

/// What a policy says from some record on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number: 1 is the first.
    pub number: u32,
    /// What it says; `None` where it ends.
    pub settings: Option<PolicySettings>,
    /// The record that set it.
    pub index: LogIndex,
    /// When that was.
    pub set: Timestamp,
    /// Who that was.
    pub by: Principal,
    /// From when on what it shortens acts.
    pub acts: Timestamp,
    /// What a second person has said of it, once one has; where it asks for that, what it
    /// shortens does not act before. Who, when and why is in the row of the approval.
    pub approved: Option<bool>,
    /// Whether it needs that.
    pub review: bool,
}

impl PolicyVersion {
    /// Whether what it shortens acts.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let waits = !(cfg!(feature = "sim") && world::breaks(Mutation::PolicyUnwaited));
        (self.acts <= now || !waits) && (!self.review || self.approved == Some(true))
    }
}

impl Policy {
    /// What it says now; `None` for one that has ended.
    pub fn settings(&self) -> Option<&PolicySettings> {
        self.versions.last().and_then(|version| version.settings.as_ref())
    }

    /// The newest version.
    pub fn newest(&self) -> Option<&PolicyVersion> {
        self.versions.last()
    }

    /// The version by which emails go: the newest that is in force.
    pub fn in_force(&self, now: Timestamp) -> Option<&PolicyVersion> {
        self.versions.iter().rev().find(|version| version.is_in_force(now))
    }

    /// The versions that bind: the one in force and all that wait behind it.
    pub fn binding(&self, now: Timestamp) -> &[PolicyVersion] {
        let first = self.versions.iter().rposition(|version| version.is_in_force(now));
        self.versions.get(first.unwrap_or(0)..).unwrap_or_default()
    }

    /// As it is; the one that is meant as if its newest version acted.
    pub(crate) fn acting(&self, meant: PolicyId, now: Timestamp) -> Self {
        let mut policy = self.clone();
        if policy.id == meant
            && let Some(mut newest) = policy.versions.pop()
        {
            newest.acts = newest.acts.min(now);
            newest.review = false;
            policy.versions = vec![newest];
        }
        policy
    }

    /// A policy that says this from now on, for whoever asks what it would do.
    pub fn supposed(id: PolicyId, settings: PolicySettings, now: Timestamp) -> Self {
        let version = PolicyVersion {
            number: 1,
            settings: Some(settings),
            index: LogIndex(0),
            set: now,
            by: Principal::System,
            acts: now,
            approved: None,
            review: false,
        };
        Self { id, locked: false, versions: vec![version] }
    }

    /// Whether nothing of it binds any more.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.binding(now).iter().all(|version| version.settings.is_none())
    }
}

/// What is known of one email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub account: AccountId,
    /// The account's domain.
    pub domain: String,
    /// The account's class, its own or its domain's.
    pub class: Option<ClassId>,
    /// Which email.
    pub email: EmailId,
    /// The entry that brought it.
    pub came: LogIndex,
    /// The entry into the store.
    pub entered: Timestamp,
    /// The date that it was stored with.
    pub dated: Timestamp,
    /// Whether it was delivered.
    pub delivered: bool,
    /// Whether it came as a draft and is one still.
    pub draft: bool,
    /// Where it stands; of one that was expunged, where it stood last.
    pub places: Vec<Stands>,
    /// When its last placement went.
    pub expunged: Option<Timestamp>,
    /// Floors that it has whatever becomes of it: it stood where they were over it.
    pub captured: Vec<Captured>,
    /// Policies that were put on it, and when.
    pub labels: Vec<(PolicyId, Timestamp)>,
    /// Policies that were over its account or mailbox and are not any more, up to which entry.
    pub left: Vec<(PolicyId, LogIndex)>,
    /// What happened to its account, by name.
    pub events: Vec<(String, Timestamp)>,
    /// Policies whose query was asked about it, with the version, and whether it found it.
    pub asked: Vec<(PolicyId, u32, Option<Held>)>,
}

/// Where an email stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stands {
    /// In which mailbox.
    pub mailbox: MailboxId,
    /// Under which UID.
    pub uid: Uid,
    /// The mailbox's whole name; empty for one that has none any more.
    pub name: String,
    /// The mailbox's use.
    pub special_use: Option<SpecialUse>,
    /// Since when.
    pub saved: Timestamp,
    /// Its flags there.
    pub flags: Flags,
    /// Its keywords there.
    pub keywords: Vec<Keyword>,
    /// Policies that were over the mailbox when it was called otherwise, or went.
    pub left: Vec<Left>,
}

/// A policy that a mailbox is no longer under, but for what it held then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Which policy.
    pub policy: PolicyId,
    /// Whether the mailbox was where it is over.
    pub place: bool,
    /// Whether the mailbox was the one for sent mail.
    pub sent: bool,
}

/// A floor that an email has for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// By which policy.
    pub policy: PolicyId,
    /// From when on it counts; the latest, where there were several.
    pub anchor: Timestamp,
}

/// Whether a policy's floor hangs on where an email stands or how it is marked.
pub(crate) fn hangs_on_place(settings: &PolicySettings) -> bool {
    let scope = &settings.scope;
    scope.mailbox.is_some()
        || scope.tag.is_some()
        || scope.direction == Some(redoubt_log::record::PolicyDirection::Sent)
        || settings.anchor == PolicyAnchor::Saved
}
