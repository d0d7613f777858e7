//! Replies with their enhanced status codes (RFC 3463), and which of them an
//! outcome of the mailstore is.

use std::borrow::Cow;

use redoubt_log::record::{AccountState, Rejection};
use redoubt_store::mailstore::{StoreError, WriteError};

use super::OverQuota;

/// One reply: code, enhanced code, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) status: &'static str,
    pub(super) text: Cow<'static, str>,
}

/// A reply with a fixed text.
pub(super) const fn reply(code: u16, status: &'static str, text: &'static str) -> Reply {
    Reply { code, status, text: Cow::Borrowed(text) }
}

/// A reply with a text made for it.
pub(super) fn reply_with(code: u16, status: &'static str, text: String) -> Reply {
    Reply { code, status, text: Cow::Owned(text) }
}

impl Reply {
    /// The line. What came from outside cannot begin another one.
    pub(super) fn line(&self) -> String {
        let text: String = self.text.chars().filter(|c| !c.is_control()).collect();
        format!("{} {} {text}\r\n", self.code, self.status)
    }

    /// Whether the fault is ours.
    pub(super) fn is_ours(&self) -> bool {
        self.code / 100 == 4
    }
}

/// Why one recipient did not get a message.
pub(super) fn rejected(rejection: &Rejection, over_quota: OverQuota) -> Reply {
    match rejection {
        Rejection::NoSuchAccount => reply(550, "5.1.1", "no such user"),
        Rejection::AccountState(AccountState::Closed) => closed(),
        Rejection::Archive => archive(),
        Rejection::OverQuota { .. } => quota(over_quota),
        // RFC 3463 section 3.3: X.2.3
        Rejection::TooLarge { .. } => reply_with(552, "5.2.3", rejection.to_string()),
        Rejection::Limit(limit) => reply_with(452, "4.2.2", format!("limit reached: {limit}")),
        Rejection::UidsExhausted => reply(452, "4.2.2", "the mailbox has no UIDs left"),
        other => reply_with(451, "4.3.0", other.to_string()),
    }
}

pub(super) fn closed() -> Reply {
    reply(550, "5.2.1", "this mailbox is closed")
}

/// RFC 3463 section 3.8: X.7.1
pub(super) fn archive() -> Reply {
    reply(550, "5.7.1", "this is an archive, which takes no mail")
}

pub(super) fn quota(over_quota: OverQuota) -> Reply {
    match over_quota {
        OverQuota::Refuse => reply(552, "5.2.2", "the mailbox is over quota"),
        OverQuota::Defer => reply(452, "4.2.2", "the mailbox is over quota"),
    }
}

pub(super) fn too_large() -> Reply {
    reply(552, "5.3.4", "the message is too large")
}

/// Why nobody got a message. Facts of our disk and files stay in our log.
pub(super) fn failed(error: &WriteError) -> Reply {
    match error {
        WriteError::Rejected(rejection) => rejected(rejection, OverQuota::Refuse),
        WriteError::DiskFull { .. } => reply(452, "4.3.1", "no room on the disk, try again later"),
        WriteError::TooLarge { .. } => too_large(),
        WriteError::Invalid(why) => reply_with(554, "5.6.0", why.clone()),
        WriteError::Unavailable(_) => reply(451, "4.3.2", "not available, try again later"),
        WriteError::Unknown(_) => reply(451, "4.3.0", "the outcome is not known, try again"),
        WriteError::Store(error) => unreadable(error),
    }
}

/// What was to be looked up cannot be.
pub(super) fn unreadable(error: &StoreError) -> Reply {
    match error {
        StoreError::Unavailable(_) => reply(451, "4.3.2", "not available, try again later"),
        _ => reply(451, "4.3.0", "the store cannot answer, try again later"),
    }
}
