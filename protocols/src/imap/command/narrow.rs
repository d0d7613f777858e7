//! What an index knows before messages are looked at: fewer of them, and what they hold.

use std::sync::Arc;

use redoubt_log::id::{AccountId, EmailId, Uid};
use redoubt_search::index::{Index, Narrowed};
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::search::{Outline, Query};
use redoubt_store::uids::UidSet;
use redoubt_store::view::View;

use crate::imap::reply::Trouble;
use crate::imap::session::Session;

/// Messages that are looked at without asking an index.
const FEW: usize = 8;
/// Emails are looked up one by one where they are no more than one of so many messages.
const SHARE: usize = 4;

/// The messages of a mailbox that are asked of.
pub(super) enum Asked {
    /// All of them.
    All(Arc<UidSet>),
    /// Some, rising.
    These(Vec<Uid>),
}

impl Asked {
    fn len(&self) -> usize {
        match self {
            Self::All(uids) => usize::try_from(uids.len()).unwrap_or(usize::MAX),
            Self::These(uids) => uids.len(),
        }
    }

    fn contains(&self, uid: Uid) -> bool {
        match self {
            Self::All(uids) => uids.contains(uid),
            Self::These(uids) => uids.binary_search(&uid).is_ok(),
        }
    }

    /// One by one: where they are many, that takes longer than to ask an index.
    fn uids(self) -> Vec<Uid> {
        match self {
            Self::All(uids) => uids.iter().collect(),
            Self::These(uids) => uids,
        }
    }
}

/// The messages that can match, and what is known of them.
pub(super) struct Few {
    pub(super) uids: Vec<Uid>,
    pub(super) known: Arc<Narrowed>,
}

/// Narrows down the messages of the selected mailbox that can match; the same ones match.
pub(super) async fn narrow(
    session: &Session,
    query: &Arc<Query>,
    asked: Asked,
) -> Result<Few, Trouble> {
    let index = session.imap.index.clone();
    let is_worth = asked.len() > FEW && asks(&query.outline());
    let Some(index) = index.filter(|_| is_worth) else {
        return Ok(Few { uids: asked.uids(), known: Arc::default() });
    };
    let (mailbox, query) = (session.selected()?.mailbox, query.clone());
    session
        .read_selected(move |view| {
            let known = index.narrow(mailbox.account, &query);
            let look = Look { view, mailbox, index: &index, known: &known };
            let uids = match look.standing(asked.len())? {
                Some(standing) => standing.into_iter().filter(|uid| asked.contains(*uid)).collect(),
                None => asked.uids(),
            };
            Ok(Few { uids, known: Arc::new(known) })
        })
        .await
}

/// Whether an index is of any use.
fn asks(outline: &Outline) -> bool {
    match outline {
        Outline::Any => false,
        Outline::Leaf(_) | Outline::Received(_) => true,
        Outline::And(parts) | Outline::Or(parts) => parts.iter().any(asks),
    }
}

struct Look<'a> {
    view: &'a View,
    mailbox: MailboxRef,
    index: &'a Index,
    known: &'a Narrowed,
}

impl Look<'_> {
    /// The UIDs under which emails that can match stand, rising; `None` where they are too many
    /// to be looked up one by one.
    fn standing(&self, asked: usize) -> Result<Option<Vec<Uid>>, StoreError> {
        let account = self.mailbox.account;
        let most = asked / SHARE;
        let tail = self.view.emails_ever(account, self.known.through(), most + 1)?;
        if !tail.is_empty() {
            self.index.want(account);
        }
        let Some(candidates) = self.known.candidates() else { return Ok(None) };
        if candidates.len() + tail.len() > most {
            return Ok(None);
        }
        let mut standing = self.uids_of(account, candidates)?;
        standing.extend(self.uids_of(account, &tail)?);
        standing.sort_unstable();
        standing.dedup();
        Ok(Some(standing))
    }

    fn uids_of(&self, account: AccountId, emails: &[EmailId]) -> Result<Vec<Uid>, StoreError> {
        let mut uids = Vec::new();
        for email in emails {
            uids.extend(self.view.uids_of(account, self.mailbox.mailbox, *email)?);
        }
        Ok(uids)
    }
}
