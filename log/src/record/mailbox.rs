//! Records of the mailbox group.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, MailboxId};

/// The use of a mailbox (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

/// See [`Change::MailboxCreate`](super::Change::MailboxCreate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxCreate {
    /// In which account.
    pub account: AccountId,
    /// Under which mailbox, `None` for the top.
    pub parent: Option<MailboxId>,
    /// Its own name without its parents', NFC, without `/`.
    pub name: String,
    /// Its use, if any.
    pub special_use: Option<SpecialUse>,
}

/// See [`Change::MailboxRename`](super::Change::MailboxRename). Children follow, since they name their parent by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxRename {
    /// In which account.
    pub account: AccountId,
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Under which mailbox from now on; never one below itself.
    pub parent: Option<MailboxId>,
    /// Its own name from now on.
    pub name: String,
}

/// See [`Change::MailboxDelete`](super::Change::MailboxDelete). A mailbox with children stays as a name that
/// cannot be selected (RFC 9051 section 6.3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxDelete {
    /// In which account.
    pub account: AccountId,
    /// Which mailbox.
    pub mailbox: MailboxId,
}

/// See [`Change::MailboxNamed`](super::Change::MailboxNamed). Clients mean names: between the look at a name and the record,
/// another record may have given the mailbox another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxNamed {
    /// In which account.
    pub account: AccountId,
    /// Which mailbox had the name.
    pub mailbox: MailboxId,
    /// The whole name that it must still have, with its parents', `/` between.
    pub name: String,
    /// What is done to it.
    pub then: NamedChange,
}

/// What is done to a mailbox of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedChange {
    /// As [`MailboxRename`].
    Rename {
        /// Under which mailbox from now on.
        parent: Option<MailboxId>,
        /// Its own name from now on.
        name: String,
    },
    /// As [`MailboxDelete`].
    Delete,
}

/// See [`Change::Subscribe`](super::Change::Subscribe). Names, not mailboxes: a subscription may outlive
/// its mailbox (RFC 9051 section 6.3.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// In which account.
    pub account: AccountId,
    /// The whole name with its parents', `/` between.
    pub name: String,
    /// Subscribed from now on, or not.
    pub subscribed: bool,
}
