//! Capture: which mail is kept in archive accounts beside those that it is for.

use serde::{Deserialize, Serialize};

use super::{Deliver, Message};
use crate::id::{AccountId, BlobId, CaptureId, ClassId, OperationId, Timestamp};

/// See [`Change::CaptureSet`](super::Change::CaptureSet). Its id is assigned when it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureSet {
    /// What it says.
    pub rule: CaptureRule,
}

/// See [`Change::CaptureRemove`](super::Change::CaptureRemove).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRemove {
    /// Which rule.
    pub rule: CaptureId,
}

/// Whose mail goes into which archive account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRule {
    /// Whose mail.
    pub scope: CaptureScope,
    /// Which of it.
    pub direction: CaptureDirection,
    /// Into which archive account.
    pub archive: AccountId,
}

/// Whose mail a rule is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureScope {
    /// Everybody's.
    All,
    /// That of a domain's addresses.
    Domain(String),
    /// That of accounts with this class of service.
    Class(ClassId),
    /// That of one account.
    Account(AccountId),
    /// What another server reports: journal reports that are delivered to the archive
    /// account's own address.
    Journal,
}

/// Which mail of an account a rule is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureDirection {
    /// What is delivered to it.
    Delivered,
    /// What it sends, as the MTA's milter shows it.
    Sent,
    /// Both.
    Both,
}

impl CaptureDirection {
    /// Whether what is delivered is captured.
    pub fn takes_delivered(self) -> bool {
        self != Self::Sent
    }

    /// Whether what is sent is captured.
    pub fn takes_sent(self) -> bool {
        self != Self::Delivered
    }
}

/// See [`Change::Capture`](super::Change::Capture).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// What is captured: one copy for all archive accounts.
    pub message: Message,
    /// INTERNALDATE and JMAP's receivedAt.
    pub received: Timestamp,
    /// A salted blob with the SMTP envelope.
    pub envelope: BlobId,
    /// Hash of sender, recipients and content: the MTA's retry gets the first outcome.
    pub retry: OperationId,
    /// Where it comes from.
    pub source: CaptureSource,
    /// The archive accounts that it goes into, as the proposer found them: where the rules want
    /// another one, nothing is done.
    pub archives: Vec<AccountId>,
}

/// See [`Change::DeliverCaptured`](super::Change::DeliverCaptured).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverCaptured {
    /// What is delivered, and to whom.
    pub deliver: Deliver,
    /// The archive accounts that it goes into as well, as the proposer found them: a recipient
    /// whose mail the rules want in another one does not get it.
    pub archives: Vec<AccountId>,
}

/// Where something that is captured comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureSource {
    /// A milter saw it sent; the rules over any of these say where it goes.
    Sent(Vec<CaptureParty>),
    /// A journal report that was delivered to the archive account.
    Journal {
        /// Whether the original was taken out of it; the report is kept whole otherwise.
        parsed: bool,
    },
}

/// Somebody of ours who sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaptureParty {
    /// Whose address it is, where it is an account's.
    pub account: Option<AccountId>,
    /// The address's domain, which is one of ours.
    pub domain: String,
}
