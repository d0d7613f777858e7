//! The life of one email, from its coming to its end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Uid};
use serde::{Deserialize, Serialize};

use super::{By, Names, Place, flag_names, flags_between};
use crate::keys::{Key, Object, Parts};
use crate::mailstore::StoreError;
use crate::rows::{PlacementVersion, Standing};
use crate::storage::{KeyRange, Order, StorageError, Table, decode};
use crate::view::View;

/// What happened to an email by one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// By whom and when.
    #[serde(flatten)]
    pub by: By,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen to an email.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// It came to stand there: delivered, appended, copied, restored, as the record says.
    Came {
        /// Where.
        place: Place,
        /// Its flags and keywords.
        flags: Vec<String>,
    },
    /// It left one place for another.
    Moved {
        /// Where it was.
        from: Place,
        /// Where it is from then on.
        to: Place,
    },
    /// Its flags or keywords changed.
    Flags {
        /// Where.
        place: Place,
        /// Those that it got.
        added: Vec<String>,
        /// Those that it lost.
        removed: Vec<String>,
    },
    /// It was expunged there.
    Expunged {
        /// Where it was.
        place: Place,
    },
    /// The mailbox that it stood in was deleted.
    MailboxDeleted {
        /// Where it was.
        place: Place,
    },
}

/// What one placement went through by one record.
enum Turn {
    Came(Vec<String>),
    Flags(Vec<String>, Vec<String>),
    Gone,
    Deleted,
}

/// All that happened to an email up to the view's index, in order; nothing of one that the
/// account never had.
///
/// # Errors
/// The state cannot be read.
pub fn life(
    view: &View,
    account: AccountId,
    email: EmailId,
    names: &Names,
) -> Result<Vec<Event>, StoreError> {
    let mut turns: BTreeMap<LogIndex, Vec<(MailboxId, Uid, Turn)>> = BTreeMap::new();
    for (mailbox, uid) in places_ever(view, account, email)? {
        for (index, turn) in turns_of(view, account, mailbox, uid, names)? {
            turns.entry(index).or_default().push((mailbox, uid, turn));
        }
    }
    let mut events = Vec::new();
    for (index, turns) in turns {
        let by = By::of(view, index)?;
        for what in told(turns, &by, names) {
            events.push(Event { by: by.clone(), what });
        }
    }
    Ok(events)
}

/// The email that stood under a UID at any time.
///
/// # Errors
/// The state cannot be read.
pub fn email_at(
    view: &View,
    account: AccountId,
    mailbox: MailboxId,
    uid: Uid,
) -> Result<Option<EmailId>, StoreError> {
    let object = Object::Placement(account, mailbox, uid);
    let first = view.history(&object)?.into_iter().find_map(|version| version.value);
    let read = |value: Vec<u8>| {
        decode::<PlacementVersion>(Table::History, &object.bytes(), &value).map(|v| v.email)
    };
    Ok(first.map(read).transpose()?)
}

/// Every place where an email stands or stood.
pub(super) fn places_ever(
    view: &View,
    account: AccountId,
    email: EmailId,
) -> Result<Vec<(MailboxId, Uid)>, StorageError> {
    let mut places = Vec::new();
    let range = KeyRange::prefix(&Key::Email(account, email).bytes());
    view.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, _| {
        let mut parts = Parts::new(key.get(20..).unwrap_or_default());
        let place = parts.mailbox().zip(parts.uid());
        places
            .push(place.ok_or_else(|| {
                StorageError::corrupt(Table::EmailPlacement, key, "no placement")
            })?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(places)
}

/// Whether an email came to stand anywhere by the record at an index.
pub(super) fn came_at(
    view: &View,
    account: AccountId,
    email: EmailId,
    index: LogIndex,
) -> Result<bool, StorageError> {
    let mut came = false;
    let range = KeyRange::prefix(&Key::Email(account, email).bytes());
    view.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, value| {
        let standing: Standing = decode(Table::EmailPlacement, key, value)?;
        came |= standing.from == index;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(came)
}

fn turns_of(
    view: &View,
    account: AccountId,
    mailbox: MailboxId,
    uid: Uid,
    names: &Names,
) -> Result<Vec<(LogIndex, Turn)>, StoreError> {
    let object = Object::Placement(account, mailbox, uid);
    // What a sweep takes away went with its mailbox.
    let end = names.gone(mailbox);
    let mut turns = Vec::new();
    let mut before: Option<PlacementVersion> = None;
    for version in view.history(&object)? {
        if end.is_some_and(|end| version.from >= end) {
            break;
        }
        let now: Option<PlacementVersion> = version
            .value
            .map(|value| decode(Table::History, &object.bytes(), &value))
            .transpose()?;
        let turn = match (&before, &now) {
            (_, None) => Turn::Gone,
            (None, Some(new)) => Turn::Came(flag_names(new.flags, &new.keywords)),
            (Some(old), Some(new)) => {
                let (added, removed) = flags_between(old, new);
                Turn::Flags(added, removed)
            }
        };
        turns.push((version.from, turn));
        before = now;
    }
    if let Some(end) = end.filter(|_| before.is_some()) {
        turns.push((end, Turn::Deleted));
    }
    Ok(turns)
}

/// What came and went by one record was moved.
fn told(turns: Vec<(MailboxId, Uid, Turn)>, by: &By, names: &Names) -> Vec<What> {
    let place = |mailbox, uid| Place { mailbox, name: names.name(mailbox, by.index), uid };
    let (mut came, mut gone, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for (mailbox, uid, turn) in turns {
        let place = place(mailbox, uid);
        match turn {
            Turn::Came(flags) => came.push((place, flags)),
            Turn::Gone => gone.push(place),
            Turn::Flags(added, removed) if added.is_empty() && removed.is_empty() => {}
            Turn::Flags(added, removed) => told.push(What::Flags { place, added, removed }),
            Turn::Deleted => told.push(What::MailboxDeleted { place }),
        }
    }
    let mut gone = gone.into_iter();
    for (place, flags) in came {
        told.push(match gone.next() {
            Some(from) => What::Moved { from, to: place },
            None => What::Came { place, flags },
        });
    }
    told.extend(gone.map(|place| What::Expunged { place }));
    told
}
