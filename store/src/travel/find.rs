//! Searching a moment, and all that stood there before it.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Uid};
use serde::{Deserialize, Serialize};

use super::life::{came_at, places_ever};
use super::{By, Cursor, Names, Place};
use crate::keys::{Object, kind, objects, parse_history};
use crate::mailstore::StoreError;
use crate::rows::{PlacementVersion, Version};
use crate::storage::{KeyRange, Order, StorageError, Table, decode};
use crate::view::{Placement, View};

/// Placements judged at one time by what a view says of them.
const BATCH: usize = 1000;
/// The same where messages have to be opened.
const BATCH_OPENED: usize = 100;

/// Which emails are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// Those that are there.
    There,
    /// Those that were expunged before.
    Expunged,
    /// All of these.
    Both,
}

/// How and when an email went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// By whom and when.
    #[serde(flatten)]
    pub by: By,
    /// Whether it went with its mailbox.
    pub with_mailbox: bool,
}

/// An email that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Where it stands or stood.
    pub place: Place,
    /// As it is at the moment, or was at last.
    pub placement: Placement,
    /// When it went, if it did.
    pub gone: Option<Gone>,
}

/// What a page of a search came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// What was found, by mailbox and UID.
    pub hits: Vec<Hit>,
    /// Where to go on, if not all was looked at.
    pub next: Option<Cursor>,
}

/// Says what is looked for.
pub trait Judge {
    /// What cannot be read.
    type Error: From<StoreError>;

    /// Whether it may open messages, which takes time.
    fn opens_messages(&self) -> bool;

    /// Whether an email is meant, as it stands in a mailbox, or stood there before it went.
    ///
    /// # Errors
    /// The state or a message cannot be read.
    fn is_meant(
        &mut self,
        mailbox: MailboxId,
        placement: &Placement,
        gone: Option<&Gone>,
    ) -> Result<bool, Self::Error>;
}

/// A search of one moment.
#[derive(Debug)]
pub struct Search<'a> {
    /// The moment.
    pub view: &'a View,
    /// Whose mail.
    pub account: AccountId,
    /// Only in these mailboxes, if any are named.
    pub mailboxes: &'a [MailboxId],
    /// Which emails.
    pub which: Which,
    /// Only these, where it is known that no others can be meant.
    pub among: Option<&'a [EmailId]>,
}

/// Candidates, and the last UID looked at if there may be more.
type Batch = (Vec<(Placement, Option<Gone>)>, Option<Uid>);

impl Search<'_> {
    /// Looks on behind `after` for one piece: until something like `limit` were found, or so
    /// many were looked at as one call should.
    ///
    /// # Errors
    /// The state or a message cannot be read.
    pub fn piece<J: Judge>(
        &self,
        judge: &mut J,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Looked, J::Error> {
        let names = Names::read(self.view, self.account)?;
        if let Some(emails) = self.among {
            return self.piece_among(emails, &names, judge, after, limit);
        }
        let mut hits = Vec::new();
        let batch = if judge.opens_messages() { BATCH_OPENED } else { BATCH };
        for mailbox in names.ids().filter(|id| self.is_wanted(*id)) {
            let Some(first) = Cursor::first_in(after, mailbox) else { continue };
            let (candidates, last) = self.candidates(&names, mailbox, first, batch)?;
            for (placement, gone) in candidates {
                let uid = placement.uid;
                if judge.is_meant(mailbox, &placement, gone.as_ref())? {
                    hits.push(self.hit(&names, mailbox, placement, gone));
                }
                if hits.len() >= limit {
                    let next = Some(Cursor { mailbox, uid: uid.get() });
                    return Ok(Looked { hits, next });
                }
            }
            if let Some(last) = last {
                let next = Some(Cursor { mailbox, uid: last.get() });
                return Ok(Looked { hits, next });
            }
        }
        Ok(Looked { hits, next: None })
    }

    fn is_wanted(&self, mailbox: MailboxId) -> bool {
        self.mailboxes.is_empty() || self.mailboxes.contains(&mailbox)
    }

    /// A piece where it is known which emails can be meant.
    fn piece_among<J: Judge>(
        &self,
        emails: &[EmailId],
        names: &Names,
        judge: &mut J,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Looked, J::Error> {
        let mut hits = Vec::new();
        let mut left = if judge.opens_messages() { BATCH_OPENED } else { BATCH };
        for (cursor, placement, gone) in self.standings(emails, names, after)? {
            if judge.is_meant(cursor.mailbox, &placement, gone.as_ref())? {
                hits.push(self.hit(names, cursor.mailbox, placement, gone));
            }
            left -= 1;
            if left == 0 || hits.len() >= limit {
                return Ok(Looked { hits, next: Some(cursor) });
            }
        }
        Ok(Looked { hits, next: None })
    }

    /// Where these emails stand or stood, behind a place, by mailbox and UID.
    fn standings(
        &self,
        emails: &[EmailId],
        names: &Names,
        after: Option<Cursor>,
    ) -> Result<Vec<(Cursor, Placement, Option<Gone>)>, StoreError> {
        let (view, account) = (self.view, self.account);
        let mut found = Vec::new();
        let mut add = |mailbox: MailboxId, placement: Placement, gone: Option<Gone>| {
            let cursor = Cursor { mailbox, uid: placement.uid.get() };
            if self.is_wanted(mailbox) && after.is_none_or(|after| after < cursor) {
                found.push((cursor, placement, gone));
            }
        };
        for email in emails {
            if self.which != Which::Expunged {
                for (mailbox, uid) in view.placements_of(account, *email)? {
                    let placement = view.placement(account, mailbox, account, uid)?;
                    placement.into_iter().for_each(|placement| add(mailbox, placement, None));
                }
            }
            if self.which != Which::There {
                for (mailbox, placement, gone) in gone_places(view, account, *email, names)? {
                    add(mailbox, placement, Some(gone));
                }
            }
        }
        found.sort_by_key(|(cursor, ..)| *cursor);
        Ok(found)
    }

    fn hit(
        &self,
        names: &Names,
        mailbox: MailboxId,
        placement: Placement,
        gone: Option<Gone>,
    ) -> Hit {
        let at = gone.as_ref().map_or(self.view.index(), |gone| gone.by.index);
        let place = Place { mailbox, name: names.name(mailbox, at), uid: placement.uid };
        Hit { place, placement, gone }
    }

    fn candidates(
        &self,
        names: &Names,
        mailbox: MailboxId,
        first: Uid,
        limit: usize,
    ) -> Result<Batch, StoreError> {
        let mut found = Vec::new();
        let mut last: Option<Uid> = None;
        let mut full = |uid: Option<Uid>, count: usize| {
            if let Some(uid) = uid.filter(|_| count == limit) {
                last = Some(last.map_or(uid, |last| last.min(uid)));
            }
        };
        if self.which != Which::Expunged {
            let (view, account) = (self.view, self.account);
            let there = view.placements(account, mailbox, account, first, Uid::MAX, limit)?;
            full(there.last().map(|placement| placement.uid), there.len());
            found.extend(there.into_iter().map(|placement| (placement, None)));
        }
        if self.which != Which::There {
            let gone = self.gone(names, mailbox, first, limit)?;
            full(gone.last().map(|(placement, _)| placement.uid), gone.len());
            found.extend(gone.into_iter().map(|(placement, gone)| (placement, Some(gone))));
        }
        if let Some(last) = last {
            found.retain(|(placement, _)| placement.uid <= last);
        }
        found.sort_by_key(|(placement, _)| placement.uid);
        Ok((found, last))
    }

    /// Placements that went, by rising UID, at most `limit`. What was moved stands elsewhere.
    fn gone(
        &self,
        names: &Names,
        mailbox: MailboxId,
        first: Uid,
        limit: usize,
    ) -> Result<Vec<(Placement, Gone)>, StoreError> {
        let (view, account) = (self.view, self.account);
        let range = KeyRange {
            from: Object::Placement(account, mailbox, first).bytes(),
            to: objects(account, kind::PLACEMENT).u32(mailbox.0).range().to,
        };
        let mut found = Vec::new();
        let mut past = Past { with_mailbox: names.gone(mailbox), ..Past::default() };
        view.reader().visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let broken = || StorageError::corrupt(Table::History, key, "no version");
            let Some((Object::Placement(_, _, uid), index)) = parse_history(key) else {
                return Err(broken());
            };
            if past.uid != Some(uid) {
                self.add(&past, &mut found)?;
                past = Past { uid: Some(uid), with_mailbox: past.with_mailbox, ..Past::default() };
            }
            if index <= view.index() {
                past.take(index, Version::decode(value).ok_or_else(broken)?);
            }
            Ok(match found.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        if found.len() < limit {
            self.add(&past, &mut found)?;
        }
        Ok(found)
    }

    fn add(&self, past: &Past, found: &mut Vec<(Placement, Gone)>) -> Result<(), StorageError> {
        found.extend(past.told(self.view, self.account)?);
        Ok(())
    }
}

/// Where an email stood before it went for good, with what it was at last; not where it was moved
/// from.
///
/// # Errors
/// The state cannot be read.
pub fn gone_places(
    view: &View,
    account: AccountId,
    email: EmailId,
    names: &Names,
) -> Result<Vec<(MailboxId, Placement, Gone)>, StoreError> {
    let mut found = Vec::new();
    for (mailbox, uid) in places_ever(view, account, email)? {
        let mut past =
            Past { uid: Some(uid), with_mailbox: names.gone(mailbox), ..Past::default() };
        for version in view.history(&Object::Placement(account, mailbox, uid))? {
            past.take(version.from, version.value.as_deref());
        }
        let told = past.told(view, account)?;
        found.extend(told.map(|(placement, gone)| (mailbox, placement, gone)));
    }
    Ok(found)
}

/// What was seen of one placement's versions.
#[derive(Default)]
struct Past {
    uid: Option<Uid>,
    last: Option<Vec<u8>>,
    ended: Option<LogIndex>,
    /// From when on the mailbox is gone.
    with_mailbox: Option<LogIndex>,
}

impl Past {
    fn take(&mut self, index: LogIndex, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.last = Some(value.to_vec());
                self.ended = None;
            }
            None => self.ended = Some(index),
        }
    }

    /// What it was at last, and when and how it went; `None` where it did not, or was moved.
    fn told(
        &self,
        view: &View,
        account: AccountId,
    ) -> Result<Option<(Placement, Gone)>, StorageError> {
        let Some((uid, (index, with_mailbox), value)) = self.ended() else { return Ok(None) };
        let by = By::of(view, index)
            .map_err(|error| StorageError::corrupt(Table::Record, &[], error))?;
        let version: PlacementVersion = decode(Table::History, &[], value)?;
        if !with_mailbox && came_at(view, account, version.email, index)? {
            return Ok(None);
        }
        let placement = view.as_it_was(account, uid, version)?;
        Ok(Some((placement, Gone { by, with_mailbox })))
    }

    /// When it went, whether with its mailbox, and what it was at last.
    fn ended(&self) -> Option<(Uid, (LogIndex, bool), &[u8])> {
        let end = match (self.ended, self.with_mailbox) {
            (Some(ended), Some(mailbox)) if ended >= mailbox => (mailbox, true),
            (Some(ended), _) => (ended, false),
            (None, Some(mailbox)) => (mailbox, true),
            (None, None) => return None,
        };
        Some((self.uid?, end, self.last.as_deref()?))
    }
}
