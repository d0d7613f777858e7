//! Back to a moment: what differs between then and now is the plan.
//!
//! What was expunged comes back, what moved goes back, flags, names and
//! subscriptions are as they were. What came later stays, unless it is asked that
//! it goes.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{AccountId, EmailId, MailboxId};
use redoubt_log::record::{RestoreMode, RestoreStep, RestoreTo};

use super::stands::{self, Emails, Stand, Stands, Want, diff};
use super::tree::Tree;
use super::{Plan, PlanError, Planned, RewindWish};
use crate::view::{Mailbox, View};

pub(super) fn plan(view: &View, wish: &RewindWish) -> Planned<Plan> {
    let account = wish.account;
    let past = view.at(wish.at);
    if past.account(account)?.is_none() || view.account(account)?.is_none() {
        return Err(PlanError::NoSuchAccount(account));
    }
    let mut work = Rewind::new(view, &past, wish)?;
    work.mailboxes();
    work.emails()?;
    if wish.mailbox.is_none() && wish.emails.is_none() && !wish.only_flags {
        work.subscriptions()?;
    }
    Ok(Plan {
        mode: RestoreMode::Rewind,
        account,
        source: account,
        at: Some(wish.at),
        until: None,
        steps: work.steps(),
    })
}

struct Rewind<'a> {
    view: &'a View,
    past: &'a View,
    wish: &'a RewindWish,
    then: Vec<Mailbox>,
    now: Vec<Mailbox>,
    /// Mailboxes of then that matter, and where they are now.
    targets: BTreeMap<MailboxId, RestoreTo>,
    scope: Scope,
    tree: Tree,
    renames: Vec<RestoreStep>,
    moves: Vec<RestoreStep>,
    flags: Vec<RestoreStep>,
    missing: Emails,
    later: Vec<RestoreStep>,
}

/// Which mailboxes of then and now are put back.
enum Scope {
    All,
    Mailboxes(BTreeSet<MailboxId>),
}

impl Scope {
    fn has(&self, id: MailboxId) -> bool {
        match self {
            Self::All => true,
            Self::Mailboxes(ids) => ids.contains(&id),
        }
    }
}

impl<'a> Rewind<'a> {
    fn new(view: &'a View, past: &'a View, wish: &'a RewindWish) -> Planned<Self> {
        let then = past.mailboxes(wish.account)?;
        let now = view.mailboxes(wish.account)?;
        let scope = match &wish.mailbox {
            None => Scope::All,
            Some(name) => {
                let found = past.mailbox_named(wish.account, name)?;
                let found = found.ok_or_else(|| PlanError::NoSuchMailbox(name.clone()))?;
                Scope::Mailboxes(BTreeSet::from([found.id]))
            }
        };
        Ok(Self {
            view,
            past,
            wish,
            tree: Tree::of(&now),
            then,
            now,
            targets: BTreeMap::new(),
            scope,
            renames: Vec::new(),
            moves: Vec::new(),
            flags: Vec::new(),
            missing: Emails::default(),
            later: Vec::new(),
        })
    }

    /// Names and parents as they were; what is gone is made again.
    fn mailboxes(&mut self) {
        let there: BTreeSet<MailboxId> = self.now.iter().map(|m| m.id).collect();
        let live: BTreeSet<MailboxId> =
            self.now.iter().filter(|m| m.selectable).map(|m| m.id).collect();
        let then: Vec<Mailbox> =
            self.then.iter().filter(|m| self.scope.has(m.id)).cloned().collect();
        if !self.wish.only_flags {
            let names = Names::of(&self.now);
            let wanted = then.iter().filter(|m| there.contains(&m.id)).cloned().collect();
            let ids = self.then.iter().map(|m| m.id).collect();
            let (renames, names) = names.renamed(wanted, &ids, self.wish.exact);
            self.renames = renames;
            let shown: Vec<Mailbox> = names.apply(&self.now);
            self.tree = Tree::of(&shown);
        }
        for mailbox in &then {
            let to = match (live.contains(&mailbox.id), mailbox.selectable) {
                (true, _) => RestoreTo::Mailbox(mailbox.id),
                // A name that only had children comes back with them.
                (false, false) => continue,
                (false, true) if self.wish.only_flags => continue,
                (false, true) => self.tree.target(&mailbox.name, mailbox.special_use),
            };
            self.targets.insert(mailbox.id, to);
        }
    }

    fn emails(&mut self) -> Planned<()> {
        let (mut then, mut now) = self.stands()?;
        let mut ids: BTreeSet<EmailId> = then.keys().copied().collect();
        ids.extend(now.keys().copied());
        for email in ids {
            let then = then.remove(&email).unwrap_or_default();
            let now = now.remove(&email).unwrap_or_default();
            self.email(email, then, now)?;
        }
        if self.wish.exact && matches!(self.scope, Scope::All) && self.wish.emails.is_none() {
            self.later_mailboxes();
        }
        Ok(())
    }

    /// Where emails of the scope stood and stand, other mailboxes too.
    fn stands(&self) -> Planned<(Stands, Stands)> {
        let account = self.wish.account;
        let emails: BTreeSet<EmailId> = match (&self.wish.emails, &self.scope) {
            (Some(emails), _) => emails.iter().copied().collect(),
            (None, Scope::All) => {
                return Ok((stands::all(self.past, account)?, stands::all(self.view, account)?));
            }
            (None, Scope::Mailboxes(ids)) => self.emails_in(account, ids)?,
        };
        let then = stands::of_emails(self.past, account, emails.iter().copied())?;
        let now = stands::of_emails(self.view, account, emails)?;
        Ok((then, now))
    }

    fn emails_in(
        &self,
        account: AccountId,
        ids: &BTreeSet<MailboxId>,
    ) -> Planned<BTreeSet<EmailId>> {
        let mut emails = BTreeSet::new();
        for id in ids {
            for view in [self.past, self.view] {
                stands::of_mailbox(view, account, *id, &mut |email, _| {
                    emails.insert(email);
                })?;
            }
        }
        Ok(emails)
    }

    fn email(&mut self, email: EmailId, then: Vec<Stand>, now: Vec<Stand>) -> Planned<()> {
        // What stood elsewhere keeps its place: it is no source of a move.
        let want = |stand: Stand| Want {
            to: self
                .targets
                .get(&stand.mailbox)
                .copied()
                .unwrap_or(RestoreTo::Mailbox(stand.mailbox)),
            stood: (stand.mailbox, stand.uid),
            flags: stand.flags,
            keywords: stand.keywords,
        };
        let wants: Vec<Want> = then.into_iter().map(want).collect();
        let (inside, outside): (Vec<Want>, Vec<Want>) =
            wants.into_iter().partition(|want| self.targets.contains_key(&want.stood.0));
        let mut live = now;
        for other in outside {
            let place = live.iter().position(|stand| RestoreTo::Mailbox(stand.mailbox) == other.to);
            place.map(|place| live.remove(place));
        }
        let mut counts: BTreeMap<RestoreTo, u32> = BTreeMap::new();
        inside.iter().for_each(|want| *counts.entry(want.to).or_default() += 1);
        let found = diff(email, inside, live, self.wish.only_flags);
        self.flags.extend(found.flags);
        self.moves.extend(found.moves);
        for want in &found.missing {
            counts.entry(want.to).and_modify(|count| *count -= 1);
        }
        let there = |to: RestoreTo| counts.get(&to).copied().unwrap_or(0);
        self.missing.add(self.view, self.wish.account, email, &found.missing, &there, None)?;
        if self.wish.exact && !self.wish.only_flags {
            let extra = found.extra.into_iter().filter(|stand| self.scope.has(stand.mailbox));
            self.later.extend(extra.map(|Stand { mailbox, uid, .. }| RestoreStep::Expunge {
                mailbox,
                uid,
                email,
            }));
        }
        Ok(())
    }

    /// Mailboxes that were not there then, children first.
    fn later_mailboxes(&mut self) {
        let then: BTreeSet<MailboxId> = self.then.iter().map(|m| m.id).collect();
        let used: BTreeSet<RestoreTo> = self.targets.values().copied().collect();
        let later =
            |m: &&Mailbox| !then.contains(&m.id) && !used.contains(&RestoreTo::Mailbox(m.id));
        let mut later: Vec<&Mailbox> = self.now.iter().filter(later).collect();
        later.sort_by_key(|m| std::cmp::Reverse(m.name.split('/').count()));
        self.later.extend(later.into_iter().map(|m| RestoreStep::Delete { mailbox: m.id }));
    }

    fn subscriptions(&mut self) -> Planned<()> {
        let account = self.wish.account;
        let then: BTreeSet<String> = self.past.subscriptions(account)?.into_iter().collect();
        let now: BTreeSet<String> = self.view.subscriptions(account)?.into_iter().collect();
        let step = |subscribed: bool| {
            move |name: &String| RestoreStep::Subscribe { name: name.clone(), subscribed }
        };
        self.later.extend(then.difference(&now).map(step(true)));
        if self.wish.exact {
            self.later.extend(now.difference(&then).map(step(false)));
        }
        Ok(())
    }

    fn steps(self) -> Vec<RestoreStep> {
        let mut steps = self.renames;
        steps.extend(self.tree.steps);
        steps.extend(self.moves);
        steps.extend(self.missing.steps());
        steps.extend(self.flags);
        steps.extend(self.later);
        steps
    }
}

/// The names of a tree, while mailboxes get theirs back.
#[derive(Debug, Clone)]
pub(super) struct Names(BTreeMap<MailboxId, (Option<MailboxId>, String)>);

impl Names {
    pub(super) fn of(mailboxes: &[Mailbox]) -> Self {
        Self(mailboxes.iter().map(|m| (m.id, (m.parent, own_name(m)))).collect())
    }

    /// The renames that give these mailboxes their names and parents, in an order in which each
    /// can be done; those that are in each other's way go aside first. Where something that came
    /// later has the name the mailbox keeps its own, unless that is to go.
    pub(super) fn renamed(
        mut self,
        wanted: Vec<Mailbox>,
        then: &BTreeSet<MailboxId>,
        exact: bool,
    ) -> (Vec<RestoreStep>, Self) {
        let mut steps = Vec::new();
        let mut open: Vec<(MailboxId, (Option<MailboxId>, String))> = wanted
            .iter()
            .map(|m| (m.id, (m.parent, own_name(m))))
            .filter(|(_, (parent, _))| parent.is_none_or(|parent| self.0.contains_key(&parent)))
            .collect();
        open.retain(|(id, wish)| self.0.get(id) != Some(wish));
        let mut aside = BTreeSet::new();
        while !open.is_empty() {
            let before = open.len();
            open.retain(|(id, wish)| !self.try_rename(*id, wish, &mut steps));
            if open.len() < before {
                continue;
            }
            let Some((id, wish)) = open.first().cloned() else { break };
            let waits: BTreeSet<MailboxId> = open.iter().map(|(id, _)| *id).collect();
            let way = self.in_the_way(id, &wish, &waits);
            let may = |way: &MailboxId| waits.contains(way) || (exact && !then.contains(way));
            // Each goes aside once at most: so this ends.
            let moved = way.filter(may).filter(|way| aside.insert(*way)).is_some_and(|way| {
                let place = (None, format!("{} ({})", wish.1, way.object_id()));
                self.try_rename(way, &place, &mut steps)
            });
            if !moved {
                open.remove(0);
            }
        }
        (steps, self)
    }

    /// What keeps a mailbox from its place: another of that name, or one that is to be above it
    /// and stands below it.
    fn in_the_way(
        &self,
        id: MailboxId,
        wish: &(Option<MailboxId>, String),
        waits: &BTreeSet<MailboxId>,
    ) -> Option<MailboxId> {
        if let Some(holder) = self.holder(wish) {
            return Some(holder);
        }
        let mut next = wish.0;
        for _ in 0..=crate::mailbox::MAX_LEVELS {
            let above = next.filter(|above| *above != id)?;
            if waits.contains(&above) {
                return Some(above);
            }
            next = self.0.get(&above).and_then(|(parent, _)| *parent);
        }
        None
    }

    fn holder(&self, wish: &(Option<MailboxId>, String)) -> Option<MailboxId> {
        self.0.iter().find(|(_, place)| *place == wish).map(|(id, _)| *id)
    }

    fn try_rename(
        &mut self,
        id: MailboxId,
        wish: &(Option<MailboxId>, String),
        steps: &mut Vec<RestoreStep>,
    ) -> bool {
        if id == crate::mailbox::INBOX || self.holder(wish).is_some() || self.is_above(id, wish.0) {
            return false;
        }
        self.0.insert(id, wish.clone());
        let parent = wish.0.map(RestoreTo::Mailbox);
        steps.push(RestoreStep::Rename { mailbox: id, parent, name: wish.1.clone() });
        true
    }

    /// Whether `id` is `parent` or above it.
    fn is_above(&self, id: MailboxId, parent: Option<MailboxId>) -> bool {
        let mut next = parent;
        for _ in 0..=crate::mailbox::MAX_LEVELS {
            match next {
                Some(above) if above == id => return true,
                Some(above) => next = self.0.get(&above).and_then(|(parent, _)| *parent),
                None => return false,
            }
        }
        true
    }

    fn whole(&self, id: MailboxId) -> String {
        let mut levels = Vec::new();
        let mut next = Some(id);
        while let Some((parent, name)) = next.and_then(|id| self.0.get(&id)) {
            levels.push(name.as_str());
            next = parent.filter(|_| levels.len() <= crate::mailbox::MAX_LEVELS);
        }
        levels.reverse();
        levels.join("/")
    }

    /// These mailboxes with the names that they will have.
    pub(super) fn apply(&self, mailboxes: &[Mailbox]) -> Vec<Mailbox> {
        let renamed = |m: &Mailbox| Mailbox { name: self.whole(m.id), ..m.clone() };
        mailboxes.iter().map(renamed).collect()
    }
}

/// A mailbox's own name, without its parents'.
fn own_name(mailbox: &Mailbox) -> String {
    mailbox.name.rsplit_once('/').map_or(mailbox.name.as_str(), |(_, own)| own).to_owned()
}
