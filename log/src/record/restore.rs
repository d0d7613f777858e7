//! Records that bring back what the history holds.
//!
//! A restore is a plan (steps, in blobs), a record that begins it, pieces of the
//! plan in their order, and an audit record that ends it. `apply` takes what an
//! email is from the history, and not from the record: an email whose history was
//! erased meanwhile does not come back.

use serde::{Deserialize, Serialize};

use super::{AccountSettings, Address, Arrival, Flags, Keyword, Rejection, SpecialUse};
use crate::id::{AccountId, BlobId, EmailId, LogIndex, MailboxId, ModSeq, OperationId, Uid};

/// See [`Change::AccountDelete`](super::Change::AccountDelete).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDelete {
    /// Which account.
    pub account: AccountId,
}

/// See [`Change::AccountSweep`](super::Change::AccountSweep).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSweep {
    /// Which account; one that is not deleted (any more) is left alone.
    pub account: AccountId,
    /// In which of its mailboxes.
    pub mailbox: MailboxId,
    /// Which placements.
    pub uids: Vec<Uid>,
}

/// How a restore was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreMode {
    /// Single emails.
    Email,
    /// What was deleted in an interval.
    Undelete,
    /// Back to a moment.
    Rewind,
    /// A deleted account.
    Account,
    /// An account as of a moment, into another account.
    Copy,
}

/// What a restore may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOptions {
    /// Beyond the quota too.
    pub over_quota: bool,
    /// Into INBOX where the target is gone by the time that the piece is applied.
    pub inbox_if_gone: bool,
}

/// See [`Change::RestoreBegin`](super::Change::RestoreBegin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreBegin {
    /// Its id.
    pub restore: OperationId,
    /// Where things come back.
    pub account: AccountId,
    /// Whose history they come from.
    pub source: AccountId,
    /// How it was asked for.
    pub mode: RestoreMode,
    /// The moment, or the beginning of the interval.
    pub at: Option<LogIndex>,
    /// The end of the interval.
    pub until: Option<LogIndex>,
    /// A salted blob with what was asked for, as JSON.
    pub wish: BlobId,
    /// Salted blobs with the steps, in their order.
    pub plan: Vec<BlobId>,
    /// Steps of the plan.
    pub steps: u64,
    /// What it may do.
    pub options: RestoreOptions,
}

/// See [`Change::RestorePiece`](super::Change::RestorePiece).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePiece {
    /// Of which restore.
    pub restore: OperationId,
    /// Where things come back.
    pub account: AccountId,
    /// The place of the first step in the plan: as many as are done.
    pub first: u64,
    /// The steps.
    pub steps: Vec<RestoreStep>,
}

/// See [`Change::RestoreNow`](super::Change::RestoreNow).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreNow {
    /// Its id.
    pub restore: OperationId,
    /// Where things come back.
    pub account: AccountId,
    /// Whose history they come from.
    pub source: AccountId,
    /// The moment that was looked at.
    pub at: Option<LogIndex>,
    /// The steps.
    pub steps: Vec<RestoreStep>,
    /// What it may do.
    pub options: RestoreOptions,
}

/// See [`Change::RestoreAudit`](super::Change::RestoreAudit).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreAudit {
    /// Of which restore.
    pub restore: OperationId,
    /// Where things came back.
    pub account: AccountId,
    /// A salted blob with what was asked for.
    pub wish: BlobId,
    /// Salted blobs with the steps.
    pub plan: Vec<BlobId>,
    /// What came of the steps; must be what the state has counted.
    pub counts: RestoreCounts,
    /// Whether all steps were taken.
    pub ended: RestoreEnded,
}

/// How a restore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreEnded {
    /// All steps were taken.
    Completed,
    /// Somebody stopped it; what was done stays.
    Cancelled,
}

/// What came of a restore's steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreCounts {
    /// Emails and mailboxes that are there again.
    pub created: u64,
    /// Flags, names and places put back.
    pub changed: u64,
    /// What was there already.
    pub merged: u64,
    /// What was left alone, with a reason.
    pub skipped: u64,
    /// What could not be done, with a reason.
    pub failed: u64,
}

impl RestoreCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        [self.changed, self.merged, self.skipped, self.failed]
            .iter()
            .fold(self.created, |sum, more| sum.saturating_add(*more))
    }

    /// One step more.
    pub fn count(&mut self, step: &Restored) {
        let counter = match step {
            Restored::Created(_) => &mut self.created,
            Restored::Changed(_) => &mut self.changed,
            Restored::Merged => &mut self.merged,
            Restored::Skipped(_) => &mut self.skipped,
            Restored::Failed(_) => &mut self.failed,
        };
        *counter = counter.saturating_add(1);
    }
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restored {
    /// It is there again; of an email, its first new placement.
    Created(Option<Arrival>),
    /// Flags, a name or a place were put back; of a move, the new placement.
    Changed(Option<Arrival>),
    /// It was there already.
    Merged,
    /// Left alone: it changed since the plan was made, or something else has its place.
    Skipped(Rejection),
    /// Not possible.
    Failed(Rejection),
}

/// A mailbox that a step means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RestoreTo {
    /// One that is there.
    Mailbox(MailboxId),
    /// What the step [`RestoreStep::Mailbox`] with this number found or made.
    Made(u32),
}

/// One step of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreStep {
    /// A deleted account is there again, with its credentials and, where they are
    /// free, its aliases.
    Account {
        /// Its address from now on.
        address: Address,
        /// Its settings as they were.
        settings: AccountSettings,
    },
    /// A mailbox, found by its name or made.
    Mailbox {
        /// What later steps call it.
        slot: u32,
        /// Under which mailbox.
        parent: Option<RestoreTo>,
        /// Its own name.
        name: String,
        /// Its use, if that is free.
        special_use: Option<SpecialUse>,
    },
    /// A mailbox gets its name or parent back.
    Rename {
        /// Which mailbox.
        mailbox: MailboxId,
        /// Under which mailbox.
        parent: Option<RestoreTo>,
        /// Its own name.
        name: String,
    },
    /// A mailbox that came later goes.
    Delete {
        /// Which mailbox.
        mailbox: MailboxId,
    },
    /// A subscription as it was.
    Subscribe {
        /// The whole name.
        name: String,
        /// Subscribed, or not.
        subscribed: bool,
    },
    /// An email gets placements.
    Email(RestoreEmail),
    /// Flags and keywords of a live placement as they were.
    Flags {
        /// In which mailbox.
        mailbox: MailboxId,
        /// Its UID.
        uid: Uid,
        /// Its email.
        email: EmailId,
        /// Its MODSEQ when the plan was made: a later change stays.
        modseq: ModSeq,
        /// System flags.
        flags: Flags,
        /// Keywords.
        keywords: Vec<Keyword>,
    },
    /// A placement goes back to where it stood.
    Move {
        /// From which mailbox.
        from: MailboxId,
        /// Its UID there.
        uid: Uid,
        /// Its email.
        email: EmailId,
        /// To which mailbox.
        to: RestoreTo,
        /// System flags.
        flags: Flags,
        /// Keywords.
        keywords: Vec<Keyword>,
    },
    /// A placement that came later goes.
    Expunge {
        /// In which mailbox.
        mailbox: MailboxId,
        /// Its UID.
        uid: Uid,
        /// Its email.
        email: EmailId,
    },
}

/// See [`RestoreStep::Email`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreEmail {
    /// Whose history knows it.
    pub from: AccountId,
    /// Its id there; in the same account it keeps it.
    pub email: EmailId,
    /// Its content, which the node that takes this record must hold.
    pub blob: BlobId,
    /// Its SMTP envelope.
    pub envelope: Option<BlobId>,
    /// In another account: a live email that is the same, by its bytes and received time.
    pub twin: Option<EmailId>,
    /// Where it is to stand.
    pub places: Vec<RestorePlace>,
}

/// One placement that an email is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlace {
    /// In which mailbox.
    pub to: RestoreTo,
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<Keyword>,
    /// It is there already when the mailbox has so many placements of the email.
    pub copies: u32,
}

impl RestoreStep {
    /// Items of a record that this counts for.
    pub fn changes(&self) -> usize {
        match self {
            Self::Email(email) => email.places.len().max(1),
            _ => 1,
        }
    }

    /// The blobs that it makes live again.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        let email = match self {
            Self::Email(email) => Some(email),
            _ => None,
        };
        email.into_iter().flat_map(|email| std::iter::once(email.blob).chain(email.envelope))
    }
}
