//! Records of holds.

use serde::{Deserialize, Serialize};

use super::Principal;
use crate::id::{AccountId, EmailId, HoldId, LogIndex, MatterId, Timestamp};

/// See [`Change::HoldSet`](super::Change::HoldSet). Its id is assigned when it is applied. What
/// is said here is never changed, but for the matter: who wants another hold sets another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSet {
    /// What is held.
    pub scope: HoldScope,
    /// What people call it.
    pub name: String,
    /// Why it was set, at most 10,000 octets.
    pub reason: String,
    /// The matter that it is for.
    pub matter: Option<MatterId>,
    /// Seconds for which it stays in force once it is released.
    pub delay: u64,
}

impl HoldSet {
    /// One that nobody has named, and that ends as soon as it is released.
    pub fn over(scope: HoldScope) -> Self {
        Self { scope, name: String::new(), reason: String::new(), matter: None, delay: 0 }
    }

    /// How much it changes at most.
    pub(crate) fn changes(&self) -> usize {
        match self.scope.reach() {
            Reach::Accounts(accounts) => accounts.len().saturating_add(1),
            _ => 1,
        }
    }
}

/// What a hold is over: always what comes later, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldScope {
    /// All of one account.
    Account(AccountId),
    /// All accounts of a domain. One that leaves it stays held.
    Domain(String),
    /// What matches a query.
    Query(HoldQuery),
}

/// A hold over what matches a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldQuery {
    /// In which accounts.
    pub over: HoldOver,
    /// The query, as it was typed; read with the moment at which the hold was set, in UTC.
    pub text: String,
}

/// The accounts in which a query is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldOver {
    /// These.
    Accounts(Vec<AccountId>),
    /// Those of a domain. One that leaves it stays held.
    Domain(String),
    /// All.
    All,
}

/// Which accounts a hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'h> {
    /// These.
    Accounts(&'h [AccountId]),
    /// Those of a domain.
    Domain(&'h str),
    /// All.
    All,
}

impl HoldScope {
    /// Which accounts it is over.
    pub fn reach(&self) -> Reach<'_> {
        match self {
            Self::Account(account) => Reach::Accounts(std::slice::from_ref(account)),
            Self::Domain(domain) => Reach::Domain(domain),
            Self::Query(query) => match &query.over {
                HoldOver::Accounts(accounts) => Reach::Accounts(accounts),
                HoldOver::Domain(domain) => Reach::Domain(domain),
                HoldOver::All => Reach::All,
            },
        }
    }

    /// The query, where it is not over all there is.
    pub fn query(&self) -> Option<&HoldQuery> {
        match self {
            Self::Query(query) => Some(query),
            _ => None,
        }
    }
}

/// That a hold is being released, and is in force until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releasing {
    /// When that was said.
    pub since: Timestamp,
    /// Until when it is in force.
    pub until: Timestamp,
    /// Who has said so: nobody else than a second person may end it before.
    pub by: Principal,
    /// Whether it has ended, and what is known of it goes piece by piece.
    pub ending: bool,
}

/// See [`Change::HoldRelease`](super::Change::HoldRelease).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRelease {
    /// Which hold.
    pub hold: HoldId,
    /// Seconds for which it stays in force; never less than the hold itself says.
    pub delay: u64,
}

impl HoldRelease {
    /// After the hold's own delay.
    pub fn of(hold: HoldId) -> Self {
        Self { hold, delay: 0 }
    }
}

/// See [`Change::HoldMove`](super::Change::HoldMove).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMove {
    /// Which hold.
    pub hold: HoldId,
    /// The matter that it is for from now on: an open one.
    pub matter: MatterId,
}

/// See [`Change::HoldStays`](super::Change::HoldStays).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldStays {
    /// Which hold.
    pub hold: HoldId,
}

/// See [`Change::HoldEnd`](super::Change::HoldEnd). Before the delay is over a hold ends by an
/// [`Approval`](super::Approval).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldEnd {
    /// Which hold.
    pub hold: HoldId,
}

/// See [`Change::HoldMarks`](super::Change::HoldMarks).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMarks {
    /// Which hold: one by a query.
    pub hold: HoldId,
    /// What was judged, account by account.
    pub judged: Vec<Judged>,
}

impl HoldMarks {
    /// How much it changes at most.
    pub(crate) fn changes(&self) -> usize {
        self.judged.iter().map(|one| one.marks.len().saturating_add(1)).sum()
    }
}

/// Emails of one account that a query was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Whose emails.
    pub account: AccountId,
    /// Up to which email they were judged before.
    pub after: Option<EmailId>,
    /// Up to which email they are judged now: all between that are not named here are not held.
    pub upto: EmailId,
    /// Those that are held, by rising id.
    pub marks: Vec<(EmailId, Held)>,
}

/// Why an email is held by a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It matches.
    Matches,
    /// Its text could not be had to the end: perhaps it matches.
    Unread,
}

/// See [`Change::HoldsKept`](super::Change::HoldsKept).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldsKept {
    /// Holds, under the ids that they had; at most [`MAX_CHANGES`](super::MAX_CHANGES), with the
    /// accounts that each names. One over accounts of which none is known holds nothing.
    pub holds: Vec<KeptHold>,
    /// Holds that have ended.
    pub ended: Vec<HoldId>,
    /// Ids below this one are not given any more.
    pub next: HoldId,
}

impl HoldsKept {
    /// How much it changes at most.
    pub(crate) fn changes(&self) -> usize {
        let of = |kept: &KeptHold| kept.changes();
        self.holds.iter().map(of).sum::<usize>().saturating_add(self.ended.len())
    }
}

impl KeptHold {
    /// How much it changes at most.
    pub fn changes(&self) -> usize {
        self.terms.changes().saturating_add(self.accounts.len())
    }
}

/// A hold of the history that this one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHold {
    /// Its id.
    pub hold: HoldId,
    /// What it says.
    pub terms: HoldSet,
    /// When it was set.
    pub set: Timestamp,
    /// Where it was set.
    pub at: LogIndex,
    /// Whether it is being released.
    pub releasing: Option<Releasing>,
    /// Accounts that it is over besides those that its scope names here and now.
    pub accounts: Vec<AccountId>,
}
