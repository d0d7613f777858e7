//! What was deleted in an interval comes back: emails that were expunged, and
//! mailboxes with what they held, under the names that they had when they went.

use std::collections::BTreeMap;

use redoubt_log::id::{EmailId, LogIndex, MailboxId, Uid};
use redoubt_log::record::{Flags, RestoreMode, RestoreTo};

use super::lives::{Actors, Life, Mailboxes, end, lives, stood};
use super::stands::{Emails, Want};
use super::tree::Tree;
use super::{Plan, PlanError, Planned, UndeleteWish};
use crate::rows::PlacementVersion;
use crate::view::View;

pub(super) fn plan(view: &View, wish: &UndeleteWish) -> Planned<Plan> {
    let account = wish.account;
    if view.account(account)?.is_none() {
        return Err(PlanError::NoSuchAccount(account));
    }
    let mailboxes = Mailboxes::read(view, account)?;
    let mut tree = Tree::now(view, account)?;
    let work = Undelete { view, wish, actors: Actors::new(view), mailboxes: &mailboxes };
    work.check_mailbox()?;
    work.deleted_mailboxes(&mut tree)?;
    let emails = work.emails(&mut tree)?;
    let mut steps = std::mem::take(&mut tree.steps);
    steps.extend(emails.steps());
    Ok(Plan {
        mode: RestoreMode::Undelete,
        account,
        source: account,
        at: Some(wish.since),
        until: Some(wish.until),
        steps,
    })
}

struct Undelete<'a> {
    view: &'a View,
    wish: &'a UndeleteWish,
    actors: Actors<'a>,
    mailboxes: &'a Mailboxes,
}

/// A placement that was deleted.
struct Deleted {
    place: (MailboxId, Uid),
    end: LogIndex,
    was: PlacementVersion,
}

impl Undelete<'_> {
    fn in_interval(&self, end: LogIndex) -> bool {
        self.wish.since < end && end <= self.wish.until
    }

    /// Whether the mailbox is the one that was asked for, or stands below it: by its name now,
    /// at the beginning, or when something of it went.
    fn is_meant(&self, mailbox: MailboxId, end: LogIndex) -> bool {
        let Some(wished) = &self.wish.mailbox else { return true };
        let before = LogIndex(end.0.saturating_sub(1));
        [self.wish.since, before, self.view.index()].iter().any(|index| {
            let name = self.mailboxes.name_at(mailbox, *index);
            name.is_some_and(|name| {
                name.strip_prefix(wished.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
    }

    fn check_mailbox(&self) -> Planned<()> {
        let Some(wished) = &self.wish.mailbox else { return Ok(()) };
        let known = |id: MailboxId| {
            let mut ends: Vec<LogIndex> = vec![self.wish.until];
            ends.extend(self.mailboxes.hidden_at(id));
            ends.into_iter().any(|end| self.is_meant(id, end))
        };
        match self.mailboxes.ids().any(known) {
            true => Ok(()),
            false => Err(PlanError::NoSuchMailbox(wished.clone())),
        }
    }

    /// Mailboxes that went come back, empty ones too.
    fn deleted_mailboxes(&self, tree: &mut Tree) -> Planned<()> {
        for id in self.mailboxes.ids() {
            let Some(end) = self.mailboxes.hidden_at(id).filter(|end| self.in_interval(*end))
            else {
                continue;
            };
            if self.is_meant(id, end) && self.actors.did(self.wish.by, end)? {
                self.target(tree, id, end);
            }
        }
        Ok(())
    }

    /// Where things of a mailbox that they left at `end` come back.
    fn target(&self, tree: &mut Tree, id: MailboxId, end: LogIndex) -> RestoreTo {
        if tree.has(id) {
            return RestoreTo::Mailbox(id);
        }
        // Its last name, even if the email had gone before it was renamed.
        let last = self.mailboxes.hidden_at(id).unwrap_or(end);
        let before = LogIndex(last.0.saturating_sub(1));
        let special_use = self.mailboxes.at(id, before).and_then(|row| row.special_use);
        match self.mailboxes.name_at(id, before) {
            Some(name) => tree.target(&name, special_use),
            None => RestoreTo::Mailbox(id),
        }
    }

    fn emails(&self, tree: &mut Tree) -> Planned<Emails> {
        let mut found: BTreeMap<EmailId, Vec<Deleted>> = BTreeMap::new();
        lives(self.view, self.wish.account, &mut |life| {
            if let Some(deleted) = self.deleted(life)? {
                found.entry(deleted.was.email).or_default().push(deleted);
            }
            Ok(())
        })?;
        let mut emails = Emails::default();
        for (email, deleted) in found {
            self.email(tree, &mut emails, email, deleted)?;
        }
        Ok(emails)
    }

    /// A placement that was deleted as was asked for; one that moved was not.
    fn deleted(&self, life: &Life) -> Planned<Option<Deleted>> {
        let Some(end) = life.end(self.mailboxes).filter(|end| self.in_interval(*end)) else {
            return Ok(None);
        };
        let came = life.came().is_some_and(|came| came < end);
        if !came || !self.is_meant(life.mailbox, end) || !self.actors.did(self.wish.by, end)? {
            return Ok(None);
        }
        let Some(was) = life.before(end).cloned() else { return Ok(None) };
        let moved = life.gone == Some(end) && self.moved(&was, end)?;
        let place = (life.mailbox, life.uid);
        Ok((!moved).then_some(Deleted { place, end, was }))
    }

    fn moved(&self, was: &PlacementVersion, end: LogIndex) -> Planned<bool> {
        let stood = stood(self.view, self.wish.account, was.email)?;
        Ok(stood.iter().any(|(_, _, standing)| standing.from == end))
    }

    fn email(
        &self,
        tree: &mut Tree,
        emails: &mut Emails,
        email: EmailId,
        mut deleted: Vec<Deleted>,
    ) -> Planned<()> {
        deleted.sort_by_key(|deleted| deleted.place);
        let most = self.together(email, &deleted)?;
        let mut wants: Vec<Want> = Vec::new();
        let mut taken: BTreeMap<MailboxId, u32> = BTreeMap::new();
        // The newest of them, should there have been more over time than at one time.
        for Deleted { place, end, was } in deleted.into_iter().rev() {
            let count = taken.entry(place.0).or_default();
            if *count >= most.get(&place.0).copied().unwrap_or(1) {
                continue;
            }
            *count += 1;
            let to = self.target(tree, place.0, end);
            // Marked as deleted, the next EXPUNGE of any client would take it again.
            let flags = was.flags.without(Flags::DELETED);
            wants.push(Want { to, stood: place, flags, keywords: was.keywords });
        }
        wants.reverse();
        let mut total: BTreeMap<RestoreTo, u32> = BTreeMap::new();
        for want in &wants {
            let most = most.get(&want.stood.0).copied().unwrap_or(1);
            let taken = taken.get(&want.stood.0).copied().unwrap_or(0);
            total.insert(want.to, most.saturating_sub(taken));
        }
        let there = |to: RestoreTo| total.get(&to).copied().unwrap_or(0);
        emails.add(self.view, self.wish.account, email, &wants, &there, None)?;
        Ok(())
    }

    /// How many placements the email had at one time in each mailbox, before one of them went.
    fn together(&self, email: EmailId, deleted: &[Deleted]) -> Planned<BTreeMap<MailboxId, u32>> {
        let stood = stood(self.view, self.wish.account, email)?;
        let mut most: BTreeMap<MailboxId, u32> = BTreeMap::new();
        for Deleted { place: (mailbox, _), end: gone, .. } in deleted {
            let before = LogIndex(gone.0.saturating_sub(1));
            let hidden = self.mailboxes.hidden_at(*mailbox);
            let shown = stood.iter().filter(|(m, _, standing)| {
                let until = end(standing.until, hidden);
                m == mailbox && standing.from <= before && until.is_none_or(|until| until > before)
            });
            let count = u32::try_from(shown.count()).unwrap_or(u32::MAX);
            let best = most.entry(*mailbox).or_default();
            *best = (*best).max(count);
        }
        Ok(most)
    }
}
