//! Plans of restores: from what is so now and what was so then to steps, without
//! changing anything. A plan is a value: it is shown, kept in blobs, and then
//! applied piece by piece.
//!
//! Whatever a plan wants that is there already costs nothing when it is applied,
//! so that a plan that was made twice is no harm.

mod account;
mod copy;
mod email;
mod lives;
mod pieces;
mod rewind;
mod stands;
mod summary;
mod tree;
mod undelete;
mod undo;

use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Timestamp, Uid};
use redoubt_log::record::{Address, Principal, RestoreMode, RestoreStep};
use serde::{Deserialize, Serialize};

use crate::mailstore::StoreError;
use crate::rows::FloorRow;
use crate::view::View;

pub(crate) use pieces::{chunks, read_chunk, take_piece};
pub(crate) use stands::data;
pub use summary::{Line, Summary};

/// Steps that a plan has at most.
pub const MAX_STEPS: usize = 5_000_000;

/// What a restore is asked to do. Moments are indexes: whoever asks has resolved times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Wish {
    /// Single emails.
    Email(EmailWish),
    /// What was deleted in an interval.
    Undelete(UndeleteWish),
    /// Back to a moment, or one actor's changes undone.
    Rewind(RewindWish),
    /// A deleted account, with what it held.
    Account {
        /// Which account.
        account: AccountId,
        /// Its address from now on; `None` for the one it had.
        address: Option<Address>,
    },
    /// An account as of a moment, into another account that was just made.
    Copy {
        /// Of which account.
        account: AccountId,
        /// As of when.
        at: LogIndex,
        /// Into which account.
        to: AccountId,
    },
}

/// See [`Wish::Email`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailWish {
    /// Whose history knows them.
    pub account: AccountId,
    /// Which emails.
    pub emails: Vec<EmailId>,
    /// Emails by where they stood.
    #[serde(default)]
    pub places: Vec<(MailboxId, Uid)>,
    /// As of when; `None` as they last were.
    pub at: Option<LogIndex>,
    /// Into this mailbox, made if it is not there; `None` for their own.
    pub into: Option<String>,
    /// Into this account; `None` for their own.
    pub to: Option<AccountId>,
    /// Flags and keywords of what is live too.
    #[serde(default)]
    pub flags: bool,
}

/// See [`Wish::Undelete`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndeleteWish {
    /// Of which account.
    pub account: AccountId,
    /// Deleted after this.
    pub since: LogIndex,
    /// Deleted at or before this.
    pub until: LogIndex,
    /// Deleted by whom; `None` by anybody.
    pub by: Option<Principal>,
    /// In the mailbox of this name (now, at the beginning or when it went) and below it.
    pub mailbox: Option<String>,
}

/// See [`Wish::Rewind`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewindWish {
    /// Which account.
    pub account: AccountId,
    /// Back to when.
    pub at: LogIndex,
    /// Only this mailbox, by its name at that moment.
    pub mailbox: Option<String>,
    /// Only these emails.
    pub emails: Option<Vec<EmailId>>,
    /// Only flags and keywords.
    #[serde(default)]
    pub only_flags: bool,
    /// What came later goes.
    #[serde(default)]
    pub exact: bool,
    /// Only what this actor did until a moment.
    pub by: Option<(Principal, LogIndex)>,
}

/// What is to be done, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How it was asked for.
    pub mode: RestoreMode,
    /// Where things come back.
    pub account: AccountId,
    /// Whose history they come from.
    pub source: AccountId,
    /// The moment, or the beginning of the interval.
    pub at: Option<LogIndex>,
    /// The end of the interval.
    pub until: Option<LogIndex>,
    /// The steps, in their order.
    pub steps: Vec<RestoreStep>,
}

/// Why there is no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// No such mailbox, then or now.
    #[error("there is no mailbox {0}, neither then nor now")]
    NoSuchMailbox(String),
    /// The history does not know it (any more), or not at that moment.
    #[error("the history knows no email {0} at that moment: `redoubt history` shows when it was")]
    NoSuchEmail(String),
    /// It was there before the history begins.
    #[error(
        "{what} is of a time before {} (entry {floor}), where this history begins: it cannot be \
         restored from it; a backup may have it",
        rfc3339(*since)
    )]
    BelowFloor {
        /// What was asked for.
        what: String,
        /// The oldest index that the history has.
        floor: LogIndex,
        /// The effective time there.
        since: Timestamp,
    },
    /// No such account.
    #[error("there is no account {0}, or it was not there then")]
    NoSuchAccount(AccountId),
    /// The account is there.
    #[error("account {0} is not deleted: `redoubt restore rewind` brings back what it held")]
    NotDeleted(AccountId),
    /// More than one plan may hold.
    #[error("the plan has more than {MAX_STEPS} steps: restore one mailbox after the other")]
    TooLarge,
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<crate::storage::StorageError> for PlanError {
    fn from(error: crate::storage::StorageError) -> Self {
        Self::Store(error.into())
    }
}

/// What a planner answers.
type Planned<T> = Result<T, PlanError>;

/// The steps that do what is wished. Blocks: it reads as much of the account's history as the
/// wish is about.
///
/// # Errors
/// [`PlanError`].
pub fn plan(view: &View, wish: &Wish) -> Planned<Plan> {
    check_floors(view, wish)?;
    let plan = match wish {
        Wish::Email(wish) => email::plan(view, wish),
        Wish::Undelete(wish) => undelete::plan(view, wish),
        Wish::Rewind(wish) => match wish.by {
            Some((by, until)) => undo::plan(view, wish, by, until),
            None => rewind::plan(view, wish),
        },
        Wish::Account { account, address } => account::plan(view, *account, address.as_ref()),
        Wish::Copy { account, at, to } => copy::plan(view, *account, *at, *to),
    }?;
    match plan.steps.len() > MAX_STEPS {
        true => Err(PlanError::TooLarge),
        false => Ok(plan),
    }
}

/// Whoever plans without a moment checks what it comes to by itself. Who did what, which is the
/// directory's history, goes back further than any account's.
fn check_floors(view: &View, wish: &Wish) -> Planned<()> {
    let (account, at) = match wish {
        Wish::Email(wish) => (wish.account, wish.at),
        Wish::Undelete(wish) => (wish.account, Some(wish.since)),
        Wish::Rewind(wish) => (wish.account, Some(wish.at)),
        Wish::Account { .. } => return Ok(()),
        Wish::Copy { account, at, .. } => (*account, Some(*at)),
    };
    let Some(at) = at else { return Ok(()) };
    reaches(view, account, at, || format!("account {account} at entry {at}"))
}

/// Refuses what was before the history of an account begins.
fn reaches(
    view: &View,
    account: AccountId,
    index: LogIndex,
    what: impl FnOnce() -> String,
) -> Planned<()> {
    match view.history_floor(account)? {
        Some(row) if index < row.floor => Err(below(row, what())),
        _ => Ok(()),
    }
}

fn below(row: FloorRow, what: String) -> PlanError {
    PlanError::BelowFloor { what, floor: row.floor, since: row.time }
}
