//! What records did to an account or a mailbox, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, LogIndex, MailboxId};
use serde::{Deserialize, Serialize};

use super::{By, Names};
use crate::keys::{Object, kind, objects, parse_history};
use crate::mailstore::StoreError;
use crate::rows::{Counters, MailboxState, Version};
use crate::storage::{Order, StorageError, Table, decode};
use crate::view::View;

/// What one record did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// By whom and when.
    #[serde(flatten)]
    pub by: By,
    /// What of the account itself changed: settings, names of credentials and subscriptions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub account: Vec<String>,
    /// What of mailboxes changed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub mailboxes: Vec<MailboxChange>,
}

/// What a record did to one mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxChange {
    /// Which one.
    pub mailbox: MailboxId,
    /// Its whole name after the record.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub what: MailboxWhat,
}

/// What can happen to a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum MailboxWhat {
    /// It was made.
    Created,
    /// It got another name, itself or one above it.
    Renamed {
        /// The whole name before.
        from: String,
    },
    /// It is gone.
    Deleted,
    /// It is only a name any more, for those below it.
    OnlyName,
    /// Emails came, went or changed.
    Content {
        /// How many there were, and are.
        messages: (u32, u32),
        /// How many of them unseen.
        unseen: (u32, u32),
    },
}

/// Part of what records did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Record by record.
    pub changes: Vec<Change>,
    /// Behind which index to go on; `None` at the end.
    pub next: Option<LogIndex>,
}

/// What a record touched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Touch {
    Account,
    Class,
    Credential(String),
    Subscription(String),
    Counters(MailboxId),
    Mailbox(MailboxId),
}

/// What records from one index to another, both included, did to an account, or to one mailbox
/// of it; of at most `limit` records, in order.
///
/// # Errors
/// The state cannot be read.
pub fn changes(
    view: &View,
    account: AccountId,
    only: Option<MailboxId>,
    from: LogIndex,
    to: LogIndex,
    limit: usize,
) -> Result<Changes, StoreError> {
    let names = Names::read(view, account)?;
    // Below the floor is what was left over, not what happened.
    let floor = view.history_floor(account)?.map_or(LogIndex(0), |row| row.floor);
    let from = from.max(LogIndex(floor.0.saturating_add(1)));
    let mut looked = First { from, to: to.min(view.index()), limit, touched: BTreeMap::new() };
    looked.look(view, account, only)?;
    looked.look_at_names(&names, only);
    let last = looked.touched.keys().next_back().copied();
    let next = last.filter(|_| looked.touched.len() >= limit);
    let tell = |(index, touches)| tell(view, account, &names, index, touches);
    let told = looked.touched.into_iter().map(tell);
    let told = told.filter(|told| told.as_ref().map_or(true, is_something));
    Ok(Changes { changes: told.collect::<Result<_, _>>()?, next })
}

fn is_something(change: &Change) -> bool {
    !change.account.is_empty() || !change.mailboxes.is_empty()
}

/// The first records of an interval, with what they touched.
struct First {
    from: LogIndex,
    to: LogIndex,
    limit: usize,
    touched: BTreeMap<LogIndex, BTreeSet<Touch>>,
}

impl First {
    fn add(&mut self, index: LogIndex, touch: Touch) {
        if index < self.from || index > self.to {
            return;
        }
        self.touched.entry(index).or_default().insert(touch);
        if self.touched.len() > self.limit {
            self.touched.pop_last();
        }
    }

    fn look(
        &mut self,
        view: &View,
        account: AccountId,
        only: Option<MailboxId>,
    ) -> Result<(), StorageError> {
        let whole = [
            kind::ACCOUNT,
            kind::ACCOUNT_CLASS,
            kind::CREDENTIAL,
            kind::SUBSCRIPTION,
            kind::COUNTERS,
        ];
        let ranges = match only {
            Some(mailbox) => vec![objects(account, kind::COUNTERS).u32(mailbox.0).range()],
            None => whole.map(|kind| objects(account, kind).range()).to_vec(),
        };
        for range in ranges {
            view.reader().visit(Table::History, &range, Order::Rising, &mut |key, _| {
                let touched =
                    parse_history(key).and_then(|(object, index)| Some((index, touch(object)?)));
                let (index, touch) = touched
                    .ok_or_else(|| StorageError::corrupt(Table::History, key, "no object"))?;
                self.add(index, touch);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    fn look_at_names(&mut self, names: &Names, only: Option<MailboxId>) {
        for mailbox in names.ids().filter(|id| only.is_none_or(|only| only == *id)) {
            for index in names.moments(mailbox) {
                self.add(index, Touch::Mailbox(mailbox));
            }
        }
    }
}

fn touch(object: Object) -> Option<Touch> {
    match object {
        Object::Account(_) => Some(Touch::Account),
        Object::AccountClass(_) => Some(Touch::Class),
        Object::Credential(_, name) => Some(Touch::Credential(name)),
        Object::Subscription(_, name) => Some(Touch::Subscription(name)),
        Object::Counters(_, mailbox) => Some(Touch::Counters(mailbox)),
        _ => None,
    }
}

fn tell(
    view: &View,
    account: AccountId,
    names: &Names,
    index: LogIndex,
    touches: BTreeSet<Touch>,
) -> Result<Change, StoreError> {
    let mut change =
        Change { by: By::of(view, index)?, account: Vec::new(), mailboxes: Vec::new() };
    for touch in touches {
        match touch {
            // Every new mailbox changes the account's row: that says nothing.
            Touch::Account if (0x0110..=0x0112).contains(&change.by.kind) => {
                change.account.push(change.by.word().to_owned());
            }
            Touch::Account => {}
            Touch::Class => change.account.push(change.by.word().to_owned()),
            Touch::Credential(name) => change.account.push(format!("credential {name}")),
            Touch::Subscription(name) => change.account.push(format!("subscription {name}")),
            Touch::Mailbox(mailbox) => {
                let what = named(names, mailbox, index);
                let name = names.name(mailbox, index);
                let told = what.map(|what| MailboxChange { mailbox, name, what });
                change.mailboxes.extend(told);
            }
            Touch::Counters(mailbox) => {
                let name = names.name(mailbox, index);
                let what = content(view, account, names, mailbox, index)?;
                let told = what.map(|what| MailboxChange { mailbox, name, what });
                change.mailboxes.extend(told);
            }
        }
    }
    Ok(change)
}

fn named(names: &Names, mailbox: MailboxId, index: LogIndex) -> Option<MailboxWhat> {
    let before = LogIndex(index.0.saturating_sub(1));
    let state = |at: LogIndex| {
        let versions = names.of(mailbox).iter().rev();
        let row = versions.clone().find(|(from, _)| *from <= at).and_then(|(_, row)| row.as_ref());
        row.map(|row| row.state).filter(|state| *state != MailboxState::Deleted)
    };
    let (was, is) = (names.name(mailbox, before), names.name(mailbox, index));
    match (state(before), state(index)) {
        (None, Some(_)) => Some(MailboxWhat::Created),
        (Some(_), None) => Some(MailboxWhat::Deleted),
        (Some(MailboxState::Live), Some(MailboxState::NoSelect)) => Some(MailboxWhat::OnlyName),
        (Some(_), Some(_)) if was != is => Some(MailboxWhat::Renamed { from: was }),
        _ => None,
    }
}

/// What happens to a mailbox that is gone is its sweep, and nobody's doing.
fn content(
    view: &View,
    account: AccountId,
    names: &Names,
    mailbox: MailboxId,
    index: LogIndex,
) -> Result<Option<MailboxWhat>, StoreError> {
    if names.gone(mailbox).is_some_and(|gone| gone <= index) {
        return Ok(None);
    }
    let object = Object::Counters(account, mailbox);
    let at = |index: LogIndex| -> Result<Option<Counters>, StoreError> {
        let last = view.reader().last(Table::History, &object.versions_to(index))?;
        let value = last.as_ref().and_then(|(_, value)| Version::decode(value).flatten());
        Ok(value.map(|value| decode(Table::History, &object.bytes(), value)).transpose()?)
    };
    let before = at(LogIndex(index.0.saturating_sub(1)))?;
    let Some((before, after)) = before.zip(at(index)?) else { return Ok(None) };
    Ok(Some(MailboxWhat::Content {
        messages: (before.messages, after.messages),
        unseen: (before.unseen, after.unseen),
    }))
}
