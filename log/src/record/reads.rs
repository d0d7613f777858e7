//! Records of the audit group that say who looked: at mail of others, and by which logins.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, BlobId, NodeId, Timestamp};

/// The most lines of one [`Logins`].
pub const MAX_LOGINS: usize = 1000;

/// See [`Change::MailRead`](super::Change::MailRead). Nothing is shown before this is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRead {
    /// Whose mail.
    pub account: AccountId,
    /// How it is looked at.
    pub how: MailReadHow,
    /// A salted blob with what was asked and the typed reason.
    pub asked: BlobId,
}

/// How an administrator looks at mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailReadHow {
    /// The mailboxes are listed.
    Mailboxes,
    /// The emails of one are listed.
    Emails,
    /// Emails are looked for.
    Find,
    /// One email is shown.
    Email,
    /// The octets of one are given.
    Content,
    /// It is told what happened to them.
    History,
    /// Two moments are compared.
    Diff,
}

/// See [`Change::Logins`](super::Change::Logins): at most [`MAX_LOGINS`] lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {
    /// Where they were.
    pub node: NodeId,
    /// From when on, by that node's clock.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// By account, address and protocol.
    pub counts: Vec<LoginCount>,
    /// Logins that no line counts: there were too many different ones.
    pub left_out: u64,
}

/// Logins of one account from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCount {
    /// Whose; `None` for names that nobody has.
    pub account: Option<AccountId>,
    /// From where.
    pub from: Option<IpAddr>,
    /// By what.
    pub protocol: LoginProtocol,
    /// How many went well.
    pub good: u32,
    /// How many did not.
    pub failed: u32,
    /// When the last of them was.
    pub last: Timestamp,
}

/// By what somebody logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginProtocol {
    /// RFC 9051.
    Imap,
}
