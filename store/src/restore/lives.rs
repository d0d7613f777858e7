//! What the history says of an account's mailboxes and placements: from when to
//! when each was shown, and who ended it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Uid};
use redoubt_log::record::Principal;

use super::Planned;
use crate::keys::{Key, Object, Parts, kind, objects, parse_history};
use crate::mailbox::MAX_LEVELS;
use crate::rows::{MailboxRow, MailboxState, PlacementVersion, RecordRow, Standing, Version};
use crate::storage::{KeyRange, Order, StorageError, Table, decode};
use crate::view::View;

/// The versions of one mailbox, oldest first.
type Rows = Vec<(LogIndex, Option<MailboxRow>)>;

/// The mailboxes of an account through all of its history.
#[derive(Debug)]
pub(super) struct Mailboxes(BTreeMap<MailboxId, Rows>);

impl Mailboxes {
    pub(super) fn read(view: &View, account: AccountId) -> Planned<Self> {
        let mut all: BTreeMap<MailboxId, Rows> = BTreeMap::new();
        let range = objects(account, kind::MAILBOX).range();
        visit(view, &range, &mut |object, index, value| {
            if let Object::Mailbox(_, id) = object {
                let row = value.map(|value| decode(Table::History, &[], value)).transpose()?;
                all.entry(id).or_default().push((index, row));
            }
            Ok(())
        })?;
        Ok(Self(all))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = MailboxId> {
        self.0.keys().copied()
    }

    pub(super) fn versions(&self, id: MailboxId) -> &[(LogIndex, Option<MailboxRow>)] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The row as of an index, in whatever state.
    pub(super) fn at(&self, id: MailboxId, index: LogIndex) -> Option<&MailboxRow> {
        let before = self.versions(id).iter().take_while(|(from, _)| *from <= index);
        before.last().and_then(|(_, row)| row.as_ref())
    }

    /// From which index on its content is not shown any more.
    pub(super) fn hidden_at(&self, id: MailboxId) -> Option<LogIndex> {
        let live = |row: &Option<MailboxRow>| {
            row.as_ref().is_some_and(|row| row.state == MailboxState::Live)
        };
        self.versions(id).iter().find(|(_, row)| !live(row)).map(|(index, _)| *index)
    }

    /// The whole name as of an index.
    pub(super) fn name_at(&self, id: MailboxId, index: LogIndex) -> Option<String> {
        let row = self.at(id, index)?;
        let (mut name, mut next) = (row.name.clone(), row.parent);
        for _ in 0..MAX_LEVELS {
            let Some(row) = next.and_then(|id| self.at(id, index)) else { break };
            name = format!("{}/{name}", row.name);
            next = row.parent;
        }
        Some(name)
    }
}

/// One placement through all of its history.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) mailbox: MailboxId,
    pub(super) uid: Uid,
    /// Oldest first.
    pub(super) versions: Vec<(LogIndex, PlacementVersion)>,
    /// The record that expunged it.
    pub(super) gone: Option<LogIndex>,
}

impl Life {
    /// From which index on it is not shown: expunged, or its mailbox deleted.
    pub(super) fn end(&self, mailboxes: &Mailboxes) -> Option<LogIndex> {
        end(self.gone, mailboxes.hidden_at(self.mailbox))
    }

    /// As it was before an index.
    pub(super) fn before(&self, index: LogIndex) -> Option<&PlacementVersion> {
        let before = self.versions.iter().take_while(|(from, _)| *from < index);
        before.last().map(|(_, version)| version)
    }

    pub(super) fn came(&self) -> Option<LogIndex> {
        self.versions.first().map(|(index, _)| *index)
    }
}

/// The earlier of two ends.
pub(super) fn end(gone: Option<LogIndex>, hidden: Option<LogIndex>) -> Option<LogIndex> {
    match (gone, hidden) {
        (Some(gone), Some(hidden)) => Some(gone.min(hidden)),
        (gone, hidden) => gone.or(hidden),
    }
}

/// Shows every placement that the account ever had, one at a time.
pub(super) fn lives(
    view: &View,
    account: AccountId,
    look: &mut dyn FnMut(&Life) -> Planned<()>,
) -> Planned<()> {
    let mut held: Option<Life> = None;
    let mut found: Planned<()> = Ok(());
    let range = objects(account, kind::PLACEMENT).range();
    visit(view, &range, &mut |object, index, value| {
        let Object::Placement(_, mailbox, uid) = object else { return Ok(()) };
        if held.as_ref().is_some_and(|life| (life.mailbox, life.uid) != (mailbox, uid))
            && let Some(life) = held.take()
            && found.is_ok()
        {
            found = look(&life);
        }
        let life = held.get_or_insert(Life { mailbox, uid, versions: Vec::new(), gone: None });
        match value {
            None => life.gone = Some(index),
            Some(value) => life.versions.push((index, decode(Table::History, &[], value)?)),
        }
        Ok(())
    })?;
    found?;
    held.iter().try_for_each(look)
}

/// Where an email ever stood.
pub(super) fn stood(
    view: &View,
    account: AccountId,
    email: EmailId,
) -> Planned<Vec<(MailboxId, Uid, Standing)>> {
    let mut found = Vec::new();
    let range = KeyRange::prefix(&Key::Email(account, email).bytes());
    view.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, value| {
        let mut parts = Parts::new(key.get(20..).unwrap_or_default());
        let (Some(mailbox), Some(uid)) = (parts.mailbox(), parts.uid()) else {
            return Err(StorageError::corrupt(Table::EmailPlacement, key, "no placement"));
        };
        found.push((mailbox, uid, decode(Table::EmailPlacement, key, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Sees a version of an object; `None` where it went.
type Look<'a> = &'a mut dyn FnMut(Object, LogIndex, Option<&[u8]>) -> Result<(), StorageError>;

fn visit(view: &View, range: &KeyRange, look: Look<'_>) -> Result<(), StorageError> {
    view.reader().visit(Table::History, range, Order::Rising, &mut |key, value| {
        let corrupt = |what: &str| StorageError::corrupt(Table::History, key, what);
        let (object, index) = parse_history(key).ok_or_else(|| corrupt("no object"))?;
        let version = Version::decode(value).ok_or_else(|| corrupt("no version"))?;
        look(object, index, version)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Who did what; asked again and again of the same few records.
#[derive(Debug)]
pub(super) struct Actors<'v> {
    view: &'v View,
    known: RefCell<BTreeMap<LogIndex, Option<Principal>>>,
}

/// Records remembered at most.
const KNOWN: usize = 100_000;

impl<'v> Actors<'v> {
    pub(super) fn new(view: &'v View) -> Self {
        Self { view, known: RefCell::default() }
    }

    /// Whether this record was this actor's; with `None` it is.
    pub(super) fn did(&self, by: Option<Principal>, index: LogIndex) -> Planned<bool> {
        let Some(by) = by else { return Ok(true) };
        if let Some(known) = self.known.borrow().get(&index) {
            return Ok(*known == Some(by));
        }
        let row: Option<RecordRow> = self.view.record(index)?;
        let principal = row.map(|row| row.actor.principal);
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(index, principal);
        Ok(principal == Some(by))
    }
}
