//! One actor's changes of an interval undone: what it expunged comes back, what it
//! moved goes back, and flags, keywords and names that it changed are as they were
//! before, unless somebody changed them again since.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{EmailId, LogIndex, MailboxId};
use redoubt_log::record::{Flags, Keyword, Principal, RestoreMode, RestoreStep, RestoreTo};

use super::lives::{Actors, Life, Mailboxes, lives};
use super::rewind::Names;
use super::stands::{Emails, Stand, Stands, Want, diff, flags_step};
use super::tree::Tree;
use super::{Plan, PlanError, Planned, RewindWish};
use crate::mailbox::find;
use crate::rows::PlacementVersion;
use crate::view::{Mailbox, View};

pub(super) fn plan(
    view: &View,
    wish: &RewindWish,
    by: Principal,
    until: LogIndex,
) -> Planned<Plan> {
    let account = wish.account;
    if view.account(account)?.is_none() {
        return Err(PlanError::NoSuchAccount(account));
    }
    let mailboxes = Mailboxes::read(view, account)?;
    let now = view.mailboxes(account)?;
    let work = Undo { view, wish, by, until, actors: Actors::new(view), mailboxes: &mailboxes };
    let mut steps = Vec::new();
    let mut tree = Tree::of(&now);
    if !wish.only_flags {
        let (renames, names) = work.renames(&now)?;
        steps.extend(renames);
        tree = Tree::of(&names.apply(&now));
        work.deleted_mailboxes(&mut tree)?;
    }
    let changed = work.changed(&mut tree)?;
    steps.extend(std::mem::take(&mut tree.steps));
    steps.extend(work.back(changed)?);
    if wish.exact && !wish.only_flags {
        steps.extend(work.made(&now)?);
    }
    let (mode, source) = (RestoreMode::Rewind, account);
    Ok(Plan { mode, account, source, at: Some(wish.at), until: Some(until), steps })
}

struct Undo<'a> {
    view: &'a View,
    wish: &'a RewindWish,
    by: Principal,
    until: LogIndex,
    actors: Actors<'a>,
    mailboxes: &'a Mailboxes,
}

/// What the actor did to placements.
#[derive(Default)]
struct Changed {
    flags: Vec<RestoreStep>,
    went: BTreeMap<EmailId, Vec<Want>>,
    came: Stands,
}

impl Undo<'_> {
    /// Whether a record of the interval is the actor's.
    fn is_its(&self, index: LogIndex) -> Planned<bool> {
        let inside = self.wish.at < index && index <= self.until;
        Ok(inside && self.actors.did(Some(self.by), index)?)
    }

    fn in_scope(&self, email: EmailId, mailbox: MailboxId) -> bool {
        let emails = self.wish.emails.as_ref().is_none_or(|emails| emails.contains(&email));
        let named = |wished: &String| {
            [self.wish.at, self.view.index()]
                .iter()
                .any(|at| self.mailboxes.name_at(mailbox, *at).as_ref() == Some(wished))
        };
        emails && self.wish.mailbox.as_ref().is_none_or(named)
    }

    fn changed(&self, tree: &mut Tree) -> Planned<Changed> {
        let mut changed = Changed::default();
        lives(self.view, self.wish.account, &mut |life| self.one(tree, &mut changed, life))?;
        Ok(changed)
    }

    fn one(&self, tree: &mut Tree, changed: &mut Changed, life: &Life) -> Planned<()> {
        let Some(email) = life.versions.first().map(|(_, version)| version.email) else {
            return Ok(());
        };
        if !self.in_scope(email, life.mailbox) {
            return Ok(());
        }
        match life.end(self.mailboxes) {
            Some(end) if !self.wish.only_flags && self.is_its(end)? => {
                self.went(tree, changed, life, end)
            }
            Some(_) => Ok(()),
            None => self.stays(changed, life, email),
        }
    }

    fn went(
        &self,
        tree: &mut Tree,
        changed: &mut Changed,
        life: &Life,
        end: LogIndex,
    ) -> Planned<()> {
        // What it brought itself and took away again is as it was.
        let own = life.came().map_or(Ok(true), |came| self.is_its(came))?;
        let Some(was) = life.before(end).filter(|_| !own) else { return Ok(()) };
        let (flags, keywords) =
            self.flags_before(life)?.unwrap_or((was.flags, was.keywords.clone()));
        let flags = flags.without(Flags::DELETED);
        let to = self.target(tree, life.mailbox, end);
        let want = Want { to, stood: (life.mailbox, life.uid), flags, keywords };
        changed.went.entry(was.email).or_default().push(want);
        Ok(())
    }

    fn target(&self, tree: &mut Tree, id: MailboxId, end: LogIndex) -> RestoreTo {
        if tree.has(id) {
            return RestoreTo::Mailbox(id);
        }
        let last = self.mailboxes.hidden_at(id).unwrap_or(end);
        let before = LogIndex(last.0.saturating_sub(1));
        let special_use = self.mailboxes.at(id, before).and_then(|row| row.special_use);
        match self.mailboxes.name_at(id, before) {
            Some(name) => tree.target(&name, special_use),
            None => RestoreTo::Mailbox(id),
        }
    }

    fn stays(&self, changed: &mut Changed, life: &Life, email: EmailId) -> Planned<()> {
        let Some((_, now)) = life.versions.last() else { return Ok(()) };
        let stand = Stand {
            mailbox: life.mailbox,
            uid: life.uid,
            flags: now.flags,
            keywords: now.keywords.clone(),
            modseq: now.modseq,
        };
        if life.came().map_or(Ok(false), |came| self.is_its(came))? {
            changed.came.entry(email).or_default().push(stand);
            return Ok(());
        }
        if let Some((flags, keywords)) = self.flags_before(life)? {
            changed.flags.push(flags_step(email, &stand, flags, keywords));
        }
        Ok(())
    }

    /// The newest flags without what the actor changed last; `None` if that is nothing.
    fn flags_before(&self, life: &Life) -> Planned<Option<(Flags, Vec<Keyword>)>> {
        let mut old: BTreeMap<Mark, bool> = BTreeMap::new();
        let mut last: BTreeMap<Mark, bool> = BTreeMap::new();
        let Some((_, now)) = life.versions.last() else { return Ok(None) };
        for pair in life.versions.windows(2) {
            let [(_, before), (index, after)] = pair else { continue };
            let its = self.is_its(*index)?;
            for (mark, was) in changes(before, after) {
                if its {
                    old.entry(mark.clone()).or_insert(was);
                }
                last.insert(mark, its);
            }
        }
        let (mut flags, mut keywords, mut any) = (now.flags, now.keywords.clone(), false);
        for (mark, was) in old {
            if last.get(&mark) != Some(&true) || mark.is_set(now) == was {
                continue;
            }
            any = true;
            mark.put(was, &mut flags, &mut keywords);
        }
        Ok(any.then_some((flags, keywords)))
    }

    fn back(&self, changed: Changed) -> Planned<Vec<RestoreStep>> {
        let Changed { flags, went, mut came } = changed;
        let (mut moves, mut later) = (Vec::new(), Vec::new());
        let mut emails = Emails::default();
        for (email, wants) in went {
            let live = came.remove(&email).unwrap_or_default();
            let found = diff(email, wants, live, false);
            moves.extend(found.moves);
            let counts = self.live_in(email, &found.missing)?;
            let there = |to: RestoreTo| counts.get(&to).copied().unwrap_or(0);
            emails.add(self.view, self.wish.account, email, &found.missing, &there, None)?;
            came.insert(email, found.extra);
        }
        if self.wish.exact {
            for (email, extra) in came {
                later.extend(extra.into_iter().map(|stand| RestoreStep::Expunge {
                    mailbox: stand.mailbox,
                    uid: stand.uid,
                    email,
                }));
            }
        }
        Ok(moves.into_iter().chain(emails.steps()).chain(flags).chain(later).collect())
    }

    /// None is there of what is missing: other placements of the email in that mailbox were
    /// there before, beside it.
    fn live_in(&self, email: EmailId, missing: &[Want]) -> Planned<BTreeMap<RestoreTo, u32>> {
        let mut counts = BTreeMap::new();
        if missing.is_empty() {
            return Ok(counts);
        }
        let other = self.view.placements_of(self.wish.account, email)?;
        for (mailbox, uid) in other {
            let life = crate::keys::Object::Placement(self.wish.account, mailbox, uid);
            let came = self.view.history(&life)?.first().map(|version| version.from);
            if came.is_some_and(|came| came <= self.wish.at) {
                *counts.entry(RestoreTo::Mailbox(mailbox)).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Mailboxes whose name or parent the actor changed last get those of before.
    fn renames(&self, now: &[Mailbox]) -> Planned<(Vec<RestoreStep>, Names)> {
        let mut wanted = Vec::new();
        for mailbox in now {
            if let Some(old) = self.name_before(mailbox)? {
                wanted.push(old);
            }
        }
        let then: BTreeSet<MailboxId> = now.iter().map(|mailbox| mailbox.id).collect();
        Ok(Names::of(now).renamed(wanted, &then, false))
    }

    fn name_before(&self, mailbox: &Mailbox) -> Planned<Option<Mailbox>> {
        let (mut old, mut last) = (None, false);
        for pair in self.mailboxes.versions(mailbox.id).windows(2) {
            let [(_, Some(before)), (index, Some(after))] = pair else { continue };
            if (before.parent, &before.name) == (after.parent, &after.name) {
                continue;
            }
            last = self.is_its(*index)?;
            if last && old.is_none() {
                old = Some(Mailbox {
                    name: before.name.clone(),
                    parent: before.parent,
                    ..mailbox.clone()
                });
            }
        }
        Ok(old.filter(|_| last))
    }

    fn deleted_mailboxes(&self, tree: &mut Tree) -> Planned<()> {
        for id in self.mailboxes.ids() {
            if let Some(end) = self.mailboxes.hidden_at(id)
                && self.is_its(end)?
            {
                self.target(tree, id, end);
            }
        }
        Ok(())
    }

    /// Mailboxes that the actor made go, children first.
    fn made(&self, now: &[Mailbox]) -> Planned<Vec<RestoreStep>> {
        let mut made = Vec::new();
        for mailbox in now {
            let came = self.mailboxes.versions(mailbox.id).first().map(|(index, _)| *index);
            if came.map_or(Ok(false), |came| self.is_its(came))? {
                made.push(mailbox);
            }
        }
        made.sort_by_key(|m| std::cmp::Reverse(m.name.split('/').count()));
        Ok(made.into_iter().map(|m| RestoreStep::Delete { mailbox: m.id }).collect())
    }
}

/// A flag or a keyword, without case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Flag(u8),
    Keyword(Keyword),
}

impl Mark {
    fn is_set(&self, version: &PlacementVersion) -> bool {
        match self {
            Self::Flag(bit) => version.flags.contains(Flags(*bit)),
            Self::Keyword(keyword) => find(&version.keywords, keyword).is_some(),
        }
    }

    fn put(&self, on: bool, flags: &mut Flags, keywords: &mut Vec<Keyword>) {
        match (self, on) {
            (Self::Flag(bit), true) => *flags = flags.with(Flags(*bit)),
            (Self::Flag(bit), false) => *flags = flags.without(Flags(*bit)),
            (Self::Keyword(keyword), true) => keywords.push(keyword.clone()),
            (Self::Keyword(keyword), false) => {
                keywords.retain(|known| !known.eq_ignore_ascii_case(keyword));
            }
        }
    }
}

/// What differs, and how it was.
fn changes(before: &PlacementVersion, after: &PlacementVersion) -> Vec<(Mark, bool)> {
    let bits = (0..5).map(|bit| Mark::Flag(1 << bit));
    let words = before.keywords.iter().chain(&after.keywords);
    let marks = bits.chain(words.map(|word| Mark::Keyword(word.to_ascii_lowercase())));
    let changed = |mark: &Mark| mark.is_set(before) != mark.is_set(after);
    marks.filter(changed).map(|mark| (mark.clone(), mark.is_set(before))).collect()
}
